"""Native embeddings and reranking as the hub's documents, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao.errors import InvalidParameter, ProtocolBroken
from qiao.wire import usage, vectors
from qiao.wire.call import Task
from qiao.wire.document import Document
from qiao.wire.translate.native_vectors import NativeVectors, to_hub

ID = "1ba94ac8-e058-99bc-9cc1-7fdb37940a46"


def hub(task: Task, body: Any) -> dict[str, Any]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads(to_hub(Document.parse(text), task).encode())


def native(task: Task, answer: bytes) -> bytes:
    passage = NativeVectors(ID, task)
    for at in range(0, len(answer), 7):
        assert passage.feed(answer[at : at + 7]) == b""
    return passage.end()


def test_an_embeddings_request_is_spelled_as_openai_does_and_the_rest_is_carried() -> None:
    given_ = {
        "model": "text-embedding-v4",
        "input": {"texts": ["a", "b"]},
        "parameters": {"dimension": 64, "text_type": "query", "instruct": "i", "output_type": "dense", "new": [1]},
        "other": 1,
    }
    assert hub("embedding", given_) == {
        "model": "text-embedding-v4",
        "input": ["a", "b"],
        "dimensions": 64,
        "text_type": "query",
        "instruct": "i",
        "new": [1],
        "other": 1,
    }


def test_a_rerank_request_lies_flat_in_the_hub() -> None:
    given_ = {
        "model": "qwen3-rerank",
        "input": {"query": "q", "documents": ["a", {"text": "b"}]},
        "parameters": {"top_n": 1, "return_documents": True, "instruct": "i"},
    }
    expected = {"model": "qwen3-rerank", **given_["input"], **given_["parameters"]}
    assert hub("rerank", given_) == expected
    assert hub("rerank", given_ | {"parameters": {"model": "x", "query": "y"}})["query"] == "q"


@pytest.mark.parametrize(
    ("task", "body", "text"),
    [
        ("embedding", {"model": "m"}, "Field required: input"),
        ("embedding", {"model": "m", "input": "x"}, "Input should be a valid dictionary: input"),
        ("embedding", {"model": "m", "input": {}}, "Field required: input.texts"),
        ("embedding", {"model": "m", "input": {"url": "https://a.example/x.txt"}}, "Field required: input.texts"),
        ("embedding", {"input": {"texts": ["a"]}, "parameters": {"output_type": "sparse"}}, "Sparse vectors"),
        ("embedding", {"input": {"texts": ["a"]}, "parameters": {"output_type": "dense&sparse"}}, "Sparse vectors"),
        ("embedding", {"input": {"texts": ["a"]}, "parameters": {"output_type": []}}, "Sparse vectors"),
        ("rerank", {"model": "m", "parameters": 1, "input": {}}, "Input should be a valid dictionary: parameters"),
    ],
)
def test_what_the_hub_cannot_say_is_refused(task: Task, body: Any, text: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        hub(task, body)
    assert caught.value.message.startswith(text)


def test_vectors_keep_their_digits_and_the_order_of_the_texts() -> None:
    answer = b'{"data":[{"embedding":[0.10,-1e-7],"index":1},{"index":0,"embedding":[2]}],"usage":{"total_tokens":27}}'
    assert native("embedding", answer) == (
        b'{"output":{"embeddings":[{"embedding":[2],"text_index":0},{"embedding":[0.10,-1e-7],"text_index":1}]},'
        b'"usage":{"total_tokens":27},"request_id":"%s"}' % ID.encode()
    )


def test_ranks_are_written_as_the_reference_has_them() -> None:
    answer = (
        b'{"results":[{"index":1,"relevance_score":0.930,"document":{"text":"b"}},{"index":0,"relevance_score":0}]}'
    )
    assert native("rerank", answer) == (
        b'{"output":{"results":[{"document":{"text":"b"},"index":1,"relevance_score":0.930},'
        b'{"index":0,"relevance_score":0}]},"usage":{"total_tokens":0},"request_id":"%s"}' % ID.encode()
    )


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"data":1}', b'{"data":[{}]}', b"\xff", b'{"output":{}}'])
@pytest.mark.parametrize("task", ["embedding", "rerank"])
def test_another_answer_is_broken_protocol(task: Task, answer: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        native(task, answer)


def test_the_sum_alone_counts_as_input() -> None:
    assert usage.read(b'{"total_tokens":79}') == usage.Usage(input=79)
    assert usage.read(b'{"prompt_tokens":5,"total_tokens":79}') == usage.Usage(input=5)


@given(
    documents=st.lists(st.text(max_size=5), min_size=1, max_size=6),
    scores=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=6, max_size=6),
    top_n=st.none() | st.integers(1, 9),
    told=st.booleans(),
)
def test_the_best_come_first_and_no_more_than_asked(
    documents: list[str], scores: list[float], top_n: int | None, told: bool
) -> None:
    asked = vectors.ranking(Document.build(query="q", documents=documents, top_n=top_n, return_documents=told))
    answer = json.loads(vectors.ranking_answer(ID, "m", asked, scores[: len(documents)], 3))
    got = [(-row["relevance_score"], row["index"]) for row in answer["results"]]
    assert got == sorted((-score, at) for at, score in enumerate(scores[: len(documents)]))[: top_n or 99]
    shown = [row.get("document", {}).get("text") for row in answer["results"]]
    assert shown == [documents[at] if told else None for _, at in got]
