"""OpenAI mode on the wire: errors in its envelopes, and the relay of its answers byte for byte.

Envelopes and texts: reference §4.1 (E3-E6), §4.2 and §4.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from qiao.errors import (
    BodyTooLarge,
    EngineBusy,
    EngineFailed,
    KeyRefused,
    MalformedBody,
    MissingKey,
    NoCredit,
    ProtocolBroken,
    QiaoError,
    Refused,
    StreamBroken,
    UnknownModel,
    UnknownPath,
    WrongKey,
)
from qiao.wire import retry_after, sse
from qiao.wire import usage as wire_usage
from qiao.wire.call import Task
from qiao.wire.document import UNREADABLE
from qiao.wire.passage import Rendered
from qiao.wire.usage import Usage

JSON = "application/json"
EVENTS = "text/event-stream;charset=UTF-8"
DONE = b"data: [DONE]\n\n"
_HELP = " For details, see: https://help.aliyun.com/zh/model-studio/error-code#"

# Native code → OpenAI code and type (reference §4.2); other codes stand for themselves.
_CODES: dict[str, tuple[str, str]] = {
    "InvalidParameter": ("invalid_parameter_error", "invalid_request_error"),
    "InvalidApiKey": ("invalid_api_key", "invalid_request_error"),
    "DataInspectionFailed": ("data_inspection_failed", "data_inspection_failed"),
    "AccessDenied": ("access_denied", "access_denied"),
    "ModelNotFound": ("model_not_found", "invalid_request_error"),
    "model_not_supported": ("model_not_supported", "invalid_request_error"),
    "BadRequest.TooLarge": ("invalid_parameter_error", "invalid_request_error"),
    "Throttling.RateQuota": ("limit_requests", "limit_requests"),
    "Throttling": ("limit_requests", "limit_requests"),
    "Throttling.BurstRate": ("limit_burst_rate", "limit_burst_rate"),
    "Throttling.AllocationQuota": ("insufficient_quota", "insufficient_quota"),
    "InternalError": ("internal_error", "internal_error"),
    "InternalError.Algo": ("internal_error", "internal_error"),
    "RequestTimeOut": ("request_timeout", "request_timeout"),
}
_NATIVE = {code: native for native, (code, _) in reversed(_CODES.items())} | {
    "rate_limit_exceeded": "Throttling.RateQuota",
    "context_length_exceeded": "InvalidParameter",
}
_NO_CREDIT = {"insufficient_quota", "Arrearage", "AllocationQuota.FreeTierOnly", "CommodityNotPurchased"}
_TEXTS: dict[type[QiaoError], str] = {
    MissingKey: "You didn't provide an API key. You need to provide your API key in an Authorization header using "
    "Bearer auth (i.e. Authorization: Bearer YOUR_KEY). ",
    WrongKey: f"Incorrect API key provided.{_HELP}apikey-error",
    MalformedBody: "Required body invalid, please check the request body format.",
    BodyTooLarge: "Payload Too Large",
    UnknownPath: "Not support",
}


def text_of(error: QiaoError) -> str:
    """The error's own message, or the reference's text for its kind."""
    if isinstance(error, UnknownModel) and not error.message:
        return f"The model `{error.param}` does not exist or you do not have access to it."
    return error.message or _TEXTS.get(type(error)) or "An internal error has occured, please try again later."


def envelope(error: QiaoError, call_id: str) -> dict[str, Any]:
    """The error as an object: E3 for what the gateway refuses, E4 for what the model's own checks refuse."""
    code, kind = _CODES.get(error.code, (error.code, error.code))
    message = text_of(error)
    if error.behind_gateway:
        inner = {"code": code, "param": None, "message": message, "type": kind}
        return {"error": inner, "id": f"chatcmpl-{call_id}", "request_id": call_id}
    if isinstance(error, UnknownPath):
        return {"code": "Not Found", "message": message, "request_id": call_id}
    shown = None if isinstance(error, MissingKey) else code
    inner = {"message": message, "type": kind, "param": None, "code": shown}
    return {"error": inner, "request_id": call_id}


