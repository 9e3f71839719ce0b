"""Read the pages as their reader does: run their commands in order, in a folder of their own, against real servers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHELL = ("sh", "bash")
_FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=--port )\d+")
_SERVER = re.compile(r"^(?:\w+=\S* )*(qiao (?:serve|simulate)(?! --faults)|make serve)\b(.*)$", re.MULTILINE)
_EXPORT = re.compile(r'^export (\w+)="?([^"\n]*)"?$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One code block: its language, the file that it is (`toml qiao.toml`), and its text."""

    language: str
    name: str
    code: str


def blocks(page: Path) -> list[Block]:
    return [Block(language, name, code) for language, name, code in _FENCE.findall(page.read_text("utf-8"))]


@dataclass
class Reader:
    """Works through one page. Ports in print stand for free ones; the cloud and the hub are on this machine."""

    folder: Path
    cloud: str = ""
    hub: str = ""
    language: str = "en"
    printed: str = ""
    _ports: dict[str, int] = field(default_factory=dict)
    _exported: dict[str, str] = field(default_factory=dict)
    _servers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def read(self, block: Block) -> None:
        """Do what the block says; AssertionError when that fails or prints something else."""
        match block.language:
            case "sh" | "bash":
                self._shell(block.code)
            case "python":
                path = self.folder / "program.py"
                path.write_text(self._here(block.code), "utf-8")
                self.printed = self._run(sys.executable, str(path))
            case "text":
                self._compare(block.code)
            case "toml" | "json" | "env" if block.name:
                (self.folder / block.name).write_text(self._here(block.code), "utf-8")
            case _:
                pass

    def serve(self, command: str, port: int) -> None:
        """Start a server and wait until it is ready; one that has the port already is stopped."""
        self._stop(port)
        log = self.folder / f"{port}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self._environment() | {"QIAO_TIMEOUTS__DRAIN": "1"},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self._servers[port] = process
        deadline = time.monotonic() + 60
        while not _ready(port):
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline, f"{command} is not ready: {log.read_text('utf-8')}"
            time.sleep(0.05)
        self.printed = log.read_text("utf-8")

    def close(self) -> None:
        for port in list(self._servers):
            self._stop(port)

    def port(self, printed: str = "8000") -> int:
        """The free port that stands for one in print."""
        if printed not in self._ports:
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                self._ports[printed] = listener.getsockname()[1]
        return self._ports[printed]

    def _here(self, code: str) -> str:
        return _PORT.sub(lambda match: str(self.port(match[0])), code)

    def _shell(self, code: str) -> None:
        self._dry_run(code)
        server = _SERVER.search(code)
        self._exported |= dict(_EXPORT.findall(self._here(code)))
        if server is None:
            code = re.sub(r"^make .*$", "", self._here(code), flags=re.MULTILINE)
            self.printed = self._run("bash", "-euo", "pipefail", "-c", code)
            return
        command = server[0].replace("make serve", "qiao serve").strip()
        printed = re.search(r"--port (\d+)", command)
        port = self.port(printed[1] if printed else "8000")
        self.serve(self._here(command) + ("" if printed else f" --port {port}"), port)

    def _dry_run(self, code: str) -> None:
        """Targets of make are looked up, not made: these tests run inside one of them."""
        for line in code.splitlines():
            if line.startswith("make "):
                targets = line.split("#")[0].split()[1:]
                done = subprocess.run(["make", "-n", *targets], cwd=ROOT, capture_output=True, check=False)
                assert done.returncode == 0, done.stderr.decode()

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        printed = done.stdout.decode("utf-8")
        assert done.returncode == 0, printed
        return printed

    def _compare(self, expected: str) -> None:
        """Each line is found in what was printed last, in this order; … stands for anything."""
        rest = self.printed
        for line in self._here(expected).splitlines():
            found = re.search(".*?".join(map(re.escape, line.strip().split("…"))), rest)
            assert found is not None, f"{line!r} is not in:\n{rest}"
            rest = rest[found.end() :]

    def _environment(self) -> dict[str, str]:
        """What a reader has who has set nothing but what the page says."""
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "NO_PROXY") if name in os.environ}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", ""), *_stand_in(self.folder)])
        mine = {"PATH": path, "HOME": str(self.folder), "QIAO_PORT": str(self.port()), "LANG": "C.UTF-8"}
        mine["OLLAMA_MODELS"] = str(self.folder / "ollama")  # else there is one for all users of a machine
        return (
            kept
            | mine
            | {"HF_ENDPOINT": self.hub, "MODELSCOPE_DOMAIN": self.hub}
            | {"QIAO_CLOUD_URL": self.cloud, "QIAO_LANG": self.language, "PYTHONIOENCODING": "utf-8"}
            | self._exported
        )

    def _stop(self, port: int) -> None:
        process = self._servers.pop(port, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _stand_in(folder: Path) -> list[str]:
    """A folder with enough of curl for the examples, for a machine that has none."""
    if shutil.which("curl"):
        return []
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    script = place / "curl"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "tests" / "curl.py"}" "$@"\n', "utf-8")
    script.chmod(0o755)
    return [str(place)]


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
