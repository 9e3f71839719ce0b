"""The command line as a user runs it: its own process, its own environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.stub import Stub
from tests.cli.terminal import Terminal

COMMAND = [sys.executable, "-m", "qiao"]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No key, no server, state in a folder of its own, English. Nothing answers on the port asked by default."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "OLLAMA_MODELS": str(tmp_path / "ollama"),
        "QIAO_HOME": str(tmp_path / "state"),
        "QIAO_PORT": "1",
        "LANG": "C.UTF-8",
        "PYTHONWARNINGS": "error",
    }


@pytest.fixture
def qiao(environment: dict[str, str], tmp_path: Path) -> Run:
    """Run `qiao` to its end."""

    def run(*arguments: str, stdin: str | bytes = b"", **variables: str) -> subprocess.CompletedProcess[str]:
        given = stdin if isinstance(stdin, bytes) else stdin.encode()
        ended = subprocess.run(
            [*COMMAND, *arguments], input=given, capture_output=True, timeout=60, cwd=tmp_path,
            env={**environment, **variables}, check=False,
        )  # fmt: skip
        out, err = ended.stdout.decode(), ended.stderr.decode()
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(ended.args, ended.returncode, out, err)

    return run


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    yield server
    server.close()


@pytest.fixture
def terminal(environment: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """Run `qiao` on a terminal."""
    opened: list[Terminal] = []

    def run(*arguments: str, rows: int = 30, **variables: str) -> Terminal:
        opened.append(Terminal([*COMMAND, *arguments], {**environment, **variables}, rows))
        return opened[-1]

    yield run
    for each in opened:
        each.close()


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server that answers from the simulator."""
    yield from running(tmp_path_factory.mktemp("simulator"), "simulate", "--rate", "400")


def running(home: Path, *arguments: str) -> Iterator[str]:
    """The address of a server on a free port, with its state and its configuration in `home`."""
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=home,
        env={"PATH": os.environ["PATH"], "QIAO_HOME": str(home), "LANG": "C.UTF-8"},
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"Qiao answers on (http://\S+)", line):
            yield found[1]
            break
    process.terminate()
    process.wait(30)
    process.stdout.close()
