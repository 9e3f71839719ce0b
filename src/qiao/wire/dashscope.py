"""The native DashScope protocol on the wire: its stream switch, frames, errors, and the relay of its answers.

Framing: reference §3.6. Envelopes E1 and E2, codes and texts: reference §4.1-§4.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from qiao.errors import (
    Draining,
    EngineBusy,
    EngineFailed,
    ForbiddenHost,
    KeyRefused,
    MalformedBody,
    MissingKey,
    NoCredit,
    ProtocolBroken,
    QiaoError,
    Refused,
    StreamBroken,
    UnknownModel,
    WrongMethod,
)
from qiao.wire import retry_after, sse
from qiao.wire import usage as wire_usage
from qiao.wire.chunks import ABSENT, given
from qiao.wire.document import UNREADABLE
from qiao.wire.passage import Rendered
from qiao.wire.usage import Usage

JSON = "application/json"
EVENTS = "text/event-stream;charset=UTF-8"

_INTERNAL = "An internal error has occured, please try again later or contact service support."  # the vendor's spelling
_TEXT_BY_KIND: dict[type[QiaoError], str] = {
    MissingKey: "No API-key provided.",
    MalformedBody: "Required body invalid, please check the request body format.",
    ForbiddenHost: "This host name is not allowed.",
    Draining: "The server is stopping. Please try again later.",
}
_TEXT_BY_CODE = {
    "InvalidApiKey": "Invalid API-key provided.",
    "AccessDenied": "Access to model denied. Please make sure you are eligible for using the model.",
    "NotFound": "Not support",
    "BadRequest.TooLarge": "Payload Too Large",
    "RequestTimeOut": "Request timed out, please try again later.",
    "Arrearage": "Access denied, please make sure your account is in good standing.",
    "DataInspectionFailed": "Input data may contain inappropriate content.",
    "Throttling": "Requests rate limit exceeded, please try again later.",
    "Throttling.RateQuota": "Requests rate limit exceeded, please try again later.",
    "Throttling.BurstRate": "Request rate increased too quickly. To ensure system stability, please adjust your "
    "client logic to scale requests more smoothly over time.",
    "Throttling.AllocationQuota": "Allocated quota exceeded, please increase your quota limit.",
    "ModelUnavailable": "Too many requests. Your requests are being throttled due to system capacity limits. "
    "Please try again later.",
}
# Codes as other protocols spell them: snake_case, a number, or an exception's name.
_foreign = re.compile(r"[a-z0-9_]*|\w*(?<!Internal)(?<!System)(?<!Serving)Error")
_FROM_OPENAI = {
    "access_denied": "AccessDenied",
    "content_filter": "DataInspectionFailed",
    "context_length_exceeded": "InvalidParameter",
    "data_inspection_failed": "DataInspectionFailed",
    "insufficient_quota": "Throttling.AllocationQuota",
    "internal_error": "InternalError",
    "invalid_api_key": "InvalidApiKey",
    "invalid_parameter_error": "InvalidParameter",
    "invalid_request_error": "InvalidParameter",
    "limit_burst_rate": "Throttling.BurstRate",
    "limit_requests": "Throttling.RateQuota",
    "model_not_found": "ModelNotFound",
    "model_not_supported": "ModelNotFound",
    "rate_limit_exceeded": "Throttling.RateQuota",
    "request_timeout": "RequestTimeOut",
}
_BY_STATUS = {
    401: "InvalidApiKey",
    403: "AccessDenied",
    404: "ModelNotFound",
    408: "RequestTimeOut",
    413: "BadRequest.TooLarge",
    429: "Throttling.RateQuota",
}
_NO_CREDIT = {"Arrearage", "AllocationQuota.FreeTierOnly", "CommodityNotPurchased"}

# An event may say 400 for these too.
_OWN_FAULT = {
    "InternalError",
    "ModelServiceFailed",
    "ModelServingError",
    "ModelUnavailable",
    "RequestTimeOut",
    "SystemError",
}


def streams(headers: Mapping[str, str]) -> bool:
    """Whether a native call asks for a stream: by header only, never by the body. Header names are lower-case."""
    switch = headers.get("x-dashscope-sse", "").strip().lower()
    return switch == "enable" or "text/event-stream" in headers.get("accept", "").lower()


def frame(number: int, data: bytes, *, status: int = 200) -> bytes:
    """One event, byte for byte as the service writes it; a status of 400 or more makes it the terminal error."""
    kind = b"result" if status < 400 else b"error"
    return b"id:%d\nevent:%s\n:HTTP_STATUS/%d\ndata:%s\n\n" % (number, kind, status, data)


def usage_object(usage: Usage, *, thinking: bool) -> dict[str, Any]:
    """The `usage` of this protocol; what was cached, or thought, is told only where it is known."""
    out: dict[str, Any] = {
        "total_tokens": usage.total,
        "output_tokens": usage.output,
        "input_tokens": usage.input,
    }
    if usage.images is not None:
        out["image_tokens"] = usage.images
    if not usage.estimated:
        out["prompt_tokens_details"] = {"cached_tokens": usage.cached}
    if usage.reasoning or (thinking and usage.reasoning is not None):
        out["output_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return out


def text_of(error: QiaoError) -> str:
    """The error's own message, or the reference's text for its kind or code."""
    if error.message:
        return error.message
    if isinstance(error, UnknownModel) and error.param:
        return f"The model {error.param} does not exist."
    if isinstance(error, WrongMethod) and error.param:
        return f"Request method '{error.param}' is not supported."
    return _TEXT_BY_KIND.get(type(error)) or _TEXT_BY_CODE.get(code_of(error)) or _INTERNAL


def code_of(error: QiaoError) -> str:
    """The error's code in this protocol, also when an engine of OpenAI mode gave it."""
    if not _foreign.fullmatch(error.code):
        return error.code
    known = _FROM_OPENAI.get(error.code) or _BY_STATUS.get(error.status)
    return known or ("InternalError" if error.status >= 500 else "InvalidParameter")


