"""What is known of a settled call goes to the metrics and the call log; here the ledger will hang."""

from __future__ import annotations

import asyncio

import msgspec

from qiao.clock import Clock
from qiao.exchange.relay import Settlement
from qiao.gate.billing import Billing
from qiao.telemetry import CallLog, Metrics

FLUSH = 0.2  # seconds that a settlement may wait for others


class Line(msgspec.Struct, omit_defaults=True):
    """What the call log says of a call; what is not known is left out."""

    at: float  # epoch seconds
    request_id: str
    principal: str
    protocol: str
    model: str
    stream: bool
    outcome: str
    status: int
    attempts: int
    duration_ms: float
    ttft_ms: float | None = None
    engine: str | None = None
    answer_id: str | None = None
    error: str | None = None
    input: int | None = None
    cached: int | None = None
    output: int | None = None
    reasoning: int | None = None
    nano_yuan: int | None = None


class Passed(msgspec.Struct):
    """A request to a path of the cloud that Qiao does not serve itself."""

    at: float
    request_id: str
    principal: str
    method: str
    path: str
    status: int
    duration_ms: float


class Meter:
    """Settles calls: a synchronous put that cannot fail the answer; they are counted together, a little later."""

    def __init__(self, metrics: Metrics, calls: CallLog, billing: Billing, clock: Clock) -> None:
        self._metrics = metrics
        self._calls = calls
        self._billing = billing
        self._clock = clock
        self._waiting: list[tuple[float, Settlement]] = []
        metrics.refresh = self.flush

    def settle(self, settlement: Settlement) -> None:
        """Take in a call that has ended."""
        if not self._waiting:
            asyncio.get_running_loop().call_later(FLUSH, self.flush)
        self._waiting.append((self._clock.time(), settlement))

    def flush(self) -> None:
        """Count what waits and write its lines."""
        waiting, self._waiting = self._waiting, []
        for at, settlement in waiting:
            self._count(at, settlement)
        self._calls.flush()

    def _count(self, at: float, settlement: Settlement) -> None:
        call, usage, engine = settlement.call, settlement.usage, settlement.engine or "none"
        error, answer_id, ttft = settlement.error, settlement.answer_id, settlement.ttft
        self._metrics.calls[engine, call.protocol, settlement.outcome, str(settlement.status)] += 1
        counts = self._metrics.engines[engine]
        counts.duration.observe(settlement.duration)
        counts.attempts += settlement.attempts
        if ttft is not None:
            counts.ttft.observe(ttft)
        line = Line(
            round(at, 3),
            call.id,
            call.principal.id,
            call.protocol,
            call.model,
            call.stream,
            settlement.outcome,
            settlement.status,
            settlement.attempts,
            round(settlement.duration * 1000, 1),
            None if ttft is None else round(ttft * 1000, 1),
            settlement.engine,
            answer_id if answer_id != call.id else None,
            error.code if error else None,
        )
        if usage is not None:
            counts.input += usage.input
            counts.output += usage.output
            line.input, line.cached, line.output = usage.input, usage.cached, usage.output
            line.reasoning = usage.reasoning
            cost = self._billing.cost(settlement.engine, settlement.served or call.model, usage)
            line.nano_yuan = None if cost is None else cost.nano
        self._calls.add(line)

    def passed(self, request: Passed) -> None:
        """Count a request that was passed on to the cloud without the exchange, and write its line."""
        self._metrics.passed[request.method, str(request.status)] += 1
        self._calls.add(request)
        self._calls.flush()