def render_error(error: QiaoError, call_id: str, *, streamed: bool) -> Rendered:
    """The whole answer for an error before the first byte (E3, E4; E5 for a streamed call)."""
    if isinstance(error, Refused):
        theirs = _object(_unframed(error.body))
        if theirs.get("error") is not None:
            named = str(theirs.get("id") or theirs.get("request_id") or "").removeprefix("chatcmpl-")
            kind = error.content_type if error.content_type.startswith((JSON, "text/event-stream")) else JSON
            return Rendered(error.status, kind, error.body, named or None)
    body = envelope(error, call_id)
    if streamed and error.behind_gateway:
        body.pop("request_id")
        return Rendered(error.status, EVENTS, b"data: %s\n\n" % msgspec.json.encode(body))
    return Rendered(error.status, JSON, msgspec.json.encode(body))


def error_frame(error: QiaoError, call_id: str) -> bytes:
    """The last event of a stream that failed after its first byte (E6); no [DONE] follows."""
    code, kind = _CODES.get(error.code, (error.code, error.code))
    inner = {"code": code, "param": None, "message": text_of(error), "type": kind}
    body = {"error": inner, "id": f"chatcmpl-{call_id}", "request_id": call_id}
    return b"data: %s\n\n" % msgspec.json.encode(body)


def classify(status: int, headers: Mapping[str, str], body: bytes, now: float) -> QiaoError:
    """What an answer of 400 or more means. `now` is the epoch in seconds, for a Retry-After that is a date."""
    fields = _object(_unframed(body))
    inner: dict[str, Any] = fields["error"] if isinstance(fields.get("error"), dict) else fields
    code = str(inner.get("code") or inner.get("type") or "")
    detail = inner.get("message") or (fields["error"] if isinstance(fields.get("error"), str) else "")
    message = str(detail)[:500]
    native = _NATIVE.get(code, code)
    if (code in _NO_CREDIT and status != 429) or code == "Arrearage":
        return NoCredit(message, code=native)
    if status == 429:
        wait = retry_after.seconds(headers, now)
        return EngineBusy(message, code=native or "Throttling.RateQuota", retry_after=wait)
    if status == 401 or (status == 403 and code in {"invalid_api_key", "InvalidApiKey"}):
        return KeyRefused(message, status=status)
    if status < 400:
        return ProtocolBroken(f"The engine answered with status {status}.")
    if status >= 500 or status == 408:
        return EngineFailed(
            message, status=status if status in {500, 503, 504} else 502, code=native or "InternalError"
        )
    return Refused(
        message or f"The engine refused the request with status {status}.",
        status=status,
        code=native or "InvalidParameter",
        body=body,
        content_type=headers.get("content-type", JSON),
    )


def error_in(data: bytes) -> QiaoError | None:
    """The error that an event of a stream carries, nested or flat; None for an ordinary event."""
    fields = _object(data)
    inner = fields.get("error")
    if isinstance(inner, str):
        return EngineFailed(inner[:500])
    if not isinstance(inner, dict):
        if "choices" in fields or not fields.get("code") or "message" not in fields:
            return None
        inner = fields
    known = cast("dict[str, Any]", inner)
    code = str(known.get("code") or known.get("type") or "")
    message = str(known.get("message") or "")[:500]
    numeric = code.isdecimal() and len(code) == 3
    status = int(code) if numeric else 0
    native = _NATIVE.get(code, code)
    if native.startswith("Throttling") or status == 429:
        return EngineBusy(message, code=native if native.startswith("Throttling") else "Throttling.RateQuota")
    if native in {"InvalidParameter", "DataInspectionFailed"} or 400 <= status < 500:
        return Refused(message, status=status or 400, code=native or "InvalidParameter", body=data, content_type=JSON)
    return EngineFailed(message, code="InternalError" if numeric or not native else native)


def _unframed(body: bytes) -> bytes:
    """An error body without the event framing that the cloud puts around it for streamed calls (E5)."""
    return body.removeprefix(b"data:").strip()


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data)
    except UNREADABLE:
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


class _Facts(msgspec.Struct):
    """What the relay must know of an event; the rest is checked to be JSON and skipped."""

    id: str | int | None = None
    choices: msgspec.Raw = msgspec.Raw(b"null")
    data: msgspec.Raw = msgspec.Raw(b"null")
    results: msgspec.Raw = msgspec.Raw(b"null")
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")
    code: msgspec.Raw = msgspec.Raw(b"null")


_facts = msgspec.json.Decoder(_Facts)
_null = b"null"


