"""How much memory a model takes, and how much there is. All in bytes."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from qiao.weights.header import Weights

OVERHEAD = 400 * 2**20  # of the process: buffers of a batch, vocabulary, libraries
STEP = 256  # tokens to which the engine rounds a context
LEAST = 1024  # tokens; with less no conversation is worth starting
_CACHE_VALUE = 2  # bytes: keys and values are kept as 16-bit numbers


def kv_bytes(weights: Weights, tokens: int) -> int:
    """The keys and values of so many tokens."""
    return _CACHE_VALUE * sum(weights.kv_heads) * (weights.key_length + weights.value_length) * tokens


def needed(weights: Weights, *, context: int, parallel: int) -> int:
    """The file, the cache for `parallel` calls of `context` tokens each, and what the process takes itself."""
    return weights.size + parallel * (kv_bytes(weights, context) + weights.state) + OVERHEAD


def fitting_context(weights: Weights, *, parallel: int, free: int) -> int | None:
    """The longest context, up to the model's own, whose memory is free; None when the model does not fit."""
    most = weights.context or LEAST
    room = free - needed(weights, context=0, parallel=parallel)
    each = kv_bytes(weights, 1) * parallel
    tokens = most if each == 0 else min(most, room // each // STEP * STEP)
    return tokens if room >= 0 and tokens >= min(LEAST, most) else None


def available(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that can still be used here: what the system has free, within the limits of this container."""
    if sys.platform == "win32":
        return _windows()
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "darwin":
        return total * 3 // 4  # most of what is in use there is cache, and a GPU may use no more than this
    free = _value(proc / "meminfo", "MemAvailable:")
    limits = [room for group in _groups(proc, cgroups) if (room := _room(group)) is not None]
    return min([total // 2 if free is None else free * 1024, *limits])


def _groups(proc: Path, cgroups: Path) -> list[Path]:
    """The folders of this process's control groups for memory, with those above them (versions 1 and 2)."""
    found: list[Path] = []
    for line in _text(proc / "self" / "cgroup").splitlines():
        number, controllers, name = (*line.split(":", 2), "", "")[:3]
        if number == "0" and not controllers:
            root = cgroups
        elif "memory" in controllers.split(","):
            root = cgroups / "memory"
        else:
            continue
        group = root / name.lstrip("/")
        found += [group, *(parent for parent in group.parents if parent.is_relative_to(root))]
    return found


def _room(group: Path) -> int | None:
    """What a control group may still take; cached files that can be dropped do not count as taken."""
    for limit, usage, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        most, used = _text(group / limit).strip(), _text(group / usage).strip()
        if most.isdigit() and used.isdigit():
            return max(int(most) - max(int(used) - (_value(group / "memory.stat", cached) or 0), 0), 0)
    return None


def _value(path: Path, name: str) -> int | None:
    """The number that follows a name at the beginning of a line."""
    rows = (line.split() for line in _text(path).splitlines())
    return next((int(row[1]) for row in rows if row[:1] == [name] and row[1:2] and row[1].isdigit()), None)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _windows() -> int:
    """Physical memory that is free, of MEMORYSTATUSEX: two 32-bit numbers and seven 64-bit ones."""
    status = (ctypes.c_uint64 * 8)(64)
    windll = getattr(ctypes, "windll", None)
    if windll is None or not windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return 2**32
    return int(status[2])
