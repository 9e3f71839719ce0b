"""One model on this machine: its weights' header, its process, the turns of its calls, and its rest when unused."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import structlog

from qiao.engines.child import Child
from qiao.engines.client import Client, Url
from qiao.engines.connection import Limits, Response
from qiao.engines.engine import Health
from qiao.engines.process import Settings
from qiao.engines.residents import Residents
from qiao.engines.turns import Turn, Turns
from qiao.errors import EngineReset, EngineUnavailable
from qiao.weights import header
from qiao.weights.header import Role, Weights
from qiao.wire.call import Call

DEFAULT_CONTEXT = 8192  # tokens of a call; more is a setting, because it costs memory at once
IDLE = 900.0  # seconds without a call after which a lazy model gives its memory back
PATIENCE = 30.0  # seconds that a call waits for the weights, and one more for so many bytes of them:
SLOW_DISK = 200 * 10**6
# A call may wait for a long prompt; between two tokens little time passes.
LIMITS = Limits(head=600.0, idle=120.0)
# How Qwen's models of a role make one vector of their tokens', where the weights do not say.
_POOLING = {"chat": None, "embedding": "last", "rerank": "rank"}
log = structlog.get_logger("qiao.local")
_JSON = [("content-type", "application/json")]


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the engine process is run; None leaves it to the machine or the weights."""

    role: Role | None = None  # what the weights are loaded for
    context: int | None = None  # tokens
    suggested: int | None = None  # the same, where nobody has set it: less is taken if memory is short
    threads: int | None = None
    parallel: int | None = None  # calls at once; each takes the memory of its whole context
    waiting: int = 64  # calls that may wait for a turn, of one key half as many
    batch: int = 64
    binary: str | None = None
    projector: Path | None = None  # where it does not lie beside the weights
    silence: float = 10.0  # seconds without a sign of life after which the process is started again
    lazy: bool = False  # load with the first call
    names: tuple[str, ...] = ()  # that it answers to, known before its header is read
    idle: float | None = None  # seconds without a call after which the memory is given back; 0 is never
    residents: Residents | None = None  # the models that share this machine's memory


