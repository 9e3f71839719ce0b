"""`qiao engines` against a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Run, running
from tests.cli.stub import Stub, refusal, whole

CONFIG = """
admin_key = "sk-admin"
keys = ["sk-client"]
engines = [{name = "gpu-1", kind = "simulator"}, {name = "gpu-2", kind = "simulator"}]
routes = [{model = "*", engines = [["gpu-1", "gpu-2"]]}]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("server")
    (home / "qiao.toml").write_text(CONFIG)
    yield from running(home, "serve")


def test_the_engines_are_shown_and_one_is_drained_and_taken_back(qiao: Run, server: str) -> None:
    at = ("--url", server, "--key", "sk-admin")
    shown = qiao("engines", *at).stdout.splitlines()
    assert shown[0].split() == ["Engine", "Kind", "State", "Running", "Tokens", "Reason"]
    assert [line.split() for line in shown[1:]] == [
        ["gpu-1", "simulator", "ready", "0", "0"],
        ["gpu-2", "simulator", "ready", "0", "0"],
    ]
    drained = qiao("engines", "drain", "gpu-1", *at)
    assert (drained.returncode, "gpu-1 gets no new calls; 0 still run." in drained.stdout) == (0, True)
    rows = json.loads(qiao("engines", "--json", *at).stdout)["engines"]
    assert [row["state"] for row in rows] == ["draining", "ready"]
    assert "停用中" in qiao("engines", *at, "--lang", "zh").stdout
    assert "gets calls again" in qiao("engines", "resume", "gpu-1", "--url", server, QIAO_ADMIN_KEY="sk-admin").stdout
    assert json.loads(qiao("engines", "resume", "gpu-1", "--json", *at).stdout)["state"] == "ready"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("drain", "gpu-9", "--key", "sk-admin"), "There is no engine gpu-9 on this server"),
        (("drain", "../drain", "--key", "sk-admin"), "There is no engine ../drain"),
        (("drain", "--key", "sk-admin"), "Which engine? qiao engines drain NAME"),
        (("stop", "gpu-1", "--key", "sk-admin"), "drain|resume"),
        (("--key", "sk-client"), "wants its admin key"),
        ((), "wants its admin key"),
    ],
)
def test_what_is_wrong_is_said(qiao: Run, server: str, arguments: tuple[str, ...], said: str) -> None:
    ended = qiao("engines", *arguments, "--url", server)
    assert ended.returncode in {1, 2}
    assert said in ended.stderr


def test_a_server_without_an_admin_key_is_said_to_have_none(qiao: Run, simulator: str) -> None:
    assert "set QIAO_ADMIN_KEY where it runs" in qiao("engines", "--url", simulator, "--key", "x").stderr


def test_without_a_server_the_admin_key_goes_nowhere(qiao: Run, stub: Stub) -> None:
    ended = qiao("engines", QIAO_ADMIN_KEY="sk-admin", DASHSCOPE_API_KEY="sk-x", QIAO_CLOUD_URL=stub.url)
    assert (ended.returncode, "No Qiao to ask" in ended.stderr) == (1, True)
    assert stub.requests == []


def test_another_server_is_told_from_qiao(qiao: Run, stub: Stub) -> None:
    stub.answers["/admin/engines"] = refusal(500, "oops")
    assert "The server failed (500)" in qiao("engines", "--url", stub.url, "--key", "k").stderr
    for odd in ({}, [], {"engines": [{}]}, {"engines": 5}):
        stub.answers["/admin/engines"] = whole(odd)
        assert "is not the Qwen API" in qiao("engines", "--url", stub.url, "--key", "k").stderr
