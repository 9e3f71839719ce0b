"""A server whose answers a test writes, and the requests that reached it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODELS = {"object": "list", "data": [{"id": "qwen-plus", "owned_by": "system"}, {"id": "qwen-max"}]}


@dataclass
class Request:
    """One request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def key(self) -> str | None:
        return self.headers.get("authorization")


@dataclass
class Response:
    """What goes back; `pieces` may wait between them."""

    status: int = 200
    pieces: Iterable[bytes] = (b"",)
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


def whole(value: Any, status: int = 200, **headers: str) -> Response:
    """A JSON answer."""
    return Response(status, [json.dumps(value).encode()], {"content-type": "application/json", **headers})


def refusal(status: int, message: str, code: str | None = None, **headers: str) -> Response:
    """An error as the cloud's OpenAI mode writes it."""
    return whole({"error": {"message": message, "type": "x", "param": None, "code": code}}, status, **headers)


def stream(*deltas: dict[str, Any] | bytes, usage: dict[str, Any] | None = None, **headers: str) -> Response:
    """A stream of deltas with its finish and usage; bytes go out as they are."""
    return Response(200, frames(*deltas, usage=usage), {"content-type": "text/event-stream", **headers})


def frames(*deltas: dict[str, Any] | bytes, usage: dict[str, Any] | None = None) -> list[bytes]:
    """The frames of a whole answer."""
    out = [delta if isinstance(delta, bytes) else event(delta) for delta in deltas]
    out.append(event({}, finish="stop"))
    if usage is not None:
        out.append(b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")
    return [*out, b"data: [DONE]\n\n"]


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """One chunk."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice], "usage": None}).encode() + b"\n\n"


class Stub:
    """Answers by path with what the test gave: a Response, a list of them in turn, or a function of the request."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: dict[str, Any] = {"/compatible-mode/v1/models": whole(MODELS)}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def chats(self, *answers: Response | Callable[[Request], Response]) -> None:
        """The answers to chat calls, in turn; the last one stays."""
        self.answers["/compatible-mode/v1/chat/completions"] = list(answers)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: Request) -> Response:
        found = self.answers.get(request.path, refusal(404, "no such path"))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        return found(request) if callable(found) else found

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body)
                stub.requests.append(request)
                answer = stub._answer(request)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                try:
                    for piece in answer.pieces:
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b"")
                        self.wfile.flush()
                    self.wfile.write(b"0\r\n\r\n")
                except OSError:
                    self.close_connection = True

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
