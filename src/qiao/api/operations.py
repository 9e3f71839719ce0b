"""The doors for those who run the server: healthz, readyz, metrics."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from qiao.api.drain import Drain
from qiao.api.visit import Visit
from qiao.clock import Clock
from qiao.engines.engine import Engine
from qiao.exchange.balance import Balance
from qiao.telemetry import Metrics

READY, NOT_READY = 5.0, 0.3  # seconds that either answer of /readyz is believed


class Operations:
    """Answers without a key; nothing here tells more than health and counts."""

    def __init__(
        self, engines: Sequence[Engine], balance: Balance, drain: Drain, metrics: Metrics, clock: Clock
    ) -> None:
        self._engines = engines
        self._standings = balance.standings
        self._clock = clock
        self._until = 0.0
        self._found: list[str] = []
        self._drain = drain
        self._metrics = metrics

    async def healthz(self, visit: Visit) -> None:
        """The process is alive."""
        await visit.answer(200, "application/json", b'{"status":"ok","server":"qiao"}')

    async def readyz(self, visit: Visit) -> None:
        """200 when a question can be answered: some engine is ready and the server is not stopping."""
        reasons = await self._reasons() if self._drain.state == "serving" else ["stopping"]
        if not reasons:
            await visit.answer(200, "application/json", b'{"status":"ready"}')
            return
        body = msgspec.json.encode({"status": "not ready", "reasons": reasons})
        await visit.answer(503, "application/json", body, [(b"retry-after", b"1")])

    async def metrics(self, visit: Visit) -> None:
        """The Prometheus text."""
        await visit.answer(200, "text/plain; version=0.0.4; charset=utf-8", self._metrics.render())

    async def _reasons(self) -> list[str]:
        """Why no engine is ready; empty when one is. Remembered for a while: anybody may ask, and engines are asked."""
        now = self._clock.monotonic()
        if now >= self._until:
            self._found = await self._asked()
            self._until = now + (NOT_READY if self._found else READY)
        return self._found

    async def _asked(self) -> list[str]:
        reasons: list[str] = []
        for engine in self._engines:
            if self._standings[engine.name].draining:
                reasons.append(f"{engine.name}: drained for maintenance")
                continue
            health = await engine.health()
            if health.ready:
                return []
            reasons.append(health.reason)
        return reasons
