"""Keeps one engine process alive: starts it, knows its state, restarts it after a crash, ends it.

    stopped → starting → ready → draining → stopped
                 ↑         ↓
                 └───── crashed   (after 0.1, 0.5, 2 s; three crashes in a minute: stopped, with the reason)

A process of its own, because it may crash, because memory comes back when it ends, and because cancelling a call is
closing a socket (design notes, engine §2.5: no difference in speed).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from qiao.errors import EngineUnavailable

State = Literal["stopped", "starting", "ready", "draining", "crashed"]
BACK_OFF = (0.1, 0.5, 2.0)  # seconds before the first, second, third restart
WINDOW = 60.0  # seconds in which three crashes are too many
LONGEST_SOCKET = 100  # a Unix socket's address holds 107 bytes
KEPT = 16 * 2**10  # bytes of the process's last words
_SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process is started with."""

    weights: str
    projector: str | None = None
    context: int = 4096  # tokens of each call
    parallel: int = 4  # calls at once; the memory is context times parallel, taken at the start
    batch: int = 64  # tokens read at once: also how long a cancelled or a waiting call waits (engine §2.4)
    threads: int = 1
    cache_mib: int = 256  # prompts of earlier calls
    binary: str | None = None  # a llama-server to use instead of the embedded one
    load: float = 600.0  # seconds that loading may take


class Child:
    """One engine process and its Unix socket in a private folder under `runtime`."""

    def __init__(self, settings: Settings, runtime: Path) -> None:
        self.state: State = "stopped"
        self.reason = "The local model has not been started."
        self.pid: int | None = None
        self._settings = settings
        self._runtime = runtime
        self._folder: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._crashes: deque[float] = deque(maxlen=len(BACK_OFF))
        self._words = b""

    @property
    def socket(self) -> str:
        """The address of the process's HTTP."""
        assert self._folder is not None
        return str(self._folder / "engine.sock")

    def start(self) -> None:
        """Begin to keep the process alive; returns at once."""
        if self._keeper is None or self._keeper.done():
            self._crashes.clear()
            self._enter("starting", "The local model is loading.")
            self._keeper = asyncio.create_task(self._keep())

    async def ready(self, limit: float) -> None:
        """Wait until it can be asked; EngineUnavailable with the reason when it stopped or takes longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while self.state in {"starting", "crashed"}:
                    await self._changed.wait()
        if self.state != "ready":
            raise EngineUnavailable(self.reason, retry_after=None if self.state == "stopped" else 5.0)

    async def noticed(self) -> None:
        """After a broken connection: let a process that has ended be seen as such."""
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), 0.2)

    async def close(self) -> None:
        """End the process and free everything it held."""
        self._enter("draining", "The local model is stopping.")
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        await self._end()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        self._enter("stopped", "The local model has been stopped.")

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._enter("starting", "The local model is loading.")
            if not await self._load():
                return
            assert self._process is not None
            ended = _ending(await self._process.wait())
            self._enter("crashed", f"The local model ended with {ended} and is being restarted.")
            self._crashes.append(clock())
            await self._end()
            if len(self._crashes) == len(BACK_OFF) and clock() - self._crashes[0] < WINDOW:
                why = f"The local model crashed three times in a minute, last with {ended}. {self._error()}"
                self._enter("stopped", why.strip())
                return
            await asyncio.sleep(BACK_OFF[len(self._crashes) - 1])

    async def _load(self) -> bool:
        """Start the process and hear its one line; a model that cannot be loaded is not tried again."""
        line: dict[str, Any]
        try:
            self._process = await self._spawn()
            async with asyncio.timeout(self._settings.load):
                line = await self._line(self._process)
        except TimeoutError:
            line = {"error": f"It was not loaded within {self._settings.load:g} seconds."}
        except OSError as error:
            line = {"error": str(error)}
        if "error" in line:
            await self._end()
            self._enter("stopped", f"The local model cannot be loaded: {self._error() or line['error']}")
            return False
        self.pid = line["pid"]
        self._enter("ready", "")
        return True

    async def _spawn(self) -> asyncio.subprocess.Process:
        if self._folder is None:
            self._folder = _private_folder(self._runtime)
        self._words = b""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.socket)
        settings = json.dumps(asdict(self._settings) | {"socket": self.socket})
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "qiao.engines.engine_child",
            settings,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.upper().endswith(_SECRETS)},
            start_new_session=True,  # a Ctrl-C in the terminal is for the server, which then ends the engine
        )
        self._listener = asyncio.create_task(self._listen(process))
        return process

    async def _line(self, process: asyncio.subprocess.Process) -> dict[str, Any]:
        assert process.stdout is not None
        line = await process.stdout.readline()
        if line:
            return json.loads(line)
        ended = _ending(await process.wait())
        hint = " This processor lacks instructions that the engine needs (AVX2)." if ended == "SIGILL" else ""
        return {"error": f"The engine ended with {ended} while loading.{hint}"}

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Keep the end of what the process says, so that a reason can be given."""
        assert process.stderr is not None
        while said := await process.stderr.read(4096):
            self._words = (self._words + said)[-KEPT:]

    async def _end(self) -> None:
        process, self._process, self.pid = self._process, None, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(2):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await self._listener

    def _error(self) -> str:
        """The first error that the process wrote, without time stamp and level; llama.cpp writes `0.00.007 E text`."""
        for line in self._words.decode("utf-8", "replace").splitlines():
            _, level, text = line.partition(" E ")
            if level:
                return text.strip()[:300]
        return ""

    def _enter(self, state: State, reason: str) -> None:
        self.state, self.reason = state, reason
        self._changed.set()
        self._changed = asyncio.Event()


def _ending(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"


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
