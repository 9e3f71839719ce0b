"""Watch a call while it runs: a client that leaves, a server that stops, an engine that is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any, Literal, Self

from qiao.api.drain import Drain


class Attendance:
    """A context around one call: what it sees ends the call's task, and `ended` tells why.

    The server's `qiao.disconnect` extension reports a client's leaving without a task that waits for it.
    """

    def __init__(self, scope: MutableMapping[str, Any], drain: Drain) -> None:
        self.ended: Literal["gone", "cut"] | None = None
        self.last: bytes | None = None  # the last frame of an answer that is cut
        self._scope = scope
        self._drain = drain
        self._last_frame: Callable[[], bytes] | None = None
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._ping: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        self._unregister = self._drain.on_cut(self._cut)
        self._scope["extensions"]["qiao.disconnect"](self._gone)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Swallow the cancellation that this watch caused."""
        self._unregister()
        self._task, task = None, self._task
        for watcher in (self._timer, self._ping):
            if watcher is not None:
                watcher.cancel()
        if self.ended is None or task is None or kind is not asyncio.CancelledError:
            return False
        task.uncancel()
        return True

    def on_cut(self, last_frame: Callable[[], bytes]) -> None:
        """How to render the last frame, once there is an answer to end."""
        self._last_frame = last_frame

    def keep_alive(self, ping: Callable[[], Awaitable[None]], every: float) -> None:
        """Call `ping` whenever nothing was sent for `every` seconds."""

        def fire() -> None:
            due = self._sent_at + every - self._loop.time()
            if due <= 0:
                self.comment(ping)
                due = every
            self._timer = self._loop.call_later(due, fire)

        self._timer = self._loop.call_later(every, fire)

    def comment(self, send: Callable[[], Awaitable[None]]) -> None:
        """Send a comment, unless the one before is still being sent."""
        if self._task is not None and (self._ping is None or self._ping.done()):
            self._ping = self._loop.create_task(_run(send))
            self.sent()

    async def turn(self) -> None:
        """Wait until a comment that is being sent is out."""
        if self._ping is not None and not self._ping.done():
            await self._ping

    def sent(self) -> None:
        """Note that something was sent."""
        self._sent_at = self._loop.time()

    def _gone(self) -> None:
        self._end("gone")

    def _cut(self) -> None:
        if self.ended is None and self._last_frame is not None:
            self.last = self._last_frame()
        self._end("cut")

    def _end(self, why: Literal["gone", "cut"]) -> None:
        if self.ended is None and self._task is not None:
            self.ended = why
            self._task.cancel()


async def _run(ping: Callable[[], Awaitable[None]]) -> None:
    await ping()
