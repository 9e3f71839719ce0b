"""Real servers for the clients: one process per engine, on a free port, with a home of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

KEY = "sk-qiao-clients"


class Servers:
    """Starts each server when it is first asked for, and stops them all."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._running: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}
        self._failed: dict[str, RuntimeError] = {}

    def origin(self, engine: str) -> str:
        """Where the server with this engine listens, once it is ready."""
        if engine in self._failed:
            raise self._failed[engine]
        if engine not in self._running:
            extra = {}
            if engine == "http":
                extra = {"QIAO_ENGINE_URL": f"{self.origin('simulator')}/v1", "QIAO_ENGINE_KEY": KEY}
            self._running[engine] = self._start(engine, extra)
        return self._running[engine][0]

    def stop(self) -> None:
        for _, process in self._running.values():
            process.terminate()
        for _, process in self._running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, engine: str, extra: dict[str, str]) -> tuple[str, subprocess.Popen[bytes]]:
        port = free_port()
        home = self._home / engine
        home.mkdir()
        settings = {"QIAO_HOME": str(home), "QIAO_KEYS": KEY, "QIAO_TIMEOUTS__DRAIN": "1", "QIAO_MODEL": "demo"}
        settings |= extra
        command = [sys.executable, "-m", "qiao", "serve", "--engine", engine, "--port", str(port)]
        log = home / "serve.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                command, env=_environment() | settings, cwd=home, stdout=errors, stderr=subprocess.STDOUT
            )
        origin = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not _ready(origin):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                self._failed[engine] = RuntimeError(f"the {engine} server is not ready:\n{log.read_text('utf-8')}")
                raise self._failed[engine]
            time.sleep(0.05)
        return origin, process


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _environment() -> dict[str, str]:
    """The environment without settings of Qiao or keys that the developer happens to have."""
    return {name: value for name, value in os.environ.items() if not re.match("QIAO_|DASHSCOPE_|OPENAI_", name)}


def _ready(origin: str) -> bool:
    try:
        with urllib.request.urlopen(f"{origin}/readyz", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
