"""Looking at engines, step by step, on a clock that the test holds."""

import asyncio
import contextlib

import pytest

from qiao.clock import SystemClock
from qiao.engines.client import Client, Upstream, Url
from qiao.engines.connection import Limits
from qiao.engines.http import Http
from qiao.errors import EngineFailed
from qiao.exchange.attempts import Attempts
from qiao.exchange.balance import Balance
from qiao.exchange.cooldown import CoolDown
from qiao.exchange.probes import Probes
from qiao.exchange.states import States
from qiao.wire.document import Document
from tests.exchange.test_cooldown import HandClock
from tests.stage import Asked, scripted

pytestmark = pytest.mark.anyio


class Steps(SystemClock):
    """A clock whose sleepers wait for the next step."""

    def __init__(self) -> None:
        self.asleep = asyncio.Event()
        self.next = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        assert 4 <= seconds <= 6, "about every five seconds, not all at once"
        self.asleep.set()
        await self.next.wait()
        self.next.clear()

    async def step(self) -> None:
        """Let it look once more."""
        self.asleep.clear()
        self.next.set()
        await self.asleep.wait()


async def test_two_looks_without_an_answer_take_an_engine_out_and_the_first_answer_brings_it_back() -> None:
    clock, balance = Steps(), Balance({"gpu": "vllm"}, ["gpu"])
    attempts = Attempts({}, balance, clock)
    states = States(balance, attempts, clock)
    async with contextlib.AsyncExitStack() as up:
        engine = await up.enter_async_context(scripted(Asked.whole))
        url, client = Url.parse(engine.url), Client(connect=1.0)
        probes = Probes([Http("gpu", Upstream(url, None, Limits()), client)], balance, attempts, clock)
        probes.start(5.0)
        await clock.asleep.wait()
        assert states.all()[0].state == "ready"
        assert states.all()[0].looked_s is not None
        await up.aclose()
        await clock.step()
        assert states.all()[0].state == "ready", "one look may fail"
        balance.begin("gpu", Document.build()).answered()
        await clock.step()
        await clock.step()
        assert states.all()[0].state == "ready", "one that answers calls is alive"
        await clock.step()
        assert (states.all()[0].state, states.all()[0].reason) == ("unhealthy", "gpu: no answer from the engine")
    async with scripted(Asked.whole, port=url.port):
        await clock.step()
        assert states.all()[0].state == "ready"
    await probes.close()
    await client.close()
    assert engine.asked == [], "no completion was asked for"


def test_an_engine_seen_to_answer_again_is_tried_at_once_and_by_one_call_alone() -> None:
    clock = HandClock()
    cool_down = CoolDown(clock)
    cool_down.half_open()
    assert cool_down.remaining < 0, "one that does not cool down is left as it is"
    for _ in range(5):
        cool_down.failed(EngineFailed("x"))
    assert not cool_down.ready
    cool_down.half_open()
    assert cool_down.ready
    cool_down.begin()
    assert not cool_down.ready
    cool_down.failed(EngineFailed("x"))
    assert cool_down.remaining > 20, "and cools down twice as long if it fails"
