"""The deadlines of a connection: one for what the client sends, one for what it reads."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

_EARLY = 0.001  # timers may fire so many seconds before their time


class Deadlines:
    """Two deadlines on one timer, which is moved only when one comes nearer, and looks again when it fires.

    A busy connection sets several deadlines per request, and nearly all are met: most settings cost no timer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._send_by = self._read_by = self._fires = math.inf
        self._late_sending: Callable[[], None] = _nothing
        self._late_reading: Callable[[], None] = _nothing
        self._timer: asyncio.TimerHandle | None = None

    def sending(self, seconds: float, late: Callable[[], None]) -> None:
        """The client must have sent what is expected within so many seconds."""
        self._send_by, self._late_sending = self._loop.time() + seconds, late
        if self._send_by < self._fires:
            self._arm()

    def hasten(self, seconds: float) -> None:
        """What is expected must be sent within so many seconds or earlier."""
        self._send_by = min(self._send_by, self._loop.time() + seconds)
        self._arm()

    def sent(self) -> None:
        """Nothing more is expected."""
        self._send_by = math.inf

    def reading(self, seconds: float, late: Callable[[], None]) -> None:
        """The client must have read on within so many seconds."""
        self._read_by, self._late_reading = self._loop.time() + seconds, late
        self._arm()

    def read(self) -> None:
        """The client has read."""
        self._read_by = math.inf

    def close(self) -> None:
        """No deadline any more, and none can be set."""
        if self._timer is not None:
            self._timer.cancel()
        self._fires = -math.inf
        self._late_sending = self._late_reading = _nothing

    def _arm(self) -> None:
        due = min(self._send_by, self._read_by)
        if due < self._fires:
            if self._timer is not None:
                self._timer.cancel()
            self._fires, self._timer = due, self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._fires, self._timer = math.inf, None
        now = self._loop.time() + _EARLY
        if self._read_by <= now:
            self._read_by = math.inf
            self._late_reading()
        elif self._send_by <= now:
            self._send_by = math.inf
            self._late_sending()
        self._arm()


def _nothing() -> None:
    return
