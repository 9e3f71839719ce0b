"""The whole server with the built-in model: what its clients see when the engine dies, and what it connects to."""

from __future__ import annotations

import json
import os
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from .conftest import LONG, alive
from .serving import Served, served

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
THANKS = "不客气！"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("server")) as running:
        assert THANKS in running.ask("谢谢")
        time.sleep(0.5)  # its row is written a little later
        yield running


def datas(body: str) -> list[str]:
    return [line.removeprefix("data:").strip() for line in body.splitlines() if line.startswith("data:")]


def test_an_engine_killed_in_the_middle_of_eight_streams_leaves_each_with_an_end(server: Served) -> None:
    seen, killed, begun = {row["request_id"] for row in server.rows()}, server.engine, Event()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(server.ask, "写诗", stream=True, begun=begun, **LONG) for _ in range(8)]
        assert begun.wait(60)  # up to four are being answered, the others wait for their turn
        os.kill(killed, signal.SIGKILL)
        bodies = [each.result() for each in asked]
    streams = [body for body in bodies if not body.startswith("{")]  # else nothing had been sent: a plain error
    ends = [datas(body)[-1] for body in streams]
    broken = [end for end in ends if end != "[DONE]"]
    assert broken
    refused = [body for body in bodies if body.startswith("{")]
    assert all(json.loads(end)["error"]["message"] for end in (*broken, *refused))
    assert all(body.endswith("\n\n") for body in streams)
    assert THANKS in server.ask("谢谢")
    assert server.engine != killed
    time.sleep(0.5)  # rows are written together, a little later
    rows = [row for row in server.rows() if row["request_id"] not in seen]
    assert len(rows) == 9
    assert {row["outcome"] for row in rows} <= {"complete", "broken", "refused"}
    assert sum(row["outcome"] == "broken" for row in rows) == len(broken)
    assert len({row["request_id"] for row in rows}) == 9


def test_a_client_that_asks_for_it_sees_how_far_the_prompt_is_read(server: Served) -> None:
    body = server.ask("你好吗" * 900, headers={"x-qiao-progress": "1"}, stream=True, max_tokens=5)
    comments = [line for line in body.splitlines() if line.startswith(":")]
    progress = [line.removeprefix(": progress ") for line in comments if line.startswith(": progress ")]
    assert any(int(done) <= int(total) > 1000 for done, total in (line.split("/") for line in progress))
    assert ": x-qiao-engine: local" in comments
    assert ": x-qiao-notice: built-in demo model, not Qwen" in comments
    assert datas(body)[-1] == "[DONE]"
    assert not [
        line for line in server.ask("你好" * 900, stream=True, max_tokens=5).splitlines() if line.startswith(":")
    ]


def test_a_model_that_nobody_asks_is_unloaded_and_the_server_stays_ready(tmp_path: Path) -> None:
    with served(tmp_path, QIAO_IDLE="0.01") as running:
        assert THANKS in running.ask("谢谢")
        engine = running.engine
        for _ in range(500):
            if not alive(engine):
                break
            time.sleep(0.02)
        assert not alive(engine)
        assert running.get("/readyz") == 200
        assert THANKS in running.ask("谢谢")
    assert "model_unloaded" in (tmp_path / "log").read_text()


# Run by every Python process of the server: notes each address that something connects to or looks up.
WATCH = """
    import os, sys
    sys.modules["uvloop"] = None  # it connects without telling Python
    def seen(event, arguments):
        if event in {"socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"}:
            with open(os.environ["SEEN"], "a") as out:
                out.write(f"{event} {arguments[1:2] if event == 'socket.connect' else arguments[:1]}\\n")
    sys.addaudithook(seen)
"""


def test_nothing_but_this_machine_is_connected_to(tmp_path: Path) -> None:
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks" / "sitecustomize.py").write_text(textwrap.dedent(WATCH))
    seen = tmp_path / "seen"
    environment = {"PYTHONPATH": str(tmp_path / "hooks"), "SEEN": str(seen)}
    with served(tmp_path, **environment) as running:
        assert THANKS in running.ask("谢谢")
        assert running.get("/readyz") == 200
        assert running.get("/v1/models") == 200
    lines = seen.read_text().splitlines()
    assert any("engine.sock" in line for line in lines), "the hook sees the engine's own socket"
    assert not [line for line in lines if "engine.sock" not in line and "127.0.0.1" not in line]
