"""A server of its own process with the built-in model, and plain HTTP to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

COMMAND = (sys.executable, "-m", "qiao")


@dataclass
class Served:
    """A server that runs: its address, its process, and the files of what it says."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    @property
    def engine(self) -> int:
        """The engine process that it has started."""
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def ask(
        self, text: str, *, headers: dict[str, str] | None = None, begun: Event | None = None, **fields: Any
    ) -> str:
        """The body of the answer to a question; `begun` is set when its head has come."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=120)
        body = {"model": "qwen-plus", "messages": [{"role": "user", "content": text}], **fields}
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json", **(headers or {})}
        )
        response = connection.getresponse()
        if begun is not None:
            begun.set()
        said = response.read().decode()
        connection.close()
        return said

    def get(self, path: str) -> int:
        """The status of a GET."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=120)
        connection.request("GET", path)
        status = connection.getresponse().status
        connection.close()
        return status

    def rows(self) -> list[dict[str, Any]]:
        """The call log so far."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [row for line in lines if "principal" in (row := json.loads(line))]


@contextmanager
def served(folder: Path, **environment: str) -> Iterator[Served]:
    """Start a server in an empty folder, and stop it as an operator would."""
    log = folder / "log"
    given = {"PATH": os.environ["PATH"], "QIAO_HOME": str(folder / "home"), "LANG": "C.UTF-8", **environment}
    with log.open("w") as errors:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--engine", "local", "--port", "0"],
            stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder, env=given,
        )  # fmt: skip
    assert process.stdout is not None
    found = None
    for line in process.stdout:
        if found := re.search(r"Qiao answers on (http://\S+)", line):
            break
    assert found, log.read_text()
    try:
        yield Served(found[1], process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        process.stdout.close()
