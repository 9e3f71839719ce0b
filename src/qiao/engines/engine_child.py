"""The process that holds the weights: `python -m qiao.engines.engine_child SETTINGS`, started by `child.py` only.

SETTINGS is one JSON object (`child.Settings`). The process serves llama-server's HTTP on the Unix socket named there,
prints one line of JSON, {"pid"} or {"error"}, and ends when its standard input ends or its parent dies, so
that it never outlives the server. With `binary` it starts that llama-server instead and lives as long as that does.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

PR_SET_PDEATHSIG = 1
FIRST_TO_GO = b"500"  # of -1000 to 1000: when memory runs out, the system ends this process and not the server


def main() -> None:
    """Load, report, serve until nobody holds the other end."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    _die_with_parent()
    _be_expendable()
    try:
        wait = _binary(settings) if settings["binary"] else _embedded(settings)
    except Exception as error:
        time.sleep(0.2)  # a thread of the engine's writes its log, which says why
        _say({"error": str(error) or type(error).__name__})
        os._exit(1)
    _say({"pid": os.getpid()})
    wait()


def _embedded(settings: dict[str, Any]) -> Callable[[], None]:
    try:
        engine = importlib.import_module("xllamacpp")
    except ImportError as error:
        raise RuntimeError("The engine is not installed: install qiao[local].") from error
    params = engine.CommonParams()
    params.model.path = settings["weights"]
    if settings["projector"]:
        params.mmproj.path = settings["projector"]
    params.hostnames = [settings["socket"]]
    params.n_ctx = settings["context"] * settings["parallel"]
    params.n_parallel = settings["parallel"]
    params.kv_unified = False  # shared memory that runs out fails every call that runs, not only the last one
    params.n_batch = params.n_ubatch = settings["batch"]
    params.embedding = settings["role"] != "chat"
    if settings["pooling"]:
        params.pooling_type = engine.llama_pooling_type[f"LLAMA_POOLING_TYPE_{settings['pooling'].upper()}"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    params.n_threads_http = settings["parallel"] + 4
    params.cache_ram_mib = settings["cache_mib"]
    params.ui = False
    params.offline = True
    params.endpoint_slots = False
    params.verbosity = 2  # warnings and errors: the reason of a failed load
    return partial(_until_input_ends, engine.Server(params))


def _until_input_ends(_server: Any) -> None:
    """Hold the server, which serves from threads of its own."""
    sys.stdin.buffer.read()
    os._exit(0)


def _binary(settings: dict[str, Any]) -> Callable[[], None]:
    options = {
        "--model": settings["weights"],
        "--host": settings["socket"],
        "--ctx-size": settings["context"] * settings["parallel"],
        "--parallel": settings["parallel"],
        "--batch-size": settings["batch"],
        "--ubatch-size": settings["batch"],
        "--threads": settings["threads"],
        "--threads-http": settings["parallel"] + 4,
        "--cache-ram": settings["cache_mib"],
        "--mmproj": settings["projector"],
        "--pooling": settings["pooling"],
    }
    line = [settings["binary"], *(str(part) for pair in options.items() if pair[1] is not None for part in pair)]
    line += ["--no-kv-unified", "--jinja", "--offline", "--no-webui", "--no-slots"]
    line += {"chat": [], "embedding": ["--embedding"], "rerank": ["--rerank"]}[settings["role"]]
    process = subprocess.Popen(  # noqa: S603  # the operator's own setting
        line,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  # no thread runs yet
    )
    while not _healthy(settings["socket"]):
        if process.poll() is not None:
            raise RuntimeError(f"{settings['binary']} ended with {process.returncode} while loading.")
        time.sleep(0.02)
    return partial(_until_it_ends, process)


def _until_it_ends(process: subprocess.Popen[bytes]) -> None:
    threading.Thread(target=_end_with_input, args=(process,), daemon=True).start()
    status = process.wait()
    os._exit(status if status >= 0 else 128 - status)  # a signal as a shell tells it


def _end_with_input(process: subprocess.Popen[bytes]) -> None:
    sys.stdin.buffer.read()
    process.kill()


def _healthy(path: str) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        connection.connect(path)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b" 200 " in connection.recv(64)
    return False


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _be_expendable() -> None:
    """Go before the server does when memory runs out, and leave no core file, which would hold prompts."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb") as score:
        score.write(FIRST_TO_GO)
    with contextlib.suppress(ImportError):
        resource = importlib.import_module("resource")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
