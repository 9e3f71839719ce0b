"""One HTTP/1.1 connection to an engine and the response on it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import cast

import httptools

from qiao.errors import EngineError, EngineReset, EngineTimeout, ProtocolBroken, StreamBroken

MAX_HEAD = 64 * 2**10
PAUSE_AT = 256 * 2**10  # bytes held for a slow reader before the engine is made to wait


@dataclass(frozen=True, slots=True)
class Limits:
    """Time limits of one answer in seconds: to its head, between two reads, and in all (None: no end)."""

    head: float = 60.0
    idle: float = 60.0
    total: float | None = None


DEFAULT_LIMITS = Limits()


class Response:
    """An answer as it arrives. `close` may be called at any time and frees the engine now."""

    def __init__(self, connection: Connection, limits: Limits, rest: Callable[[], None] | None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._connection = connection
        self._limits = limits
        self._rest = rest
        self._loop = asyncio.get_running_loop()
        self._pieces: list[bytes] = []
        self._held = 0
        self._head_size = 0
        self._ready = False  # the head is complete
        self._done = False
        self._error: EngineError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._began = self._heard = self._loop.time()
        self._timer = self._loop.call_later(min(limits.head, limits.idle, limits.total or limits.idle), self._check)
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    async def head(self) -> None:
        """Wait for status and headers."""
        while not self._ready:
            await self._wait()

    async def read(self) -> bytes:
        """What has come since the last read, waiting for something; b"" at a clean end."""
        while not self._pieces:
            if self._done and self._error is None:
                return b""
            await self._wait()
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self._held >= PAUSE_AT:
            self._connection.resume_reading()
        self._held = 0
        return data

    async def all(self, limit: int = 64 * 2**20) -> bytes:
        """The whole body; ProtocolBroken over `limit` bytes."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                self.close()
                raise ProtocolBroken("The engine's answer is too large.")
        return b"".join(pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        """What each read gives, to the end."""
        while piece := await self.read():
            yield piece

    def close(self) -> None:
        """Free the engine: an unfinished answer's connection is cut."""
        self._timer.cancel()
        if not self._done:
            self._done = True
            self._forget()
            self._connection.abort()
            self._wake()

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    @property
    def begun(self) -> bool:
        """Whether a byte of the answer has come."""
        return self._head_size > 0 or self.status > 0

    def feed(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(ProtocolBroken("The engine's answer is not HTTP."))
            return
        self._wake()

    def ended(self) -> None:
        """The connection is gone."""
        if self._done:
            return
        if self._ready and not {"content-length", "transfer-encoding"} & self.headers.keys():
            self._finish(reusable=False)
        elif self._ready:
            self.fail(StreamBroken("The engine's connection broke before its answer was complete."))
        else:
            self.fail(EngineReset("The engine closed the connection without an answer."))

    def fail(self, error: EngineError) -> None:
        if not self._done:
            self._error = error
            self.close()
            self._wake()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        if self._head_size > MAX_HEAD:
            raise httptools.HttpParserError("the head is too large")
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code() if self._parser else 0
        if status < 200:
            self.headers.clear()
            return
        self.status = status
        if self.headers.get("content-encoding", "identity") != "identity":
            self.fail(ProtocolBroken("The engine encoded its answer although it was asked not to."))
            return
        self._ready = True

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._held += len(body)
        if self._held >= PAUSE_AT:
            self._connection.pause_reading()

    def on_message_complete(self) -> None:
        if self.status >= 200 and not self._done and self._parser is not None:
            self._finish(reusable=self._parser.should_keep_alive())

    def _finish(self, *, reusable: bool) -> None:
        self._done = True
        self._timer.cancel()
        rest = self._rest if reusable else None
        self._forget()
        self._connection.released(rest)
        self._wake()

    def _forget(self) -> None:
        """Drop what refers back to this response, so that it goes without the garbage collector."""
        self._rest = self._parser = None

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        if self._done:
            raise EngineReset("The answer was closed.")
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._error is not None and not self._pieces:
            raise self._error

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _check(self) -> None:
        """One timer for all limits, armed anew for what is left: no timer per read."""
        now = self._loop.time()
        limits = self._limits
        if not self._ready:
            due = self._began + limits.head
        elif self._waiter is not None:
            due = self._heard + limits.idle
        else:  # our reader is the slow one
            due = now + limits.idle
        if limits.total is not None:
            due = min(due, self._began + limits.total)
        if due > now:
            self._timer = self._loop.call_later(due - now, self._check)
        elif self._ready:
            self.fail(StreamBroken("The engine fell silent in the middle of its answer.", status=504))
        else:
            self.fail(EngineTimeout("The engine did not begin to answer in time."))


class Connection(asyncio.Protocol):
    """A connection that carries one response at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._response: Response | None = None
        self._writable: asyncio.Event | None = None
        self._uploading = False
        self.rested_since = 0.0

    @property
    def usable(self) -> bool:
        """Whether it is open and idle."""
        return self._transport is not None and not self._transport.is_closing() and self._response is None

    def ask(self, limits: Limits, rest: Callable[[], None] | None) -> Response:
        """Begin a request; `rest` takes the connection back into the pool after a clean end."""
        self._response = Response(self, limits, rest)
        if self._transport is None or self._transport.is_closing():
            self._response.ended()
        return self._response

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def upload(self, body: AsyncIterator[bytes], *, chunked: bool) -> None:
        """Send a body as it comes, no faster than the engine takes it; stops when the engine has answered."""
        self._uploading = True
        async for piece in body:
            if self._response is None or self._response.begun:
                return
            self.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked and piece else piece)
            if self._writable is not None:
                await self._writable.wait()
        if chunked:
            self.write(b"0\r\n\r\n")
        self._uploading = False

    def released(self, rest: Callable[[], None] | None) -> None:
        """The response is complete."""
        self._response = None
        if rest is None or self._uploading or not self.usable:
            self.abort()
            return
        self.rested_since = asyncio.get_running_loop().time()
        rest()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            with contextlib.suppress(RuntimeError):
                self._transport.resume_reading()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        keep_alive(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        if self._response is None:  # bytes that nobody asked for
            self.abort()
        else:
            self._response.feed(data)

    def eof_received(self) -> None:
        if self._response is not None:
            self._response.ended()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._writable is not None:
            self._writable.set()
        response, self._response = self._response, None
        if response is not None:
            response.ended()

    def pause_writing(self) -> None:
        self._writable = asyncio.Event()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set()
            self._writable = None


def keep_alive(sock: socket.socket | None) -> None:
    """Notice a peer that vanished within about 20 s instead of never."""
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20_000}
    for name, value in options.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
