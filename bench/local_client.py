"""The client of the local engine's bench: one stream a connection, over TCP or a Unix socket, read as bytes."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from load import BadAnswer

PATIENCE = 600.0  # seconds for one answer
_TEXT = re.compile(rb'"(?:reasoning_)?content":"[^"]')
_COUNT = re.compile(rb'"completion_tokens":(\d+)')
_END = b"data: [DONE]"


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a server is asked: a port of loopback or a Unix socket, its model, and the switch of thinking it knows."""

    where: int | str
    model: str
    path: str = "/v1/chat/completions"
    headers: str = ""
    thinking_off: Mapping[str, Any] | None = None

    def request(self, messages: Sequence[Mapping[str, str]], tokens: int) -> bytes:
        """A chat that streams, takes the most probable token, and ends after so many."""
        body = {
            "model": self.model,
            "messages": messages,
            "max_tokens": tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **{"temperature": 0, "top_p": 1.0, "top_k": 20, "presence_penalty": 0.0},
            **(self.thinking_off or {}),
        }
        data = json.dumps(body).encode()
        head = f"POST {self.path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{self.headers}"
        return f"{head}content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data


@dataclass(frozen=True, slots=True)
class Told:
    """A whole answer: when it was asked, when its first token and its end came (seconds of the clock), its tokens."""

    asked: float
    first: float
    last: float
    tokens: int

    @property
    def wait(self) -> float:
        """Seconds to the first token."""
        return self.first - self.asked


class Stream:
    """One running answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._asked = self._first = 0.0
        self._tail = b""

    @classmethod
    async def ask(cls, place: Place, messages: Sequence[Mapping[str, str]], tokens: int) -> Stream:
        """Send the question."""
        if isinstance(place.where, str):
            stream = cls(*await asyncio.open_unix_connection(place.where))
        else:
            stream = cls(*await asyncio.open_connection("127.0.0.1", place.where))
        stream._asked = perf_counter()
        stream._writer.write(place.request(messages, tokens))
        return stream

    async def begin(self) -> float:
        """Wait for the first token; the seconds that it took."""
        async with asyncio.timeout(PATIENCE):
            while not self._first:
                await self._read()
        return self._first - self._asked

    async def rest(self) -> Told:
        """Read to the end."""
        async with asyncio.timeout(PATIENCE):
            while _END not in self._tail:
                await self._read()
        ended = perf_counter()
        self.close()
        counts = _COUNT.findall(self._tail)
        if not counts or not self._first:
            raise BadAnswer(f"an answer without tokens or usage: {self._tail[-300:]!r}")
        return Told(self._asked, self._first, ended, int(counts[-1]))

    def close(self) -> None:
        """Drop the connection, as a client does that has left."""
        self._writer.transport.abort()

    async def _read(self) -> None:
        data = await self._reader.read(65536)
        if not data:
            raise BadAnswer(f"the answer broke off: {self._tail[-300:]!r}")
        self._tail = (self._tail + data)[-4096:]
        if not self._first and _TEXT.search(self._tail):
            self._first = perf_counter()


async def tell(place: Place, messages: Sequence[Mapping[str, str]], tokens: int) -> Told:
    """One whole answer."""
    return await (await Stream.ask(place, messages, tokens)).rest()


def prompt(text: str, system: str = "") -> list[dict[str, str]]:
    """A question, after a system message if there is one."""
    head = [{"role": "system", "content": system}] if system else []
    return [*head, {"role": "user", "content": text}]
