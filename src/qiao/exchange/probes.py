"""Look at the engines of groups now and then, so that a dead one is left out before a call finds it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import structlog

from qiao.clock import Clock
from qiao.engines.engine import Engine
from qiao.exchange.attempts import Attempts
from qiao.exchange.balance import Balance

FAILED = 2  # looks in a row without an answer after which an engine is left out; the first answer brings it back

log = structlog.get_logger("qiao.probes")


class Probes:
    """One task per engine that asks for its health, never for a completion."""

    def __init__(self, engines: Sequence[Engine], balance: Balance, attempts: Attempts, clock: Clock) -> None:
        self._engines = engines
        self._balance = balance
        self._attempts = attempts
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, every: float) -> None:
        """Look about every so many seconds, at once for the first time."""
        self._tasks = [asyncio.create_task(self._watch(engine, every)) for engine in self._engines]

    async def close(self) -> None:
        """Stop, and wait until a look under way has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _watch(self, engine: Engine, every: float) -> None:
        standing = self._balance.standings[engine.name]
        answers, failed = standing.answers, 0
        while True:
            health = await engine.health()
            standing.looked = self._clock.monotonic()
            # One that is busy may be late with its health, and brings answers all the same.
            failed = 0 if health.ready or standing.answers > answers else failed + 1
            answers = standing.answers
            if failed >= FAILED and not standing.unhealthy:
                standing.unhealthy = health.reason
                log.warning("engine_unhealthy", engine=engine.name, reason=health.reason)
            elif standing.unhealthy and not failed:
                standing.unhealthy = ""
                self._attempts.recovered(engine.name)
                log.info("engine_healthy", engine=engine.name)
            # Apart from each other, so that many engines are not asked at once.
            await self._clock.sleep(every * random.uniform(0.8, 1.2))  # noqa: S311 - spread, no secret
