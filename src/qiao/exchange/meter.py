"""What is known of a settled call goes to the metrics and the call log; here the ledger will hang."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass

from qiao.clock import Clock
from qiao.exchange.relay import Settlement
from qiao.gate import prices
from qiao.gate.catalog import Catalog
from qiao.telemetry import CallLog, Metrics

FLUSH = 0.2  # seconds that a log line may wait for others


@dataclass(frozen=True, slots=True)
class Passed:
    """A request to a path of the cloud that Qiao does not serve itself."""

    request_id: str
    principal: str
    method: str
    path: str
    status: int
    duration_ms: float


class Meter:
    """Settles calls: a synchronous call that cannot fail the answer."""

    def __init__(self, metrics: Metrics, calls: CallLog, catalog: Catalog, clock: Clock, paid: frozenset[str]) -> None:
        self._metrics = metrics
        self._calls = calls
        self._catalog = catalog
        self._clock = clock
        self._paid = paid  # the engines that cost money

    def settle(self, settlement: Settlement) -> None:
        """Count a call and write its line."""
        call, usage, engine = settlement.call, settlement.usage, settlement.engine or "none"
        self._metrics.calls.labels(engine, call.protocol, settlement.outcome, str(settlement.status)).inc()
        ttft, duration, attempts = self._metrics.of(engine)
        duration.observe(settlement.duration)
        attempts.inc(settlement.attempts)
        if settlement.ttft is not None:
            ttft.observe(settlement.ttft)
        if usage is not None:
            self._metrics.tokens.labels(engine, "input").inc(usage.input)
            self._metrics.tokens.labels(engine, "output").inc(usage.output)
        self._write(
            at=round(self._clock.time(), 3),
            request_id=call.id,
            answer_id=settlement.answer_id if settlement.answer_id != call.id else None,
            principal=call.principal.id,
            protocol=call.protocol,
            model=call.model,
            stream=call.stream,
            engine=settlement.engine,
            outcome=settlement.outcome,
            status=settlement.status,
            error=settlement.error.code if settlement.error else None,
            input=usage.input if usage else None,
            cached=usage.cached if usage else None,
            output=usage.output if usage else None,
            reasoning=usage.reasoning if usage else None,
            nano_yuan=self._cost(settlement),
            attempts=settlement.attempts,
            ttft_ms=None if settlement.ttft is None else round(settlement.ttft * 1000, 1),
            duration_ms=round(settlement.duration * 1000, 1),
        )

    def _write(self, **fields: object) -> None:
        if self._calls.add(**fields):
            asyncio.get_running_loop().call_later(FLUSH, self._calls.flush)

    def passed(self, request: Passed) -> None:
        """Count a request that was passed on to the cloud without the exchange, and write its line."""
        self._metrics.passed.labels(request.method, str(request.status)).inc()
        self._write(at=round(self._clock.time(), 3), **asdict(request))

    def close(self) -> None:
        """Write what waits."""
        self._calls.flush()

    def _cost(self, settlement: Settlement) -> int | None:
        """Nano-yuan at the catalogue's price; None for an engine of one's own, or without usage or price."""
        if settlement.usage is None or settlement.engine not in self._paid:
            return None
        model = self._catalog.find(settlement.call.model)
        cost = prices.cost(model, settlement.usage, thought=bool(settlement.usage.reasoning))
        return None if cost is None else cost.nano