class EventRelay:
    """A stream of OpenAI mode to a client of OpenAI mode: whole frames pass as they came (a Passage).

    It hides the usage event when the client did not ask for it, and replaces what `rename` names (the engine's model
    name by the asked one, vLLM's `reasoning`); nothing else is touched.
    """

    content_type = EVENTS

    def __init__(self, call_id: str, *, hide_usage: bool = False, rename: Mapping[bytes, bytes] | None = None) -> None:
        self._call_id = call_id
        self._hide = hide_usage
        self._rename = rename or {}
        self._splitter = sse.Splitter()
        self.usage: Usage | None = None
        self.answer_id: str | None = None
        self.error: QiaoError | None = None
        self.finished = False
        self._closed = False  # [DONE] or an error has passed; what follows is not the answer
        self._broken: ProtocolBroken | None = None

    def feed(self, chunk: bytes) -> bytes:
        if self._broken is not None:
            raise self._broken
        if self._closed:
            return b""
        kept: list[bytes] = []
        try:
            kept.extend(frame for frame in self._splitter.frames(chunk) if self._passes(frame))
        except ProtocolBroken as error:
            if not kept:
                raise
            self._broken = error  # the whole frames before it are delivered first
        frames = b"".join(kept)
        for old, new in self._rename.items():
            frames = frames.replace(old, new)
        return frames

    def end(self) -> bytes:
        if self._broken is not None:
            raise self._broken
        if not self.finished and self.error is None:
            raise StreamBroken("The engine's stream ended before its answer was complete.")
        return b""

    def fail(self, error: QiaoError) -> bytes:
        return error_frame(error, self.answer_id or self._call_id)

    def _passes(self, frame: bytes) -> bool:
        data = sse.data(frame)
        if data is None or self._closed:
            return not self._closed
        if data == b"[DONE]":
            self.finished = self._closed = True
            return True
        try:
            facts = _facts.decode(data)
        except UNREADABLE as error:
            raise ProtocolBroken("The engine sent an event that is not JSON.") from error
        if self.answer_id is None:
            self.answer_id = str(facts.id or self._call_id).removeprefix("chatcmpl-")
        if bytes(facts.error) != _null or bytes(facts.code) != _null:
            self.error = error_in(data)
            self._closed = self.error is not None
        if b'"finish_reason":"' in data or b'"finish_reason": "' in data:
            self.finished = True
        if bytes(facts.usage) != _null:
            self.usage = wire_usage.read(facts.usage) or self.usage
            return not (self._hide and bytes(facts.choices) == b"[]")
        return True


# Where the answer to each task lies.
_PARTS: dict[Task, str] = {"chat": "choices", "embedding": "data", "rerank": "results"}


class BodyRelay:
    """A JSON answer of OpenAI mode to a client of OpenAI mode, as it came (a Passage)."""

    content_type = JSON

    def __init__(self, call_id: str, *, task: Task = "chat", rename: Mapping[bytes, bytes] | None = None) -> None:
        self._call_id = call_id
        self._part = _PARTS[task]
        self._rename = rename or {}
        self._pieces: list[bytes] = []
        self.usage: Usage | None = None
        self.answer_id: str | None = None
        self.error: QiaoError | None = None
        self.finished = False

    def feed(self, chunk: bytes) -> bytes:
        self._pieces.append(chunk)
        return b""

    def end(self) -> bytes:
        body = b"".join(self._pieces)
        try:
            facts = _facts.decode(body)
        except UNREADABLE as error:
            raise ProtocolBroken("The engine's answer is not JSON.") from error
        if bytes(getattr(facts, self._part)) == _null:
            raise error_in(body) or ProtocolBroken(f"The engine's answer has no {self._part}.")
        self.answer_id = str(facts.id or self._call_id).removeprefix("chatcmpl-")
        self.usage = wire_usage.read(facts.usage)
        self.finished = True
        for old, new in self._rename.items():
            body = body.replace(old, new)
        if facts.id is None and self._part != "choices":  # servers of one's own give embeddings no id
            body = b'%b,"id":"%b"}' % (body.rstrip()[:-1], self._call_id.encode())
        return body

    def fail(self, error: QiaoError) -> bytes:
        return msgspec.json.encode(envelope(error, self._call_id))
