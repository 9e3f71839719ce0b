"""How the server stops: first no new calls, then a window for those that run, then a last frame for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal


class Drain:
    """Counts what must end before the server may, and tells it when the server stops."""

    def __init__(self) -> None:
        self.state: Literal["serving", "draining", "cutting"] = "serving"
        self._active = 0
        self._present = 0
        self._waiter: asyncio.Future[bool] | None = None
        self._cuts: dict[object, Callable[[], None]] = {}

    @property
    def count(self) -> int:
        """Requests being answered."""
        return self._active

    def begun(self) -> None:
        """A request is being answered; its connection has entered already."""
        self._active += 1

    def ended(self) -> None:
        """It has been answered."""
        self._active -= 1

    def enter(self) -> None:
        """Something begins that the server waits for when it stops: a connection, a call."""
        self._present += 1

    def leave(self) -> None:
        """It has ended."""
        self._present -= 1
        if self._present == 0:
            self._tell(True)

    def on_cut(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Be told when the window is over, at once if it is; returns how to take this back."""
        ticket = object()
        if self.state == "cutting":
            callback()
        else:
            self._cuts[ticket] = callback
        return lambda: self._forget(ticket)

    def begin(self) -> None:
        """No new calls from now on."""
        if self.state == "serving":
            self.state = "draining"

    def cut(self) -> None:
        """End what still runs; the second time does nothing."""
        self.state = "cutting"
        callbacks, self._cuts = list(self._cuts.values()), {}
        for callback in callbacks:
            callback()
        self._tell(False)

    async def idle(self, within: float) -> bool:
        """Whether nothing is left, waiting up to so many seconds; a cut ends the wait."""
        if self._present == 0:
            return True
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(within):
                return await self._waiter
        except TimeoutError:
            return False

    def _tell(self, idle: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(idle)

    def _forget(self, ticket: object) -> None:
        self._cuts.pop(ticket, None)
