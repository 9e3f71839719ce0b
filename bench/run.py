"""Measures Qiao's relay beside nginx and LiteLLM in one run. What counts are the ratios; README.md tells the method.

python bench/run.py [--quick] [--rounds N] [--peers nginx,litellm] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import load
import report
import servers
import uvloop
from report import Figures, Results
from servers import Plan, Server


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: seconds of each load, streams held open, starts of a server, and rounds."""

    seconds: float
    held: int
    starts: int
    rounds: int


FULL = Size(seconds=1.0, held=300, starts=3, rounds=5)
QUICK = Size(seconds=0.4, held=100, starts=1, rounds=2)
WIDTH = 16  # connections at once
STEADY = 1000.0  # requests a second where CPU is measured under the same load for all who can bear it
RATE, LOW_RATE = 200.0, 20.0  # requests a second where latency is measured; the low one where 200 is too much


@dataclass(frozen=True, slots=True)
class Row:
    """What a line of the table is about: a server and the door that is asked; without a process it is the engine."""

    name: str
    port: int
    server: Server | None = None
    native: bool = False
    rate: float = RATE

    @property
    def steady(self) -> float:
        """The rate at which its CPU is measured."""
        return STEADY if self.rate == RATE else self.rate

    def question(self, *, chunks: int = 0, every: int = 0) -> load.Question:
        """The question at this door."""
        ask = servers.native if self.native else servers.openai
        return ask(chunks=chunks, every=every)


async def measure(plans: list[Plan], size: Size) -> Results:
    """All rounds over all servers; everything started is ended again, whatever happens."""
    results = Results()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qiao-bench-")))
        engine = stack.enter_context(servers.engine(folder))
        rows = [Row("direct", engine.port)]
        for plan in plans:
            tell(f"{plan.name} starts")
            server = await _start(plan, folder, engine.port, size, results)
            stack.callback(server.stop)
            rows.append(Row(plan.name, server.port, server, rate=LOW_RATE if plan.slow else RATE))
            if plan is servers.QIAO:
                rows.append(Row(report.NATIVE, server.port, server, native=True))
        for row in rows:
            await _held(row, size.held, results)
        machine = _Machine([engine, *(row.server for row in rows if row.server and not row.native)])
        for number in range(size.rounds):
            tell(f"round {number + 1} of {size.rounds}")
            turn = number % len(rows)
            results.rounds.append(await _round(rows[turn:] + rows[:turn], size))
        results.others = machine.others()
    return results


async def _start(plan: Plan, folder: Path, engine: int, size: Size, results: Results) -> Server:
    """Start a server some times, and keep the last; start and idle memory go to the results."""
    starts: list[Server] = []
    for _ in range(1 if plan.slow else size.starts):
        if starts:
            starts[-1].stop()
        starts.append(await servers.start(plan, folder / plan.name, engine, servers.openai()))
        results.once(plan.name, "start", starts[-1].start)
        results.once(plan.name, "idle", starts[-1].memory() / 1024)
    return starts[-1]


async def _held(row: Row, count: int, results: Results) -> None:
    """What an open stream takes of a server that has streamed a little before."""
    if row.server is None or row.native:
        return
    tell(f"{row.name} holds {count} streams")
    await load.saturate(row.port, row.question(chunks=10), width=WIDTH, seconds=0.2)
    before = row.server.memory()
    async with load.held(row.port, row.question(chunks=30, every=2000), count=count):
        results.once(row.name, "stream", (row.server.memory() - before) / count)
    await asyncio.sleep(1.0)  # for the server to clear up after the streams that were dropped


