"""curl: what a reader of the API reference types."""

from __future__ import annotations

import json
import subprocess

import asked

CHAT = "/compatible-mode/v1/chat/completions"
GENERATION = "/api/v1/services/aigc/text-generation/generation"
SSE = "X-DashScope-SSE: enable"


def _curl(server, path: str, body: dict | None = None, *headers: str) -> tuple[int, str, str]:
    """Status, content type and text of one request."""
    command = ["curl", "--silent", "--show-error", "--no-buffer", "--max-time", "30", server.origin + path]
    command += ["--write-out", "\n%{http_code} %{content_type}"]
    for header in (f"Authorization: Bearer {server.key}", *headers):
        command += ["-H", header]
    if body is not None:
        command += ["-H", "Content-Type: application/json", "-d", json.dumps(body, ensure_ascii=False)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    text, _, told = done.stdout.rpartition("\n")
    status, _, content_type = told.partition(" ")
    return int(status), content_type, text


def _refused(server, path: str, *arguments: str) -> tuple[int, str]:
    """Status and text of a request that is wrong."""
    command = ["curl", "-sS", "-w", "\n%{http_code}", server.origin + path, *arguments]
    if "-d" not in arguments:
        command += ["-d", '{"model": "qwen-plus"}']
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    text, _, status = done.stdout.rpartition("\n")
    return int(status), text


def openai_plain(server):
    status, _, text = _curl(server, CHAT, {"model": asked.MODEL, "messages": asked.WITH_SYSTEM})
    assert status == 200, text
    assert json.loads(text)["choices"][0]["message"]["content"]


def openai_stream(server):
    body = {"model": asked.MODEL, "messages": asked.WHO, "stream": True, "stream_options": {"include_usage": True}}
    status, content_type, text = _curl(server, CHAT, body)
    assert status == 200, text
    assert content_type.startswith("text/event-stream")
    *events, done = text.strip().split("\n\n")
    assert done == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    assert chunks[-1]["usage"]["total_tokens"] > 0


def native_plain(server):
    body = {"model": asked.MODEL, "input": {"messages": asked.WHO}, "parameters": {"result_format": "message"}}
    status, _, text = _curl(server, GENERATION, body)
    assert status == 200, text
    answer = json.loads(text)
    assert set(answer) == {"output", "usage", "request_id"}
    assert answer["output"]["choices"][0]["message"]["content"]


def native_stream(server):
    body = {"model": asked.MODEL, "input": {"messages": asked.WHO}, "parameters": {"result_format": "message"}}
    status, content_type, text = _curl(server, GENERATION, body, SSE)
    assert status == 200, text
    assert content_type.startswith("text/event-stream")
    events = text.strip().split("\n\n")
    for number, event in enumerate(events, 1):
        name, kind, comment, data = event.split("\n")
        assert (name, kind, comment) == (f"id:{number}", "event:result", ":HTTP_STATUS/200"), event
        assert data.startswith("data:{"), event
    last = json.loads(events[-1].split("\ndata:")[1])
    assert last["output"]["choices"][0]["finish_reason"] == "stop"


def native_prompt(server):
    status, _, text = _curl(server, GENERATION, {"model": asked.MODEL, "input": {"prompt": "你是谁？"}})
    assert status == 200, text
    assert json.loads(text)["output"]["text"]


def without_a_key(server):
    status, text = _refused(server, CHAT)
    assert status == 401, text
    assert json.loads(text)["error"]["message"].startswith("You didn't provide an API key.")
    status, text = _refused(server, GENERATION)
    assert status == 401, text
    assert json.loads(text)["message"] == "No API-key provided."


def with_a_wrong_key(server):
    wrong = f"Authorization: Bearer {asked.WRONG_KEY}"
    for path, told in ((CHAT, "Incorrect API key provided."), (GENERATION, "Invalid API-key provided.")):
        status, text = _refused(server, path, "-H", wrong)
        assert status == 401, text
        assert told in text


def broken_json(server):
    status, text = _refused(server, CHAT, "-H", f"Authorization: Bearer {server.key}", "-d", "{")
    assert status == 400, text
    assert "Required body invalid" in text


def models_list(server):
    status, _, text = _curl(server, "/compatible-mode/v1/models")
    assert status == 200, text
    assert asked.MODEL in [model["id"] for model in json.loads(text)["data"]]


def vector_of_a_text(server):
    body = {"model": asked.EMBEDDING_MODEL, "input": asked.QUERY, "dimensions": 64}
    status, _, text = _curl(server, "/compatible-mode/v1/embeddings", body)
    assert status == 200, text
    assert len(json.loads(text)["data"][0]["embedding"]) == 64
    native = {"model": asked.EMBEDDING_MODEL, "input": {"texts": [asked.QUERY]}, "parameters": {"dimension": 64}}
    status, _, text = _curl(server, "/api/v1/services/embeddings/text-embedding/text-embedding", native)
    assert status == 200, text
    assert len(json.loads(text)["output"]["embeddings"][0]["embedding"]) == 64


def vector_ranks(server):
    ranking = {"query": asked.QUERY, "documents": asked.DOCUMENTS}
    for path in ("/compatible-api/v1/reranks", "/v1/rerank"):
        status, _, text = _curl(server, path, {"model": asked.RERANK_MODEL, **ranking})
        assert status == 200, text
        asked.check_ranks([(row["index"], row["relevance_score"]) for row in json.loads(text)["results"]])
    native = {"model": asked.RERANK_MODEL, "input": ranking}
    status, _, text = _curl(server, "/api/v1/services/rerank/text-rerank/text-rerank", native)
    assert status == 200, text
    assert json.loads(text)["output"]["results"][0]["index"] == asked.BEST


def vector_ranks_refused_in_the_flat_envelope(server):
    status, _, text = _curl(server, "/compatible-api/v1/reranks", {"model": asked.RERANK_MODEL, "query": "q"})
    assert status == 400, text
    assert list(json.loads(text)) == ["code", "message", "request_id"]
