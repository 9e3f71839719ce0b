"""Measures the local engine: through Qiao beside the engine process asked directly. README.md tells the method.

python bench/local.py [--quick] [--llama-server PATH] [--model FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import local_measures as measures
import local_servers
from load import BadAnswer
from local_servers import DEMO, Running, Weights
from servers import NotStarted

CACHE = Path(__file__).parent / ".cache"
MIB = 2**20
ROOM = 400 * MIB  # what an engine may take beside its file and its cache of keys and values


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table; without a limit it is told, not judged."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    least: bool = False  # the limit is one from below

    @property
    def verdict(self) -> str:
        """Met, not met, or nothing."""
        if self.limit is None:
            return ""
        return "met" if (self.value >= self.limit if self.least else self.value <= self.limit) else "not met"


def weights(path: Path | None) -> tuple[Weights, Weights]:
    """The built-in model, and the one of true size, which is made once."""
    true = path or CACHE / "qwen3-0.6b-q8_0.gguf"
    if not true.exists():
        tell("the random model of 0.6 billion weights is made, once")
        CACHE.mkdir(exist_ok=True)
        make = [sys.executable, "-m", "tools.random_model", "qwen3-0.6b", str(true.resolve()), "--kind", "q8_0"]
        subprocess.run(make, check=True, cwd=CACHE.parents[1])
    return Weights("built-in", DEMO, per_token=6 * 1 * 64 * 2 * 2), Weights(
        "0.6B", true, per_token=28 * 8 * 128 * 2 * 2
    )


async def demo(weights: Weights, folder: Path, rounds: int) -> list[Figure]:
    """What the built-in model shows: it is so quick that what Qiao adds is seen."""
    with local_servers.qiao(weights, folder) as running:
        tell("built-in model: first tokens")
        through, direct = await measures.first_tokens(running, rounds * 30)
        return [
            Figure("first token through Qiao, median", through * 1000, "ms"),
            Figure("added to the first token", (through - direct) * 1000, "ms", 5),
            *await _life(running, folder, rounds),
        ]


async def true_size(weights: Weights, folder: Path, rounds: int, binary: Path | None) -> list[Figure]:
    """What a model of true size shows."""
    figures: list[Figure] = []
    with ExitStack() as stack:
        running = stack.enter_context(local_servers.qiao(weights, folder))
        for width, limit in ((1, 97.0), (8, 95.0)):
            tell(f"0.6B: decoding, {width} at once")
            rates = await measures.decoding(running.through, running.direct, width, rounds, running.process.pid)
            figures += [
                Figure(f"decode through Qiao, {width} at once", rates.one, "tokens/s"),
                Figure(f"decode, the engine asked directly, {width} at once", rates.other, "tokens/s"),
                Figure(
                    f"ratio, {width} at once, best of {rounds}", 100 * rates.one / rates.other, "%", limit, least=True
                ),
                Figure(f"ratio, {width} at once, median of pairs", 100 * rates.paired, "%"),
                Figure(f"CPU of Qiao, {width} at once", rates.cpu * 1e6, "µs/token"),
            ]
        tell("0.6B: a prefix known before")
        cold, warm = await measures.known_prefix(running, rounds)
        figures += [
            Figure("first token after 440 tokens, new", cold, "s"),
            Figure("first token after 440 tokens, known before", warm, "s", 0.3),
        ]
        tell("0.6B: callers who leave")
        left = await measures.cancelling(running, rounds)
        figures += [
            Figure("slot free after a caller left while decoding", left.decode * 1000, "ms", 100),
            Figure("one batch of the prompt", left.batch * 1000, "ms"),
            Figure("slot free after a caller left in the prompt", left.prefill * 1000, "ms", left.batch * 1000 + 100),
        ]
        if binary:
            tell("0.6B: llama-server")
            (folder / "native").mkdir()
            native = stack.enter_context(local_servers.qiao(weights, folder / "native", binary))
            rates = await measures.decoding(running.direct, native.direct, 1, rounds)
            prefill = await measures.prefilling(running.direct, native.direct, rounds)
            figures += [
                Figure("decode, engine / llama-server", 100 * rates.one / rates.other, "%", 85, least=True),
                Figure("prompt, engine / llama-server", 100 * prefill, "%", 50, least=True),
            ]
            native.stop()
        figures += await _life(running, folder, rounds)
    return figures


async def _life(running: Running, folder: Path, rounds: int) -> list[Figure]:
    """Start, memory, crash, and the parent's death; the server is gone afterwards."""
    weights, settings = running.weights, running.settings
    tell(f"{weights.name}: memory, start, crash")
    kept = weights.path.stat().st_size + weights.per_token * settings["context"] * settings["parallel"]
    memory = running.memory()
    crash = min([await measures.crashing(running) for _ in range(2)])
    orphan = measures.orphaned(running)
    load = min(local_servers.load_seconds(settings, folder) for _ in range(rounds))
    name = weights.name
    return [
        Figure(f"{name}: engine's memory", memory / MIB, "MiB", (kept + ROOM) / MIB),
        Figure(f"{name}: engine's start to ready", load, "s", 0.5 if weights.path == DEMO else 3),
        Figure(f"{name}: kill -9 to the next answer", crash, "s", load + 1),
        Figure(f"{name}: engine gone after its parent was killed", orphan, "s", 3),
    ]


def table(figures: list[Figure]) -> str:
    """A line per figure, with its bar."""
    lines = ["| figure | measured | bar | |", "| --- | ---: | ---: | --- |"]
    for figure in figures:
        sign = "≥" if figure.least else "≤"
        bar = "" if figure.limit is None else f"{sign} {_number(figure.limit)} {figure.unit}"
        lines.append(f"| {figure.name} | {_number(figure.value)} {figure.unit} | {bar} | {figure.verdict} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def tell(what: str) -> None:
    """Say on standard error what is being done."""
    print(f"bench: {what} …", file=sys.stderr, flush=True)


async def measure(given: argparse.Namespace) -> list[Figure]:
    """Everything, one after the other."""
    small, large = weights(given.model)
    large = replace(large, context=given.context)
    rounds = 2 if given.quick else 5
    with tempfile.TemporaryDirectory(prefix="qiao-bench-") as place:
        for name in ("demo", "true"):
            (Path(place) / name).mkdir()
        first = await demo(small, Path(place) / "demo", rounds)
        return first + await true_size(large, Path(place) / "true", rounds, given.llama_server)


def main() -> int:
    """Measure and tell; 0 unless something could not be measured."""
    parser = argparse.ArgumentParser(description="Measure the local engine, through Qiao and beside it.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and rougher")
    parser.add_argument("--llama-server", type=Path, metavar="PATH", help="a llama-server built for this machine")
    parser.add_argument("--model", type=Path, metavar="FILE", help="a Qwen3-0.6B in place of the random one")
    parser.add_argument("--context", type=int, default=2048, metavar="N", help="tokens of a call")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file too")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    before = os.getloadavg()[0]
    try:
        figures = asyncio.run(measure(given))
    except (BadAnswer, NotStarted, TimeoutError) as error:
        print(f"bench: {error or 'no answer in time'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(table(figures))
    print(f"\n{os.cpu_count()} CPUs; load {before:.1f} before, {os.getloadavg()[0]:.1f} after.")
    if given.json:
        given.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
