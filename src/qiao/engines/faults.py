"""Faults on demand: `qwen-plus!cut;after=3`, or the header `x-qiao-fault: cut;after=3`, so that a client can rehearse.

401 403 404 429 500 503     refused with that status; retry_after=seconds; 429: code=rate|burst|quota
429-once 500-once 503-once  the first try fails, its repetition succeeds; key=text tells tries apart
slow         seconds=5            the first token comes late
stall        after=3 seconds=3600 silence in the middle
cut          after=3 bytes=0      the connection breaks; bytes: so much of the next event still comes
incomplete                        a clean end without a finish reason
garbage      after=3              an event that is not JSON
error        after=3              an error event in the middle; 500 for a call that does not stream
wrong-usage  kind=negative|huge|missing
done-twice                        events after [DONE]
huge         mib=8                one event of that size
html                              a captive portal's page with status 200
empty                             status 200 and nothing else
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec

from qiao.errors import (
    AccessDenied,
    EngineBusy,
    EngineFailed,
    InvalidParameter,
    QiaoError,
    StreamBroken,
    UnknownModel,
    WrongKey,
)
from qiao.wire import openai, sse
from qiao.wire.call import Call
from qiao.wire.passage import Rendered

HEADER = "x-qiao-fault"
REFUSALS = frozenset({"401", "403", "404", "429", "500", "503"})
ONCE = frozenset({"429-once", "500-once", "503-once"})
STREAMED = frozenset(
    {"slow", "stall", "cut", "incomplete", "garbage", "error", "wrong-usage", "done-twice", "huge", "html", "empty"}
)
PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in to the network</h1></body></html>\n"
_HELP = "For details, see: https://help.aliyun.com/zh/model-studio/error-code#rate-limit"
_BUSY = {
    "rate": ("Throttling.RateQuota", f"You have exceeded your current request limit. {_HELP}"),
    "burst": (
        "Throttling.BurstRate",
        "Request rate increased too quickly. To ensure system stability, please adjust your client logic to scale "
        "requests more smoothly over time.",
    ),
    "quota": (
        "Throttling.AllocationQuota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
}
_FAILED = "An internal error has occured, please try again later or contact service support."
_NO_CAPACITY = (
    "Too many requests. Your requests are being throttled due to system capacity limits. Please try again later."
)
_REMEMBERED = 10_000
_NUMBERS = frozenset({"retry_after", "seconds", "after", "bytes", "mib"})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault with its options."""

    kind: str
    options: Mapping[str, str]

    def number(self, name: str, otherwise: float) -> float:
        """An option that is a number, not below zero; InvalidParameter when it is something else."""
        try:
            value = float(self.options.get(name, otherwise))
        except ValueError:
            value = -1.0
        if not 0 <= value < 1e9:
            raise InvalidParameter(f"The fault option {name} must be a number of zero or more.")
        return value


def base_model(name: str) -> str:
    """The model's own name, without a fault."""
    return name.partition("!")[0]


def asked(call: Call) -> Fault | None:
    """The fault that a call asks for: the header's, else the model name's; InvalidParameter when it makes no sense."""
    text = call.headers.get(HEADER) or call.model.partition("!")[2]
    if not text:
        return None
    kind, *options = [part.strip() for part in text.split(";")]
    if kind not in REFUSALS | ONCE | STREAMED:
        known = ", ".join(sorted(REFUSALS | ONCE | STREAMED))
        raise InvalidParameter(f"There is no fault {kind!r}. Faults: {known}.")
    fault = Fault(kind, {name: value for name, _, value in (option.partition("=") for option in options) if name})
    for name in _NUMBERS & fault.options.keys():
        fault.number(name, 0)
    return fault


def refusal(fault: Fault, call: Call) -> QiaoError | None:
    """The error of a fault that is a status; None for the others."""
    status = "500" if fault.kind == "error" and not call.stream else fault.kind.partition("-")[0]
    if status not in REFUSALS:
        return None
    wait = fault.number("retry_after", 0) if "retry_after" in fault.options else None
    if status == "429":
        code, text = _BUSY.get(fault.options.get("code", "rate"), _BUSY["rate"])
        return EngineBusy(text, code=code, retry_after=wait)
    if status == "500":
        return EngineFailed(_FAILED, status=500, retry_after=wait)
    if status == "503":
        return EngineFailed(_NO_CAPACITY, status=503, code="ModelServingError", retry_after=wait)
    if status == "401":
        return WrongKey()
    if status == "404":
        return UnknownModel(param=base_model(call.model))
    return AccessDenied(
        "Access to model denied. Please make sure you are eligible for using the model.",
        code="AccessDenied.Unpurchased",
    )


