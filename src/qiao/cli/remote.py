"""Ask a server over HTTP with the standard library: blocking, one call at a time, read as it comes."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from qiao import __version__
from qiao.cli.place import Place, is_loopback
from qiao.cli.text import clean, notice, say
from qiao.cli.trouble import Trouble

CONNECT = 10.0
SILENCE = 300.0  # a thinking model may say nothing for minutes
_READ = 65_536
_LARGEST = 64 * 2**20


class Unreachable(Trouble):
    """No answer from the server; `stage` tells how far it came: name, connect, tls or answer."""

    def __init__(self, stage: str, url: str, why: BaseException) -> None:
        self.stage = stage
        super().__init__(say(f"unreachable.{stage}", host=urlsplit(url).netloc, why=_why(why)))


class Refusal(Trouble):
    """The server answered with an error."""

    def __init__(self, status: int, code: str, message: str, sentence: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        super().__init__(sentence)


class Answer:
    """An answer whose status is known to be 2xx. Read it once, by `body` or by `pieces`; then close it."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response
        self.stopped = False

    @property
    def engine(self) -> str:
        """The engine that answers, empty when the server is not Qiao."""
        return self._response.headers.get("x-qiao-engine", "")

    @property
    def notice(self) -> str:
        """What Qiao says about that engine."""
        return notice(self._response.headers.get("x-qiao-notice", ""))

    @property
    def streamed(self) -> bool:
        return "text/event-stream" in self._response.headers.get("content-type", "")

    def pieces(self) -> Iterator[bytes]:
        """What each read gives; ends early after `stop`, Unreachable when the connection breaks."""
        try:
            while piece := self._response.read1(_READ):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            if not self.stopped:
                raise Unreachable("answer", self._address, error) from error

    def body(self) -> bytes:
        """The whole answer."""
        return b"".join(self.pieces())

    def stop(self) -> None:
        """End the reading from a signal handler: the read in progress returns at once."""
        self.stopped = True
        if self._connection.sock is not None:
            self._connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Free the connection; the server then stops generating."""
        self._response.close()
        self._connection.close()

    @property
    def _address(self) -> str:
        return f"//{self._connection.host}:{self._connection.port}"


def chat(place: Place, body: dict[str, Any]) -> Answer:
    """POST chat/completions; Unreachable or Refusal when there is no answer."""
    return _open(place, "POST", "/chat/completions", body, SILENCE)


def models(place: Place, wait: float = 30.0) -> list[dict[str, Any]]:
    """The rows of GET models."""
    try:
        return [row for row in told(place, "GET", "/models", wait)["data"] if isinstance(row["id"], str)]
    except (KeyError, TypeError) as error:
        raise Trouble(say("refusal.not_api")) from error


def told(place: Place, method: str, path: str, wait: float = 30.0) -> Any:
    """What a path without a body answers, from JSON."""
    answer = _open(place, method, path, None, wait)
    try:
        return json.loads(answer.body())
    except ValueError as error:
        raise Trouble(say("refusal.not_api")) from error
    finally:
        answer.close()


def is_qiao(root: str) -> bool:
    """Whether a Qiao answers at a root address of this machine."""
    try:
        with closing(http.client.HTTPConnection(root.removeprefix("http://"), timeout=1.0)) as connection:
            connection.request("GET", "/healthz", headers={"user-agent": f"qiao/{__version__}"})
            response = connection.getresponse()
            return response.status == 200 and json.loads(response.read(4096)).get("server") == "qiao"
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return False


def connect(url: str, wait: float) -> http.client.HTTPConnection:
    """A connection not yet opened, through the environment's proxy if there is one for this host."""
    parts = urlsplit(url)
    host, proxy = parts.hostname or "", proxy_for(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    at = proxy or (host, port)
    if parts.scheme == "http":
        return http.client.HTTPConnection(*at, timeout=wait)
    secure = http.client.HTTPSConnection(*at, timeout=wait, context=trust())
    if proxy is not None:
        secure.set_tunnel(host, port)
    return secure


def trust() -> ssl.SSLContext:
    """The certificates to trust: QIAO_CA_FILE's, or the system's."""
    try:
        return ssl.create_default_context(cafile=os.environ.get("QIAO_CA_FILE") or None)
    except OSError as error:
        raise Trouble(say("unreachable.ca_file", why=error), 2) from error


def proxy_for(url: str) -> tuple[str, int] | None:
    """The proxy of the environment for an address; this machine never has one."""
    parts = urlsplit(url)
    if is_loopback(url) or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    address = urllib.request.getproxies().get(parts.scheme)
    if not address:
        return None
    proxy = urlsplit(address if "://" in address else f"http://{address}")
    return (proxy.hostname, proxy.port or 80) if proxy.hostname else None


def stage_of(error: BaseException) -> str:
    """How far a connection came: name, connect, tls or answer."""
    if isinstance(error, socket.gaierror):
        return "name"
    if isinstance(error, ssl.SSLError):
        return "tls"
    return "connect"


def _open(place: Place, method: str, path: str, body: dict[str, Any] | None, wait: float) -> Answer:
    parts = urlsplit(place.base)
    connection = connect(place.base, CONNECT)
    try:
        connection.connect()
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(stage_of(error), place.base, error) from error
    connection.sock.settimeout(wait)
    try:
        connection.request(method, _target(parts) + path, *_content(place, body))
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        raise Unreachable("answer", place.base, error) from error
    if response.status // 100 != 2:
        refusal = _refusal(place, response)
        connection.close()
        raise refusal
    return Answer(connection, response)


def _why(error: BaseException) -> str:
    """What the system says of a connection that failed, the common cases in the user's language."""
    if isinstance(error, ConnectionRefusedError):
        return say("why.refused")
    if isinstance(error, TimeoutError):
        return say("why.silent")
    if isinstance(error, http.client.IncompleteRead | http.client.RemoteDisconnected):
        return say("why.closed")
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _target(parts: SplitResult) -> str:
    """The start of the request line; plain http through a proxy names the whole address."""
    forwarded = parts.scheme == "http" and proxy_for(parts.geturl()) is not None
    return (f"http://{parts.netloc}" if forwarded else "") + parts.path


def _content(place: Place, body: dict[str, Any] | None) -> tuple[bytes | None, dict[str, str]]:
    headers = {"user-agent": f"qiao/{__version__}", "accept": "application/json, text/event-stream"}
    if place.key:
        try:
            place.key.encode("ascii")
        except UnicodeEncodeError as error:
            raise Trouble(say("key.not_ascii"), 2) from error
        headers["authorization"] = f"Bearer {place.key.strip()}"
    if body is None:
        return None, headers
    headers["content-type"] = "application/json"
    if body.get("stream") and place.kind != "cloud":
        headers["x-qiao-progress"] = "1"  # what a local model does before it answers
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"), headers


def _refusal(place: Place, response: http.client.HTTPResponse) -> Refusal:
    try:
        raw = response.read(_LARGEST)
    except (OSError, http.client.HTTPException):
        raw = b""
    code, message = error_of(raw.removeprefix(b"data:"))
    wait = response.headers.get("retry-after", "")
    key = _kind(place, response.status, code)
    after = say("refusal.after", seconds=clean(wait)) if wait else ""
    sentence = say(f"refusal.{key}", status=response.status, message=message or "-", host=place.host, after=after)
    return Refusal(response.status, code, message, sentence.strip())


def error_of(raw: bytes) -> tuple[str, str]:
    """The code and message of an error in either envelope; what is not one is its own message."""
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if isinstance(found, dict):
        whole = cast(dict[str, Any], found)
        inner = whole.get("error", whole)
        if isinstance(inner, str):
            return "", clean(inner)
        if isinstance(inner, dict):
            fields = cast(dict[str, Any], inner)
            return str(fields.get("code") or ""), clean(str(fields.get("message") or "")).strip()
    return "", clean(raw[:200].decode("utf-8", "replace")).strip()


def _kind(place: Place, status: int, code: str) -> str:
    """Which sentence says what happened and what to do."""
    if status == 401:
        return "no_key" if not place.key else "cloud_key" if place.kind == "cloud" else "key"
    if status == 404:
        return "model" if "model" in code.lower() else "path"
    return {403: "forbidden", 413: "large", 429: "busy"}.get(status) or ("failed" if status >= 500 else "body")
