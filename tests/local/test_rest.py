"""Models that share a machine: loaded with the first call, at rest when unused, and no larger than the memory."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from qiao.engines.client import Client
from qiao.engines.local import Local
from qiao.engines.resident import Tuning
from qiao.engines.residents import Residents
from qiao.errors import EngineUnavailable, InputTooLong, InvalidParameter
from qiao.gate.catalog import Catalog
from qiao.weights import header, memory
from tests.weights.making import model

from .conftest import WEIGHTS, alive, answer, call, child_of, streamed, until

pytestmark = pytest.mark.anyio
THANKS = "不客气！"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights of the user's own."""
    return Path(shutil.copy(WEIGHTS, tmp_path / "own.gguf"))


class Memory:
    """As much free memory as a test says."""

    def __init__(self, weights: Path, context: int, parallel: int = 2) -> None:
        self.free = memory.needed(header.read(weights), context=context, parallel=parallel)

    def __call__(self) -> int:
        return self.free


async def test_a_lazy_model_is_ready_without_being_loaded_and_loaded_by_the_first_call(
    engine: Callable[..., Local], weights: Path
) -> None:
    local = engine(weights, Tuning(role="chat", lazy=True, names=("mine",)))
    await local.start()
    assert local._resident.child is None
    assert (await local.health()).ready
    assert await local.models() == ["mine"]
    told: list[str] = []
    reply = await local.open(call("谢谢", stream=True).with_(progress=told.append))
    assert [piece async for piece in reply.body]
    assert told[0] == "loading"
    assert local._resident.child is not None
    assert local._resident.child.pid is not None
    assert await local.models() == ["mine", "qiao-demo"]
    await local.close()


async def test_a_model_that_nobody_asks_gives_its_memory_back_until_the_next_call(
    engine: Callable[..., Local],
) -> None:
    local = engine(tuning=Tuning(idle=0.3))
    child = await child_of(local)
    pid = child.pid
    assert pid is not None
    reply = await local.open(call("谢谢", stream=True))
    await asyncio.sleep(0.5)
    assert child.pid == pid, "it is not idle while an answer is read"
    assert [piece async for piece in reply.body]
    await until(lambda: child.state == "resting")
    assert not alive(pid)
    assert (await local.health()).ready
    texts = await asyncio.gather(*(answer(local, "谢谢") for _ in range(3)))
    assert [text["message"]["content"] for text in texts] == [THANKS] * 3
    await local.close()


async def test_calls_that_come_while_it_goes_to_rest_are_answered(engine: Callable[..., Local]) -> None:
    local = engine()
    child = await child_of(local)
    resting = asyncio.create_task(child.rest())
    await asyncio.sleep(0)
    assert child.state == "unloading"
    assert (await local.health()).ready
    assert (await answer(local, "谢谢"))["message"]["content"] == THANKS
    await resting
    await local.close()


async def test_a_context_that_nobody_set_is_made_to_fit(engine: Callable[..., Local], weights: Path) -> None:
    residents = Residents(Memory(weights, 2304))
    local = engine(weights, Tuning(residents=residents))
    with pytest.raises(InputTooLong, match=r"\[1, 2304\]"):
        await local.open(call("你好吗" * 3000))
    await local.close()


async def test_a_context_that_was_set_is_kept_or_refused_with_one_that_fits(
    engine: Callable[..., Local], weights: Path
) -> None:
    free = Memory(weights, 2304)
    local = engine(weights, Tuning(context=4096, residents=Residents(free)))
    said = (
        r"own.gguf needs 0.4 GiB with a context of 4096 tokens for 2 calls at once, .* A context of 2304 tokens would"
    )
    with pytest.raises(EngineUnavailable, match=said):
        await local.open(call("你好"))
    assert not (await local.health()).ready
    free.free *= 2
    assert (await answer(local, "谢谢"))["message"]["content"] == THANKS, "the next call tries again"
    await local.close()


async def test_a_model_that_cannot_fit_is_refused_in_one_sentence(engine: Callable[..., Local], weights: Path) -> None:
    free = Memory(weights, 0)
    free.free -= 1
    local = engine(weights, Tuning(residents=Residents(free)))
    with pytest.raises(EngineUnavailable, match=r"GiB are free. Take smaller weights, or free memory"):
        await local.open(call("你好"))
    await local.close()


async def test_for_another_model_the_one_unused_for_longest_rests(engine: Callable[..., Local], weights: Path) -> None:
    free = Memory(weights, 4096)
    loaded: list[Local] = []

    def available() -> int:
        """Room for two of these models."""
        running = [local for local in loaded if local._resident.idle]
        return free.free * 2 - 1 - sum(free.free for _ in running) + len(running)

    residents = Residents(available)
    loaded += [engine(weights, Tuning(residents=residents, lazy=True)) for _ in range(3)]
    for local in loaded[:2]:
        await answer(local, "谢谢")
    busy = await loaded[0].open(call("谢谢", stream=True))
    assert [piece async for piece in busy.body]
    assert (await answer(loaded[2], "谢谢"))["message"]["content"] == THANKS
    states = [local._resident.child.state for local in loaded if local._resident.child]
    assert states == ["ready", "resting", "ready"]
    for local in loaded:
        await local.close()


async def test_a_process_started_for_vectors_gives_them_and_no_chat(
    engine: Callable[..., Local], weights: Path
) -> None:
    local = engine(weights, Tuning(role="embedding"))
    await child_of(local)
    with pytest.raises(InvalidParameter, match="for embedding calls here, not for chat"):
        await local.open(call("你好"))
    asked = call("你好").with_(task="embedding")
    turn = await local._resident.turn(asked)
    body = msgspec.json.encode({"input": ["你好", "word " * 1000]})
    response = await local._resident.post(asked, "/v1/embeddings", body)
    rows = msgspec.json.decode(await response.all())["data"]
    assert [len(row["embedding"]) for row in rows] == [192, 192]
    turn.end()
    await local.close()


@pytest.mark.parametrize("name", ["Qwen3 4B", "Qwen3-4B-Q4_K_M", "Qwen3 4B my merge"])
def test_weights_of_a_known_family_are_sampled_as_their_makers_advise(
    client: Client, tmp_path: Path, name: str
) -> None:
    catalog = Catalog.load()
    weights = header.read(model(tmp_path / "w.gguf", name=name))
    local = Local(weights.path, client=client, runtime=tmp_path, find=catalog.find)
    loaded, row = local._known(weights), catalog.find("qwen3-4b")
    assert row.sampling.temperature == 0.7
    assert (loaded.sampling, loaded.sampling_thinking) == (row.sampling, row.sampling_thinking)
    unknown = header.read(model(tmp_path / "u.gguf", name="My own"))
    assert Local(weights.path, client=client, runtime=tmp_path, find=catalog.find)._known(unknown).sampling is None


async def test_a_chat_model_refuses_other_tasks(local: Local) -> None:
    for task in ("embedding", "rerank"):
        with pytest.raises(InvalidParameter, match=f"for chat calls here, not for {task}"):
            await local.open(call("你好").with_(task=task))
    assert await streamed(local, "谢谢")
