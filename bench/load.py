"""The client of the measurements: keep-alive connections on loopback, bytes out, every answer checked to be whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import cast

import httptools

PATIENCE = 60.0  # seconds for one answer


class BadAnswer(Exception):
    """A server did not answer as it should, so its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request as bytes, how many chunks its answer has (0: it is whole), and what a complete answer ends with."""

    request: bytes
    chunks: int
    ending: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """Seconds from the last byte of the request to the first byte of the answer's body, and to its end."""

    first: float
    whole: float


@dataclass(frozen=True, slots=True)
class Done:
    """What a stretch of load was."""

    answers: int
    chunks: int


class Line(asyncio.Protocol):
    """A connection that asks one question at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._to_the_end = True
        self._first = 0.0
        self._tail = b""

    @classmethod
    async def open(cls, port: int) -> Line:
        """Connect to a port of loopback."""
        _, line = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return line

    async def ask(self, question: Question) -> Answer:
        """One answer, read to its end; BadAnswer when it is an error or not whole."""
        sent = await self._answered(question, to_the_end=True)
        ended = perf_counter()
        status = self._parser.get_status_code()
        if status != 200 or question.ending not in self._tail:
            raise BadAnswer(f"status {status}, ending {self._tail[-200:]!r}")
        return Answer(self._first - sent, ended - sent)

    async def begin(self, question: Question) -> None:
        """Ask, and wait for the first byte of the answer's body only."""
        await self._answered(question, to_the_end=False)

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(BadAnswer("the connection was closed before the answer was whole"))

    def on_body(self, body: bytes) -> None:
        """The parser's call for each piece of a body."""
        if not self._first:
            self._first = perf_counter()
            if not self._to_the_end:
                self._wake()
        self._tail = (self._tail + body)[-1024:]

    def on_message_complete(self) -> None:
        """The parser's call for the end of an answer."""
        self._wake()

    async def _answered(self, question: Question, *, to_the_end: bool) -> float:
        """Ask and wait; the moment at which the question was sent."""
        if self._transport is None or self._transport.is_closing():
            raise BadAnswer("the connection is closed")
        self._parser = httptools.HttpResponseParser(self)
        self._waiter = asyncio.get_running_loop().create_future()
        self._to_the_end, self._first, self._tail = to_the_end, 0.0, b""
        sent = perf_counter()
        self._transport.write(question.request)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._waiter
        except TimeoutError:
            raise BadAnswer(f"no whole answer in {PATIENCE:.0f} s, after {self._tail[-200:]!r}") from None
        return sent

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@asynccontextmanager
async def lines(port: int, count: int) -> AsyncGenerator[list[Line]]:
    """So many open connections."""
    opened = [await Line.open(port) for _ in range(count)]
    try:
        yield opened
    finally:
        for line in opened:
            line.close()


async def saturate(port: int, question: Question, *, width: int, seconds: float) -> Done:
    """Ask on `width` connections without a pause; what is under way after `seconds` is waited for."""
    until = perf_counter() + seconds
    async with lines(port, width) as opened:

        async def ask(line: Line) -> int:
            asked = 0
            while perf_counter() < until:
                await line.ask(question)
                asked += 1
            return asked

        answers = sum(await asyncio.gather(*map(ask, opened)))
    return Done(answers, answers * question.chunks)


async def trickle(port: int, question: Question, *, width: int, over: float) -> Done:
    """`width` paced streams at once, begun one after the other within `over` seconds."""
    async with lines(port, width) as opened:

        async def ask(number: int, line: Line) -> None:
            await asyncio.sleep(number * over / width)
            await line.ask(question)

        await asyncio.gather(*(ask(number, line) for number, line in enumerate(opened)))
    return Done(width, width * question.chunks)


async def steady(port: int, question: Question, *, rate: float, seconds: float) -> list[Answer]:
    """Ask `rate` times a second, whether or not earlier answers are here."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    resting: list[Line] = []
    opened: list[Line] = []

    async def ask() -> Answer:
        line = resting.pop() if resting else await Line.open(port)
        if line not in opened:
            opened.append(line)
        answer = await line.ask(question)
        resting.append(line)
        return answer

    asking: list[asyncio.Task[Answer]] = []
    try:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(began + number / rate - loop.time())
            asking.append(loop.create_task(ask()))
        return await asyncio.gather(*asking)
    finally:
        for task in asking:
            task.cancel()
        for line in opened:
            line.close()


async def one_by_one(port: int, question: Question, *, count: int) -> list[Answer]:
    """Ask on one connection, the next when the last is answered."""
    async with lines(port, 1) as (line,):
        return [await line.ask(question) for _ in range(count)]


@asynccontextmanager
async def held(port: int, question: Question, *, count: int) -> AsyncGenerator[None]:
    """Hold so many streams open, each with its first chunk here; all of them are dropped at the end."""
    async with lines(port, count) as opened:
        for start in range(0, count, 20):
            await asyncio.gather(*(line.begin(question) for line in opened[start : start + 20]))
        yield
