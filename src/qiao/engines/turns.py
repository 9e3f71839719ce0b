"""The queue in front of a local engine: a few calls at once, the others wait, and every key has its turn.

llama-server's own queue is unbounded and serves who came first, so one key with a hundred calls would keep everybody
else waiting. Here waiting calls are served round-robin over the keys, and their number is bounded in all and per key.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from qiao.errors import EngineOccupied

FIRST_GUESS = 2.0  # seconds of a call, before one has been seen
LONGEST = 60.0  # seconds of a Retry-After
_RECENT = 0.2  # the weight of the last call in the average


@dataclass(slots=True, eq=False)
class Turn:
    """The right to ask the engine, from `Turns.take` to `end`, which may be called again."""

    principal: str
    places: int
    ended: Callable[[Turn], None]
    granted: asyncio.Event = field(default_factory=asyncio.Event)
    since: float = 0.0

    def end(self) -> None:
        """Let the next call have it; a turn that still waits is given up."""
        ended, self.ended = self.ended, _nothing
        ended(self)


class Turns:
    """`at_once` places for calls, and a queue of `waiting` calls, of one key `each`."""

    def __init__(self, at_once: int, *, waiting: int, each: int, on_idle: Callable[[], None] | None = None) -> None:
        self.running = 0  # calls
        self.waiting = 0
        self.at_once = self._free = at_once
        self._most = waiting
        self._each = each
        self._on_idle = on_idle or (lambda: None)  # told when nothing runs or waits any more
        self._queues: dict[str, deque[Turn]] = {}  # by principal; the first one is served next
        self._seconds = FIRST_GUESS  # that a call takes, recent ones counting most

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        return self.running == self.waiting == 0

    async def take(self, principal: str, places: int = 1, *, on_wait: Callable[[], None] | None = None) -> Turn:
        """Wait for a turn; `on_wait` is told if that takes longer than a moment.

        EngineOccupied when the queue is full: 429 for this key alone, 503 for all.
        """
        turn = Turn(principal, min(places, self.at_once), self._ended)
        if self.waiting or turn.places > self._free:
            self._admit(principal)
        self._queues.setdefault(principal, deque()).append(turn)
        self.waiting += 1
        self._serve()
        try:
            if on_wait is not None and not turn.granted.is_set():
                on_wait()
            await turn.granted.wait()
        except BaseException:
            turn.end()
            raise
        return turn

    def _admit(self, principal: str) -> None:
        own = len(self._queues.get(principal, ()))
        if 0 < self._each <= own:
            raise EngineOccupied(
                f"This key has too many calls waiting for the local model ({own}). Try again when some are answered.",
                status=429,
                code="Throttling.RateQuota",
                retry_after=self._wait(own * len(self._queues)),
            )
        if self.waiting >= self._most:
            raise EngineOccupied(
                f"The local model has too many calls waiting ({self.waiting}). Try again when some are answered.",
                retry_after=self._wait(self.waiting),
            )

    def _wait(self, calls: int) -> float:
        """Seconds in which so many calls will have been answered."""
        return min(max(calls * self._seconds / self.at_once, 1.0), LONGEST)

    def _serve(self) -> None:
        """Give the free places to the next key, which then goes to the end of the line."""
        while self._queues:
            principal, queue = next(iter(self._queues.items()))
            turn = queue[0]
            if turn.places > self._free:
                return
            self._remove(turn)
            if principal in self._queues:
                self._queues[principal] = self._queues.pop(principal)
            self._free -= turn.places
            self.running += 1
            turn.since = time.monotonic()
            turn.granted.set()

    def _remove(self, turn: Turn) -> None:
        queue = self._queues[turn.principal]
        queue.remove(turn)
        self.waiting -= 1
        if not queue:
            del self._queues[turn.principal]

    def _ended(self, turn: Turn) -> None:
        if turn.granted.is_set():
            self._free += turn.places
            self.running -= 1
            self._seconds += _RECENT * (time.monotonic() - turn.since - self._seconds)
        else:
            self._remove(turn)
        self._serve()
        if self.idle:
            self._on_idle()


def _nothing(_: Turn) -> None:
    return
