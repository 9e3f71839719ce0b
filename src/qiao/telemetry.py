"""Logs and metrics: their names, and the one line that each call leaves. No prompt, no secret, no header."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import TextIO

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCY = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """The metrics that carry an engine's label."""

    ttft: Histogram
    duration: Histogram
    attempts: Counter
    input: Counter
    output: Counter


class Metrics:
    """The Prometheus metrics, in a registry of their own. Labels come from closed sets: no model name of a caller."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.calls = Counter(
            "qiao_calls", "Calls settled.", ["engine", "protocol", "outcome", "status"], registry=self.registry
        )
        self.tokens = Counter("qiao_tokens", "Tokens by kind.", ["engine", "kind"], registry=self.registry)
        self.attempts = Counter("qiao_attempts", "Attempts made on engines.", ["engine"], registry=self.registry)
        self.ttft = Histogram(
            "qiao_ttft_seconds", "Time to first byte.", ["engine"], buckets=LATENCY, registry=self.registry
        )
        self.duration = Histogram(
            "qiao_call_seconds", "Time to last byte.", ["engine"], buckets=LATENCY, registry=self.registry
        )
        self.active = Gauge("qiao_active_requests", "Requests being answered.", registry=self.registry)
        self.passed = Counter(
            "qiao_passed", "Requests passed on to the cloud as they are.", ["method", "status"], registry=self.registry
        )
        self._engines: dict[str, EngineMetrics] = {}
        self._calls: dict[tuple[str, str, str, int], Counter] = {}

    def of(self, engine: str) -> EngineMetrics:
        """The metrics of one engine; looking labels up costs more than counting."""
        bound = self._engines.get(engine)
        if bound is None:
            bound = self._engines[engine] = EngineMetrics(
                self.ttft.labels(engine),
                self.duration.labels(engine),
                self.attempts.labels(engine),
                self.tokens.labels(engine, "input"),
                self.tokens.labels(engine, "output"),
            )
        return bound

    def call(self, engine: str, protocol: str, outcome: str, status: int) -> Counter:
        """The counter of one way to end a call."""
        key = (engine, protocol, outcome, status)
        bound = self._calls.get(key)
        if bound is None:
            bound = self._calls[key] = self.calls.labels(engine, protocol, outcome, str(status))
        return bound

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)


class CallLog:
    """One JSON line per call, written in batches: a line through `logging` would cost as much as half a relay."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lines: list[msgspec.Struct] = []

    def add(self, line: msgspec.Struct) -> bool:
        """Keep a line; True when it is the first since the last flush."""
        if self._stream is None:
            return False
        self._lines.append(line)
        return len(self._lines) == 1

    def flush(self) -> None:
        """Write what is kept; a sink that cannot be written loses lines and nothing else."""
        lines, self._lines = self._lines, []
        if self._stream is None or not lines:
            return
        try:
            self._stream.write(msgspec.json.Encoder().encode_lines(lines).decode("utf-8", "replace"))
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