def envelope(error: QiaoError, call_id: str) -> bytes:
    """The flat error object, always with all three keys: the official SDK fails without one."""
    return msgspec.json.encode({"code": code_of(error), "message": text_of(error), "request_id": call_id})


def render_error(error: QiaoError, call_id: str, *, streamed: bool) -> Rendered:
    """The whole answer for an error before the first byte: E1, or E2 where a streamed call fails behind the gateway.

    A refusal that the cloud itself wrote in this protocol goes back as it came.
    """
    if isinstance(error, Refused) and _is_flat(_object(error.body)):
        named = _object(error.body).get("request_id")
        kind = error.content_type if error.content_type.startswith(JSON) else JSON
        return Rendered(error.status, kind, error.body, str(named) if named else None)
    if streamed and error.behind_gateway:
        return Rendered(200, EVENTS, error_frame(error, call_id, 1))
    return Rendered(error.status, JSON, envelope(error, call_id))


def error_frame(error: QiaoError, call_id: str, number: int) -> bytes:
    """The event that ends a stream; nothing follows it."""
    return frame(number, envelope(error, call_id), status=max(error.status, 400))


def classify(status: int, headers: Mapping[str, str], body: bytes, now: float) -> QiaoError:
    """What an answer that is not 2xx means. `now` is the epoch in seconds, for a Retry-After that is a date."""
    fields = _object(body)
    nested = fields.get("error")
    inner = cast("dict[str, Any]", nested) if isinstance(nested, dict) else fields
    code, message = _text(inner.get("code")), _text(inner.get("message"))[:500]
    if code in _NO_CREDIT or code.endswith("BillOverdue"):
        return NoCredit(message, code=code)
    if status == 429 or code.startswith("Throttling"):
        kept = code if code.startswith("Throttling") else "Throttling.RateQuota"
        return EngineBusy(message, code=kept, retry_after=retry_after.seconds(headers, now))
    if status == 401 or code == "InvalidApiKey":
        return KeyRefused(message)
    if status >= 500 or status == 408:
        shown = status if status in {500, 503, 504} else 502
        return EngineFailed(message, status=shown, code=code or "InternalError")
    if status < 400:
        return ProtocolBroken(f"The engine answered with status {status}.")
    return Refused(
        message or f"The engine refused the request with status {status}.",
        status=status,
        code=code or "InvalidParameter",
        body=body,
        content_type=headers.get("content-type", JSON),
    )


_any_object = msgspec.json.Decoder(dict[str, Any])
_http_status = re.compile(rb"^:HTTP_STATUS/([45]\d\d)", re.MULTILINE)