class Resident:
    """A model that is asked over its process's Unix socket; without a path the built-in one."""

    def __init__(self, path: Path | None, name: str, client: Client, runtime: Path, tuning: Tuning) -> None:
        self.name = name
        self.used = 0.0  # seconds, monotonic, of its last call
        self.weights: Weights | None = None
        self.reason = "The local model has not been started."
        self.child: Child | None = None
        self.built_in = path is None
        self._path = path or Path(str(files("qiao").joinpath("data", "demo.gguf")))
        self._client = client
        self._runtime = runtime
        self._tuning = tuning
        self._residents = tuning.residents or Residents()
        self._residents.add(self)
        self._parallel = tuning.parallel or (4 if self.built_in else 2)
        each = max(tuning.waiting // 2, 1)
        self.turns = Turns(self._parallel, waiting=tuning.waiting, each=each, on_idle=self._unused)
        self._idle = (IDLE if tuning.lazy else 0.0) if tuning.idle is None else tuning.idle
        self._timer: asyncio.TimerHandle | None = None
        self._resting: asyncio.Task[None] | None = None

    @property
    def found_as(self) -> tuple[str, ...]:
        """The names that it answers to before its header is read."""
        return self._tuning.names

    @property
    def lazy(self) -> bool:
        """Whether it is loaded with its first call only."""
        return self._tuning.lazy

    @property
    def role(self) -> Role:
        """What the weights are loaded for: the setting's word, else the header's."""
        if self._tuning.role is None and not self.built_in:
            self._read()
        return self._tuning.role or (self.weights.role if self.weights else "chat")

    async def start(self) -> None:
        """Begin to load the weights, a lazy model's with its first call; returns at once."""
        if self.child is None:
            self._read()
            if self.weights is None:
                return
            self.child = Child(self._settings(self.weights), self._runtime, self._admission)
            if self._tuning.lazy:
                await self.child.rest()
        if self.child.state != "resting":
            self.child.start()
            self._unused()

    def _read(self) -> None:
        """Read the weights' header, once."""
        if self.weights is None:
            try:
                weights = header.read(self._path)
            except header.BadWeights as error:
                self.reason = str(error)
            else:
                self.weights = replace(weights, projector=self._tuning.projector or weights.projector)

    def health(self) -> Health:
        """Ready when the weights are loaded, or will be with the next call; otherwise why not."""
        if self.child is None:
            return Health(self.lazy, self.reason)
        return Health(self.child.state in {"ready", "unloading", "resting"}, self.child.reason)

    @property
    def idle(self) -> bool:
        """Whether the weights are in memory and nobody asks them."""
        return self.turns.idle and self.child is not None and self.child.state == "ready"

    async def rest(self) -> None:
        """Give the memory back until the next call, unless somebody asks."""
        if self.idle and self.child is not None:
            log.info("model_unloaded", engine=self.name)
            await self.child.rest()

    async def close(self) -> None:
        """End the process."""
        if self._timer is not None:
            self._timer.cancel()
        if self.child is not None:
            await self.child.close()

    async def turn(self, call: Call, places: int = 1) -> Turn:
        """Wait for a turn of the call's key; EngineOccupied when too many wait."""
        return await self.turns.take(call.principal.id, places, on_wait=lambda: _tell(call, "waiting"))

    async def post(self, call: Call, path: str, body: bytes) -> Response:
        """The process's answer to a POST, starting it if it rests; the caller holds a turn."""
        child = self.child
        if child is None or self.weights is None:
            raise EngineUnavailable(self.reason)
        if child.state != "ready":
            _tell(call, "loading")
        try:
            await child.ready(PATIENCE + self.weights.size / SLOW_DISK)
            # llama-server closes the connection after a stream although it says otherwise.
            url = Url.unix(child.socket, path)
            return await self._client.open(url, "POST", _JSON, body, limits=LIMITS, reuse=False)
        except (EngineReset, EngineUnavailable):
            await child.noticed()
            raise

    async def broken(self) -> EngineReset:
        """What it means when an answer breaks off of which nothing has reached the client: it may be tried again."""
        if self.child is not None:
            await self.child.noticed()
        return EngineReset("The local model's process ended before it answered.")

    def _settings(self, weights: Weights) -> Settings:
        tuning = self._tuning
        context = tuning.context or tuning.suggested or min(weights.context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
        return Settings(
            weights=str(weights.files[0].absolute()),  # not what it links to: shards are found by the name
            projector=str(weights.projector) if weights.projector else None,
            role=self.role,
            # The engine ranks only where it is told to, also where the weights say so.
            pooling=None if weights.role == self.role != "rerank" else _POOLING[self.role],
            context=context,
            parallel=self._parallel,
            batch=tuning.batch if self.role == "chat" else context,  # pooling wants the whole input in one batch
            threads=tuning.threads or max(physical_cores() - 1, 1),
            cache_mib=16 if self.built_in else 1024,
            binary=tuning.binary,
            silence=tuning.silence,
        )

    @asynccontextmanager
    async def _admission(self, settings: Settings) -> AsyncGenerator[Settings]:
        """Around each load: the settings that fit into the memory that is free."""
        if self.built_in or self.weights is None:
            yield settings
            return
        async with self._residents.loading:
            yield await self._residents.fit(self.weights, settings, fixed=self._tuning.context is not None)

    def _unused(self) -> None:
        """Nobody asks any more: count the time until the memory is given back."""
        self.used = time.monotonic()
        if self._timer is not None:
            self._timer.cancel()
        if self._idle:
            self._timer = asyncio.get_running_loop().call_later(self._idle, self._tired)

    def _tired(self) -> None:
        if self.idle:
            self._resting = asyncio.create_task(self.rest())
        elif self.turns.idle:
            self._unused()  # it is still loading


def _tell(call: Call, doing: str) -> None:
    if call.progress is not None:
        call.progress(doing)


def physical_cores() -> int:
    """The cores that this process may use, hyper-threads counted once."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    siblings = [Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list") for core in usable]
    return len({path.read_text() if path.exists() else str(path) for path in siblings})
