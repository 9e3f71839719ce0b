"""Qiao with a local engine as a process, its engine process, and what both have used."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any

import servers
from local_client import Place
from servers import NotStarted

from qiao.weights import header

DEMO = Path(header.__file__).parents[1] / "data" / "demo.gguf"
START = 120.0  # seconds that a start may take
AT_ONCE = 8  # places of an engine: with more callers than places the engine has no thread left for a health check


@dataclass(frozen=True, slots=True)
class Weights:
    """A model file, and the bytes that one token takes in the cache of keys and values, which hold 16 bits."""

    name: str
    path: Path
    per_token: int
    context: int = 2048

    @property
    def model(self) -> str:
        """The name under which Qiao serves it."""
        return header.read(self.path).slug


@dataclass(slots=True)
class Running:
    """Qiao with a local model."""

    process: subprocess.Popen[bytes]
    port: int
    home: Path
    weights: Weights

    @property
    def engine(self) -> int:
        """The process id of the engine."""
        children = servers.tree(self.process.pid)[1:]
        if not children:
            raise NotStarted("the engine does not run")
        return children[0]

    @property
    def settings(self) -> dict[str, Any]:
        """What the engine was started with."""
        line = Path(f"/proc/{self.engine}/cmdline").read_bytes().split(b"\0")
        return json.loads(line[-2])

    @property
    def through(self) -> Place:
        """The way through Qiao."""
        key = f"authorization: Bearer {servers.KEY}\r\n"
        return Place(self.port, self.weights.model, headers=key, thinking_off={"enable_thinking": False})

    @property
    def direct(self) -> Place:
        """The way to the same engine process beside Qiao."""
        off = {"chat_template_kwargs": {"enable_thinking": False}}
        return Place(self.settings["socket"], self.weights.model, thinking_off=off)

    def memory(self) -> int:
        """Resident bytes of the engine, and of what it has started."""
        return sum(servers.resident(pid) for pid in servers.tree(self.engine)) * 1024

    def ready(self) -> bool:
        """Whether /readyz says so."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        with suppress(OSError):
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        return False

    def stop(self) -> None:
        """End it, kindly first."""
        if self.process.poll() is None:
            self.process.send_signal(SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        if self.process.poll() is None:
            os.killpg(self.process.pid, SIGKILL)
        self.process.wait()


@contextmanager
def qiao(weights: Weights, folder: Path, binary: Path | None = None) -> Generator[Running]:
    """A server whose engine is ready."""
    running = launch(weights, folder, binary)
    try:
        wait_ready(running)
        yield running
    finally:
        running.stop()


def launch(weights: Weights, folder: Path, binary: Path | None = None) -> Running:
    """Start a server; it is not ready yet."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    model = "demo" if weights.path == DEMO else str(weights.path)
    row = {"name": "local", "kind": "local", "model": model, "context": weights.context, "parallel": AT_ONCE}
    own = {"QIAO_KEYS": servers.KEY, "QIAO_HOME": str(folder), "QIAO_ENGINES": json.dumps([row])}
    if binary:
        own["QIAO_ENGINE_BINARY"] = str(binary)
    command = [sys.executable, "-m", "qiao", "serve", "--port", str(port)]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=servers.clean() | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return Running(process, port, folder, weights)


def wait_ready(running: Running) -> None:
    """Until the engine is loaded; NotStarted when that takes too long or the server ends."""
    until = time.perf_counter() + START
    while not running.ready():
        if running.process.poll() is not None or time.perf_counter() > until:
            raise NotStarted(f"Qiao with {running.weights.name} is not ready: {running.process.returncode}")
        time.sleep(0.005)


def load_seconds(settings: Mapping[str, Any], folder: Path) -> float:
    """From the start of a bare engine process to the line that says it can be asked."""
    address = folder / "bare.sock"
    address.unlink(missing_ok=True)  # it outlives an engine
    line = json.dumps({**settings, "socket": str(address)})
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "qiao.engines.engine_child", line],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=servers.clean(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = process.stdout.readline()
    took = time.perf_counter() - began
    process.stdin.close()
    process.wait()
    process.stdout.close()
    if b'"pid"' not in said:
        raise NotStarted(f"the engine did not load: {said.decode()}")
    return took


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
