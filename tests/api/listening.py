"""A listening server around a trivial app, and clients that speak raw bytes to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from qiao.api.drain import Drain
from qiao.api.server import Limits, Server

App = Callable[[Any, Any, Any], Awaitable[None]]
ON_BOTH_LOOPS = [
    pytest.mark.anyio,
    pytest.mark.parametrize(
        "anyio_backend",
        [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})],
        ids=["asyncio", "uvloop"],
    ),
]
GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
SHORT = Limits(first_byte=0.2, head=0.2, body=0.2, keep_alive=0.2, write_stall=0.3, linger=0.1, hard_stop=0.3)


@dataclass
class Seen:
    """What an app was asked and told."""

    paths: list[str] = field(default_factory=list[str])
    bodies: list[bytes] = field(default_factory=list[bytes])
    left: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)


def post(size: int, *headers: str) -> bytes:
    """The head of a POST."""
    lines = ["POST /a HTTP/1.1", "Host: h", f"Content-Length: {size}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def read(receive: Any) -> bytes | None:
    """The whole body; None when it ended before its end."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
        if not message["more_body"]:
            return body


async def answer(send: Any, body: bytes, status: int = 200) -> None:
    """A whole answer."""
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


def echo(seen: Seen) -> App:
    """Reads the body and answers with the path and the body; 408 when the body does not come."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.paths.append(scope["path"])
        body = await read(receive)
        if body is None:
            await answer(send, b"late", 408)
            return
        seen.bodies.append(body)
        await answer(send, scope["path"].encode() + b" " + body)

    return app


def stream(seen: Seen, piece: bytes = b"piece", every: float = 0.01) -> App:
    """Streams until the client leaves, and notes that it was told so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.paths.append(scope["path"])
        scope["extensions"]["qiao.disconnect"](seen.left.set)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        seen.began.set()
        while not seen.left.is_set():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(every)

    return app


@dataclass
class Client:
    """One raw connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def trickle(self, data: bytes) -> bytes:
        """Send byte by byte until the server hangs up; all that it said."""

        async def dribble() -> None:
            for byte in data:
                self.writer.write(bytes([byte]))
                await asyncio.sleep(0.02)

        sending = asyncio.create_task(dribble())
        try:
            return await self.rest()
        finally:
            sending.cancel()

    async def rest(self) -> bytes:
        """All that comes until the server closes."""
        async with asyncio.timeout(3):
            return await self.reader.read()

    async def answer(self) -> tuple[bytes, bytes]:
        """Head and body of one answer with a content-length."""
        async with asyncio.timeout(3):
            head = await self.reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return head, await self.reader.readexactly(size)

    def half_close(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Listening:
    """A running server; `task` ends with its exit status."""

    server: Server
    drain: Drain
    port: int
    task: asyncio.Task[int]
    clients: list[Client] = field(default_factory=list[Client])

    async def client(self, first: bytes = b"") -> Client:
        """A new connection, with its first bytes sent."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self.clients.append(client)
        client.send(first)
        return client


@contextlib.asynccontextmanager
async def listening(
    app: App,
    limits: Limits | None = None,
    *,
    drain: Drain | None = None,
    window: float = 2.0,
    pre_stop: float = 0.0,
) -> AsyncIterator[Listening]:
    """Run a server on a free port, and stop it at the end."""
    drain = drain or Drain()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = Server(app, host="127.0.0.1", port=0, limits=limits or Limits(linger=0.1, hard_stop=0.3), drain=drain)
    task = asyncio.create_task(server.run(window=window, pre_stop=pre_stop, on_started=ready.set_result))
    running = Listening(server, drain, int((await ready).rpartition(":")[2]), task)
    try:
        yield running
    finally:
        for client in running.clients:
            client.writer.close()
            with contextlib.suppress(ConnectionError):
                await client.writer.wait_closed()
        if not task.done():
            server.stop()
            server.stop()
        await task
