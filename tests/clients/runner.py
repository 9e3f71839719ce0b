"""Runs the named cases of one file, inside the environment of its client, and prints one JSON line per case.

    python runner.py cases/openai_sdk.py http://127.0.0.1:8000 sk-key simulator plain stream

Standard library only. A case is a public function that takes the server; it fails by raising.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Server:
    """Where Qiao listens, the key that opens it, and the engine behind it."""

    origin: str
    key: str
    engine: str

    @property
    def openai(self) -> str:
        return f"{self.origin}/compatible-mode/v1"

    @property
    def native(self) -> str:
        return f"{self.origin}/api/v1"


def main(file: str, origin: str, key: str, engine: str, *cases: str) -> None:
    path = Path(file).resolve()
    server = Server(origin, key, engine)
    # What a user sets; clients that read no argument find the server here.
    os.environ |= {
        "DASHSCOPE_API_KEY": key,
        "DASHSCOPE_HTTP_BASE_URL": server.native,
        "DASHSCOPE_BASE_URL": server.native,
        "DASHSCOPE_API_BASE": server.openai,
        "OPENAI_API_KEY": key,
        "OPENAI_BASE_URL": server.openai,
    }
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in cases:
        print(json.dumps({"case": name, "error": _error(getattr(module, name), server)}), flush=True)


def _error(case, server: Server) -> str | None:
    """None when the case passes, otherwise its traceback."""
    try:
        outcome = case(server)
        if asyncio.iscoroutine(outcome):
            asyncio.run(asyncio.wait_for(outcome, 30))
    except Exception:
        return traceback.format_exc()
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
