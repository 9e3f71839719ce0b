"""Embeddings and reranking live as chats do: routed, tried, relayed, settled."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from tests.api.doors import EMBEDDINGS, NATIVE_EMBEDDINGS, NATIVE_RERANK, RERANKS
from tests.stage import Asked, Bridge, bridge, scripted

pytestmark = pytest.mark.anyio
EMBEDDING = b'{"model": "text-embedding-v4", "input": ["a"], "dimensions": 64, "new": 1e2}'
RANKING = b'{"model": "qwen3-rerank", "query": "q", "documents": ["a"], "new": 1e2}'
NATIVE_EMBEDDING = b'{"model": "text-embedding-v4", "input": {"texts": ["a"]}, "parameters": {"output_type": "sparse"}}'
NATIVE_RANKING = b'{"model": "qwen3-vl-rerank", "input": {"query": {"image": "u"}, "documents": [{"video": "u"}]}}'
EMBEDDED = (
    b'{"data":[{"embedding":[0.10],"index":0}], "model":"x","usage":{"prompt_tokens":23,"total_tokens":23},"id":"u-1"}'
)
RANKED = b'{"object":"list", "results":[],"model":"x","id":"u-1","usage":{"total_tokens":23}}'
NATIVE_EMBEDDED = b'{"output":{"embeddings":[{"sparse_embedding":[]}]}, "usage":{"total_tokens":23},"request_id":"u-1"}'
NATIVE_RANKED = b'{"output":{"results":[]}, "usage":{"total_tokens":23},"request_id":"u-1"}'
FORMS = [
    (EMBEDDINGS, EMBEDDINGS, EMBEDDING, EMBEDDED),
    ("/v1/embeddings", EMBEDDINGS, EMBEDDING, EMBEDDED),
    (RERANKS, RERANKS, RANKING, RANKED),
    ("/v1/reranks", RERANKS, RANKING, RANKED),
    ("/v1/rerank", RERANKS, RANKING, RANKED),
    (NATIVE_EMBEDDINGS, NATIVE_EMBEDDINGS, NATIVE_EMBEDDING, NATIVE_EMBEDDED),
    (NATIVE_RERANK, NATIVE_RERANK, NATIVE_RANKING, NATIVE_RANKED),
]


def cloud(url: str, **more: Any) -> dict[str, Any]:
    return {"engine": "cloud", "api_key": "sk-cloud", "cloud_url": url, **more}


def closed() -> str:
    """An address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith('{"at"')]


