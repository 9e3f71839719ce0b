"""Logs and metrics: their names, and the one line that each call leaves. No prompt, no secret, no header."""

from __future__ import annotations

import logging
import sys
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import BinaryIO, TextIO

import msgspec
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

STATES = ("ready", "cooling", "unhealthy", "draining")
LATENCY = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Timing:
    """A histogram in plain numbers: counting in them costs a tenth of what the library's locked values cost."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(LATENCY, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """The cumulative buckets as Prometheus names them."""
        ends = [*map(str, map(float, LATENCY)), "+Inf"]
        return list(zip(ends, accumulate(self.counts), strict=True))


class EngineCounts:
    """What is counted for one engine."""

    __slots__ = ("attempts", "duration", "input", "output", "ttft")

    def __init__(self) -> None:
        self.attempts = self.input = self.output = 0
        self.ttft = Timing()
        self.duration = Timing()


@dataclass(frozen=True, slots=True)
class EngineGauges:
    """How one engine stands at this moment."""

    name: str
    state: str
    running: int
    outstanding: int | None  # None where it is not counted


class Metrics(Collector):
    """The Prometheus metrics, in a registry of their own. Labels come from closed sets: no model name of a caller.

    Counted in plain numbers and handed to the library when Prometheus asks (its interface for custom collectors).
    """

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str, str, str]] = Counter()  # engine, protocol, outcome, status
        self.passed: Counter[tuple[str, str]] = Counter()  # method, status
        self.engines: defaultdict[str, EngineCounts] = defaultdict(EngineCounts)
        self.active: Callable[[], int] = lambda: 0
        self.standing: Callable[[], Sequence[EngineGauges]] = tuple
        self.waiting: Callable[[], Mapping[str, int]] = dict[str, int]  # by engine
        self.refresh: Callable[[], None] = lambda: None  # counts what still waits
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """The families, as the registry wants them."""
        self.refresh()
        calls = CounterMetricFamily("qiao_calls", "Calls settled.", labels=["engine", "protocol", "outcome", "status"])
        for labels, count in self.calls.items():
            calls.add_metric(labels, count)
        tokens = CounterMetricFamily("qiao_tokens", "Tokens by kind.", labels=["engine", "kind"])
        attempts = CounterMetricFamily("qiao_attempts", "Attempts made on engines.", labels=["engine"])
        ttft = HistogramMetricFamily("qiao_ttft_seconds", "Time to first byte.", labels=["engine"])
        duration = HistogramMetricFamily("qiao_call_seconds", "Time to last byte.", labels=["engine"])
        for name, counts in self.engines.items():
            tokens.add_metric([name, "input"], counts.input)
            tokens.add_metric([name, "output"], counts.output)
            attempts.add_metric([name], counts.attempts)
            ttft.add_metric([name], counts.ttft.buckets(), counts.ttft.total)
            duration.add_metric([name], counts.duration.buckets(), counts.duration.total)
        passed = CounterMetricFamily(
            "qiao_passed", "Requests passed on to the cloud as they are.", labels=["method", "status"]
        )
        for labels, count in self.passed.items():
            passed.add_metric(labels, count)
        active = GaugeMetricFamily("qiao_active_requests", "Requests being answered.", self.active())
        waiting = GaugeMetricFamily("qiao_waiting_calls", "Calls waiting for a local model.", labels=["engine"])
        for name, count in self.waiting().items():
            waiting.add_metric([name], count)
        yield from (calls, tokens, attempts, ttft, duration, active, waiting, passed)
        yield from self._gauges()

    def _gauges(self) -> Iterator[Metric]:
        running = GaugeMetricFamily("qiao_engine_running", "Calls running on the engine.", labels=["engine"])
        outstanding = GaugeMetricFamily(
            "qiao_engine_outstanding_tokens",
            "Estimated tokens of the calls running on an engine that shares its load.",
            labels=["engine"],
        )
        state = GaugeMetricFamily(
            "qiao_engine_state",
            "1 for the state that the engine is in: ready, cooling, unhealthy or draining.",
            labels=["engine", "state"],
        )
        for engine in self.standing():
            running.add_metric([engine.name], engine.running)
            if engine.outstanding is not None:
                outstanding.add_metric([engine.name], engine.outstanding)
            for name in STATES:
                state.add_metric([engine.name, name], name == engine.state)
        yield from (running, outstanding, state)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


class CallLog:
    """One JSON line per call, written in batches: a line through `logging` would cost as much as half a relay."""

    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream
        self._encode = msgspec.json.Encoder().encode_lines
        self._lines: list[msgspec.Struct] = []

    def add(self, line: msgspec.Struct) -> None:
        """Keep a line for the next flush."""
        if self._stream is not None:
            self._lines.append(line)

    def flush(self) -> None:
        """Write what is kept; a sink that cannot be written loses lines and nothing else."""
        lines, self._lines = self._lines, []
        if self._stream is None or not lines:
            return
        try:
            self._stream.write(self._encode(lines))
            self._stream.flush()
        except (OSError, ValueError):
            return


def configure(level: str = "info", *, json: bool | None = None, stream: TextIO | None = None) -> None:
    """Set up structlog once, at the start: JSON lines, or readable ones on a terminal."""
    out = stream or sys.stderr
    plain = out.isatty() if json is None else not json
    rendered: list[structlog.types.Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False),
    ]
    # The server's own words about a connection that a door left unfinished; defects are logged by the front.
    server = logging.getLogger("uvicorn.error")
    server.addHandler(logging.NullHandler())
    server.propagate = False
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([_readable()] if plain else rendered),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )


def _readable() -> structlog.types.Processor:
    """Lines for a terminal. Tracebacks stay plain: a formatter that shows locals would print keys and prompts."""
    return structlog.dev.ConsoleRenderer(repr_native_str=True, exception_formatter=structlog.dev.plain_traceback)
