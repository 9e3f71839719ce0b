"""Who is served when: callers who leave free the engine at once, and every key has its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from qiao.engines.local import Local, Tuning
from qiao.wire.call import Principal

from .conftest import LONG, answer, call, child_of, streamed, whole

pytestmark = pytest.mark.anyio
PROMPT = "你好吗" * 1200


async def left(local: Local) -> int:
    """Leave as soon as the engine begins to read a long prompt; the tokens that it has."""
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def told(doing: str) -> None:
        if "/" in doing and not begun.done():
            begun.set_result(int(doing.partition("/")[2]))

    opening = asyncio.create_task(local.open(call(PROMPT, stream=True).with_(progress=told)))
    total = await begun
    opening.cancel()
    with suppress(asyncio.CancelledError):
        await opening
    return total


@pytest.mark.parametrize("beside", [False, True])
async def test_a_caller_who_leaves_while_the_prompt_is_read_frees_the_engine_before_it_is_read(
    engine: Callable[..., Local], beside: bool
) -> None:
    local = engine(tuning=Tuning(parallel=2 if beside else 1, batch=8))
    await child_of(local)
    other = await local.open(call("写诗", stream=True, **LONG)) if beside else None
    total = await left(local)
    assert (await answer(local, "谢谢"))["message"]["content"] == "不客气！"
    if other is not None:
        other.close()
    usage = (await whole(local, PROMPT, max_tokens=1))["usage"]
    assert usage["prompt_tokens"] == total
    assert usage["prompt_tokens_details"]["cached_tokens"] < total / 2, "what had been read when the caller left"
    await local.close()


async def test_a_caller_who_leaves_an_answer_frees_the_engine_before_it_is_complete(
    engine: Callable[..., Local],
) -> None:
    local = engine(tuning=Tuning(parallel=1))
    reply = await local.open(call("写诗", stream=True, **LONG))
    reply.close()
    assert await streamed(local, "谢谢")
    await local.close()


async def test_a_key_with_many_calls_does_not_keep_another_waiting(engine: Callable[..., Local]) -> None:
    local = engine(tuning=Tuning(parallel=1))
    await child_of(local)
    done: list[str] = []

    async def ask(key: str) -> None:
        reply = await local.open(call("从1数到12").with_(principal=Principal(key)))
        assert [piece async for piece in reply.body]
        done.append(key)

    many = [asyncio.create_task(ask("many")) for _ in range(6)]
    await asyncio.sleep(0)
    await ask("one")
    await asyncio.gather(*many)
    assert done.index("one") <= 2
    await local.close()
