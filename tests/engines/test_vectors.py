"""Embeddings and reranking by other servers: what each is sent, and its answer in the reference's form."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.api.doors import EMBEDDINGS, NATIVE_EMBEDDINGS, NATIVE_RERANK, RERANKS
from tests.stage import Answer, Asked, Bridge, bridge, scripted

pytestmark = pytest.mark.anyio
Script = Callable[[Asked], Awaitable[None]]
VLLM = (
    b'{"id":"embd-7","object":"list","created":1,"model":"m","data":[{"index":0,"object":"embedding",'
    b'"embedding":[0.058105468750,-1.0e-05]}],"usage":{"prompt_tokens":3,"total_tokens":3,"completion_tokens":0,'
    b'"prompt_tokens_details":null}}'
)
DOCUMENTS = ["about pears", "about apples", "about nothing"]
RANKS = [{"index": 0, "relevance_score": 0.2}, {"index": 1, "relevance_score": 0.9}, {"index": 2, "relevance_score": 0}]
LLAMA_LONG = b'{"error":{"code":500,"message":"input (2001 tokens) is too large to process. increase the physical batch size (current batch size: 512)","type":"server_error"}}'
LLAMA_FULL = b'{"error":{"code":400,"message":"request (2001 tokens) exceeds the available context size (256 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":2001,"n_ctx":256}}'


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def says(value: Any, status: int = 200) -> Script:
    async def script(asked: Asked) -> None:
        await asked.whole(value if isinstance(value, bytes) else json.dumps(value).encode(), status)

    return script


def one(kind: str, url: str) -> dict[str, Any]:
    return {"engines": [{"name": "gpu", "kind": kind, "url": url}]}


def embedded(*rows: list[float]) -> dict[str, Any]:
    data = [{"embedding": row, "index": at, "object": "embedding"} for at, row in enumerate(rows)]
    return {"object": "list", "model": "m", "data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3}}


async def embed(server: Bridge, text: Any = "hi", model: str = "m", **fields: Any) -> Answer:
    return await server.ask(EMBEDDINGS, {"model": model, "input": text, **fields})


async def rank(server: Bridge, **fields: Any) -> Answer:
    return await server.ask(RERANKS, {"model": "m", "query": "apples", "documents": DOCUMENTS, **fields})


@pytest.mark.parametrize("kind", ["openai", "vllm", "sglang"])
async def test_vectors_pass_byte_for_byte_and_the_server_cuts_and_packs_them(kind: str) -> None:
    async with scripted(says(VLLM)) as engine, bridge(**one(kind, engine.url)) as server:
        body = b'{"model":"m","input":"hi","dimensions":2,"encoding_format":"base64","user":"u"}'
        answer = await server.ask(EMBEDDINGS, body)
        assert (answer.status, answer.body) == (200, VLLM)
        assert answer.headers["x-request-id"] == "embd-7"
        assert (engine.asked[0].path, engine.asked[0].body) == ("/v1/embeddings", body)


async def test_a_native_call_gets_the_digits_that_the_server_wrote() -> None:
    async with scripted(says(VLLM)) as engine, bridge(**one("vllm", engine.url)) as server:
        call = {"model": "m", "input": {"texts": ["hi"]}, "parameters": {"dimension": 2}}
        answer = await server.ask(NATIVE_EMBEDDINGS, call)
        assert answer.body == (
            b'{"output":{"embeddings":[{"embedding":[0.058105468750,-1.0e-05],"text_index":0}]},'
            b'"usage":{"total_tokens":3},"request_id":"%s"}' % answer.headers["x-request-id"].encode()
        )
        assert engine.asked[0].json == {"model": "m", "dimensions": 2, "input": ["hi"]}


async def test_ollama_is_asked_for_embeddings_in_openai_mode_and_never_for_ranks() -> None:
    async with scripted(says(embedded([1.0, 0.0]))) as engine, bridge(**one("ollama", engine.url + "/v1")) as server:
        assert (await embed(server, encoding_format="float")).json["data"][0]["embedding"] == [1.0, 0.0]
        assert engine.asked[0].path == "/v1/embeddings"
        answer = await rank(server)
        assert (answer.status, answer.json["code"]) == (404, "ModelNotFound")
        assert "No engine here answers rerank calls for the model m" in answer.json["message"]
        assert len(engine.asked) == 1


async def test_an_answer_without_an_id_gets_ours() -> None:
    async with scripted(says(embedded([1.0]))) as engine, bridge(**one("openai", engine.url)) as server:
        answer = await embed(server)
        assert answer.json["id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["llama-server", "lmstudio", "ollama"])
async def test_what_a_server_may_not_cut_is_cut_to_length_one(kind: str, packed: bool) -> None:
    async with scripted(says(embedded([3.0, 4.0, 12.0]))) as engine, bridge(**one(kind, engine.url)) as server:
        form = "base64" if packed else "float"
        answer = await embed(server, dimensions=2, encoding_format=form)
        vector = answer.json["data"][0]["embedding"]
        if packed:
            vector = struct.unpack("<2f", base64.b64decode(vector))
        assert vector == pytest.approx([0.6, 0.8])
        assert answer.json["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
        assert engine.asked[0].json == {"model": "m", "input": "hi"}
        whole = await embed(server, dimensions=3, encoding_format="float")
        assert whole.json["data"][0]["embedding"] == [3.0, 4.0, 12.0], "the model's own size is left as it is"
        larger = await embed(server, dimensions=4)
        assert larger.status == 400
        assert "dimension 4 is invalid, this model has 3" in larger.json["error"]["message"]


@pytest.mark.parametrize(
    ("model", "parameters", "expected"),
    [
        ("m", {"text_type": "query"}, "hi"),
        ("m", {"text_type": "query", "instruct": "find it"}, "Instruct: find it\nQuery:hi"),
        ("m", {"instruct": "find it"}, "hi"),
        ("Qwen/Qwen3-Embedding-0.6B", {"text_type": "document", "instruct": "find it"}, "hi"),
        (
            "Qwen/Qwen3-Embedding-0.6B",
            {"text_type": "query"},
            "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:hi",
        ),
    ],
)
async def test_a_question_carries_its_instruction(model: str, parameters: dict[str, str], expected: str) -> None:
    async with scripted(says(VLLM)) as engine, bridge(**one("vllm", engine.url)) as server:
        call = {"model": model, "input": {"texts": ["hi"]}, "parameters": parameters}
        assert (await server.ask(NATIVE_EMBEDDINGS, call)).status == 200
        assert engine.asked[0].json == {"model": model, "input": [expected]}


@pytest.mark.parametrize(
    "said",
    [
        {"id": "score-1", "model": "m", "usage": {"total_tokens": 9}, "results": [r | {"document": {}} for r in RANKS]},
        {"model": "m", "object": "list", "usage": {"prompt_tokens": 9, "total_tokens": 9}, "results": RANKS[::-1]},
        [
            {
                "score": rank["relevance_score"],
                "index": rank["index"],
                "document": "x",
                "meta_info": {"prompt_tokens": 3},
            }
            for rank in RANKS
        ],
    ],
    ids=["vllm", "llama-server", "sglang"],
)
async def test_ranks_look_the_same_whoever_made_them(said: Any) -> None:
    async with scripted(says(said)) as engine, bridge(**one("openai", engine.url)) as server:
        answer = await rank(server, top_n=2, return_documents=True)
        ident = answer.headers["x-request-id"]
        results = [
            {"index": 1, "relevance_score": 0.9, "document": {"text": "about apples"}},
            {"index": 0, "relevance_score": 0.2, "document": {"text": "about pears"}},
        ]
        assert answer.json == {
            "object": "list", "results": results, "model": "m", "id": ident, "usage": {"total_tokens": 9}
        }  # fmt: skip
        asked = engine.asked[0]
        assert asked.path == "/v1/rerank"
        assert asked.json == {"model": "m", "query": "apples", "documents": DOCUMENTS, "return_documents": False}
        native = {"query": {"text": "apples"}, "documents": [{"text": text} for text in DOCUMENTS]}
        answer = await server.ask(NATIVE_RERANK, {"model": "m", "input": native})
        assert [row["index"] for row in answer.json["output"]["results"]] == [1, 0, 2]
        assert all("document" not in row for row in answer.json["output"]["results"])
        assert answer.json["usage"] == {"total_tokens": 9}
        assert engine.asked[1].json["documents"] == DOCUMENTS


async def test_logits_become_scores_between_0_and_1() -> None:
    logits = [{"index": at, "relevance_score": score} for at, score in enumerate([-11.0, 7.7, 800.0])]
    async with scripted(says({"results": logits})) as engine, bridge(**one("llama-server", engine.url)) as server:
        answer = await rank(server)
        assert [row["index"] for row in answer.json["results"]] == [2, 1, 0]
        scores = [row["relevance_score"] for row in answer.json["results"]]
        assert scores == pytest.approx([1.0, 1 / (1 + math.exp(-7.7)), 1 / (1 + math.exp(11))])
        assert answer.json["usage"]["total_tokens"] > 0, "estimated where the server does not count"


@pytest.mark.parametrize(("kind", "told"), [("llama-server", True), ("vllm", True), ("sglang", False)])
async def test_an_instruction_that_the_server_does_not_take_is_told(kind: str, told: bool) -> None:
    async with scripted(says({"results": RANKS})) as engine, bridge(**one(kind, engine.url)) as server:
        answer = await rank(server, instruct="find it")
        assert ("without `instruct`" in answer.headers.get("x-qiao-notice", "")) is told
        assert engine.asked[0].json["instruct"] == "find it"
        assert "x-qiao-notice" not in (await rank(server)).headers


@pytest.mark.parametrize(("said", "limit"), [(LLAMA_LONG, 512), (LLAMA_FULL, 256)])
async def test_a_text_that_is_too_long_is_the_callers_and_not_tried_again(said: bytes, limit: int) -> None:
    status = json.loads(said)["error"]["code"]
    async with scripted(says(said, status)) as engine, bridge(**one("llama-server", engine.url)) as server:
        text = f"Range of input length should be [1, {limit}]"
        answer = await embed(server)
        assert (answer.status, answer.json["error"]["message"]) == (400, text)
        ranked = await rank(server)
        assert (ranked.status, ranked.json["code"], ranked.json["message"]) == (400, "InvalidParameter", text)
        assert len(engine.asked) == 2


async def test_what_a_server_refuses_is_told_in_the_words_of_the_server_and_the_envelope_of_the_door() -> None:
    said = {"error": {"message": "max_model_len is 512", "type": "BadRequestError", "param": None, "code": 400}}
    async with scripted(says(said, 400)) as engine, bridge(**one("vllm", engine.url)) as server:
        assert (await embed(server)).json["error"]["code"] == "invalid_parameter_error"
        answer = await rank(server)
        assert answer.json == {
            "code": "InvalidParameter", "message": "max_model_len is 512", "request_id": answer.headers["x-request-id"]
        }  # fmt: skip


async def test_a_refused_key_stays_on_the_server() -> None:
    said = {"error": {"message": "bad key sk-secret", "code": "invalid_api_key"}}
    rows = [{"name": "gpu", "kind": "vllm", "key": "sk-secret"}]
    async with scripted(says(said, 401)) as engine, bridge(engines=[rows[0] | {"url": engine.url}]) as server:
        for answer in (await embed(server), await rank(server)):
            assert answer.status == 401
            assert b"sk-secret" not in answer.body


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"null",
        b'{"results":[]}',
        b'{"results":[{"index":0,"relevance_score":0.5}]}',
        b'{"results":[{"index":0},{"index":1},{"index":2}]}',
        b'{"results":[{"index":0,"score":null},{"index":1,"score":1},{"index":2,"score":1}]}',
        b'{"results":[{"index":-1,"score":1},{"index":1,"score":1},{"index":2,"score":1}]}',
        b'{"error":"Unexpected endpoint or method. (POST /v1/rerank)"}',
        b'{"data":[{"embedding":[null],"index":0}]}',
        b'{"data":[{"embedding":"AAAA","index":0}]}',
        b'{"data":[]}',
        b"\xff",
        b"[" * 100_000,
    ],
)
async def test_another_answer_is_the_engines_fault(said: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    async with scripted(says(said)) as engine, bridge(**one("llama-server", engine.url)) as server:
        assert (await rank(server)).status in {500, 502}
        assert (await embed(server, dimensions=1)).status in {500, 502}
    assert "defect" not in capfd.readouterr().out
