"""What the house itself refuses: status, text and envelope of each situation (reference §4.1, §4.3), and their order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.doors import FLAT, MULTIMODAL, TEXT, Door, events, judge
from tests.stage import CALL, DONE, HELLO, ROLE, WHOLE, Answer, Asked, Bridge, bridge, scripted

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
RERANKS = "/compatible-api/v1/reranks"
NATIVE = {"model": "qwen-plus", "input": {"prompt": "hi"}}
SSE = {"x_dashscope_sse": "enable"}
HELP = " For details, see: https://help.aliyun.com/zh/model-studio/error-code#apikey-error"
GATEWAY = ["message", "type", "param", "code"]
NO_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY). "
)
BODY = "Required body invalid, please check the request body format."
UNKNOWN = "The model `{}` does not exist or you do not have access to it."


def said(answer: Answer, path: str) -> tuple[int, Any, str]:
    """Status, code and message, after a look at the envelope."""
    judge(Door(path, {}), answer, most=599)
    if path.startswith(FLAT):
        return answer.status, answer.json["code"], answer.json["message"]
    told = answer.json.get("error", answer.json)
    return answer.status, told["code"], told["message"]


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        (CHAT, {}, (401, None, NO_KEY)),
        (CHAT, {"authorization": "Basic c2stbWluZTo="}, (401, None, NO_KEY)),
        (CHAT, {"authorization": "Bearer wrong"}, (401, "invalid_api_key", f"Incorrect API key provided.{HELP}")),
        (TEXT, {}, (401, "InvalidApiKey", "No API-key provided.")),
        (TEXT, {"authorization": "Bearer wrong"}, (401, "InvalidApiKey", "Invalid API-key provided.")),
        (TEXT, SSE, (401, "InvalidApiKey", "No API-key provided.")),
        (MULTIMODAL, {"authorization": "Bearer wrong"}, (401, "InvalidApiKey", "Invalid API-key provided.")),
    ],
)
async def test_keys(path: str, headers: dict[str, str], expected: tuple[int, Any, str]) -> None:
    async with bridge(engine="simulator", keys="sk-mine") as server:
        answer = await server.ask(path, b"{", **headers)
        assert said(answer, path) == expected
        assert answer.headers["x-should-retry"] == "false"
        if path == CHAT:
            assert list(answer.json["error"]) == GATEWAY


@pytest.fixture(scope="module")
async def simulator(anyio_backend: str) -> Any:
    async with bridge(engine="simulator") as server:
        yield server


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("GET", CHAT, None, (400, "invalid_parameter_error", "Request method 'GET' is not supported.")),
        ("DELETE", CHAT, None, (400, "invalid_parameter_error", "Request method 'DELETE' is not supported.")),
        ("GET", TEXT, None, (400, "InvalidParameter", "Request method 'GET' is not supported.")),
        ("PUT", MULTIMODAL, b"{}", (400, "InvalidParameter", "Request method 'PUT' is not supported.")),
        ("POST", "/v1/models", b"{}", (400, "invalid_parameter_error", "Request method 'POST' is not supported.")),
        ("POST", CHAT, b"{", (400, "invalid_parameter_error", BODY)),
        ("POST", TEXT, b"{", (400, "InvalidParameter", BODY)),
        ("POST", CHAT, {}, (400, "invalid_parameter_error", "you must provide a model parameter.")),
        ("POST", TEXT, {"model": ""}, (400, "InvalidParameter", "you must provide a model parameter.")),
        ("POST", CHAT, CALL | {"model": "no-such"}, (404, "model_not_found", UNKNOWN.format("no-such"))),
        ("POST", TEXT, NATIVE | {"model": "no-such"}, (404, "ModelNotFound", "The model no-such does not exist.")),
        ("GET", "/v1/models/no-such", None, (404, "model_not_found", UNKNOWN.format("no-such"))),
        ("POST", MULTIMODAL, NATIVE, (400, "InvalidParameter", "url error, please check url！")),
        ("POST", TEXT, NATIVE | {"model": "qwen-vl-plus"}, (400, "InvalidParameter", "url error, please check url！")),
        ("POST", "/api/v1/nowhere", {}, (404, "NotFound", "Not support")),
        ("POST", "/api/v1/services/audio/asr/transcription", {}, (400, "InvalidParameter", "url error, please")),
        ("POST", RERANKS, b"{", (400, "InvalidParameter", BODY)),
        ("POST", "/v1/rerank", {}, (400, "InvalidParameter", "you must provide a model parameter.")),
        ("GET", RERANKS, None, (400, "InvalidParameter", "Request method 'GET' is not supported.")),
        ("POST", "/v1/nowhere", {}, (404, "Not Found", "Not support")),
        ("POST", "/v1/responses", {}, (404, "Not Found", "Not support: /v1/responses is answered by the cloud")),
        ("POST", "/v1/embeddings", {}, (400, "invalid_parameter_error", "you must provide a model parameter.")),
        ("POST", "/nowhere", {}, (404, "Not Found", "Not support")),
        ("GET", "/", None, (404, "Not Found", "Not support")),
    ],
)
async def test_what_is_wrong_with_a_request(
    simulator: Bridge, method: str, path: str, body: Any, expected: tuple[int, Any, str]
) -> None:
    answer = await simulator.ask(path, body, method=method)
    status, code, message = said(answer, path)
    assert (status, code) == expected[:2]
    assert message.startswith(expected[2])
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_models_own_checks_answer_behind_the_gateway(simulator: Bridge, stream: bool) -> None:
    text = "Range of top_logprobs should be [0, 5]"
    answer = await simulator.chat(top_logprobs=6, stream=stream)
    ident = answer.headers["x-request-id"]
    inner = {"code": "invalid_parameter_error", "param": None, "message": text, "type": "invalid_request_error"}
    whole: dict[str, Any] = {"error": inner, "id": f"chatcmpl-{ident}"}
    assert answer.status == 400
    if stream:
        assert answer.headers["content-type"] == "text/event-stream;charset=UTF-8"
        assert answer.body == b"data: " + json.dumps(whole, separators=(",", ":")).encode() + b"\n\n"
    else:
        assert answer.json == whole | {"request_id": ident}
        assert list(answer.json["error"]) == list(inner)


async def test_a_native_stream_hears_of_its_parameters_inside_the_stream(simulator: Bridge) -> None:
    answer = await simulator.ask(TEXT, NATIVE | {"parameters": {"top_p": 7}}, **SSE)
    ident = answer.headers["x-request-id"]
    assert answer.status == 200
    assert answer.body == (
        b'id:1\nevent:error\n:HTTP_STATUS/400\ndata:{"code":"InvalidParameter","message":'
        b'"Range of top_p should be (0.0, 1.0]","request_id":"%s"}\n\n' % ident.encode()
    )
    for body in (b"{", NATIVE | {"model": "no-such"}):
        real = await simulator.ask(TEXT, body, **SSE)
        assert real.status in {400, 404}, "what the gateway refuses keeps its status"
        assert real.headers["content-type"] == "application/json"


async def test_the_checks_come_in_the_order_of_the_reference() -> None:
    async with bridge(engine="simulator", keys="k") as server:
        key = {"authorization": "Bearer k"}
        bad = CALL | {"model": "no-such", "top_p": 7}
        assert (await server.ask(CHAT, b"{", method="GET")).status == 400, "the method before the key"
        assert (await server.ask(CHAT, b"{")).status == 401, "the key before the body"
        assert (await server.ask(CHAT, b'{"model":"no-such"', **key)).status == 400, "the body before the model"
        assert (await server.ask(CHAT, bad, **key)).status == 404, "the model before its parameters"
        native = {"model": "qwen-plus", "input": {}, "parameters": {"top_p": 7}}
        path = await server.ask(MULTIMODAL, native, **key)
        assert "url error" in path.json["message"], "the path before the parameters"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, b'{"error":{"code":"c","message":"m","type":"t"},"id":"chatcmpl-their-own"}', "their-own"),
        (422, b'{"error":{"code":"c","message":"m"},"request_id":"their-own"}', "their-own"),
        (400, b'{"error":{"code":"c","message":"m"}}', None),
        (400, b'{"error":{"code":"c","message":"m"},"request_id":"two\\r\\nset-cookie: a=b"}', None),
        (400, b'{"error":{"code":"c","message":"m"},"request_id":"\\u4f60"}', None),
    ],
)
async def test_a_refusal_that_passes_keeps_its_bytes_and_its_id(status: int, body: bytes, expected: str | None) -> None:
    async def refuse(asked: Asked) -> None:
        await asked.whole(body, status)

    async with scripted(refuse) as engine, bridge(engine="http", engine_url=engine.url) as server:
        answer = await server.chat()
        assert (answer.status, answer.body) == (status, body)
        assert answer.headers["x-request-id"] == expected or len(answer.headers["x-request-id"]) == 36
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("stream", [False, True])
async def test_an_id_that_no_header_can_hold_does_not_break_the_answer(stream: bool) -> None:
    async def answer_with(asked: Asked) -> None:
        hostile = b"chatcmpl-a\\r\\nset-cookie: a=b"
        if stream:
            await asked.events((ROLE + HELLO).replace(b"chatcmpl-up1", hostile), DONE)
        else:
            await asked.whole(WHOLE.replace(b"chatcmpl-up1", hostile))

    async with scripted(answer_with) as engine, bridge(engine="http", engine_url=engine.url) as server:
        answer = await server.chat(stream=stream)
        assert answer.status == 200
        assert len(answer.headers["x-request-id"]) == 36
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("native", [False, True])
async def test_an_error_in_the_stream_is_its_last_event(native: bool) -> None:
    async def broken(asked: Asked) -> None:
        await asked.events(ROLE + HELLO)

    async with scripted(broken) as engine, bridge(engine="http", engine_url=engine.url) as server:
        path = TEXT if native else CHAT
        answer = await server.ask(path, NATIVE if native else CALL | {"stream": True}, **(SSE if native else {}))
        assert answer.status == 200
        last = json.loads(events(answer.body)[-1])
        if native:
            assert list(last) == ["code", "message", "request_id"]
            assert last["request_id"] == answer.headers["x-request-id"]
            assert b"event:error\n:HTTP_STATUS/502\n" in answer.body
        else:
            assert list(last["error"]) == ["code", "param", "message", "type"]
            assert last["id"] == f"chatcmpl-{answer.headers['x-request-id']}"
        assert DONE not in answer.body


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"id":"\xff","choices":[]}',
        b"\xff\xfe",
        b"",
        b"null",
        b'{"id":{},"choices":[]}',
        b'{"error":"x"}',
        b'{"error":{"code":"\xc2\xb2","message":[]}}',
        b'{"error":{"code":%b,"message":{}}}' % (b"9" * 5000),
        b'{"error":{"code":"%b"}}' % (b"9" * 5000),
    ],
)
@pytest.mark.parametrize("status", [200, 302, 400])
async def test_no_answer_of_an_engine_is_a_defect_of_ours(
    status: int, body: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async def odd(asked: Asked) -> None:
        if asked.json.get("stream") and status == 200:
            await asked.events(ROLE, b"data: " + body + b"\n\n")
        else:
            await asked.whole(body, status)

    async with scripted(odd) as engine, bridge(engine="cloud", api_key="k", cloud_url=engine.url) as server:
        for door in (Door(CHAT, CALL), Door(CHAT, CALL | {"stream": True}), Door(TEXT, NATIVE)):
            answer = await server.ask(door.path, door.call)
            assert 400 <= answer.status < 505 or b"error" in answer.body
            assert answer.headers["content-type"].startswith(("application/json", "text/event-stream"))
    assert "defect" not in capfd.readouterr().out
