"""The local models that share this machine's memory: who fits, and who must rest for another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import structlog

from qiao.engines.child import NoRoom
from qiao.engines.process import Settings
from qiao.weights import memory
from qiao.weights.header import Weights

LEAST_CONTEXT = 2048  # tokens; a context that nobody has set is not made smaller than this
log = structlog.get_logger("qiao.local")


class Resident(Protocol):
    """A model that can be told to give its memory back."""

    used: float  # seconds, monotonic, of its last call

    @property
    def idle(self) -> bool: ...

    async def rest(self) -> None: ...


class Residents:
    """All models of a server. Only one is loaded at a time, so that each sees what the last one has left."""

    def __init__(self, available: Callable[[], int] = memory.available) -> None:
        self.loading = asyncio.Lock()
        self._available = available
        self._all: list[Resident] = []

    def add(self, resident: Resident) -> None:
        """Count a model in."""
        self._all.append(resident)

    async def fit(self, weights: Weights, settings: Settings, *, fixed: bool) -> Settings:
        """The settings with which these weights can be loaded now; NoRoom when there are none.

        Idle models are sent to rest for it, the one unused for longest first. A context that is not `fixed` by the
        user is made smaller where that is enough.
        """
        parallel = settings.parallel
        needed = memory.needed(weights, context=settings.context, parallel=parallel)
        free = await self._make_room(needed)
        if needed <= free:
            return replace(settings, cache_mib=min(settings.cache_mib, (free - needed) // 2**20))
        fitting = min(memory.fitting_context(weights, parallel=parallel, free=free) or 0, settings.context)
        if not fixed and fitting >= LEAST_CONTEXT:
            log.warning("context_reduced", weights=str(weights.path), context=fitting, wanted=settings.context)
            return replace(settings, context=fitting, cache_mib=0)
        raise NoRoom(_too_large(weights, settings, needed, free, fitting))

    async def _make_room(self, needed: int) -> int:
        """Bytes that are free, after idle models have given theirs as far as that is needed."""
        for resident in sorted(self._all, key=lambda resident: resident.used):
            if self._available() >= needed:
                break
            if resident.idle:
                await resident.rest()
        return self._available()


def _too_large(weights: Weights, settings: Settings, needed: int, free: int, fitting: int) -> str:
    said = (
        f"{weights.path.name} needs {_gib(needed)} GiB with a context of {settings.context} tokens "
        f"for {settings.parallel} calls at once, and {_gib(free)} GiB are free."
    )
    if fitting:
        return f"{said} A context of {fitting} tokens would fit: set QIAO_CONTEXT, or context of the engine."
    return f"{said} Take smaller weights, or free memory."


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
