"""When an engine is left alone: a breaker with a half-open probe, pacing after 429, and the retry budget."""

from __future__ import annotations

import random
from collections import deque

from qiao.clock import Clock
from qiao.errors import EngineBusy, EngineError

CONSECUTIVE = 5  # failures in a row that open the breaker
WINDOW, SHARE, AT_LEAST = 30.0, 0.5, 20  # or this share of at least so many attempts in so many seconds
FIRST, LONGEST = 15.0, 300.0  # seconds that it stays open, doubling
RETRY_SHARE, RETRY_FLOOR, RETRY_WINDOW = 0.2, 3, 10.0  # retries per attempts of the last seconds, at least the floor


class CoolDown:
    """One engine and model: may it be asked now? Figures from the reliability design, §5.11."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recent: deque[tuple[float, bool]] = deque()
        self._in_a_row = 0
        self._opened = 0  # times in a row that the breaker opened
        self._until = 0.0
        self._probing = False
        self.reason = ""  # the last failure
        self.not_before = 0.0  # set by a 429: pacing, not failure
        self._retries: deque[float] = deque()

    @property
    def ready(self) -> bool:
        """Whether an attempt may be made; after the cool-down one may, as a probe, until it has ended."""
        now = self._clock.monotonic()
        return now >= self.not_before and (self._until == 0.0 or (now >= self._until and not self._probing))

    def begin(self) -> None:
        """An attempt begins."""
        self._probing = self._until != 0.0

    @property
    def remaining(self) -> float:
        """Seconds until it may be asked again."""
        return max(self._until, self.not_before) - self._clock.monotonic()

    def succeeded(self) -> None:
        """An attempt brought an answer."""
        self._note(failed=False)
        self._in_a_row = self._opened = 0
        self._until = 0.0
        self._probing = False

    def failed(self, error: EngineError) -> None:
        """An attempt failed by the engine's fault."""
        now = self._clock.monotonic()
        self._probing = False
        self.reason = f"{error.status} {error.code}"
        if isinstance(error, EngineBusy):
            self.not_before = now + min(error.retry_after or 0.0, 3600.0)
            return
        if not error.cool_down:
            return
        self._note(failed=True)
        self._in_a_row += 1
        failures = sum(failed for _, failed in self._recent)
        often = len(self._recent) >= AT_LEAST and failures >= SHARE * len(self._recent)
        if self._in_a_row >= CONSECUTIVE or often or self._until:
            length = min(FIRST * 2**self._opened, LONGEST) * random.uniform(0.8, 1.2)  # noqa: S311 - spread, no secret
            self._until = now + length
            self._opened += 1

    def abandoned(self) -> None:
        """An attempt ended without a verdict, such as a client that left."""
        self._probing = False

    def half_open(self) -> None:
        """The engine was seen to answer again: the next attempt may probe it at once."""
        if self._until:
            self._until = min(self._until, self._clock.monotonic())

    def may_retry(self) -> bool:
        """Take one retry from the budget, so that a dead engine gets at most 1.2 times its load."""
        now = self._clock.monotonic()
        while self._retries and self._retries[0] < now - RETRY_WINDOW:
            self._retries.popleft()
        lately = sum(at > now - RETRY_WINDOW for at, _ in self._recent)
        if len(self._retries) >= max(RETRY_FLOOR, RETRY_SHARE * lately):
            return False
        self._retries.append(now)
        return True

    def _note(self, *, failed: bool) -> None:
        now = self._clock.monotonic()
        self._recent.append((now, failed))
        while self._recent[0][0] < now - WINDOW or len(self._recent) > 1000:
            self._recent.popleft()
