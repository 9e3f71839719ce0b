"""`qiao pull` and the words of `qiao models`: models come, are listed with their memory, and go."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, Run
from tests.weights import making
from tests.weights.hubs import FakeHub

NAME = "Qwen3-4B-Q4_K_M.gguf"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    fake = FakeHub()
    data = making.model(tmp_path / "made.gguf").read_bytes()
    (tmp_path / "made.gguf").unlink()
    fake.script.files = {NAME: data, "mmproj-F16.gguf": b"GGUF"}
    yield fake
    fake.close()


def test_a_model_is_pulled_listed_and_removed(qiao: Run, hub: FakeHub, tmp_path: Path) -> None:
    ended = qiao("pull", "Qwen/a", HF_ENDPOINT=hub.root)
    assert ended.returncode == 0, ended.stderr
    folder = tmp_path / "state/models/Qwen/a"
    assert f"From {hub.root}: {NAME}, mmproj-F16.gguf, 0.0 GiB\n" in ended.stdout
    assert f"{folder / NAME} is there: `qiao serve --model Qwen/a` runs it." in ended.stdout
    assert "run `qiao models import FILE`" in ended.stdout
    listed = qiao("models", "--local").stdout
    assert "Qwen/a  (Qiao)  answers by default" in listed
    assert "qwen3, 0.0M, Q4_K_M, 0.0 GiB, context 40,960, sees images" in listed
    assert "memory in GiB by context, two calls at once: 4,096: 0.4, 8,192: 0.4, 32,768: 0.4, 40,960: 0.4" in listed
    [row] = json.loads(qiao("models", "--local", "--json").stdout)["models"]
    assert (row["default"], row["fits"], row["path"]) == (True, True, str(folder / NAME))
    again = len(hub.begins)
    assert qiao("pull", "Qwen/a", HF_ENDPOINT=hub.root).returncode == 0
    assert len(hub.begins) == again
    assert f"{folder / NAME} is deleted.\n" in qiao("models", "remove", "Qwen/a").stdout
    assert not folder.exists()


def test_a_chinese_user_is_sent_to_modelscope_first(qiao: Run, hub: FakeHub) -> None:
    ended = qiao("pull", "Qwen/a", MODELSCOPE_DOMAIN=hub.root, LANG="zh_CN.UTF-8")
    assert ended.returncode == 0, ended.stderr
    assert f"来自 {hub.root}" in ended.stdout
    assert hub.script.asked[0][0].startswith("/api/v1/models/Qwen/a/repo/files")


@pytest.mark.parametrize(
    ("name", "said"),
    [("nothing", "use a short name"), ("Other/b", "404"), ("Qwen/a:Q2_K", "has no Q2_K; it has: Q4_K_M")],
)
def test_what_cannot_be_pulled_is_said_in_one_line(qiao: Run, hub: FakeHub, name: str, said: str) -> None:
    ended = qiao("pull", name, "--from", "huggingface", HF_ENDPOINT=hub.root)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_page_in_place_of_the_model_is_said(qiao: Run, hub: FakeHub) -> None:
    hub.script.files = {NAME: b"<!doctype html>"}
    assert "a web page: the download went wrong" in qiao("pull", "Qwen/a", HF_ENDPOINT=hub.root).stderr


def test_ctrl_c_keeps_what_came_and_says_how_to_go_on(
    environment: dict[str, str], hub: FakeHub, tmp_path: Path
) -> None:
    hub.script.statuses = [503] * 99
    part = tmp_path / "state/models/Qwen/a" / f"{NAME}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(hub.script.files[NAME][:100])
    command = [*COMMAND, "pull", "Qwen/a:Q4_K_M"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environment | {"HF_ENDPOINT": hub.root}
    ) as process:
        while not hub.begins:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert "`qiao pull Qwen/a:Q4_K_M` goes on from here" in process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert part.stat().st_size == 100


def test_a_file_is_imported_and_runs_by_its_name(qiao: Run, tmp_path: Path) -> None:
    path = making.model(tmp_path / "usb" / "Qwen3-8B-Q4_K_M.gguf", name="Qwen3 8B")
    ended = qiao("models", "import", str(path))
    assert "`qiao serve --model qwen3-8b` runs it" in ended.stdout
    checked = json.loads(qiao("doctor", "--weights", "qwen3-8b", "--engine", "local", "--json").stdout)
    weights = next(row for row in checked["checks"] if row["name"] == "weights")
    assert weights["status"] == "ok"
    assert weights["message"].startswith("Qwen3 8B, ")


def test_a_wrong_word_and_a_wrong_file_are_said(qiao: Run, tmp_path: Path) -> None:
    assert "qiao models import FILE…" in qiao("models", "export", "a").stderr
    (tmp_path / "a.gguf").write_text("version https://git-lfs.github.com/spec/v1")
    assert "Git LFS" in qiao("models", "import", "a.gguf").stderr
    assert "没有模型" in qiao("models", "remove", "qwen3-4b", "--lang", "zh").stderr


def test_nothing_here_is_said_with_how_to_get_something(qiao: Run) -> None:
    assert "`qiao pull qwen3-4b` gets one" in qiao("models", "--local").stdout
