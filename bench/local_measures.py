"""What is measured of a local engine. Two ways of asking take turns, so that a noisy machine disturbs both alike."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from itertools import count
from signal import SIGKILL
from statistics import median
from time import perf_counter

import local_servers
import servers
from load import BadAnswer
from local_client import Place, Stream, prompt, tell
from local_servers import Running

TOKENS = 64  # of an answer whose speed is measured
SENTENCE = "A bridge of one span carries the road over the river, and the river does not ask who crosses it. "
LONG = 20  # sentences: 440 tokens
_number = count(1)


@dataclass(frozen=True, slots=True)
class Rates:
    """Tokens a second of one way and of another, the median of their ratios, CPU seconds a token of a process."""

    one: float
    other: float
    paired: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Left:
    """Seconds until the slot of a caller who left is free, and of one batch of a prompt."""

    decode: float
    prefill: float
    batch: float


async def decoding(one: Place, other: Place, width: int, rounds: int, watched: int | None = None) -> Rates:
    """Decode at two places in turn, `width` answers at once; the best rounds, and what process `watched` used."""
    rates: dict[Place, list[float]] = {one: [], other: []}
    used = tokens = 0.0
    for place in (one, other):
        await tell(place, prompt("Hello"), 4)
    for turn in range(rounds):
        for place in (one, other) if turn % 2 else (other, one):
            before = servers.cpu(watched) if watched else 0
            rate, answered = await _decode(place, width)
            rates[place].append(rate)
            if watched and place is one:
                used += (servers.cpu(watched) - before) / 1e9
                tokens += answered
    paired = median(mine / its for mine, its in zip(rates[one], rates[other], strict=True))
    return Rates(max(rates[one]), max(rates[other]), paired, used / tokens if tokens else 0.0)


async def _decode(place: Place, width: int) -> tuple[float, int]:
    """Tokens a second, and how many there were."""
    asked = [tell(place, prompt(f"Tell me of bridge {number}."), TOKENS) for number in range(width)]
    told = await asyncio.gather(*asked)
    tokens = sum(answer.tokens for answer in told)
    if width == 1:
        return (tokens - 1) / (told[0].last - told[0].first), tokens
    return tokens / (max(answer.last for answer in told) - min(answer.asked for answer in told)), tokens


async def prefilling(one: Place, other: Place, rounds: int) -> float:
    """How many times faster one place reads a long new prompt than another: the best of the rounds."""
    waits: dict[Place, list[float]] = {one: [], other: []}
    for turn in range(rounds):
        for place in (one, other) if turn % 2 else (other, one):
            waits[place].append((await tell(place, prompt(_long()), 2)).wait)
    return min(waits[other]) / min(waits[one])


async def first_tokens(running: Running, times: int) -> tuple[float, float]:
    """Median seconds to the first token through Qiao and directly."""
    waits: dict[Place, list[float]] = {running.through: [], running.direct: []}
    for _ in range(times):
        for place, seen in waits.items():
            seen.append((await tell(place, prompt("Hello"), 4)).wait)
    through, direct = map(median, waits.values())
    return through, direct


async def known_prefix(running: Running, rounds: int) -> tuple[float, float]:
    """Seconds to the first token after a long system message, the first time and when only the question is new."""
    cold: list[float] = []
    warm: list[float] = []
    for _ in range(rounds):
        system = _long()
        cold.append((await tell(running.through, prompt("Who crosses it?", system), 2)).wait)
        warm.append((await tell(running.through, prompt("What does it carry?", system), 2)).wait)
    return min(cold), min(warm)


async def cancelling(running: Running, rounds: int) -> Left:
    """All slots but one decode; the last one's caller leaves, and one who waits gets its slot.

    What the one who waited needs anyhow, when the slot is free at once, is taken off.
    """
    usual = min([await _slot(running, None) for _ in range(rounds)])
    batch = min([await _batch(running) for _ in range(2)])
    decode = min([await _slot(running, prompt("Tell me of a bridge.")) for _ in range(rounds)])
    prefill = min([await _slot(running, prompt(_long() + _long()), begin=False) for _ in range(rounds)])
    return Left(max(decode - usual, 0.0), max(prefill - usual, 0.0), batch)


async def _slot(running: Running, leaver: list[dict[str, str]] | None, *, begin: bool = True) -> float:
    """Seconds from a caller's leaving (none: from the question) to the first token of one who waited for the slot."""
    place = running.through
    busy = [await Stream.ask(place, prompt("Go on."), 1500) for _ in range(running.settings["parallel"] - 1)]
    for stream in busy:
        await stream.begin()
    if leaver is None:
        waited = await (await Stream.ask(place, prompt("Next?"), 2)).begin()
    else:
        leaving = await Stream.ask(place, leaver, 1500)
        if begin:
            await leaving.begin()
        else:
            await asyncio.sleep(0.5)  # into the prompt
        waiting = await Stream.ask(place, prompt("Next?"), 2)
        first = asyncio.create_task(waiting.begin())
        await asyncio.sleep(0.1)
        if first.done():
            raise BadAnswer("a slot was free that should have been taken")
        left = perf_counter()
        leaving.close()
        await first
        waited = perf_counter() - left
        waiting.close()
    for stream in busy:
        stream.close()
    await asyncio.sleep(0.5)  # for the slots to be free again
    return waited


async def _batch(running: Running) -> float:
    """Seconds that one batch of a prompt takes while other answers run."""
    others = [
        await Stream.ask(running.through, prompt("Go on."), 1500) for _ in range(running.settings["parallel"] - 1)
    ]
    for stream in others:
        await stream.begin()
    waited = (await tell(running.through, prompt(_long()), 2)).wait
    for stream in others:
        stream.close()
    await asyncio.sleep(0.5)
    return waited / (22 * LONG / running.settings["batch"])


async def crashing(running: Running) -> float:
    """Seconds from the end of the engine process by force to the first token of the next answer."""
    await tell(running.through, prompt("Hello"), 2)
    began = perf_counter()
    os.kill(running.engine, SIGKILL)
    while perf_counter() - began < local_servers.START:
        try:
            told = await tell(running.through, prompt("Hello again"), 2)
        except (BadAnswer, OSError):
            await asyncio.sleep(0.02)
        else:
            return told.first - began
    raise BadAnswer("no answer after the engine's crash")


def orphaned(running: Running) -> float:
    """Seconds from the end of the server by force to the end of its engine."""
    engine = running.engine
    began = perf_counter()
    os.kill(running.process.pid, SIGKILL)
    while local_servers.alive(engine) and perf_counter() - began < local_servers.START:
        time.sleep(0.005)
    return perf_counter() - began


def _long() -> str:
    """440 tokens that no earlier prompt began with."""
    return f"Case {next(_number)}. " + SENTENCE * LONG
