"""When an engine is left alone, on a clock that the test holds."""

from qiao.errors import EngineBusy, EngineFailed, KeyRefused
from qiao.exchange.cooldown import CoolDown


class HandClock:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_five_failures_in_a_row_open_the_breaker_and_one_probe_closes_it() -> None:
    clock = HandClock()
    cool_down = CoolDown(clock)
    for _ in range(4):
        cool_down.failed(EngineFailed("x"))
        assert cool_down.ready
    cool_down.failed(EngineFailed("x"))
    assert not cool_down.ready
    clock.now += 18.1  # 15 s and a fifth
    assert cool_down.ready
    cool_down.begin()
    assert not cool_down.ready, "only one probe at a time"
    cool_down.succeeded()
    cool_down.begin()
    assert cool_down.ready


def test_a_failed_probe_doubles_the_pause() -> None:
    clock = HandClock()
    cool_down = CoolDown(clock)
    for _ in range(5):
        cool_down.failed(EngineFailed("x"))
    clock.now += 18.1
    cool_down.begin()
    cool_down.failed(EngineFailed("x"))
    clock.now += 18.1
    assert not cool_down.ready
    clock.now += 18.1
    assert cool_down.ready


def test_an_abandoned_probe_leaves_room_for_the_next() -> None:
    clock = HandClock()
    cool_down = CoolDown(clock)
    for _ in range(5):
        cool_down.failed(EngineFailed("x"))
    clock.now += 18.1
    cool_down.begin()
    cool_down.abandoned()
    assert cool_down.ready


def test_a_429_paces_and_a_refused_key_does_not_open_the_breaker() -> None:
    clock = HandClock()
    cool_down = CoolDown(clock)
    for _ in range(9):
        cool_down.failed(EngineBusy("x"))
    assert cool_down.ready
    cool_down.failed(EngineBusy("x", retry_after=30))
    assert not cool_down.ready
    assert cool_down.remaining == 30
    clock.now += 30
    assert cool_down.ready
    assert KeyRefused.retryable is False


def test_half_of_many_attempts_failing_opens_the_breaker() -> None:
    clock = HandClock()
    cool_down = CoolDown(clock)
    for _ in range(10):
        cool_down.succeeded()
        cool_down.failed(EngineFailed("x"))
    assert not cool_down.ready


def test_retries_stay_within_a_fifth_of_the_attempts() -> None:
    clock = HandClock()
    cool_down = CoolDown(clock)
    assert [cool_down.may_retry() for _ in range(5)] == [True, True, True, False, False]
    for _ in range(100):
        cool_down.succeeded()
    assert sum(cool_down.may_retry() for _ in range(40)) == 17
    clock.now += 11
    assert cool_down.may_retry()
