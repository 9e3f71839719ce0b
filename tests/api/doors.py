"""The doors as a stranger finds them: where they are, raw requests to them, and what every answer of theirs must be."""

from __future__ import annotations

import asyncio
import copy
import json
from dataclasses import dataclass, field
from typing import Any

from tests.stage import Answer, Bridge

TEXT = "/api/v1/services/aigc/text-generation/generation"
MULTIMODAL = "/api/v1/services/aigc/multimodal-generation/generation"
EMBEDDINGS = "/compatible-mode/v1/embeddings"
RERANKS = "/compatible-api/v1/reranks"
NATIVE_EMBEDDINGS = "/api/v1/services/embeddings/text-embedding/text-embedding"
NATIVE_RERANK = "/api/v1/services/rerank/text-rerank/text-rerank"
FLAT = ("/api/", RERANKS, "/v1/rerank")  # where errors are flat
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": WEATHER}}
ASKED = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
OPENAI_CALL: dict[str, Any] = {
    "model": "qwen-plus",
    "messages": [
        {"role": "system", "content": "answer in json"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {"role": "assistant", "content": "", "tool_calls": [ASKED]},
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
        {"role": "user", "content": "hello"},
    ],
    "stream": False,
    "stream_options": {"include_usage": True},
    "tools": [TOOL],
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "temperature": 0.5,
    "top_p": 0.9,
    "max_tokens": 20,
    "seed": 7,
    "stop": ["x"],
    "n": 1,
    "logprobs": False,
    "enable_thinking": False,
    "chat_template_kwargs": {},
}
NATIVE_CALL: dict[str, Any] = {
    "model": "qwen-plus",
    "input": {"messages": OPENAI_CALL["messages"]},
    "parameters": {
        "result_format": "message",
        "incremental_output": True,
        "tools": [TOOL],
        "response_format": {"type": "json_object"},
        "max_tokens": 20,
        "seed": 7,
        "stop": ["x"],
        "n": 1,
        "top_k": 5,
        "enable_thinking": False,
        "enable_search": False,
    },
}
SEEING_CALL: dict[str, Any] = {
    "model": "qwen-vl-plus",
    "input": {"messages": [{"role": "user", "content": [{"image": "https://a.example/x.png"}, {"text": "hi"}]}]},
    "parameters": {"max_tokens": 20, "seed": 7},
}
OLD_CALL: dict[str, Any] = {
    "model": "qwen-plus",
    "input": {"prompt": "hello", "history": [{"user": "a", "bot": "b"}]},
    "parameters": {"result_format": "text"},
}
TOKENS_CALL: dict[str, Any] = {"model": "qwen-plus", "input": {"messages": [{"role": "user", "content": "代码"}]}}
EMBEDDING_CALL: dict[str, Any] = {
    "model": "text-embedding-v4",
    "input": ["风急天高", "a second text"],
    "dimensions": 64,
    "encoding_format": "float",
    "user": "u",
}
NATIVE_EMBEDDING_CALL: dict[str, Any] = {
    "model": "text-embedding-v4",
    "input": {"texts": EMBEDDING_CALL["input"]},
    "parameters": {"dimension": 64, "text_type": "query", "output_type": "dense", "instruct": "i"},
}
RANKING: dict[str, Any] = {"query": "apples", "documents": ["about apples", {"text": "about pears"}]}
RERANK_OPTIONS: dict[str, Any] = {"top_n": 1, "return_documents": True, "instruct": "i"}
RERANK_CALL: dict[str, Any] = {"model": "qwen3-rerank", **RANKING, **RERANK_OPTIONS}
NATIVE_RERANK_CALL: dict[str, Any] = {"model": "qwen3-rerank", "input": RANKING, "parameters": RERANK_OPTIONS}


@dataclass(frozen=True)
class Door:
    """A door that takes JSON: a valid call for it, and the headers that it goes with."""

    path: str
    call: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def native(self) -> bool:
        return self.path.startswith("/api")

    @property
    def flat(self) -> bool:
        return self.path.startswith(FLAT)


SSE = {"x_dashscope_sse": "enable"}
DOORS = {
    "chat": Door("/v1/chat/completions", OPENAI_CALL),
    "chat streamed": Door("/compatible-mode/v1/chat/completions", OPENAI_CALL | {"stream": True}),
    "text": Door(TEXT, NATIVE_CALL),
    "text streamed": Door(TEXT, NATIVE_CALL, SSE),
    "text of old": Door(TEXT, OLD_CALL),
    "multimodal": Door(MULTIMODAL, SEEING_CALL),
    "multimodal streamed": Door(MULTIMODAL, SEEING_CALL, SSE),
    "tokenizer": Door("/api/v1/tokenizer", TOKENS_CALL),
    "embeddings": Door(EMBEDDINGS, EMBEDDING_CALL),
    "embeddings in Base64": Door("/v1/embeddings", EMBEDDING_CALL | {"input": "x", "encoding_format": "base64"}),
    "embeddings, native": Door(NATIVE_EMBEDDINGS, NATIVE_EMBEDDING_CALL),
    "reranks": Door(RERANKS, RERANK_CALL),
    "rerank": Door("/v1/rerank", RERANK_CALL),
    "rerank, native": Door(NATIVE_RERANK, NATIVE_RERANK_CALL),
    "passing": Door("/v1/responses", {"model": "qwen-plus", "input": "x"}),
    "passing, native": Door("/api/v1/services/aigc/text2image/image-synthesis", {"model": "m", "input": {}}),
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in a JSON document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inside for place in places(item, (*path, key)))]


