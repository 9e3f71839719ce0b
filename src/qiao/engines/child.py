"""Keeps one engine process alive: starts it, knows its state, restarts it after a crash, ends it.

    stopped → starting → ready → draining → stopped
                 ↑         ↓ └───→ unloading → resting → starting with the next call
                 └───── crashed   (after 0.1, 0.5, 2 s; three crashes in a minute: stopped, with the reason)

A process of its own, because it may crash or hang, because memory comes back when it ends, and because cancelling a
call is closing a socket (design notes, engine §2.5: no difference in speed).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Literal

import structlog

from qiao.engines.process import Process, Settings
from qiao.errors import EngineOccupied, EngineUnavailable

State = Literal["stopped", "starting", "ready", "draining", "unloading", "resting", "crashed"]
BACK_OFF = (0.1, 0.5, 2.0)  # seconds before the first, second, third restart
WINDOW = 60.0  # seconds in which three crashes are too many
LONGEST_SOCKET = 100  # a Unix socket's address holds 107 bytes
_LOADING = "The local model is loading."
log = structlog.get_logger("qiao.local")
# Held around each load: gives the settings that fit now, or raises NoRoom.
Admission = Callable[[Settings], AbstractAsyncContextManager[Settings]]


class NoRoom(Exception):
    """The weights do not fit into the memory that is free; the message is one sentence for the user."""


@asynccontextmanager
async def _at_once(settings: Settings) -> AsyncGenerator[Settings]:
    yield settings


class Child:
    """One engine process and its Unix socket in a private folder under `runtime`."""

    def __init__(self, settings: Settings, runtime: Path, admission: Admission = _at_once) -> None:
        self.state: State = "stopped"
        self.reason = "The local model has not been started."
        self._settings = settings
        self._runtime = runtime
        self._admission = admission
        self._folder: Path | None = None
        self._process: Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._crashes: deque[float] = deque(maxlen=len(BACK_OFF))
        self._ending = asyncio.Lock()
        self._refused = False  # for want of memory: another call may have more luck

    @property
    def socket(self) -> str:
        """The address of the process's HTTP."""
        assert self._folder is not None
        return str(self._folder / "engine.sock")

    @property
    def pid(self) -> int | None:
        """The process that holds the weights, None while there is none."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Begin to keep the process alive; returns at once."""
        if self._keeper is None or self._keeper.done():
            self._crashes.clear()
            self._refused = False
            self._enter("starting", _LOADING)
            self._keeper = asyncio.create_task(self._keep())

    async def ready(self, limit: float) -> None:
        """Wait until it can be asked, starting it if it rests.

        EngineUnavailable with the reason when it has stopped, EngineOccupied when it takes longer than `limit` seconds.
        """
        if self.state == "stopped" and self._refused:
            self.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while self.state not in {"ready", "stopped"}:
                    if self.state == "resting":
                        self.start()
                    await self._changed.wait()
        if self.state == "stopped":
            raise EngineUnavailable(self.reason)
        if self.state != "ready":
            raise EngineOccupied(self.reason, retry_after=5.0)

    async def noticed(self) -> None:
        """After a broken connection: let a process that has ended be seen as such."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                while self.state == "ready":
                    await self._changed.wait()

    async def rest(self) -> None:
        """End the process and give its memory back; the next call starts it again."""
        await self._stop("unloading", "resting", "The local model rests until it is asked.")

    async def close(self) -> None:
        """End the process and free everything it held."""
        await self._stop("draining", "stopped", "The local model has been stopped.")
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def _stop(self, first: State, then: State, reason: str) -> None:
        async with self._ending:
            self._enter(first, "The local model is stopping.")
            if self._keeper is not None:
                self._keeper.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._keeper
            await self._end()
            self._enter(then, reason)

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._enter("starting", _LOADING)
            if (why := await self._load()) is not None:
                self._give_up(why)
                return
            ended = await self._serve()
            self._enter("crashed", f"The local model ended with {ended} and is being restarted.")
            log.warning("model_crashed", weights=self._settings.weights, ended=ended)
            self._crashes.append(clock())
            error = self._process.error if self._process is not None else ""
            await self._end()
            if len(self._crashes) == len(BACK_OFF) and clock() - self._crashes[0] < WINDOW:
                self._give_up(f"The local model crashed three times in a minute, last with {ended}. {error}".strip())
                return
            await asyncio.sleep(BACK_OFF[len(self._crashes) - 1])

    async def _load(self) -> str | None:
        """Start the process and hear its one line; why not, for a model that cannot be loaded is not tried again."""
        if self._folder is None:
            self._folder = _private_folder(self._runtime)
        try:
            async with self._admission(self._settings) as settings:
                self._process = await Process.start(settings, self.socket)
                why = await self._process.loaded(settings.load)
        except NoRoom as error:
            self._refused = True
            return str(error)
        except OSError as error:
            why = str(error)
        if why is None:
            return None
        await self._end()
        return f"The local model cannot be loaded: {why}"

    async def _serve(self) -> str:
        """Be ready until the process ends; how it ended. One that hangs is ended, so that its calls end too."""
        process = self._process
        assert process is not None
        self._enter("ready", "")
        watch = asyncio.create_task(process.watch(self._settings.silence))
        watch.add_done_callback(lambda task: None if task.cancelled() else process.kill())
        try:
            ended = await process.ended()
            return f"no answer for {self._settings.silence:g} s" if watch.done() else ended
        finally:
            watch.cancel()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.close()

    def _give_up(self, why: str) -> None:
        self._enter("stopped", why)
        log.error("model_stopped", weights=self._settings.weights, reason=why)

    def _enter(self, state: State, reason: str) -> None:
        self.state, self.reason = state, reason
        self._changed.set()
        self._changed = asyncio.Event()


def _private_folder(runtime: Path) -> Path:
    """A folder that only this user can enter; those of dead servers are removed."""
    runtime.mkdir(parents=True, exist_ok=True, mode=0o700)
    for old in runtime.glob("engine-*"):
        owner = old.name.split("-")[1]
        if owner.isdigit() and not _alive(int(owner)):
            shutil.rmtree(old, ignore_errors=True)
    fits = len(str(runtime)) + len("/engine-4194304-abcdefgh/engine.sock") <= LONGEST_SOCKET
    return Path(tempfile.mkdtemp(prefix=f"engine-{os.getpid()}-", dir=runtime if fits else None))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
