"""One request as the doors see it: who, what, and how to answer in the protocol that it speaks."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any

from qiao.api.attendance import Attendance
from qiao.api.shelter import Shelter
from qiao.errors import BodyTimeout, BodyTooLarge, Draining, KeyRefused, NoCredit, QiaoError
from qiao.exchange.relay import Relay
from qiao.gate import prices
from qiao.wire import dashscope, openai, sse
from qiao.wire.call import Principal, Protocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]

# The cloud's own headers that are part of its answers (reference §1.5).
PASSED_ON = (
    "x-dashscope-call-gateway",
    "x-dashscope-finished",
    "x-dashscope-timeout",
    "req-cost-time",
    "req-arrive-time",
    "resp-start-time",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
)
_NATIVE = ("/api/", "/api-task/")
_FLAT = ("/compatible-api/", "/v1/rerank")  # whose errors are flat all the same (reference §4.1, E8)


class Visit:
    """A request and the answer to it. `started` tells whether the status has been sent."""

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send, shelter: Shelter) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.id = _new_id()
        native = self.path.startswith(_NATIVE)
        self.protocol: Protocol = "dashscope" if native else "openai"
        self._errors = dashscope if native or self.path.startswith(_FLAT) else openai
        self.headers: dict[str, str] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.principal = Principal()
        self.streamed = False
        self.started = False
        self.unguarded = False  # a rehearsed fault is on its way: what breaks must look broken
        self.held = 0  # bytes of a large body, counted in the shelter
        self.extra: HeaderList = []  # CORS headers, on every answer
        self._late = False  # headers of the engine become comments where the stream has begun without them
        self._receive = receive
        self._send = send
        self._shelter = shelter

    @property
    def rest(self) -> str:
        """The raw path as the client wrote it, for paths that are passed on."""
        raw: bytes = self.scope.get("raw_path") or self.path.encode()
        return raw.partition(b"?")[0].decode("latin-1")

    @property
    def query(self) -> str:
        return self.scope["query_string"].decode("latin-1")

    async def body(self) -> bytes:
        """The whole request body; BodyTooLarge over the limits, BodyTimeout when it stops coming."""
        limits = self._shelter.limits
        announced = int(self.headers.get("content-length") or 0)
        if announced > limits.body_base64:
            raise BodyTooLarge(_too_large(limits.body_base64))
        if announced > _SMALL or "content-length" not in self.headers:
            body = await self._large(limits.body_base64)
        else:
            body = b"".join([piece async for piece in self.pieces()]) if announced else b""
        if len(body) > limits.body and b";base64," not in body:
            raise BodyTooLarge(_too_large(limits.body))
        return body

    async def _large(self, limit: int) -> bytes:
        """A body that counts towards the memory of all bodies until the visit is over."""
        pieces: list[bytes] = []
        async for piece in self.pieces():
            self._shelter.take(len(piece))
            self.held += len(piece)
            if self.held > limit:
                raise BodyTooLarge(_too_large(limit))
            pieces.append(piece)
        return b"".join(pieces)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The request body as it comes."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise BodyTimeout("The request body did not arrive in time.")
            if piece := message.get("body", b""):
                yield piece
            if not message.get("more_body", False):
                return

    def attend(self) -> Attendance:
        """Watch for the client's leaving and for the server's stopping while the call runs."""
        return Attendance(self.scope, self._shelter.drain)

    async def answer(self, status: int, content_type: str, body: bytes, headers: HeaderList | None = None) -> None:
        """A whole answer."""
        await self._start(status, content_type, [*(headers or []), (b"content-length", b"%d" % len(body))])
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, error: QiaoError) -> None:
        """An error in the envelope of the protocol spoken; inside the stream when that has begun."""
        if self.started:
            await self._finish(self._error_frame(error))
            return
        rendered = self._errors.render_error(error, self.id, streamed=self.streamed)
        headers: HeaderList = [(b"x-request-id", self._id(rendered.answer_id))]
        if error.retry_after is not None:
            headers.append((b"retry-after", b"%d" % max(1, -int(-error.retry_after // 1))))
        if error.blame == "caller" or isinstance(error, KeyRefused | NoCredit):
            headers.append((b"x-should-retry", b"false"))
        if isinstance(error, Draining):
            headers.append((b"connection", b"close"))
        await self.answer(rendered.status, rendered.content_type, rendered.body, headers)

    async def relay(self, relay: Relay, attendance: Attendance) -> None:
        """Send a relay's bytes as they come, with keep-alive comments where the engine is silent."""
        self.unguarded = not relay.guarded
        attendance.on_cut(lambda: relay.fail(Draining("The server is stopping."), "cut"))
        if relay.streamed:
            async with aclosing(relay.stream()) as stream:
                await self._stream(relay, stream, attendance)
        else:
            body = b"".join([piece async for piece in relay.stream()])
            await attendance.turn()
            headers = self._of(relay)
            if (cost := relay.cost) is not None:
                headers.append((b"x-qiao-cost", f"{prices.yuan(cost.nano)[1:]} CNY".encode()))
            await self.answer(relay.opened.reply.status, relay.content_type, body, headers)

    async def begin(self, status: int, content_type: str, headers: HeaderList) -> None:
        """The head of an answer whose body follows by `more` and `end`."""
        await self._start(status, content_type, headers)

    async def more(self, piece: bytes) -> None:
        """A piece of the body."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """The end of the body."""
        await self._finish(b"")

    async def keep_alive(self) -> None:
        """Say that the stream lives; begin it if nothing was sent yet."""
        await self._comment(sse.KEEP_ALIVE)

    def progress(self, attendance: Attendance) -> Callable[[str], None] | None:
        """How an engine tells what it does before it answers; None for a client that did not ask to see it.

        The stream then begins before the engine is known: what its headers would say follows as comments.
        """
        if self.headers.get("x-qiao-progress") != "1":
            return None
        self._late = True
        return lambda doing: attendance.comment(lambda: self._comment(b": progress %s\n\n" % doing.encode()))

    async def _comment(self, comment: bytes) -> None:
        if not self.started:
            await self._start(200, openai.EVENTS, _STREAM)
        await self.more(comment)

    async def cut(self, last: bytes | None) -> None:
        """The server stops: end the answer with its last frame."""
        if self.started:
            await self._finish(last or self._error_frame(Draining("The server is stopping.")))
        else:
            await self.refuse(Draining("The server is stopping."))

    async def _stream(self, relay: Relay, stream: AsyncIterator[bytes], attendance: Attendance) -> None:
        async for piece in stream:
            await attendance.turn()
            if not self.started:
                await self._start(relay.opened.reply.status, relay.content_type, [*self._of(relay), *_STREAM])
            elif self._late:
                await self.more(b"".join([b": %s: %s\n" % header for header in self._of(relay)]) + b"\n")
            self._late = False
            await self.more(piece)
            attendance.sent()
        await self._finish(b"")

    async def _finish(self, last: bytes) -> None:
        await self._send({"type": "http.response.body", "body": last})

    async def _start(self, status: int, content_type: str, headers: HeaderList) -> None:
        self.started = True
        head = [(b"content-type", content_type.encode("latin-1")), *headers, *self.extra]
        if not any(name == b"x-request-id" for name, _ in headers):
            head.append((b"x-request-id", self.id.encode("ascii")))
        await self._send({"type": "http.response.start", "status": status, "headers": head})

    def _of(self, relay: Relay) -> HeaderList:
        """The headers that an engine's answer brings: its id, its name, and the cloud's own."""
        engine, theirs = relay.opened.engine, relay.opened.reply.headers
        headers: HeaderList = [
            (b"x-request-id", self._id(relay.answer_id)),
            (b"x-qiao-engine", engine.name.encode("latin-1")),
        ]
        if notice := relay.opened.reply.notice or engine.traits.notice:
            headers.append((b"x-qiao-notice", notice.encode("latin-1")))
        if relay.left_out:
            headers.append((b"x-qiao-left-out", b"%d" % relay.left_out))
        headers += [(name.encode(), theirs[name].encode("latin-1")) for name in PASSED_ON if name in theirs]
        return headers

    def _id(self, theirs: str | None) -> bytes:
        """The id in an answer's bytes as a header value; the visit's own where a header could not hold that."""
        fits = theirs is not None and 0 < len(theirs) <= 200 and theirs.isascii() and theirs.isprintable()
        return (theirs if theirs and fits else self.id).encode("ascii")

    def _error_frame(self, error: QiaoError) -> bytes:
        if self.protocol == "dashscope":
            return dashscope.error_frame(error, self.id, 1)
        return openai.error_frame(error, self.id)


_SMALL = 64 * 2**10  # a body of so many bytes is not counted
_STREAM: HeaderList = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]


def _new_id() -> str:
    """A random UUID (version 4) as text, without the object."""
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _too_large(limit: int) -> str:
    return f"Payload Too Large: the request body is over {limit // 2**20} MiB."
