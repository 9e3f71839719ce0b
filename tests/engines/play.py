"""Ask the simulator and read what it said."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from qiao.engines.engine import Reply
from qiao.engines.simulator import Simulator
from qiao.errors import StreamBroken
from qiao.gate.catalog import Catalog
from qiao.wire import chunks, sse
from qiao.wire.call import Call
from qiao.wire.chunks import Assembler
from qiao.wire.document import Document

ID = "0d9ee8a6-3b0a-4d5d-9b1c-7a5b0c1d2e3f"
CATALOG = Catalog.load()
LOOKUP = {
    "type": "function",
    "function": {
        "name": "lookup_customer",
        "description": "Find a customer in the records",
        "parameters": {
            "type": "object",
            "properties": {
                "request": {"type": "string"},
                "level": {"type": "string", "enum": ["basic", "full"], "default": "full"},
            },
            "required": ["request", "level"],
        },
    },
}


class Waits:
    """A clock that stands still and notes for how long it was asked to wait."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def time(self) -> float:
        return 1_700_000_000.5

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        await asyncio.sleep(0)


def new(**given: Any) -> Simulator:
    return Simulator(CATALOG, **{"clock": Waits(), **given})


def asking(text: str | list[Any] = "你好", model: str = "qwen-plus", *, stream: bool = False, **fields: Any) -> Call:
    messages = fields.pop("messages", [{"role": "user", "content": text}])
    body = {"model": model, "messages": messages, **fields}
    return Call(ID, "openai", None, model, Document.parse(json.dumps(body).encode()), stream, 0.0)


async def opened(simulator: Simulator, call: Call) -> tuple[Reply, bytes, bool]:
    """The reply, its bytes, and whether it broke off."""
    reply = await simulator.open(call)
    body = b""
    try:
        async for piece in reply.body:
            body += piece
    except StreamBroken:
        return reply, body, True
    return reply, body, False


def run(call: Call, simulator: Simulator | None = None) -> tuple[Reply, bytes, bool]:
    return asyncio.run(opened(simulator or new(), call))


def whole(call: Call, simulator: Simulator | None = None) -> dict[str, Any]:
    reply, body, broken = run(call, simulator)
    assert reply.status == 200, body
    assert not broken
    return json.loads(body)


def events(body: bytes) -> list[bytes]:
    return [data for frame in sse.split(body) if (data := sse.data(frame)) is not None]


def streamed(call: Call, simulator: Simulator | None = None) -> Assembler:
    """The answer of a stream, put together."""
    reply, body, broken = run(call.with_(stream=True), simulator)
    assert reply.streamed
    assert not broken
    data = events(body)
    assert data[-1] == b"[DONE]"
    assembler = Assembler()
    for event in data[:-1]:
        assembler.add(chunks.read(event))
    assert assembler.complete
    return assembler


def said(call: Call, simulator: Simulator | None = None) -> str:
    return whole(call, simulator)["choices"][0]["message"]["content"]


def called(call: Call) -> list[tuple[str, dict[str, Any]]]:
    choice = whole(call)["choices"][0]
    found = choice["message"].get("tool_calls", [])
    assert choice["finish_reason"] == ("tool_calls" if found else "stop")
    return [(item["function"]["name"], json.loads(item["function"]["arguments"])) for item in found]
