"""`qiao serve` and `qiao simulate`: what is said at the start, and settings that cannot be used."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qiao.cli import commands
from tests.cli.conftest import COMMAND, Run
from tests.cli.stub import Stub

DEMO = Path(commands.__file__).parents[1] / "data" / "demo.gguf"
Start = Callable[..., tuple[str, subprocess.Popen[str]]]


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Start a server on a free port; what it says until it is ready, and its process."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **variables: str) -> tuple[str, subprocess.Popen[str]]:
        process = subprocess.Popen(
            [*COMMAND, *arguments, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**environment, **variables},
        )
        running.append(process)
        assert process.stdout is not None
        said = ""
        while not said.endswith(("Ctrl-C stops.\n", "按 Ctrl-C 停止。\n")):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            said += line
        return said, process

    yield run
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_the_start_says_where_who_and_what_next(start: Start, qiao: Run) -> None:
    said, process = start("serve", "--engine", "simulator")
    url = re.search(r"Qiao answers on (http://127\.0\.0\.1:\d+)\n", said)
    assert url is not None
    assert f"{url[1]}/compatible-mode/v1\n" in said
    assert f"{url[1]}/api/v1\n" in said
    assert "simulator: answers are rehearsed, no model runs" in said
    assert "none, everybody on this machine may ask" in said
    command = re.search(r"qiao (ask) (--url) (\S+) \"(.+)\"", said)
    assert command is not None
    assert qiao(*command.groups()).returncode == 0
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_the_start_speaks_chinese_and_names_the_clouds_region(start: Start) -> None:
    said, _ = start(
        "serve", "--region", "singapore", "--lang", "zh", DASHSCOPE_API_KEY="sk-0123456789abcdef", QIAO_KEYS="a,b"
    )
    assert "Qiao 已启动：http://127.0.0.1:" in said
    assert "云端，新加坡" in said
    assert "2 个，每个请求都要带" in said
    assert "sk-0123456789abcdef" not in said


def test_an_engine_is_named_with_its_address(start: Start, stub: Stub) -> None:
    said, _ = start("serve", "--engine-url", f"{stub.url}/v1")
    assert f"http at {stub.url}/v1" in said


def test_a_model_that_is_here_answers_without_being_named(start: Start, qiao: Run, tmp_path: Path) -> None:
    place = tmp_path / ".lmstudio/models/someone/Tiny-GGUF/tiny.gguf"
    place.parent.mkdir(parents=True)
    place.write_bytes(DEMO.read_bytes().replace(b"qiao-demo", b"qwen-tiny", 1))
    said, process = start("serve")
    assert "qwen-tiny from LM Studio, 0.0 GiB, context 4,096: the largest Qwen model here that fits into" in said
    assert "demo" not in said
    url = re.search(r"Qiao answers on (\S+)\n", said)
    assert url is not None
    assert "qwen-tiny" in qiao("models", "--url", url[1]).stdout
    assert qiao("ask", "--url", url[1], "--model", "qwen-tiny", "Hello").returncode == 0
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_demo_is_the_built_in_model_and_an_unknown_name_is_said(start: Start, qiao: Run) -> None:
    assert "built-in demo model, not Qwen" in start("serve", "--model", "demo")[0]
    ended = qiao("serve", "--model", "qwen9-900b")
    assert ended.returncode == 2
    assert "There is no model 'qwen9-900b' on this machine. `qiao pull qwen9-900b` gets it." in ended.stderr


def test_simulate_lists_the_faults_before_it_starts(start: Start) -> None:
    said, _ = start("simulate", "--ttft", "0.1", "--rate", "50")
    assert "qwen-plus!429;retry_after=2" in said
    assert said.index("qwen-plus!empty") < said.index("Qiao answers on")


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        (["--host", "0.0.0.0"], {}, "set QIAO_KEYS"),
        (["--port", "70000"], {}, "port"),
        (["--config", "none.toml"], {}, "none.toml"),
        (["--engine", "cloud"], {}, "DASHSCOPE_API_KEY"),
        (["--engine", "http"], {}, "--engine-url"),
        (["--region", "mars"], {"DASHSCOPE_API_KEY": "sk-x"}, "mars"),
        ([], {"QIAO_LOG_LEVEL": "loud"}, "log_level"),
        ([], {"QIAO_CORS_ORIGINS": "https://a.example/path"}, "cors_origins"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    qiao: Run, arguments: list[str], variables: dict[str, str], said: str
) -> None:
    ended = qiao("serve", *arguments, **variables)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


def test_a_taken_port_is_said_plainly(qiao: Run, stub: Stub) -> None:
    ended = qiao("serve", "--engine", "simulator", "--port", str(stub.port), "--lang", "zh")
    assert ended.returncode == 1
    assert "`qiao doctor` 检查端口" in ended.stderr
