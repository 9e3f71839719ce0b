"""The servers measured: how each is started, what its process tree has used, and what it is asked."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM

from load import BadAnswer, Line, Question

HERE = Path(__file__).parent
LITELLM = HERE.parent / ".venvs" / "bench-litellm" / "bin" / "litellm"
KEY = "sk-bench-0123456789"
START = 120.0  # seconds that a server may take to answer for the first time
_MODEL = "qwen-plus"
_TEXT = "A bridge of one span carries the road over the river, and the river does not ask who crosses it. "
_SCRUBBED = ("QIAO_", "DASHSCOPE_", "LITELLM_", "OPENAI_", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY")


class NotStarted(Exception):
    """A server did not come up; the message says how to see why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to start a server in a folder of its own; `install` says how to get it where it is missing."""

    name: str
    command: Callable[[int, int], list[str]]  # of its port and the engine's
    files: dict[str, str] = field(default_factory=dict[str, str])  # with @PORT@, @ENGINE@ and @KEY@ to fill in
    environment: dict[str, str] = field(default_factory=dict[str, str])
    present: bool = True
    install: str = ""
    slow: bool = False  # to start, and to answer: it gets fewer starts and a lower rate


QIAO = Plan(
    "Qiao",
    lambda port, engine: [
        *(sys.executable, "-m", "qiao", "serve", "--port", str(port)),
        *("--engine", "http", "--engine-url", f"http://127.0.0.1:{engine}/v1"),
    ],
    environment={"QIAO_KEYS": KEY, "QIAO_LOG_CALLS": "true", "QIAO_HOME": "home"},
)
PEERS = {
    "nginx": Plan(
        "nginx",
        lambda port, engine: ["nginx", "-p", ".", "-c", "nginx.conf"],
        files={"nginx.conf": (HERE / "nginx.conf").read_text("utf-8")},
        present=shutil.which("nginx") is not None,
        install="apt-get install nginx-light (nginx of the system is not started: the bench runs its own)",
    ),
    "litellm": Plan(
        "LiteLLM",
        lambda port, engine: [
            *(str(LITELLM), "--config", "litellm.json", "--host", "127.0.0.1", "--port", str(port)),
            *("--num_workers", "1", "--telemetry", "False"),
        ],
        files={"litellm.json": (HERE / "litellm.json").read_text("utf-8")},
        environment={
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "NO_DOCS": "True",
        },
        present=LITELLM.exists(),
        install="uv venv .venvs/bench-litellm && uv pip install -p .venvs/bench-litellm 'litellm[proxy]==1.106.2'",
        slow=True,
    ),
}


@dataclass(slots=True)
class Server:
    """A server that runs."""

    name: str
    port: int
    command: list[str]
    process: subprocess.Popen[bytes]
    start: float = 0.0  # seconds from its start to its first answer

    def __str__(self) -> str:
        return f"{self.name} ({shlex.join(self.command)})"

    def cpu(self) -> int:
        """Nanoseconds of CPU, user and system, that its process tree has used."""
        return sum(cpu(pid) for pid in tree(self.process.pid))

    def memory(self) -> int:
        """Resident memory of its process tree in KiB."""
        return sum(resident(pid) for pid in tree(self.process.pid))

    def stop(self) -> None:
        """End the whole tree, kindly for three seconds."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, SIGTERM)
            try:
                self.process.wait(3.0)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, SIGKILL)
                self.process.wait()


def cpu(pid: int) -> int:
    """A process's CPU time in nanoseconds; clock_getcpuclockid(3) makes the clock's number out of a pid."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def tree(pid: int) -> list[int]:
    """A process and all that descends from it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text("ascii").split():
            found += tree(int(child))
    return found


async def start(plan: Plan, folder: Path, engine: int, question: Question) -> Server:
    """Start a server in a folder, and wait until it has answered a question; NotStarted when it does not."""
    began = time.perf_counter()
    server = _launch(plan, folder, engine)
    try:
        await _first_answer(server, question)
    except BaseException:
        server.stop()
        raise
    server.start = time.perf_counter() - began
    return server


def _launch(plan: Plan, folder: Path, engine: int) -> Server:
    port = _free_port()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in plan.files.items():
        filled = text.replace("@PORT@", str(port)).replace("@ENGINE@", str(engine)).replace("@KEY@", KEY)
        (folder / name).write_text(filled, "utf-8")
    command = plan.command(port, engine)
    with on_cpus(server=True):
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=clean() | plan.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return Server(plan.name, port, command, process)


def clean() -> dict[str, str]:
    """The environment without what would change a server: settings, keys, proxies."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_SCRUBBED)}


@contextmanager
def engine(folder: Path) -> Generator[Server]:
    """The engine that all servers ask."""
    command = [sys.executable, str(HERE / "engine.py")]
    with on_cpus(server=False):
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
    running = Server("engine", 0, command, process)
    try:
        assert process.stdout is not None
        running.port = int(process.stdout.readline())
        yield running
    finally:
        running.stop()


@contextmanager
def on_cpus(*, server: bool) -> Generator[None]:
    """What is started meanwhile runs on the last CPU if it is a server, else on the others, where there are two."""
    all_cpus = os.sched_getaffinity(0)
    last = max(all_cpus)
    chosen = {last} if server else all_cpus - {last}
    os.sched_setaffinity(0, chosen or all_cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_cpus)


def openai(*, chunks: int = 0, every: int = 0) -> Question:
    """A chat question of OpenAI mode with a prompt of 2 KB; `every` milliseconds a chunk, 0 for a burst."""
    body = {"model": _MODEL, "messages": _messages(chunks, every)}
    if chunks:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return Question(_request("/v1/chat/completions", body), chunks, b"[DONE]" if chunks else b'"total_tokens"')


def native(*, chunks: int = 0, every: int = 0) -> Question:
    """The same question in native DashScope, which Qiao translates for the engine."""
    body = {
        "model": _MODEL,
        "input": {"messages": _messages(chunks, every)},
        "parameters": {"result_format": "message", "incremental_output": bool(chunks)},
    }
    headers = "x-dashscope-sse: enable\r\n" if chunks else ""
    request = _request("/api/v1/services/aigc/text-generation/generation", body, headers)
    return Question(request, chunks, b'"finish_reason":"stop"' if chunks else b'"output_tokens"')


def _messages(chunks: int, every: int) -> list[dict[str, str]]:
    text = _TEXT * 20
    if chunks:
        text += f"[{chunks} chunks every {every} ms]"
    return [{"role": "system", "content": "You are a bridge."}, {"role": "user", "content": text}]


def _request(path: str, body: Mapping[str, object], headers: str = "") -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n{headers}"
    return f"{head}content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data


async def _first_answer(server: Server, question: Question) -> None:
    until = time.perf_counter() + START
    trouble: Exception | None = None
    while time.perf_counter() < until:
        if server.process.poll() is not None:
            raise NotStarted(f"{server} ended with status {server.process.returncode}")
        try:
            line = await Line.open(server.port)
            try:
                await line.ask(question)
            finally:
                line.close()
        except (OSError, BadAnswer) as error:
            trouble = error
            await asyncio.sleep(0.002)
        else:
            return
    raise NotStarted(f"{server} gave no answer within {START:.0f} s: {trouble}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def resident(pid: int) -> int:
    """A process's resident memory in KiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))