def error_in(data: bytes) -> QiaoError | None:
    """The error that an event carries, given as a whole frame or as its data alone; None for an ordinary event."""
    payload = sse.data(data)
    body = data if payload is None else payload
    fields = _object(body)
    code = _text(fields.get("code"))
    if sse.event(data) != b"error" and ("output" in fields or not (code or "error" in fields)):
        return None
    told = _http_status.search(data) if payload is not None else None
    status = int(told[1]) if told else 400
    if code.partition(".")[0] in _OWN_FAULT:
        status = max(status, 500)
    return classify(status if fields else 502, {}, body, 0.0)


def _object(data: bytes) -> dict[str, Any]:
    try:
        return _any_object.decode(data)
    except UNREADABLE:
        return {}


def _is_flat(fields: dict[str, Any]) -> bool:
    return isinstance(fields.get("code"), str) and "message" in fields and "error" not in fields


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


class _Facts(msgspec.Struct):
    """What the relay must know of an answer; the rest is checked to be JSON and skipped."""

    output: msgspec.Raw = ABSENT
    usage: msgspec.Raw = ABSENT
    request_id: str | None = None
    code: msgspec.Raw = ABSENT


_facts = msgspec.json.Decoder(_Facts)
_data_line = re.compile(rb"^data: ?(.+)$", re.MULTILINE)
# Inside a JSON string the quotes are escaped, so that text of the answer cannot match.
_finish = re.compile(rb'"finish_reason"\s*:\s*"(?!null")')


class NativeRelay:
    """A native answer to a native client: whole frames pass as they came, and a JSON body as a whole (a Passage)."""

    def __init__(self, call_id: str, *, streamed: bool) -> None:
        self.content_type = EVENTS if streamed else JSON
        self.answer_id: str | None = None
        self.error: QiaoError | None = None
        self.finished = False
        self._call_id = call_id
        self._splitter = sse.Splitter() if streamed else None
        self._pieces: list[bytes] = []  # of a JSON body
        self._events = 0
        self._usage = ABSENT

    @property
    def usage(self) -> Usage | None:
        """The last counts that passed; every event carries them, so only the last one is read."""
        usage = wire_usage.read(self._usage)
        return usage if usage is not None and usage.total else None

    def feed(self, chunk: bytes) -> bytes:
        if self._splitter is None:
            self._pieces.append(chunk)
            return b""
        if self.error is not None:
            return b""
        frames = self._splitter.complete(chunk)
        facts = [_read(line) for line in _data_line.findall(frames)]
        if not facts and frames.lstrip().startswith((b"<", b"{")):
            raise ProtocolBroken("The engine's answer is not a stream of events.")
        for fact in facts:
            self._take(fact)
        if any(fact.output is ABSENT for fact in facts):
            frames = self._up_to_error(frames)
        self.finished = self.finished or _finish.search(frames) is not None
        return frames

    def end(self) -> bytes:
        if self._splitter is None:
            return self._body(b"".join(self._pieces))
        if self.error is None and (not self.finished or self._splitter.rest.strip()):
            raise StreamBroken("The engine's stream ended before its answer was complete.")
        return b""

    def fail(self, error: QiaoError) -> bytes:
        answer_id = self.answer_id or self._call_id
        if self._splitter is None:
            return envelope(error, answer_id)
        return error_frame(error, answer_id, self._events + 1)

    def _take(self, fact: _Facts) -> None:
        self._events += 1
        self.answer_id = self.answer_id or fact.request_id
        if fact.usage is not ABSENT:
            self._usage = fact.usage

    def _up_to_error(self, frames: bytes) -> bytes:
        """The frames up to the one that ends the stream with an error."""
        passed: list[bytes] = []
        for piece in sse.split(frames):
            passed.append(piece)
            self.error = error_in(piece)
            if self.error is not None:
                break
        return b"".join(passed)

    def _body(self, body: bytes) -> bytes:
        fact = _read(body)
        if not given(fact.output):
            raise error_in(body) or ProtocolBroken("The engine's answer has no output.")
        self._take(fact)
        self.finished = True
        return body


def _read(data: bytes) -> _Facts:
    try:
        return _facts.decode(data)
    except UNREADABLE as error:
        raise ProtocolBroken("The engine's answer is not JSON.") from error