def replaced(call: dict[str, Any], place: tuple[Any, ...], value: Any) -> Any:
    """The call with another value in that place."""
    if not place:
        return value
    changed = copy.deepcopy(call)
    at: Any = changed
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return changed


def events(body: bytes) -> list[str]:
    """The data of each event of a stream."""
    lines = [line for line in body.decode().split("\n") if line.startswith("data:")]
    return [line.removeprefix("data:").removeprefix(" ") for line in lines]


def judge(door: Door, answer: Answer, most: int = 499) -> None:
    """An answer in the right envelope, with one id throughout; never a 5xx."""
    said = (answer.status, answer.headers, answer.body[:2000])
    assert 200 <= answer.status <= most, said
    kind = answer.headers["content-type"]
    ident = answer.headers["x-request-id"]
    if kind.startswith("text/event-stream"):
        data = [event for event in events(answer.body) if event != "[DONE]"]
        assert data, said
        if door.native:
            assert answer.status == 200, said
            assert answer.body.startswith(b"id:1\nevent:"), said
        for event in data:
            _judge_value(door, json.loads(event), ident, said, streamed=True)
        return
    assert kind == "application/json", said
    assert int(answer.headers["content-length"]) == len(answer.body), said
    _judge_value(door, json.loads(answer.body), ident, said, failed=answer.status >= 400)


def _judge_value(
    door: Door, value: Any, ident: str, said: Any, *, streamed: bool = False, failed: bool = False
) -> None:
    keys = list(value)
    if door.native or (door.flat and failed):
        assert value["request_id"] == ident, said
        if failed or "code" in value:
            assert keys == ["code", "message", "request_id"], said
            assert all(isinstance(item, str) and item for item in value.values()), said
        else:
            assert {"output", "usage", "request_id"} == set(keys), said
        return
    if "error" in value:
        inner = value["error"]
        if "id" in value:
            assert list(inner) == ["code", "param", "message", "type"], said
            assert value["id"] == f"chatcmpl-{ident}", said
            assert keys == (["error", "id"] if streamed else ["error", "id", "request_id"]), said
        else:
            assert list(inner) == ["message", "type", "param", "code"], said
            assert keys == ["error", "request_id"], said
        assert isinstance(inner["message"], str), said
        assert inner["message"], said
        assert value.get("request_id", ident) == ident, said
    elif failed:
        assert keys == ["code", "message", "request_id"], said
        assert value["request_id"] == ident, said
    elif value["object"] == "list":
        assert value["id"] == ident, said
        assert {"model", "usage", "data" if "data" in value else "results"} <= set(keys), said
    else:
        assert value["id"] == f"chatcmpl-{ident}", said
        assert value["object"] == ("chat.completion.chunk" if streamed else "chat.completion"), said


async def knock(server: Bridge, head: str | bytes, body: bytes = b"") -> Answer:
    """One request with exactly this head (lines joined by CRLF, the last blank line added), on its own connection."""
    reader, writer = await asyncio.open_connection(server.url.host, server.url.port)
    lines = head.encode("latin-1") if isinstance(head, str) else head
    length = b"content-length: %d\r\n" % len(body) if body else b""
    writer.write(lines + b"\r\nconnection: close\r\n" + length + b"\r\n" + body)
    try:
        async with asyncio.timeout(10):
            said = await reader.read()
    finally:
        writer.close()
    top, _, rest = said.partition(b"\r\n\r\n")
    status, *fields = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in fields)}
    if headers.get("transfer-encoding") == "chunked":
        rest = _dechunked(rest)
    return Answer(int(status.split(" ")[1]), headers, rest)


def _dechunked(data: bytes) -> bytes:
    pieces: list[bytes] = []
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        pieces.append(data[:length])
        data = data[length + 2 :]
    return b"".join(pieces)