@pytest.mark.parametrize(("path", "there", "body", "said"), FORMS)
async def test_the_cloud_is_relayed_byte_for_byte_and_settled(
    path: str, there: str, body: bytes, said: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async def answer(asked: Asked) -> None:
        await asked.whole(said, x_dashscope_call_gateway="true")

    async with scripted(answer) as engine, bridge(**cloud(engine.url, log_calls=True)) as server:
        got = await server.ask(path, body, content_type="application/json; charset=utf-8")
        assert (got.status, got.body) == (200, said)
        assert (got.headers["x-request-id"], got.headers["x-dashscope-call-gateway"]) == ("u-1", "true")
        assert (engine.asked[0].path, engine.asked[0].body) == (there, body)
        assert engine.asked[0].headers["content-type"] == "application/json; charset=utf-8"
    [line] = lines(capfd)
    assert line["task"] == ("embedding" if "embedding" in path else "rerank")
    assert (line["outcome"], line["engine"], line["input"], line["output"]) == ("complete", "cloud", 23, 0)
    assert line.get("nano_yuan") == (None if b"vl" in body else 11_500)


@pytest.mark.parametrize(
    "refusal",
    [b'{"code":"InvalidParameter", "message":"m","request_id":"u-2"}', b'{"error":{"code":"c", "message":"m"}}'],
)
@pytest.mark.parametrize(("path", "there", "body", "said"), FORMS)
async def test_what_the_cloud_refuses_comes_back_in_the_envelope_of_the_door(
    path: str, there: str, body: bytes, said: bytes, refusal: bytes
) -> None:
    async def refuse(asked: Asked) -> None:
        await asked.whole(refusal, 400)

    async with scripted(refuse) as engine, bridge(**cloud(engine.url)) as server:
        answer = await server.ask(path, body)
        flat = "embeddings" not in path or path == NATIVE_EMBEDDINGS
        assert answer.status == 400
        assert len(engine.asked) == 1
        assert (set(answer.json) == {"code", "message", "request_id"}) is flat
        if flat is (b"request_id" in refusal):
            assert answer.body == refusal


async def test_a_task_of_the_native_protocol_is_the_clouds_alone() -> None:
    async def begun(asked: Asked) -> None:
        await asked.whole(b'{"output":{"task_status":"PENDING","task_id":"t"},"request_id":"u-1"}')

    call = {"model": "text-embedding-async-v2", "input": {"url": "https://a.example/x.txt"}}
    async with scripted(begun) as engine, bridge(**cloud(engine.url)) as server:
        answer = await server.ask(NATIVE_EMBEDDINGS, call, x_dashscope_async="enable")
        assert answer.json["output"]["task_id"] == "t"
        assert engine.asked[0].headers["x-dashscope-async"] == "enable"
    async with bridge(engine="simulator") as server:
        call["model"] = "text-embedding-v4"
        answer = await server.ask(NATIVE_EMBEDDINGS, call, x_dashscope_async="enable")
        assert (answer.status, answer.json["code"]) == (403, "AccessDenied")
        assert answer.json["message"] == "Current user api does not support asynchronous calls."


@pytest.mark.parametrize(("path", "there", "body", "said"), FORMS)
async def test_another_engine_answers_where_one_is_away(path: str, there: str, body: bytes, said: bytes) -> None:
    async def answer(asked: Asked) -> None:
        await asked.whole(said)

    async with scripted(answer) as engine:
        rows = [
            {"name": "gone", "kind": "cloud", "url": closed(), "key": "k"},
            {"name": "here", "kind": "cloud", "url": engine.url, "key": "k"},
        ]
        async with bridge(engines=rows) as server:
            got = await server.ask(path, body)
            assert (got.status, got.headers["x-qiao-engine"], got.body) == (200, "here", said)


async def test_an_engine_that_only_chats_is_passed_over() -> None:
    rows = [{"name": "own", "kind": "local"}, {"name": "play", "kind": "simulator"}]
    for routes in ([], [{"model": "*", "engines": ["own", "play"]}]):
        async with bridge(engines=rows, routes=routes) as server:
            answer = await server.ask(EMBEDDINGS, {"model": "text-embedding-v4", "input": "x"})
            assert (answer.status, answer.headers["x-qiao-engine"]) == (200, "play")
            assert (await server.ask(RERANKS, {"model": "no-such", "query": "q", "documents": ["d"]})).status == (
                200 if routes else 404
            )


@pytest.mark.parametrize("path", [EMBEDDINGS, RERANKS, NATIVE_EMBEDDINGS, NATIVE_RERANK])
async def test_without_such_an_engine_the_caller_hears_what_to_do(path: str) -> None:
    native = path.startswith("/api")
    async with bridge(engine="local") as server:
        answer = await server.ask(path, {"model": "text-embedding-v4", "input": {} if native else "x"})
        told = answer.json if "embeddings" not in path or native else answer.json["error"]
        assert (answer.status, told["code"]) == (404, "ModelNotFound" if "type" not in told else "model_not_found")
        assert "add an engine that has such a model" in told["message"]
        assert answer.headers["x-should-retry"] == "false"
        listed = (await server.ask("/v1/models", method="GET")).json["data"]
        assert not any("embedding" in row["id"] for row in listed)


@pytest.mark.parametrize(
    ("path", "model", "status", "code", "text"),
    [
        (EMBEDDINGS, "qwen-plus", 404, "model_not_supported", "Unsupported model qwen-plus for OpenAI"),
        (EMBEDDINGS, "qwen3-vl-embedding", 404, "model_not_supported", "Unsupported model qwen3-vl-embedding for"),
        (EMBEDDINGS, "qwen3-rerank", 404, "model_not_supported", "Unsupported model qwen3-rerank for OpenAI"),
        (RERANKS, "text-embedding-v4", 404, "ModelNotFound", "Unsupported model text-embedding-v4 for OpenAI"),
        (NATIVE_EMBEDDINGS, "qwen3-vl-embedding", 400, "InvalidParameter", "url error, please check url！"),
        (NATIVE_RERANK, "qwen-plus", 400, "InvalidParameter", "url error, please check url！"),
        (EMBEDDINGS, "no-such", 404, "model_not_found", "No engine here answers embedding calls for the model no-such"),
        ("/v1/chat/completions", "text-embedding-v4", 404, "model_not_found", "The model `text-embedding-v4` does"),
    ],
)
async def test_a_model_of_another_family_is_refused(path: str, model: str, status: int, code: str, text: str) -> None:
    async with bridge(engine="simulator") as server:
        answer = await server.ask(path, {"model": model, "input": {}})
        told = answer.json.get("error", answer.json)
        assert (answer.status, told["code"]) == (status, code)
        assert told["message"].startswith(text)


async def test_a_route_renames_the_model_there_and_back() -> None:
    async def named(asked: Asked) -> None:
        await asked.whole(EMBEDDED.replace(b'"x"', b'"%s"' % asked.json["model"].encode()))

    async with scripted(named) as engine:
        rows = [{"name": "gpu", "kind": "vllm", "url": engine.url}]
        routes = [{"model": "text-embedding-v4", "engines": ["gpu=Qwen/Qwen3-Embedding-0.6B"]}]
        async with bridge(engines=rows, routes=routes, aliases={"vectors": "text-embedding-v4"}) as server:
            answer = await server.ask(EMBEDDINGS, {"model": "vectors", "input": "a"})
            assert answer.json["model"] == "vectors"
            native = {"model": "vectors", "input": {"texts": ["a"]}, "parameters": {"text_type": "query"}}
            assert (await server.ask(NATIVE_EMBEDDINGS, native)).status == 200
            assert [asked.json["model"] for asked in engine.asked] == ["Qwen/Qwen3-Embedding-0.6B"] * 2
            assert engine.asked[1].json["input"][0].startswith("Instruct: ")


@pytest.mark.parametrize("path", [EMBEDDINGS, RERANKS])
async def test_a_client_that_leaves_closes_the_engine(path: str, capfd: pytest.CaptureFixture[str]) -> None:
    gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    begun = asyncio.Event()

    async def wait(asked: Asked) -> None:
        begun.set()
        gone.set_result(await asked.gone())

    async with scripted(wait) as engine, bridge(engine="http", engine_url=engine.url, log_calls=True) as server:
        _, writer = await asyncio.open_connection(server.url.host, server.url.port)
        body = json.dumps({"model": "m", "input": "x", "query": "q", "documents": ["d"]})
        writer.write(f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
        await begun.wait()
        writer.close()
        assert await gone < 0.5
        await _settled(server)
    [line] = lines(capfd)
    assert (line["outcome"], line["status"]) == ("gone", 499)


async def _settled(server: Bridge) -> None:
    for _ in range(100):
        if "qiao_active_requests 1.0" in (await server.ask("/metrics", method="GET")).body.decode():
            return
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(("path", "there", "body", "said"), FORMS[:1] + FORMS[2:3])
async def test_a_fault_in_an_answer_is_retried_since_nothing_was_sent(
    path: str, there: str, body: bytes, said: bytes
) -> None:
    async def broken(asked: Asked) -> None:
        await asked.send(b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n" + said)
        asked.reset()

    async def fine(asked: Asked) -> None:
        await asked.whole(said)

    async with scripted(broken, fine) as engine, bridge(**cloud(engine.url)) as server:
        answer = await server.ask(path, body)
        assert (answer.status, answer.body, len(engine.asked)) == (200, said, 2)
