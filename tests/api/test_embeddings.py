"""What is wrong with an embeddings or rerank request, in the reference's words (§2.12, §4.4), and what is right with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.doors import DOORS, EMBEDDINGS, NATIVE_EMBEDDINGS, NATIVE_RERANK, RERANKS, Door, judge
from tests.stage import Bridge, bridge

pytestmark = pytest.mark.anyio
NO_TEXTS = "Value error, contents is neither str nor list of str.: input.contents"
ROWS = "Value error, batch size is invalid, it should not be larger than {}.: input.{}"


@pytest.fixture(scope="module")
async def server(anyio_backend: str) -> AsyncIterator[Bridge]:
    async with bridge(engine="simulator") as running:
        yield running


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "Field required: input.contents"),
        ({"input": None}, "Field required: input.contents"),
        ({"input": []}, "[] is too short - 'input'"),
        ({"input": [1, 2]}, NO_TEXTS),
        ({"input": [[1, 2]]}, NO_TEXTS),
        ({"input": ["a", 1]}, NO_TEXTS),
        ({"input": {"texts": ["a"]}}, NO_TEXTS),
        ({"input": ["a"] * 11}, ROWS.format(10, "contents")),
        ({"input": ["a"] * 26, "model": "text-embedding-v2"}, ROWS.format(25, "contents")),
        ({"input": "a", "encoding_format": "int8"}, "'encoding_format' Invalid value: 'int8'. Supported values are"),
        ({"input": "a", "dimensions": "64"}, "Input should be a valid integer: parameters.dimension"),
        ({"input": "a", "dimensions": 0}, "Input should be greater than 0: parameters.dimension"),
        ({"input": "a", "dimensions": 63}, "Value error, dimension 63 is invalid, it should be one of 64, 128, 256,"),
        ({"input": ""}, "Range of input length should be [1, 8192]"),
        ({"input": "word " * 8193}, "Range of input length should be [1, 8192]"),
    ],
)
async def test_what_is_no_embeddings_request(server: Bridge, fields: dict[str, Any], text: str) -> None:
    answer = await server.ask(EMBEDDINGS, {"model": "text-embedding-v4", **fields})
    judge(DOORS["embeddings"], answer)
    assert answer.status == 400
    assert answer.json["error"]["code"] == "invalid_parameter_error"
    assert answer.json["error"]["message"].startswith(text)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"query": None}, "Field required: input.query"),
        ({"documents": None}, "Field required: input.documents"),
        ({"documents": "a"}, "Input should be a valid list: input.documents"),
        ({"documents": []}, "[] is too short - 'documents'"),
        (
            {"documents": ["a", {"image": "https://a.example/x.png"}]},
            "Input should be a valid string: input.documents.1",
        ),
        ({"query": {"image": "https://a.example/x.png"}}, "Input should be a valid string: input.query"),
        ({"documents": ["a"] * 501}, ROWS.format(500, "documents")),
        ({"top_n": 0}, "Input should be greater than 0: parameters.top_n"),
        ({"top_n": "2"}, "Input should be a valid integer: parameters.top_n"),
        ({"return_documents": "yes"}, "Input should be a valid boolean: parameters.return_documents"),
    ],
)
async def test_what_is_no_rerank_request(server: Bridge, fields: dict[str, Any], text: str) -> None:
    flat = {"query": "q", "documents": ["d"]} | fields
    inside = {name: value for name, value in flat.items() if name in {"query", "documents"} and value is not None}
    options = {name: value for name, value in flat.items() if name in {"top_n", "return_documents"}}
    for path, body in ((RERANKS, flat), (NATIVE_RERANK, {"input": inside, "parameters": options})):
        answer = await server.ask(path, {"model": "qwen3-rerank", **body})
        judge(Door(path, {}), answer)
        assert (answer.status, answer.json["code"]) == (400, "InvalidParameter")
        assert answer.json["message"].startswith(text)


async def test_both_protocols_give_the_same_vectors_and_ranks(server: Bridge) -> None:
    texts = ["苹果多少钱", "how much are apples"]
    ours = (await server.ask(EMBEDDINGS, {"model": "text-embedding-v4", "input": texts, "dimensions": 128})).json
    call = {"model": "text-embedding-v4", "input": {"texts": texts}, "parameters": {"dimension": 128}}
    native = (await server.ask(NATIVE_EMBEDDINGS, call)).json
    rows = native["output"]["embeddings"]
    assert [row["embedding"] for row in rows] == [row["embedding"] for row in ours["data"]]
    assert [row["text_index"] for row in rows] == [0, 1]
    assert native["usage"] == {"total_tokens": ours["usage"]["total_tokens"]}
    ranking = {"query": "apples", "documents": [*texts, "pears"]}
    flat = (await server.ask(RERANKS, {"model": "qwen3-rerank", **ranking, "top_n": 2})).json
    native = (await server.ask(NATIVE_RERANK, {"model": "gte-rerank-v2", "input": ranking})).json
    assert flat["results"] == native["output"]["results"][:2]
    assert flat["results"][0]["index"] == 1
    assert len(native["output"]["results"]) == 3


async def test_the_models_for_it_are_listed(server: Bridge) -> None:
    names = {row["id"] for row in (await server.ask("/v1/models", method="GET")).json["data"]}
    assert {"text-embedding-v4", "qwen3-rerank", "qwen-plus"} <= names
    assert not {"text-embedding-async-v2", "qwen3-vl-embedding"} & names, "they take files and pictures, not texts"
    row = (await server.ask("/v1/models/text-embedding-v4", method="GET")).json
    assert "rehearsed" in row["notice"]


@pytest.mark.parametrize(
    ("path", "call"),
    [
        (EMBEDDINGS, {"model": "text-embedding-v4!429", "input": "a"}),
        (NATIVE_RERANK, {"model": "qwen3-rerank!429", "input": {"query": "q", "documents": ["d"]}}),
    ],
)
async def test_a_fault_by_the_model_name(server: Bridge, path: str, call: dict[str, Any]) -> None:
    answer = await server.ask(path, call)
    told = answer.json.get("error", answer.json)
    assert (answer.status, told["code"].lower().replace(".", "")) in {
        (429, "limit_requests"),
        (429, "throttlingratequota"),
    }
