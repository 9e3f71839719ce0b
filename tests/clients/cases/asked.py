"""What every client asks, and what every answer must hold, whatever engine wrote it."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator

MODEL = "qwen-plus"
VISION_MODEL = "qwen-vl-plus"
EMBEDDING_MODEL = "text-embedding-v4"
RERANK_MODEL = "qwen3-rerank"
UNKNOWN_MODEL = "no-such-model"
WRONG_KEY = "sk-wrong"

WHO = [{"role": "user", "content": "你是谁？"}]
WITH_SYSTEM = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "Hello"}]
TURNS = [
    {"role": "user", "content": "你好，我叫诸葛明。"},
    {"role": "assistant", "content": "你好，诸葛明！"},
    {"role": "user", "content": "我叫什么名字？"},
]
COUNT = [{"role": "user", "content": "从1数到12"}]
THINK = [{"role": "user", "content": "解释什么是机器学习"}]
SENTENCE = "李四在上海找到了一份工作。"
EXTRACT = [{"role": "user", "content": f"用JSON返回这句话里的person、location、action：{SENTENCE}"}]
SCHEMA = {
    "type": "object",
    "properties": {"person": {"type": "string"}, "location": {"type": "string"}, "action": {"type": "string"}},
    "required": ["person", "location", "action"],
    "additionalProperties": False,
}

WEATHER_QUESTION = "上海天气怎么样？"
BOTH_QUESTION = "北京现在多少度？计算一下2+2等于多少"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_current_weather",
        "description": "查询指定城市的实时天气",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "城市名称，如北京、上海等"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "温度单位"},
            },
            "required": ["location"],
        },
    },
}
CALCULATE = {
    "type": "function",
    "function": {
        "name": "calculate",
        "description": "执行数学计算",
        "parameters": {
            "type": "object",
            "properties": {"expression": {"type": "string", "description": "数学表达式"}},
            "required": ["expression"],
        },
    },
}
TOOLS = [WEATHER, CALCULATE]

QUERY = "什么是文本排序模型"
DOCUMENTS = ["量子计算是计算科学的一个前沿领域", "文本排序模型广泛用于搜索引擎和推荐系统", "the price of apples"]
BEST = 1  # of the documents, for the query

# A red square of 16 pixels.
PIXELS = "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAFklEQVR42mP4z8BAEmIY1TCqYfhqAACQ+f8B8u7oVwAAAABJRU5ErkJggg=="
IMAGE = f"data:image/png;base64,{PIXELS}"
LOOK = "这张图片中有什么？"


class Caught:
    """The exception that `raises` waited for."""

    error: Exception


@contextlib.contextmanager
def raises(kind: type[Exception] | tuple[type[Exception], ...]) -> Iterator[Caught]:
    """The client's own exception must come out of the block; pytest is not in these environments."""
    caught = Caught()
    try:
        yield caught
    except kind as error:
        caught.error = error
    else:
        raise AssertionError(f"no {kind} was raised")


def result_of(name: str, arguments: str) -> str:
    """What the called tool says."""
    given = json.loads(arguments)
    if name == "get_current_weather":
        assert given["location"], given
        return f"{given['location']}天气：多云，温度18°C"
    assert name == "calculate", name
    assert given["expression"], given
    return "计算结果：4"


def check_extracted(text: str) -> None:
    """The answer is the JSON object asked for."""
    extracted = json.loads(text)
    assert isinstance(extracted, dict), text


def check_schema(text: str) -> None:
    """The answer is an object of SCHEMA."""
    extracted = json.loads(text)
    assert set(extracted) == set(SCHEMA["required"]), text
    assert all(isinstance(value, str) for value in extracted.values()), text


def check_counts(prompt: int, completion: int, total: int) -> None:
    """Tokens were counted, and the sum is one."""
    assert prompt > 0, prompt
    assert completion > 0, completion
    assert total == prompt + completion, (prompt, completion, total)


def check_vectors(query: list[float], documents: list[list[float]]) -> None:
    """The vectors are of one size and of length 1, and the best document lies nearest."""
    near = [sum(a * b for a, b in zip(query, vector, strict=True)) for vector in documents]
    assert near.index(max(near)) == BEST, near
    assert all(abs(sum(number * number for number in vector) - 1) < 1e-3 for vector in [query, *documents])


def check_ranks(ranks: list[tuple[int, float]]) -> None:
    """The best document comes first, and the scores lie between 0 and 1."""
    scores = [score for _, score in ranks]
    assert ranks[0][0] == BEST, ranks
    assert scores == sorted(scores, reverse=True), ranks
    assert all(0 <= score <= 1 for score in scores), ranks


def check_cumulative(texts: list[str]) -> None:
    """Every event holds all of the one before."""
    assert len(texts) > 2, texts
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts)), texts
    assert texts[-1], texts
