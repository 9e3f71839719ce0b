"""One client's connection: uvicorn's HTTP/1.1 with deadlines, limits, and a word to the app when the client leaves.

What a connection waits for decides its deadline; what breaks a rule is answered once, and what follows is ignored:

    waiting → head → body → answering → waiting …        over

A deadline counts from the beginning of what it is about, so that a trickle does not move it (threats N4 and N5).
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Callable
from typing import Any, Literal

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from qiao.api.deadlines import Deadlines
from qiao.api.drain import Drain
from qiao.api.limits import Limits
from qiao.api.transport import Transport

Stage = Literal["waiting", "head", "body", "answering", "over"]

_WATCHED = frozenset({b"host", b"expect", b"transfer-encoding"})
_SURPLUS = 1024  # connections over the limit that are told so


class GuardedProtocol(HttpToolsProtocol):
    """A connection. `scope["extensions"]["qiao.disconnect"]` takes a callback for the client's leaving.

    A client has left when the connection is lost, when it half-closes (which looks like a crash), and when it does not
    read. A late body ends `receive` with http.disconnect while `send` still works, so that the app can answer 408.
    """

    parser: httptools.HttpRequestParser  # until the connection is lost

    def __init__(self, config: Config, state: ServerState, limits: Limits, drain: Drain) -> None:
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self._limits = limits
        self._drain = drain
        self._stage: Stage = "waiting"
        self._active: RequestResponseCycle | None = None  # is being answered; `cycle` is the newest
        self._leaving: list[Callable[[], None]] = []
        self._fault = 400
        self._head = 0  # the head has at most so many bytes; 0: unknown, it began inside a chunk
        self._has_host = False
        self._received = 0  # bytes of the body
        self._framing = 0  # bytes that came since, of chunk extensions and trailers
        self._clocked = False  # this head or body has its deadline
        self._body_since = 0.0
        self._body_late = False
        self._deadlines = Deadlines(self.loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn
        """Let the client in, or say that the server is full."""
        self._drain.enter()
        self._way = Transport(transport, self._deadlines, self._limits, self._sends, self._gone)
        super().connection_made(self._way)
        surplus = len(self.connections) - self._limits.connections
        if surplus > _SURPLUS:
            self._way.abort()
        elif surplus > 0:
            self._refuse(503)
        else:
            self._deadlines.sending(self._limits.first_byte, self._way.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the app, and leave no timer and no reference cycle behind."""
        self._way.lost()
        self._deadlines.close()
        super().connection_lost(exc)
        self._gone()
        self.cycle = self.scope = self._active = None  # pyright: ignore[reportAttributeAccessIssue] - as uvicorn
        self._drain.leave()

    def eof_received(self) -> None:
        """The client half-closes; that nothing is returned closes the transport once its buffer is out."""
        self._way.parting = True
        self._way.must_read()
        self._gone()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then set the deadline of what it waits for."""
        if self._stage == "over" or self._way.parting:
            return
        if self._stage == "waiting":
            self._head = len(data)
        elif self._stage == "head":
            self._head += len(data)
        received = self._received
        self._feed(data)
        if self._stage == "head":
            if self._head > self._limits.head_bytes:
                self._refuse(414 if len(self.url) > self._limits.url else 431)
            elif not self._clocked:
                self._clocked = True
                self._deadlines.sending(self._limits.head, self._late_head)
        elif self._stage == "body":
            if not self._clocked:
                self._clocked, self._body_since = True, self.loop.time()
                self._deadlines.sending(self._limits.body, self._late_body)
            elif received != self._received:
                self._framing = 0
            else:
                self._framing += len(data)
                if self._framing > self._limits.head_bytes:
                    self._refuse(400)

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._stage != "waiting":
            self._head = 0
        self._stage, self._clocked, self._has_host = "head", False, False
        super().on_message_begin()
        extensions: Any = {"qiao.disconnect": self._register}  # uvicorn's type has none that are called
        self.scope["extensions"] = extensions

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header. Trailers are refused: uvicorn would hand them out as headers."""
        if self._stage != "head":
            self._fail(400)
        name = name.lower()
        if name in _WATCHED:
            self._watch(name, value)
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is whole: check it and start the app."""
        limits = self._limits
        if len(self.url) > limits.url:
            self._fail(414)
        small = 0 < self._head <= limits.head_bytes or self._head_size() <= limits.head_bytes
        if len(self.headers) > limits.headers or not small:
            self._fail(431)
        if self.parser.get_http_version() not in ("1.1", "1.0"):
            self._fail(505)
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._fail(405)
            return  # `_feed` begins again
        if len(self.pipeline) >= limits.pipelined:
            self._fail(400)
        super().on_headers_complete()
        self._stage, self._clocked, self._received, self._framing = "body", False, 0, 0
        # Whether a client that is answered in place of 100 sends its body all the same cannot be known.
        if self.expect_100_continue or self._drain.state != "serving":
            self.cycle.keep_alive = False
        if self.pipeline:
            self.flow.resume_reading()  # uvicorn has paused it, and would not see the client leave

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._received += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._stage == "head":  # an upgrade's
            return
        super().on_message_complete()
        if self.cycle.response_complete:
            self._wait()
        else:
            self._stage = "answering"
            self._deadlines.sent()

    def on_response_complete(self) -> None:
        """The answer is whole: on to the next request. In place of uvicorn's, which arms a timer each time."""
        self.server_state.total_requests += 1
        self._leaving.clear()
        if self._way.parting:
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._stage == "answering":
            self._wait()

    def pause_writing(self) -> None:
        """The client reads slower than the app writes."""
        super().pause_writing()
        self._way.must_read()

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        if not self._way.parting:
            self._deadlines.read()

    def shutdown(self) -> None:
        """The server stops: answer what was asked, then end the connection."""
        if self._active is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif self._active is not None and self._stage == "waiting":
            self._way.close()
        else:  # something may be on its way
            self._deadlines.hasten(self._limits.linger)

    def _sends(self) -> bool:
        return self._stage not in ("waiting", "answering")

    def _feed(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head = self._plain_head()
            self.parser = httptools.HttpRequestParser(self)
            self._feed(head + data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._fault)

    def _plain_head(self) -> bytes:
        """This head without its wish to upgrade, which may be ignored, to be parsed again.

        The parser took the body for the other protocol: Java's client, which asks for h2c with its first POST, would
        seem to send none.
        """
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection" and b"close" in value.lower():
                lines.append(b"connection: close")
            elif name not in (b"connection", b"upgrade"):
                lines.append(b"%s: %s" % (name, value))
        return b"\r\n".join([*lines, b"", b""])

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._active = cycle
        self._way.begin()
        super()._start_asgi_task(cycle, self._call)

    async def _call(self, scope: Any, receive: Any, send: Any) -> None:
        self._drain.enter()
        try:
            await self.app(scope, self._timed(receive) if self._stage == "body" else receive, send)
        finally:
            self._drain.leave()

    def _timed(self, receive: Any) -> Any:
        async def timed() -> Any:
            message = await receive()
            return {"type": "http.disconnect"} if self._body_late else message

        return timed

    def _register(self, callback: Callable[[], None]) -> None:
        if self._active is None or self._active.disconnected:
            callback()
        else:
            self._leaving.append(callback)

    def _gone(self) -> None:
        if self._active is not None and not self._active.response_complete:
            self._active.disconnected = True
            self._active.message_event.set()
        self.pipeline.clear()
        self.flow.resume_writing()
        leaving, self._leaving = self._leaving, []
        for callback in leaving:
            callback()

    def _watch(self, name: bytes, value: bytes) -> None:
        if name == b"expect":
            self.expect_100_continue = value.lower() == b"100-continue"
        elif name == b"host":
            if self._has_host:
                self._fail(400)
            self._has_host = True
        elif self.parser.get_http_version() == "1.0":
            self._fail(400)  # Transfer-Encoding came with 1.1: whoever passed this on may have seen no body
        elif value.lower() != b"chunked":
            self._fail(501)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _fail(self, status: int) -> None:
        """Stop the parser; `data_received` answers."""
        self._fault = status
        raise ValueError(status)

    def _refuse(self, status: int) -> None:
        """Say what is wrong, if it is this request's turn, and end the connection."""
        stage, self._stage = self._stage, "over"
        self._deadlines.sent()
        active, newest = self._active, self.cycle
        if active is None or (stage != "body" and newest.response_complete):
            self._say(status)
            self._way.close()
        elif stage != "body":
            self._end_after(newest)
        elif newest is not active:
            self.pipeline.popleft()
            self._end_after(self.pipeline[0][0] if self.pipeline else active)
        elif newest.response_complete:
            self._way.close()
        elif newest.response_started:
            self._way.abort()
        else:
            self._say(status)
            self._gone()
            self._way.close()

    def _say(self, status: int) -> None:
        phrase = http.HTTPStatus(status).phrase.encode("ascii")
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"text/plain"),
            (b"content-length", b"%d" % (len(phrase) + 1)),
            (b"connection", b"close"),
        ]
        if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
            headers.append((b"retry-after", b"1"))
        lines = [b"HTTP/1.1 %d %s" % (status, phrase), *(b"%s: %s" % header for header in headers)]
        self._way.write(b"\r\n".join([*lines, b"", phrase + b"\n"]))

    def _end_after(self, last: RequestResponseCycle) -> None:
        """Answer what is due up to `last`, ignore what still comes, and end the connection."""
        self._stage = "over"
        self._deadlines.sent()
        last.keep_alive = False
        if last.response_complete:
            self._way.close()

    def _wait(self) -> None:
        self._stage = "waiting"
        if self._drain.state == "serving":
            self._deadlines.sending(self._limits.keep_alive, self._way.close)
        else:
            self._way.close()

    def _late_head(self) -> None:
        self._refuse(408)

    def _late_body(self) -> None:
        cycle, limits = self.cycle, self._limits
        left = self._body_since + limits.body + self._received / limits.body_rate - self.loop.time()
        if cycle is not self._active or self.flow.read_paused:  # the client waits for us
            self._deadlines.sending(limits.body, self._late_body)
        elif cycle.response_complete:
            self._way.close()
        elif left > 0:
            self._deadlines.sending(left, self._late_body)
        elif cycle.response_started:
            self._way.abort()
        else:
            self._body_late, cycle.keep_alive = True, False
            cycle.message_event.set()
            self._deadlines.sending(limits.body, self._way.abort)
