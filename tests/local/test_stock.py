"""A server on a machine with models: the largest answers, each other one to its own name, embeddings and ranks too."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import dashscope
import openai
import pytest

from qiao.engines.local import Local
from qiao.weights import choosing, finding
from qiao.weights.places import Places
from tests.local.models import EMBEDDING, RERANKER, tiny
from tests.stage import Bridge, bridge
from tools.random_model.writing import write_folder

pytestmark = pytest.mark.anyio
NATIVE = "/api/v1/services"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose store holds two models for chats, one for embeddings and one for reranking."""
    home = tmp_path_factory.mktemp("home")
    for name in ("tiny-qwen3", "tiny-qwen3-moe", EMBEDDING, RERANKER):
        folder = home / ".qiao" / "models" / name
        folder.mkdir(parents=True)
        tiny(name, folder)
    return home


@pytest.fixture
async def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bridge]:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "none"))
    monkeypatch.delenv("QIAO_MODEL")
    async with bridge(engine="local", context=512) as running:
        yield running


def loaded(server: Bridge) -> list[str]:
    """The engines whose process runs."""
    running = [engine for engine in server.app.engines if isinstance(engine, Local)]
    return [engine.name for engine in running if engine._resident.child is not None and engine._resident.child.pid]


async def test_one_model_answers_to_every_qwen_name_and_the_others_are_loaded_by_their_own(server: Bridge) -> None:
    listed = [row["id"] for row in (await server.ask("/v1/models", method="GET")).json["data"]]
    assert {"tiny-qwen3", "tiny-qwen3-moe", EMBEDDING, RERANKER, "qwen-plus"} <= set(listed)
    first = await server.chat(max_tokens=3)
    assert (first.status, first.headers["x-qiao-engine"]) == (200, "local")
    assert "x-qiao-notice" not in first.headers
    assert loaded(server) == ["local"]
    [other] = {"tiny-qwen3", "tiny-qwen3-moe"} - set(server.app.engines[0].names())
    answer = await server.chat(model=other, max_tokens=3)
    assert (answer.status, answer.headers["x-qiao-engine"]) == (200, f"local-{other}")
    assert answer.json["model"] == other
    assert loaded(server) == ["local", f"local-{other}"]


async def test_the_sdks_get_vectors_and_ranks_of_models_on_this_machine(server: Bridge) -> None:
    root = f"http://{server.url.authority}"

    def asked() -> None:
        client = openai.OpenAI(base_url=f"{root}/v1", api_key="any", max_retries=0)
        with client:
            found = client.embeddings.create(model="text-embedding-v4", input=["one", "two", "one"], dimensions=64)
        one, two, again = (row.embedding for row in found.data)
        assert len(one) == 64
        assert one == pytest.approx(again, abs=1e-5) != two
        assert found.usage.prompt_tokens > 0
        dashscope.base_http_api_url = f"{root}/api/v1"
        native = dashscope.TextEmbedding.call(EMBEDDING, ["one"], api_key="any", dimension=64)
        assert native.status_code == 200, native
        assert native.output["embeddings"][0]["embedding"] == pytest.approx(one, abs=1e-5)
        ranks = dashscope.TextReRank.call("qwen3-rerank", "q", ["a", "bb", "ccc"], top_n=2, api_key="any")
        assert ranks.status_code == 200, ranks
        scores = [row.relevance_score for row in ranks.output.results]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == 2
        assert all(0 <= score <= 1 for score in scores)

    await asyncio.to_thread(asked)
    assert set(loaded(server)) == {"local", f"local-{EMBEDDING}", f"local-{RERANKER}"}


async def test_what_a_vector_model_cannot_do_is_said(server: Bridge) -> None:
    chat = await server.chat(model=EMBEDDING)
    assert (chat.status, b"embedding" in chat.body) == (404, True) or chat.status == 400
    long = await server.ask("/v1/embeddings", {"model": EMBEDDING, "input": "word " * 2000})
    assert long.status == 400
    assert b"Range of input length should be [1, " in long.body
    packed = await server.ask("/v1/embeddings", {"model": EMBEDDING, "input": "a", "encoding_format": "base64"})
    vector = packed.json["data"][0]["embedding"]
    numbers = len(vector) if isinstance(vector, list) else len(base64.b64decode(vector)) // struct.calcsize("f")
    assert numbers == 64


async def test_a_folder_of_safetensors_is_translated_and_answers(tmp_path: Path) -> None:
    folder = tmp_path / "Tiny-Qwen3"
    write_folder("tiny-qwen3", folder, shards=2)
    places = Places.of({}, tmp_path, tmp_path / "home" / "models")
    found = choosing.pick(str(folder), places).found
    assert found is not None
    assert found.path == finding.translation(folder, places.own)
    async with bridge(engine="local", model=str(folder), home=tmp_path / "home", context=512) as server:
        assert (await server.chat(max_tokens=3)).status == 200


def test_the_start_says_which_model_answers_and_which_by_name(home: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "QIAO_MODEL"}
    environment |= {"HOME": str(home), "OLLAMA_MODELS": str(home / "none"), "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "qiao", "serve", "--port", "0", "--engine", "local"]
    with subprocess.Popen(command, env=environment, cwd=home, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        said = "".join(iter(server.stdout.readline, "Ctrl-C stops.\n"))
        server.terminate()
    assert " from Qiao, " in said
    assert "the largest Qwen model here" in said
    [further] = [line for line in said.splitlines() if "Also, by name:" in line]
    assert {EMBEDDING, RERANKER} <= set(further.replace(",", " ").split())
