"""The queue in front of a local engine."""

from __future__ import annotations

import asyncio

import pytest

from qiao.engines.turns import Turn, Turns
from qiao.errors import EngineOccupied

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


class Line:
    """Calls that take turns and note who has got one."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.served: list[str] = []
        self.held: list[Turn] = []
        self.told: list[str] = []

    async def call(self, key: str, places: int = 1) -> None:
        self.held.append(await self.turns.take(key, places, on_wait=lambda: self.told.append(key)))
        self.served.append(key)

    async def ask(self, *keys: str) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self.call(key)) for key in keys]
        await settled()
        return tasks

    async def answer_all(self) -> None:
        while self.held:
            self.held.pop(0).end()
            await settled()


def line(at_once: int = 1, waiting: int = 64, each: int = 32) -> Line:
    return Line(Turns(at_once, waiting=waiting, each=each))


async def test_a_key_with_one_call_need_not_wait_for_all_calls_of_another() -> None:
    queue = line()
    tasks = await queue.ask("many", "many", "many", "many", "one", "two")
    await queue.answer_all()
    assert queue.served == ["many", "many", "one", "two", "many", "many"]
    await asyncio.gather(*tasks)


async def test_only_so_many_calls_run_at_once_and_those_that_wait_are_told() -> None:
    queue = line(2)
    await queue.ask("a", "b", "c")
    assert (queue.turns.running, queue.turns.waiting, queue.told) == (2, 1, ["c"])
    queue.held[0].end()
    queue.held[0].end()
    await settled()
    assert (queue.turns.running, queue.turns.waiting) == (2, 0)
    await queue.answer_all()
    assert queue.turns.idle


async def test_a_key_with_too_many_calls_waiting_is_refused_and_others_are_not() -> None:
    queue = line(each=2)
    tasks = await queue.ask("a", "a", "a", "b")
    with pytest.raises(EngineOccupied, match=r"This key has too many calls waiting for the local model \(2\)") as error:
        await queue.turns.take("a")
    assert (error.value.status, error.value.code) == (429, "Throttling.RateQuota")
    assert (error.value.retry_after or 0) >= 1
    await queue.answer_all()
    assert sorted(queue.served) == ["a", "a", "a", "b"]
    await asyncio.gather(*tasks)


async def test_a_full_queue_is_a_503_for_everybody() -> None:
    queue = line(waiting=2)
    await queue.ask("a", "b", "c")
    with pytest.raises(EngineOccupied, match=r"too many calls waiting \(2\)") as error:
        await queue.turns.take("d")
    assert error.value.status == 503
    assert not error.value.cool_down, "a full queue says nothing about the engine's health"
    await queue.answer_all()


async def test_the_wait_that_is_named_grows_with_the_calls_before() -> None:
    waits: list[float] = []
    for waiting in (2, 20):
        queue = line(waiting=waiting)
        await queue.ask(*map(str, range(waiting + 1)))
        with pytest.raises(EngineOccupied) as error:
            await queue.turns.take("late")
        waits.append(error.value.retry_after or 0)
        await queue.answer_all()
    assert 1 <= waits[0] < waits[1] <= 60


async def test_who_leaves_while_waiting_frees_the_place_at_once() -> None:
    queue = line(waiting=1)
    _, waiting = await queue.ask("a", "b")
    waiting.cancel()
    await settled()
    assert queue.turns.waiting == 0
    await queue.ask("c")
    await queue.answer_all()
    assert queue.served == ["a", "c"]
    assert queue.turns.idle


async def test_who_leaves_in_the_moment_of_being_served_passes_the_turn_on() -> None:
    queue = line()
    _, second, third = await queue.ask("a", "b", "c")
    queue.held[0].end()
    second.cancel()
    await settled()
    assert queue.served == ["a", "c"]
    await third
    queue.held[-1].end()
    assert queue.turns.idle


async def test_a_call_of_several_choices_takes_their_places_but_never_more_than_there_are() -> None:
    queue = line(4)
    both = [asyncio.create_task(queue.call("a", 3)), asyncio.create_task(queue.call("b", 9))]
    await settled()
    assert queue.served == ["a"]
    queue.held[0].end()
    await settled()
    assert queue.served == ["a", "b"]
    queue.held[1].end()
    await asyncio.gather(*both)
    assert queue.turns.idle
