"""Same protocol on both sides: bytes in are bytes out."""

import hashlib
import json

import pytest

from tests.stage import ANSWER, CALL, DONE, FINISH, HELLO, ROLE, USAGE, WHOLE, Asked, bridge, scripted

pytestmark = pytest.mark.anyio
ODD = HELLO.replace(b'"delta":', b'"x_odd":{"t":0.80,"n":1e-07,"u":"\\u597d"},"delta":')
NATIVE = "/api/v1/services/aigc/text-generation/generation"
NATIVE_STREAM = (
    b'id:1\nevent:result\n:HTTP_STATUS/200\ndata:{"output":{"choices":[{"message":{"content":"\xe4\xbd\xa0","role":'
    b'"assistant"},"finish_reason":"null"}],"x":0.80},"usage":{"total_tokens":19,"output_tokens":3,"input_tokens":16},'
    b'"request_id":"ab9f3446-9bbf-963e-9754-2d6543343d7e"}\n\n'
    b'id:2\nevent:result\n:HTTP_STATUS/200\ndata:{"output":{"choices":[{"message":{"content":"","role":"assistant"},'
    b'"finish_reason":"stop"}]},"usage":{"total_tokens":19,"output_tokens":3,"input_tokens":16},'
    b'"request_id":"ab9f3446-9bbf-963e-9754-2d6543343d7e"}\n\n'
)


async def test_an_openai_stream_is_the_same_bytes_whatever_tcp_cuts() -> None:
    stream = ROLE + b": ping\n\n" + ODD * 3 + FINISH + USAGE + DONE

    async def dribble(asked: Asked) -> None:
        await asked.events(*[stream[at : at + 7] for at in range(0, len(stream), 7)])

    async with scripted(dribble) as engine, bridge(engine="http", engine_url=engine.url) as server:
        answer = await server.chat(stream=True, stream_options={"include_usage": True})
        assert hashlib.md5(answer.body).digest() == hashlib.md5(stream).digest()
        assert answer.headers["x-request-id"] == "up1", "the header repeats the id in the body"
        assert answer.headers["x-qiao-engine"] == "http"


async def test_a_request_keeps_its_odd_numbers_and_unknown_fields() -> None:
    async with scripted(Asked.whole) as engine, bridge(engine="http", engine_url=engine.url) as server:
        body = b'{"model":"m","messages":[{"role":"user","content":"\\u4f60"}],"temperature":0.80,"x_new":{"a":1e-07, "b":[1 ,2]}}'
        answer = await server.ask("/v1/chat/completions", body)
        assert answer.body == WHOLE
        assert engine.asked[0].body == body


async def test_usage_is_asked_for_and_hidden_again() -> None:
    async with scripted(Asked.events) as engine, bridge(engine="http", engine_url=engine.url) as server:
        answer = await server.chat(stream=True)
        assert engine.asked[0].json["stream_options"] == {"include_usage": True}
        assert answer.body == ANSWER.replace(USAGE, b"")


async def test_a_native_stream_of_the_cloud_is_the_same_bytes() -> None:
    async def native(asked: Asked) -> None:
        await asked.events(NATIVE_STREAM[:50], NATIVE_STREAM[50:301], NATIVE_STREAM[301:])

    body = {"model": "qwen-plus", "input": {"messages": [{"role": "user", "content": "你好"}]}, "parameters": {"x": 1}}
    async with (
        scripted(native) as engine,
        bridge(engine="cloud", api_key="sk-cloud", cloud_url=engine.url, keys="sk-mine") as server,
    ):
        sent = json.dumps(body).encode()
        headers = {"authorization": "Bearer sk-mine", "x_dashscope_sse": "enable", "cookie": "a=b"}
        answer = await server.ask(NATIVE, sent, **headers)
        assert answer.body == NATIVE_STREAM
        assert answer.headers["x-request-id"] == "ab9f3446-9bbf-963e-9754-2d6543343d7e"
        asked = engine.asked[0]
        assert asked.path == NATIVE
        assert asked.body == sent
        assert asked.headers["authorization"] == "Bearer sk-cloud"
        assert asked.headers["x-dashscope-sse"] == "enable"
        assert asked.headers["accept-encoding"] == "identity"
        assert "cookie" not in asked.headers


