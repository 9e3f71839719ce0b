"""One engine process: started, heard, watched, ended. `child` keeps one alive."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from typing import Any, Self

from qiao.weights.header import Role

KEPT = 16 * 2**10  # bytes of the process's last words
WATCH = 2.0  # seconds between two questions for its health
_SECRETS = ("KEY", "TOKEN", "SECRET", "PASSWORD")
_HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process is started with."""

    weights: str
    projector: str | None = None
    role: Role = "chat"
    pooling: str | None = None  # none, mean, cls, last or rank, where the weights do not say it
    context: int = 4096  # tokens of each call
    parallel: int = 4  # calls at once; the memory is context times parallel, taken at the start
    batch: int = 64  # tokens read at once: also how long a cancelled or a waiting call waits (engine §2.4)
    threads: int = 1
    cache_mib: int = 256  # prompts of earlier calls
    binary: str | None = None  # a llama-server to use instead of the embedded one
    load: float = 600.0  # seconds that loading may take
    silence: float = 10.0  # seconds without an answer to /health after which the process hangs


class Process:
    """A process that serves llama-server's HTTP on a Unix socket."""

    def __init__(self, process: asyncio.subprocess.Process, socket: str) -> None:
        self.pid: int | None = None  # of the process that holds the weights, once it has said so
        self._process = process
        self._socket = socket
        self._words = b""
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, settings: Settings, socket: str) -> Self:
        """Start it on this socket; OSError when the system refuses."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "qiao.engines.engine_child",
            json.dumps(asdict(settings) | {"socket": socket}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.upper().endswith(_SECRETS)},
            start_new_session=True,  # a Ctrl-C in the terminal is for the server, which then ends the engine
        )
        return cls(process, socket)

    async def loaded(self, within: float) -> str | None:
        """Wait for its one line: None when the weights are loaded, else why not, in the engine's words if there are."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(within):
                said = await self._process.stdout.readline()
        except TimeoutError:
            return f"It was not loaded within {within:g} seconds."
        line: dict[str, Any] = json.loads(said) if said else {}
        self.pid = line.get("pid")
        if self.pid is not None:
            return None
        if not said:
            ended = await self.ended()
            hint = " This processor lacks instructions that the engine needs (AVX2)." if ended == "SIGILL" else ""
            line = {"error": f"The engine ended with {ended} while loading.{hint}"}
        await self.close()
        return self.error or line["error"]

    async def ended(self) -> str:
        """Wait for its end: the signal's name, or the status."""
        status = await self._process.wait()
        if status in {-signal.SIGKILL, 128 + signal.SIGKILL}:
            return "SIGKILL, as the system does when memory runs out"
        return signal.Signals(-status).name if status < 0 else f"status {status}"

    async def watch(self, silence: float) -> None:
        """Ask for its health again and again; return when it has been silent for so many seconds.

        Two questions must fail in a row: after a pause of the server itself, the first one is late by its own fault.
        """
        failed = 0
        while failed < 2:
            await asyncio.sleep(min(WATCH, silence / 2))
            failed = 0 if await self._healthy(silence / 2) else failed + 1

    def kill(self) -> None:
        """End it now."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """Tell it to end, and end it if it does not."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(2):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        await self._listener

    @property
    def error(self) -> str:
        """The first error that it wrote, without time stamp and level; llama.cpp writes `0.00.007 E text`."""
        for line in self._words.decode("utf-8", "replace").splitlines():
            _, level, text = line.partition(" E ")
            if level:
                return text.strip()[:300]
        return ""

    async def _healthy(self, within: float) -> bool:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(within):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    writer.write(_HEALTH)
                    return bool(await reader.read(1))
                finally:
                    writer.close()
        return False

    async def _listen(self) -> None:
        """Keep the end of what the process says, so that a reason can be given."""
        assert self._process.stderr is not None
        while said := await self._process.stderr.read(4096):
            self._words = (self._words + said)[-KEPT:]