def render(error: QiaoError, call: Call) -> tuple[Rendered, dict[str, str]]:
    """The answer for an error in the cloud's envelope, and its headers."""
    rendered = openai.render_error(error, call.id, streamed=call.stream)
    headers = {"content-type": rendered.content_type}
    if error.retry_after is not None:
        headers["retry-after"] = f"{error.retry_after:g}"
    return rendered, headers


class Tries:
    """Remembers which calls have failed once."""

    def __init__(self) -> None:
        self._failed: OrderedDict[bytes, None] = OrderedDict()

    def first(self, fault: Fault, call: Call) -> bool:
        """Whether this is the first try of a call; a repetition has the same principal, model and body (or `key`)."""
        told = fault.options.get("key", "").encode() or call.document.without("model").encode()
        parts = (call.principal.id.encode(), call.model.encode(), fault.kind.encode(), told)
        mark = blake2b(b"\0".join(parts), digest_size=16).digest()
        if mark in self._failed:
            return False
        self._failed[mark] = None
        if len(self._failed) > _REMEMBERED:
            self._failed.popitem(last=False)
        return True


async def spoil(
    fault: Fault, frames: AsyncGenerator[bytes], call: Call, sleep: Callable[[float], Awaitable[None]]
) -> AsyncIterator[bytes]:
    """The frames of an answer with the fault in them. An answer that is not streamed is one frame."""
    if fault.kind == "slow":
        await sleep(fault.number("seconds", 5))
    after = int(fault.number("after", 3)) if call.stream else 0
    at = 0
    async with aclosing(frames):
        async for written in frames:
            for frame in sse.split(written) if call.stream else [written]:
                if at == after:
                    if fault.kind == "stall":
                        await sleep(fault.number("seconds", 3_600))
                    extra = _extra(fault, frame, call)
                    if extra:
                        yield extra
                    if fault.kind == "cut":
                        raise StreamBroken("The simulator cut the connection.")
                    if fault.kind == "error":
                        return
                at += 1
                passed = _altered(fault, frame)
                if passed:
                    yield passed
                if passed != frame and fault.kind in _ENDINGS:
                    return
    if fault.kind == "done-twice" and call.stream:
        yield b'data: {"choices":[{"delta":{"content":"late"},"index":0}],"id":"chatcmpl-late"}\n\n' + openai.DONE


def _extra(fault: Fault, frame: bytes, call: Call) -> bytes:
    """What comes at the chosen place, before the frame that belongs there."""
    if fault.kind == "cut":
        return frame[: int(fault.number("bytes", 0 if call.stream else len(frame) // 2))]
    if fault.kind == "error":
        return openai.error_frame(EngineFailed(_FAILED), call.id)
    if fault.kind == "garbage":
        return b'data: {"choices":[{"delta":{"content": oops}\n\n' if call.stream else b'{"choices": oops'
    if fault.kind == "huge" and call.stream:
        text = b"x" * int(min(fault.number("mib", 8), 256) * 2**20)
        return b'data: {"choices":[{"delta":{"content":"%s"},"index":0}],"id":"chatcmpl-%s"}\n\n' % (
            text,
            call.id.encode(),
        )
    return b""


_ENDINGS = frozenset({"empty", "incomplete"})


def _altered(fault: Fault, frame: bytes) -> bytes:
    """A frame as the fault lets it through."""
    if fault.kind == "empty":
        return b""
    if fault.kind == "incomplete" and b'"finish_reason":"' in frame:
        return b"" if frame.startswith(b"data: ") else frame[: len(frame) // 2]
    if fault.kind == "wrong-usage" and b'"usage":{' in frame:
        return _with_wrong_usage(frame, fault.options.get("kind", "negative"))
    return frame


def _with_wrong_usage(frame: bytes, kind: str) -> bytes:
    head = b"data: " if frame.startswith(b"data: ") else b""
    body: dict[str, Any] = msgspec.json.decode(frame.removeprefix(head))
    if kind == "missing":
        body.pop("usage")
    else:
        count = 10**18 if kind == "huge" else -7
        body["usage"] = {"prompt_tokens": count, "completion_tokens": count, "total_tokens": count}
    return head + msgspec.json.encode(body) + (b"\n\n" if head else b"")