async def test_the_rest_of_the_clouds_api_passes_in_both_directions() -> None:
    upload = b"--b\r\n" + bytes(range(256)) * 300

    async def echo(asked: Asked) -> None:
        await asked.whole(b'{"id":"file-fe-1", "bytes":%d}' % len(asked.body), x_request_id="r-1")

    async with scripted(echo) as engine, bridge(engine="cloud", api_key="sk-cloud", cloud_url=engine.url) as server:
        answer = await server.ask("/v1/files?x=%2F", upload, content_type="multipart/form-data; boundary=b")
        assert answer.body == b'{"id":"file-fe-1", "bytes":%d}' % len(upload)
        assert answer.headers["x-request-id"] == "r-1"
        assert engine.asked[0].path == "/compatible-mode/v1/files?x=%2F"
        assert engine.asked[0].body == upload
        assert engine.asked[0].headers["content-type"] == "multipart/form-data; boundary=b"
        assert (await server.ask("/v1/fine_tuning/jobs", {})).status == 404
        assert (await server.ask("/api/v1/../../admin", {})).status in {400, 404}
        assert len(engine.asked) == 1
        metrics = (await server.ask("/metrics", method="GET")).body.decode()
        assert 'qiao_passed_total{method="POST",status="200"} 1.0' in metrics
        assert "qiao_active_requests 1.0" in metrics


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/responses", 404, "Not support"),
        ("/compatible-mode/v1/batches", 404, "Not support"),
        ("/api/v1/services/embeddings/multimodal-embedding/multimodal-embedding", 400, "url error"),
    ],
)
async def test_without_the_cloud_its_paths_are_refused(path: str, status: int, words: str) -> None:
    async with bridge(engine="simulator") as server:
        answer = await server.ask(path, {"model": "qwen-plus", "input": "x"})
        assert answer.status == status
        assert words in answer.json["message"]
        assert answer.json["request_id"] == answer.headers["x-request-id"]


async def test_a_route_renames_the_model_there_and_back(tmp_path) -> None:
    config = tmp_path / "qiao.toml"

    async def named(asked: Asked) -> None:
        name = asked.json["model"]
        await asked.whole(WHOLE.replace(b'"model":"qwen-plus"', b'"model":"%s"' % name.encode()))

    async with scripted(named) as engine:
        rows = [{"name": "gpu", "kind": "openai", "url": engine.url}]
        routes = [{"model": "qwen-p*", "engines": ["gpu=Qwen/Qwen3-8B"]}]
        async with bridge(engines=rows, routes=routes, aliases={"fast": "qwen-plus"}) as server:
            answer = await server.chat(model="fast")
            assert engine.asked[0].json["model"] == "Qwen/Qwen3-8B"
            assert answer.json["model"] == "fast"
            assert {row["id"] for row in (await server.ask("/v1/models", method="GET")).json["data"]} == {"m", "fast"}
    assert not config.exists()


async def test_a_caller_mistake_found_by_the_engine_comes_back_byte_for_byte() -> None:
    body = b'{"error":{"code":"invalid_parameter_error","param":null,"message":"Range of n should be [1, 4]","type":"invalid_request_error"}, "id":"chatcmpl-9"}'

    async def refuse(asked: Asked) -> None:
        await asked.whole(body, 400)

    async with scripted(refuse) as engine, bridge(engine="cloud", api_key="sk-c", cloud_url=engine.url) as server:
        answer = await server.ask("/compatible-mode/v1/chat/completions", CALL)
        assert (answer.status, answer.body) == (400, body)
        assert len(engine.asked) == 1, "a caller's mistake is not tried again"
