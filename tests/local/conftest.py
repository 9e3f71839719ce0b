"""The built-in model in its own process, asked through the engine's interface."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qiao.engines.child import Child
from qiao.engines.client import Client
from qiao.engines.local import Local, Tuning
from qiao.weights import header
from qiao.wire import sse
from qiao.wire.call import Call
from qiao.wire.document import Document
from qiao.wire.model import Model

DEMO = Model("qiao-demo", thinking="off", max_output=1024)
WEIGHTS = Path(header.__file__).parents[1] / "data" / "demo.gguf"
# An answer of 400 tokens: it is still under way when something happens to the engine.
_LONG = {"type": "json_schema", "json_schema": {"name": "t", "schema": {"type": "string", "minLength": 600}}}
LONG: dict[str, Any] = {"response_format": _LONG, "max_tokens": 400}


def call(text: str | list[dict[str, Any]], *, stream: bool = False, model: str = "qiao-demo", **fields: Any) -> Call:
    messages = [{"role": "user", "content": text}] if isinstance(text, str) else text
    document = Document.build(model=model, messages=messages, stream=stream, **fields)
    return Call(str(uuid.uuid4()), "openai", None, model, document, stream, 0.0)


async def whole(local: Local, text: str | list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """The completion of a call that does not stream."""
    reply = await local.open(call(text, **fields))
    assert reply.status == 200
    assert reply.content_type == "application/json"
    return msgspec.json.decode(b"".join([piece async for piece in reply.body]))


async def answer(local: Local, text: str | list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """The first choice of a call that does not stream."""
    return (await whole(local, text, **fields))["choices"][0]


async def streamed(local: Local, text: str | list[dict[str, Any]], **fields: Any) -> list[dict[str, Any]]:
    """The chunks of a call that streams, without [DONE], which must be there."""
    reply = await local.open(call(text, stream=True, **fields))
    assert reply.streamed
    frames = sse.split(b"".join([piece async for piece in reply.body]))
    assert frames[-1] == b"data: [DONE]\n\n"
    return [msgspec.json.decode(sse.data(frame) or b"") for frame in frames[:-1]]


def joined(chunks: list[dict[str, Any]], name: str = "content", index: int = 0) -> str:
    choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get(name) or "" for choice in choices)


async def child_of(local: Local) -> Child:
    """The engine's process, ready."""
    await local.start()
    child = local._resident.child
    assert child is not None
    await child.ready(60)
    return child


async def until(true: Callable[[], bool], limit: float = 30.0) -> None:
    for _ in range(round(limit / 0.01)):
        if true():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"not true within {limit} s")


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
async def client(anyio_backend: str) -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.close()


@pytest.fixture(scope="session")
def engine(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Local]:
    """Makes an engine of the built-in model, or of the weights named."""

    def make(path: Path | None = None, tuning: Tuning | None = None, model: Model = DEMO) -> Local:
        runtime = tmp_path_factory.mktemp("runtime")
        return Local(path, client=client, runtime=runtime, find=lambda _: model, tuning=tuning)

    return make


@pytest.fixture(scope="session")
async def local(engine: Callable[..., Local]) -> AsyncIterator[Local]:
    local = engine()
    await local.start()
    yield local
    await local.close()
