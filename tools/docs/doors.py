"""The page of HTTP paths and headers, from the doors of the app; and what outcomes and log fields mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from starlette.routing import Route

from qiao import app
from qiao.api import passing, visit
from qiao.api.front import Door
from qiao.config import Settings
from qiao.engines import dashscope
from tools.docs.table import table

Say = Callable[[str], str]

OUTCOMES = {
    "complete": "The answer ended as it should.",
    "refused": "Nothing was answered: the caller's fault, or no engine had an answer.",
    "broken": "The engine failed after the first byte.",
    "gone": "The client left before the end.",
    "cut": "The server stopped before the end.",
}
LOG_FIELDS = {
    "at": "When the call was settled, in seconds since 1970.",
    "request_id": "The id that Qiao gave the call.",
    "answer_id": "The id that the client saw, where the engine's answer bears its own.",
    "principal": "Who called: `local` without client keys, else `key-` and the beginning of the key's SHA-256.",
    "protocol": "The protocol spoken: `openai` or `dashscope`.",
    "model": "The model name asked for.",
    "task": "`embedding` or `rerank`; a chat has none.",
    "stream": "Whether the answer was streamed.",
    "engine": "The engine that answered.",
    "outcome": "How the call ended.",
    "status": "The HTTP status; 499 when the client left before the answer began.",
    "error": "The code of the error.",
    "input": "Input tokens.",
    "cached": "Input tokens that came from the cloud's cache.",
    "output": "Output tokens, thinking included.",
    "reasoning": "Output tokens that were thinking.",
    "nano_yuan": "Cost in billionths of a yuan, by the price book; only for the cloud, and where the price is known.",
    "attempts": "Attempts until the answer; 0 where there was none.",
    "ttft_ms": "Milliseconds to the first byte of the answer.",
    "duration_ms": "Milliseconds to its last byte.",
}
_REQUEST = {
    "Authorization": "`Bearer KEY`: a client key, where client keys are set.",
    "x-api-key": "The same, as Anthropic's clients send it.",
    "X-DashScope-SSE": "`enable` asks for a stream in the native protocol.",
    "x-qiao-fault": "A fault to rehearse; only the simulator looks at it.",
    "x-qiao-progress": "`1`: a stream from a local model begins with comments such as `: progress 512/2048`.",
}
RESPONSE = {
    "x-request-id": "The id of the answer, the same as in its body.",
    "x-qiao-engine": "The engine that answered.",
    "x-qiao-notice": "What must be known of that engine: that it is the simulator or the built-in model.",
    "x-qiao-cost": "What a whole answer of the cloud cost, in yuan; streams have it in the call log only.",
    "x-qiao-left-out": "How many messages of the conversation were not sent on, where its route has `history`.",
    "retry-after": "Seconds to wait before the next try.",
    "x-should-retry": "`false` where another try cannot help; the SDKs obey it.",
    "x-accel-buffering": "`no` on streams: reverse proxies must not collect them.",
    "cache-control": "`no-cache` on streams.",
    "access-control-allow-origin": "The web origin, where `cors_origins` has it.",
    "access-control-expose-headers": "What scripts of that origin may read.",
    "vary": "`Origin`, where `cors_origins` is set.",
}


def page(say: Say) -> Iterator[str]:
    """The paths that are served, those that are relayed to the cloud, and the headers."""
    served = _doors()
    yield say("HTTP paths and headers")
    yield say("Served by every engine:")
    yield table([say("Path"), say("Method"), say("Key"), say("Meaning")], [_row(door, say) for door in served])
    yield f"## {say('Relayed to the cloud')}"
    yield say(
        "These go byte for byte to the first cloud engine, under its key; `/v1/…` stands for `/compatible-mode/v1/…`. "
        "Without a cloud engine they are refused. `(a|b)` is one of them, `[…]` may be missing. "
        "With nothing but the cloud, the two listings of models and the tokenizer are relayed too."
    )
    allowed: list[tuple[str, re.Pattern[str]]] = vars(passing)["_ALLOWED"]
    methods: dict[str, list[str]] = {}
    for method, pattern in allowed:
        methods.setdefault(readable(pattern.pattern), []).append(method)
    yield table([say("Path"), say("Method")], [[f"`{path}`", " ".join(names)] for path, names in methods.items()])
    yield f"## {say('Request headers')}"
    yield table([say("Header"), say("Meaning")], [[f"`{name}`", say(about)] for name, about in _REQUEST.items()])
    relayed = ", ".join(f"`{name}`" for name in sorted(dashscope.FORWARDED))
    yield f"{say('Sent on to the cloud, and no others:')} {relayed}"
    yield f"## {say('Response headers')}"
    yield table([say("Header"), say("Meaning")], [[f"`{name}`", say(about)] for name, about in RESPONSE.items()])
    theirs = ", ".join(f"`{name}`" for name in visit.PASSED_ON)
    yield f"{say('Passed on from the cloud where it sends them:')} {theirs}"


def readable(pattern: str) -> str:
    """A pattern of a path as a person reads it: `(a|b)` is one of them, `[…]` may be missing."""
    path = pattern.removeprefix("^(?:").removesuffix(")$").replace(r"[A-Za-z0-9._:-]{1,200}", "{id}")
    path = re.sub(r"\[[a-zA-Z0-9-]+\]\+", "{name}", path).replace("(?:", "(")
    while (shorter := re.sub(r"\(([^()]*)\)\?", r"[\1]", path)) != path:
        path = shorter
    return path


def _doors() -> list[Door]:
    """The doors in the order in which they are tried, without those that relay."""
    front = app.build(Settings.model_construct(engine="simulator")).front
    routes: list[Route] = vars(front)["_router"].routes
    found = [route.endpoint for route in routes]
    return [door for door in found if isinstance(door, Door) and not isinstance(door.handler, passing.Passing)]


def _row(door: Door, say: Say) -> list[str]:
    about = re.sub(r" \(reference §[^)]*\)", "", (door.handler.__doc__ or "").splitlines()[0])
    path = door.path.replace(":path", "")
    key = "yes" if door.needs_key else "admin" if path.startswith("/admin/") else "no"
    return [f"`{path}`", " ".join(door.methods), say(key), say(about)]
