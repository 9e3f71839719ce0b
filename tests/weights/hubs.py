"""A hub of both kinds, scripted: repositories, cuts, refusals, another host for the content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Script:
    """What the hub has, and how it misbehaves."""

    repository: str
    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    cuts: list[int] = field(default_factory=list[int])  # bytes after which answers break off, one after the other
    statuses: list[int] = field(default_factory=list[int])  # of answers for content, in place of it
    listing: bytes | None = None  # in place of the list of files
    digest: str | None = None  # told for every file in place of its own
    ranges: bool = True
    page: int = 100  # rows of a page of Hugging Face
    token: str = ""  # wanted by the hub, never to be seen by the host of the content
    content_root: str = ""  # where content is redirected to
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list[tuple[str, str | None, str | None]])


class FakeHub:
    """Listens on a free port of this machine."""

    def __init__(self, repository: str = "Qwen/a") -> None:
        self.script = Script(repository)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        cast(Any, self._server).script = self.script
        self.root = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def begins(self) -> list[str | None]:
        """The ranges that content was asked with."""
        return [begin for path, begin, _ in self.script.asked if "tree" not in path and "/repo/files" not in path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is written."""

    def do_GET(self) -> None:
        script: Script = cast(Any, self.server).script
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        script.asked.append((self.path, self.headers.get("range"), self.headers.get("authorization")))
        if url.path.startswith("/content/"):
            self._content(script, unquote(url.path.removeprefix("/content/")))
        elif script.token and self.headers.get("authorization") != f"Bearer {script.token}":
            self._send(401, b"{}")
        elif f"/{script.repository}/" not in url.path:
            self._send(404, b"{}")
        elif script.listing is not None:
            self._send(200, script.listing)
        elif url.path.endswith("/tree/main"):
            self._tree(script, int(query.get("cursor", ["0"])[0]))
        elif url.path.endswith("/repo/files"):
            rows = [
                {"Path": name, "Name": name, "Type": "blob", "Size": len(data), "Sha256": _digest(script, data)}
                for name, data in script.files.items()
            ]
            self._send(200, json.dumps({"Code": 200, "Data": {"Files": [{"Type": "tree"}, *rows]}}).encode())
        else:
            name = query["FilePath"][0] if "FilePath" in query else unquote(url.path.partition("/main/")[2])
            if script.content_root:
                self._send(302, b"", location=f"{script.content_root}/content/{name}")
            else:
                self._content(script, name)

    def _tree(self, script: Script, begin: int) -> None:
        rows: list[dict[str, Any]] = [{"type": "directory", "path": "sub"}]
        for name, data in list(script.files.items())[begin : begin + script.page]:
            large = {"oid": _digest(script, data), "size": len(data)}
            rows.append({"type": "file", "path": name, "size": len(data), "lfs": large})
        after = begin + script.page
        more = {"link": f'<{self.path.split("?")[0]}?cursor={after}>; rel="next"'} if after < len(script.files) else {}
        self._send(200, json.dumps(rows).encode(), None, **more)

    def _content(self, script: Script, name: str) -> None:
        if script.statuses:
            self._send(script.statuses.pop(0), b"no")
            return
        data = script.files[name]
        asked = self.headers.get("range")
        begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and script.ranges else 0
        extra = {"content-range": f"bytes {begin}-{len(data) - 1}/{len(data)}"} if begin else {}
        cut = script.cuts.pop(0) if script.cuts else None
        self._send(206 if begin else 200, data[begin:], cut, **extra)

    def _send(self, status: int, body: bytes, cut: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = True


def _digest(script: Script, data: bytes) -> str:
    return script.digest or hashlib.sha256(data).hexdigest()
