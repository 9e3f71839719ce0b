"""What the figures come to: medians, a table, and the ratios against their bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

Figures = dict[str, float]
NATIVE = "Qiao, native door"
QUIET = 0.05  # the share of the machine above which others disturb
COLUMNS = {
    "request": "µs/request",
    "steady": "µs/request steady",
    "paced": "µs/chunk paced",
    "burst": "µs/chunk burst",
    "p50": "+p50 ms",
    "p99": "+p99 ms",
    "ttft": "+TTFT ms",
    "stream": "KB/stream",
    "idle": "idle MB",
    "start": "start s",
}


@dataclass(slots=True)
class Results:
    """Figures by round and row; those taken at the start only; and the share of the machine that others used."""

    rounds: list[dict[str, Figures]] = field(default_factory=list[dict[str, Figures]])
    starts: dict[str, dict[str, list[float]]] = field(default_factory=dict[str, dict[str, list[float]]])
    others: float = 0.0

    def once(self, row: str, figure: str, value: float) -> None:
        """Keep a figure that belongs to no round."""
        self.starts.setdefault(row, {}).setdefault(figure, []).append(value)

    def rows(self) -> list[str]:
        """The rows that were measured, peers first."""
        return sorted(self.rounds[0], key=lambda row: (row.startswith("Qiao"), row))

    def values(self, row: str, figure: str) -> list[float]:
        """A figure of a row, one value a round or a start; none where it was not measured."""
        each = [figures[row][figure] for figures in self.rounds if figure in figures.get(row, {})]
        return each or self.starts.get(row, {}).get(figure, [])

    def ratio(self, figure: str, over: str, under: str) -> float | None:
        """How many times larger a figure is in one row than in another: the median over rounds."""
        pairs = zip(self.values(over, figure), self.values(under, figure), strict=False)
        ratios = [high / low for high, low in pairs if low > 0]
        return median(ratios) if ratios else None


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure of `row`, or its ratio to the same figure of `by`, and its limit; `final` is not asked for yet."""

    row: str
    figure: str
    limit: float
    by: str | None = None
    least: bool = False  # the limit is one from below
    final: bool = True


BARS = (
    Bar("Qiao", "request", 8, by="nginx", final=False),
    Bar("Qiao", "steady", 8, by="nginx", final=False),
    Bar("LiteLLM", "request", 40, by="Qiao", least=True, final=False),
    Bar("Qiao", "request", 4, by="nginx"),
    Bar(NATIVE, "request", 7, by="nginx"),
    Bar("Qiao", "paced", 2, by="nginx"),
    Bar("Qiao", "burst", 1.3, by="nginx"),
    Bar("Qiao", "p50", 2.3, by="nginx"),
    Bar("Qiao", "p50", 0.35),
    Bar("Qiao", "p99", 0.7),
    Bar("Qiao", "ttft", 0.5),
    Bar("Qiao", "stream", 30),
    Bar("Qiao", "idle", 60),
    Bar("Qiao", "start", 0.8),
)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that so large a share of the ordered values does not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def table(results: Results) -> str:
    """A line per server with the medians, and how far the rounds were apart."""
    lines = [_line("server", COLUMNS.values()), _line("---", ("---:" for _ in COLUMNS))]
    for row in results.rows():
        medians = [median(values) if (values := results.values(row, figure)) else None for figure in COLUMNS]
        lines.append(_line(row, (_number(value) for value in medians)))
    spreads = [f"{row} {spread:.0%}" for row in results.rows() if (spread := _spread(results, row)) is not None]
    noise = f"Rounds differ in µs/request by {', '.join(spreads)}" if spreads else "One round only"
    caution = " Trust the ratios of CPU, not the tails of latency." if results.others > QUIET else ""
    return "\n".join([*lines, "", f"{noise}. Others used {results.others:.0%} of the machine.{caution}"])


def judged(results: Results) -> str:
    """A line per bar, and at the end what could not be judged."""
    lines = ["", _line("bar", ("limit", "measured", "")), _line("---", ("---:", "---:", "---"))]
    unknown: list[str] = []
    for bar in BARS:
        value = _measured(results, bar)
        name = _name(bar)
        verdict = "not judged"
        if value is None:
            unknown.append(name)
        else:
            verdict = "PASS" if (value >= bar.limit if bar.least else value <= bar.limit) else "short"
        limit = f"{'≥' if bar.least else '≤'} {bar.limit:g}{'×' if bar.by else ''}"
        lines.append(_line(name, (limit, f"{_number(value)}{'×' if bar.by and value is not None else ''}", verdict)))
    if unknown:
        lines += ["", f"Not judged, because a peer was not measured: {'; '.join(unknown)}."]
    return "\n".join(lines)


def document(results: Results) -> dict[str, object]:
    """Everything as plain values."""
    bars = [
        {"bar": _name(bar), "limit": bar.limit, "least": bar.least, "measured": _measured(results, bar)} for bar in BARS
    ]
    return {"rounds": results.rounds, "starts": results.starts, "others": results.others, "bars": bars}


def _measured(results: Results, bar: Bar) -> float | None:
    if bar.by is not None:
        return results.ratio(bar.figure, bar.row, bar.by)
    values = results.values(bar.row, bar.figure)
    return median(values) if values else None


def _spread(results: Results, row: str) -> float | None:
    values = results.values(row, "request")
    return (max(values) - min(values)) / median(values) if len(values) > 1 else None


def _name(bar: Bar) -> str:
    name = f"{COLUMNS[bar.figure]}: {bar.row}{f' / {bar.by}' if bar.by else ''}"
    return f"{name} (final)" if bar.final else name


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _line(first: str, cells: Iterable[str]) -> str:
    return f"| {' | '.join([first, *cells])} |"
