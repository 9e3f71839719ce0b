"""A real child of the embedding and of the rerank role, asked as `engines/vectors.py` asks it."""

from __future__ import annotations

import asyncio
import math
import sys
import uuid
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qiao.engines import vectors
from qiao.engines.client import Client, Url
from qiao.engines.connection import Response
from qiao.errors import EngineFailed, InputTooLong, InvalidParameter
from qiao.exchange import passages
from qiao.wire.call import Call, Task
from qiao.wire.document import Document

pytestmark = pytest.mark.anyio
# The built-in model was made for chats: what it says here has a form, but no sense.
CHILD = """
import sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.hostnames = sys.argv[1], [sys.argv[2]]
params.n_ctx, params.n_parallel, params.kv_unified = 1024, 2, False
params.n_batch = params.n_ubatch = 256
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.ui, params.offline, params.verbosity, params.embedding = False, True, 0, True
params.pooling_type = getattr(xllamacpp.llama_pooling_type, sys.argv[3])
server = xllamacpp.Server(params)
print("ready", flush=True)
sys.stdin.read()
"""


class Role:
    """One running child, and what it was asked."""

    def __init__(self, client: Client, socket: str) -> None:
        self._client = client
        self._socket = socket

    async def post(self, path: str, body: bytes) -> Response:
        headers = [("content-type", "application/json")]
        return await self._client.open(Url.unix(self._socket, path), "POST", headers, body, reuse=False)

    async def answer(self, task: Task, **fields: Any) -> dict[str, Any]:
        document = Document.build(model="m", **fields)
        call = Call(str(uuid.uuid4()), "openai", None, "m", document, False, 0.0, task=task)
        reply = await vectors.answer(call, self.post)
        if reply.status != 200:
            raise await passages.refusal(call, reply, 0.0)
        return msgspec.json.decode(b"".join([piece async for piece in reply.body]))


async def _running(client: Client, folder: Path, pooling: str) -> AsyncIterator[Role]:
    socket = str(folder / "engine.sock")
    weights = str(files("qiao").joinpath("data", "demo.gguf"))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, weights, socket, pooling, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    yield Role(client, socket)
    process.stdin.close()
    await process.wait()


@pytest.fixture(scope="module")
async def embedder(client: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Role]:
    async for role in _running(client, tmp_path_factory.mktemp("e"), "LLAMA_POOLING_TYPE_MEAN"):
        yield role


@pytest.fixture(scope="module")
async def ranker(client: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Role]:
    async for role in _running(client, tmp_path_factory.mktemp("r"), "LLAMA_POOLING_TYPE_RANK"):
        yield role


async def test_every_text_gets_a_vector_of_length_one(embedder: Role) -> None:
    answer = await embedder.answer("embedding", input=["你好", "hello", "你好"])
    first, second, third = (row["embedding"] for row in answer["data"])
    assert [row["index"] for row in answer["data"]] == [0, 1, 2]
    assert math.hypot(*first) == pytest.approx(1, abs=1e-3)
    assert len(first) == len(second) == 192
    assert first == pytest.approx(third)
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0


async def test_a_shorter_vector_is_the_longer_ones_beginning_at_length_one(embedder: Role) -> None:
    whole = (await embedder.answer("embedding", input="hello"))["data"][0]["embedding"]
    short = (await embedder.answer("embedding", input="hello", dimensions=32))["data"][0]["embedding"]
    assert math.hypot(*short) == pytest.approx(1)
    ratio = short[0] / whole[0]
    assert short == pytest.approx([value * ratio for value in whole[:32]])
    with pytest.raises(InvalidParameter, match="dimension 193 is invalid, this model has 192"):
        await embedder.answer("embedding", input="hello", dimensions=193)


async def test_base64_is_packed_with_and_without_a_cut(embedder: Role) -> None:
    for size in (None, 32):
        answer = await embedder.answer("embedding", input="hello", dimensions=size, encoding_format="base64")
        packed = answer["data"][0]["embedding"]
        assert isinstance(packed, str)
        assert len(packed) == 4 * math.ceil((size or 192) * 4 / 3)


async def test_the_best_documents_come_first_with_scores_between_0_and_1(ranker: Role) -> None:
    documents = ["pears", {"text": "apples"}, "nothing"]
    answer = await ranker.answer("rerank", query="q", documents=documents, top_n=2, return_documents=True)
    scores = [row["relevance_score"] for row in answer["results"]]
    assert len(scores) == 2
    assert 1 >= scores[0] >= scores[1] >= 0
    assert all(row["document"] == {"text": ["pears", "apples", "nothing"][row["index"]]} for row in answer["results"])
    assert answer["usage"]["total_tokens"] > 0


async def test_what_is_too_long_is_said_with_the_limit(embedder: Role, ranker: Role) -> None:
    with pytest.raises(InputTooLong, match=r"\[1, 256\]"):
        await embedder.answer("embedding", input="x " * 400)
    with pytest.raises(InputTooLong, match=r"\[1, 512\]"):
        await ranker.answer("rerank", query="q", documents=["x " * 700])


async def test_a_child_of_another_role_says_so(embedder: Role) -> None:
    with pytest.raises(EngineFailed, match="does not support reranking"):
        await embedder.answer("rerank", query="q", documents=["d"])
    with pytest.raises(InvalidParameter, match="cannot be empty"):
        await embedder.answer("embedding", input="")
