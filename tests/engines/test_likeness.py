"""The simulator's vectors and ranks: no model, but texts that share words are near."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao.engines import likeness
from qiao.wire.call import Call, Task
from qiao.wire.document import Document
from tests.engines import play

NEAR = [
    ("苹果多少钱一斤", "一斤苹果的价格", "今天的天气很好"),
    ("how to rank documents", "ranking of a document", "a recipe for bread"),
    ("Python error handling", "handle errors in python", "the price of apples"),
    ("什么是文本排序模型", "文本排序模型广泛用于搜索引擎", "量子计算是前沿领域"),
]


def asking(task: Task, model: str, **fields: Any) -> Call:
    body = json.dumps({"model": model, **fields}).encode()
    return Call(play.ID, "openai", None, model, Document.parse(body), False, 0.0, task=task)


def answered(call: Call) -> dict[str, Any]:
    reply, body, broken = play.run(call)
    assert (reply.status, broken) == (200, False), body
    return json.loads(body)


def product(first: list[float], second: list[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("text", "near", "far"), NEAR)
@pytest.mark.parametrize("size", [64, 1024])
def test_like_texts_are_nearer_than_others(text: str, near: str, far: str, size: int) -> None:
    one, two, three = (likeness.vector(given_, size) for given_ in (text, near, far))
    assert product(one, two) > product(one, three) + 0.2
    assert likeness.relevance(text, near) > likeness.relevance(text, far) + 0.2
    assert likeness.relevance(text, text) == 1.0


@given(text=st.text(max_size=30), size=st.sampled_from([1, 2, 64, 256]))
def test_every_text_has_the_same_vector_of_length_one_each_time(text: str, size: int) -> None:
    vector = likeness.vector(text, size)
    assert len(vector) == size
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-5)
    assert vector == likeness.vector(text, size)


@given(query=st.text(max_size=20), document=st.text(max_size=20))
def test_relevance_lies_between_0_and_1(query: str, document: str) -> None:
    assert 0 <= likeness.relevance(query, document) <= 1


def test_the_simulator_answers_as_the_reference_shows() -> None:
    answer = answered(asking("embedding", "text-embedding-v4", input=["a", "风急天高"]))
    assert list(answer) == ["data", "model", "object", "usage", "id"]
    assert [list(row) for row in answer["data"]] == [["embedding", "index", "object"]] * 2
    assert [len(row["embedding"]) for row in answer["data"]] == [1024, 1024]
    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}


@pytest.mark.parametrize(
    ("model", "asked", "size"),
    [
        ("text-embedding-v4", 64, 64),
        ("text-embedding-v2", None, 1536),
        ("text-embedding-v2", 64, 1536),
        ("qwen3.7-text-embedding", 2560, 2560),
        ("qwen-own-embedding", 100, 100),
        ("qwen-own-embedding", 10**9, 4096),
    ],
)
def test_a_vector_has_the_size_asked_where_the_model_has_several(model: str, asked: int | None, size: int) -> None:
    answer = answered(asking("embedding", model, input="a", dimensions=asked))
    assert len(answer["data"][0]["embedding"]) == size


def test_base64_holds_the_same_numbers() -> None:
    plain = answered(asking("embedding", "text-embedding-v4", input="苹果"))["data"][0]["embedding"]
    packed = answered(asking("embedding", "text-embedding-v4", input="苹果", encoding_format="base64"))
    numbers = struct.unpack("<1024f", base64.b64decode(packed["data"][0]["embedding"]))
    assert numbers == pytest.approx(plain, abs=1e-7)


def test_ranks_are_sorted_and_counted_as_the_cloud_counts() -> None:
    documents = [text for pair in NEAR for text in pair[1:]]
    answer = answered(asking("rerank", "qwen3-rerank", query=NEAR[0][0], documents=documents))
    scores = [row["relevance_score"] for row in answer["results"]]
    assert answer["results"][0]["index"] == 0
    assert all(first >= second for first, second in itertools.pairwise(scores))
    single = answered(asking("rerank", "qwen3-rerank", query="风急天高", documents=["a"] * 7))
    assert single["usage"] == {"total_tokens": 7 * 4 + 7}


@pytest.mark.parametrize("task", ["embedding", "rerank"])
@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ("429", 429, b"limit_requests"),
        ("error", 500, b"internal_error"),
        ("404", 404, b"model_not_found"),
        ("html", 200, b"<html>"),
        ("empty", 200, b""),
        ("garbage", 200, b'{"choices": oops'),
        ("wrong-usage", 200, b'"prompt_tokens":-7'),
        ("no-such", 400, b"There is no fault"),
    ],
)
def test_faults_are_rehearsed_here_too(task: Task, fault: str, status: int, text: bytes) -> None:
    fields: dict[str, Any] = {"input": "a"} if task == "embedding" else {"query": "a", "documents": ["b"]}
    reply, body, _ = play.run(asking(task, f"qwen3-x!{fault}", **fields))
    assert reply.status == status
    assert text in body


def test_a_cut_answer_breaks_off() -> None:
    reply, body, broken = asyncio.run(play.opened(play.new(), asking("embedding", "qwen3-x!cut;bytes=5", input="a")))
    assert (reply.status, body, broken) == (200, b'{"dat', True)