async def _round(rows: list[Row], size: Size) -> dict[str, Figures]:
    """Every figure of every row once; the servers take turns within each figure, so that noise hits all alike."""
    measured: dict[str, Figures] = {row.name: {} for row in rows}
    for row in rows:
        if row.server:
            await load.saturate(row.port, row.question(), width=WIDTH, seconds=0.1)
            before = row.server.cpu()
            done = await load.saturate(row.port, row.question(), width=WIDTH, seconds=size.seconds)
            measured[row.name]["request"] = (row.server.cpu() - before) / done.answers / 1000
    for row in rows:
        if row.server:
            before = row.server.cpu()
            answers = await load.steady(row.port, row.question(), rate=row.steady, seconds=2 * size.seconds)
            measured[row.name]["steady"] = (row.server.cpu() - before) / len(answers) / 1000
    for row in rows:
        if row.server:
            before = row.server.cpu()
            done = await load.saturate(row.port, row.question(chunks=200), width=WIDTH // 2, seconds=size.seconds)
            measured[row.name]["burst"] = (row.server.cpu() - before) / done.chunks / 1000
    for row in rows:
        if row.server:
            before = row.server.cpu()
            paced = row.question(chunks=int(50 * size.seconds) + 50, every=20)
            done = await load.trickle(row.port, paced, width=WIDTH, over=0.3)
            measured[row.name]["paced"] = (row.server.cpu() - before) / done.chunks / 1000
    for row in rows:
        answers = await load.steady(row.port, row.question(), rate=row.rate, seconds=2 * size.seconds)
        times = sorted(answer.whole * 1000 for answer in answers)
        measured[row.name] |= {"p50": report.quantile(times, 0.5), "p99": report.quantile(times, 0.99)}
    for row in rows:
        answers = await load.one_by_one(row.port, row.question(chunks=2, every=5), count=int(50 * size.seconds) + 10)
        measured[row.name]["ttft"] = report.quantile(sorted(answer.first * 1000 for answer in answers), 0.5)
    direct = measured.pop("direct")
    for figures in measured.values():
        figures |= {name: figures[name] - direct[name] for name in ("p50", "p99", "ttft")}
    return measured


class _Machine:
    """Tells how much of the machine others used meanwhile."""

    def __init__(self, ours: list[Server]) -> None:
        self._ours = ours
        self._began = time.perf_counter()
        self._busy, self._own = _busy(), self._used()

    def others(self) -> float:
        """The share of all CPUs, 0 to 1, that went to processes that are not the bench's."""
        spent = _busy() - self._busy - (self._used() - self._own)
        return max(0.0, spent / (time.perf_counter() - self._began) / (os.cpu_count() or 1))

    def _used(self) -> float:
        return sum(server.cpu() for server in self._ours) / 1e9 + time.process_time()


def _busy() -> float:
    """Seconds that the machine's CPUs have worked: user, nice, system, interrupts and what the host took."""
    fields = [int(field) for field in Path("/proc/stat").read_text("ascii").split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def tell(what: str) -> None:
    """Say on standard error what is being done."""
    print(f"bench: {what} …", file=sys.stderr, flush=True)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure Qiao's relay beside nginx and LiteLLM in one run.")
    parser.add_argument("--quick", action="store_true", help="a minute instead of several, and rougher")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds whose median is told")
    parser.add_argument("--peers", default=",".join(servers.PEERS), metavar="A,B", help="peers, or an empty text")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file too")
    given = parser.parse_args()
    given.peers = [name for name in given.peers.split(",") if name]
    if unknown := set(given.peers) - set(servers.PEERS):
        parser.error(f"there is no peer {', '.join(sorted(unknown))}; there are {', '.join(servers.PEERS)}")
    if given.rounds is not None and given.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return given


def main() -> int:
    """Measure and tell; 0 unless something could not be measured."""
    given = options()
    size = QUICK if given.quick else FULL
    if given.rounds:
        size = Size(size.seconds, size.held, size.starts, given.rounds)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    peers = [servers.PEERS[name] for name in given.peers]
    for plan in peers:
        if not plan.present:
            print(f"bench: {plan.name} is left out, it is not installed: {plan.install}", file=sys.stderr)
    try:
        with servers.on_cpus(server=False):
            results = uvloop.run(measure([*(plan for plan in peers if plan.present), servers.QIAO], size))
    except (load.BadAnswer, servers.NotStarted) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: stopped, and every server with it", file=sys.stderr)
        return 130
    print(report.table(results))
    print(report.judged(results))
    if given.json:
        given.json.write_text(json.dumps(report.document(results), indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
