"""The doors that tell: models in both protocols, tokens, health."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.doors import DOORS, TEXT, judge, knock
from tests.stage import Asked, Bridge, bridge, scripted

pytestmark = pytest.mark.anyio
NATIVE = DOORS["text"]


@pytest.fixture(scope="module")
async def server(anyio_backend: str) -> AsyncIterator[Bridge]:
    async with bridge(engine="simulator", aliases={"gpt-4o": "qwen-plus"}) as running:
        yield running


async def get(server: Bridge, path: str) -> Any:
    return (await server.ask(path, method="GET")).json


async def test_the_models_of_openai_mode_are_rows_with_a_notice(server: Bridge) -> None:
    listed = await get(server, "/v1/models")
    assert listed["object"] == "list"
    assert listed == await get(server, "/compatible-mode/v1/models")
    names = [row["id"] for row in listed["data"]]
    assert len(set(names)) == len(names)
    assert {"qwen-plus", "gpt-4o"} <= set(names)
    row = listed["data"][names.index("qwen-plus")]
    assert row["object"] == "model"
    assert isinstance(row["created"], int)
    assert "rehearsed" in row["notice"]
    assert row == await get(server, "/v1/models/qwen-plus")


async def test_a_name_that_is_served_but_not_listed_is_found(server: Bridge) -> None:
    assert (await get(server, "/v1/models/qwen-plus-2025-07-28"))["id"] == "qwen-plus-2025-07-28"


@pytest.mark.parametrize(
    "name", ["no-such", "", "a/b", "%00", "%ff", "..%2f..", "%0d%0aset-cookie:a", "x" * 4000, "你"]
)
async def test_a_name_that_is_not_served_is_a_404(server: Bridge, name: str) -> None:
    target = name.encode().decode("latin-1")
    answer = await knock(server, f"GET /v1/models/{target} HTTP/1.1\r\nhost: localhost")
    assert answer.status in {400, 404}
    assert "set-cookie" not in answer.headers
    if answer.headers["content-type"] == "application/json":  # else it was no request at all
        judge(DOORS["chat"], answer)


async def test_the_native_list_comes_by_pages(server: Bridge) -> None:
    first = await get(server, "/api/v1/models")
    total = first["output"]["total"]
    assert (first["output"]["page_no"], first["output"]["page_size"]) == (1, 10)
    assert len(first["output"]["models"]) == 10 < total
    names: list[str] = []
    for number in range(1, total // 100 + 2):
        page = (await get(server, f"/api/v1/models?page_no={number}&page_size=100"))["output"]
        names += [row["model"] for row in page["models"]]
    assert len(names) == len(set(names)) == total
    assert (await get(server, "/api/v1/models?page_no=10000&page_size=100"))["output"]["models"] == []
    one = (await get(server, "/api/v1/models?model=qwen-plus"))["output"]
    assert [row["model"] for row in one["models"]] == ["qwen-plus"]


@pytest.mark.parametrize("name", ["page_no", "page_size"])
@pytest.mark.parametrize(
    "value", ["0", "-1", "x", "1.0", "1e3", "%20", "+1", "%C2%B2", "%D9%A1", "10001", "000000001" + "9" * 5000, "1_0"]
)
async def test_a_page_that_cannot_be_is_a_400(server: Bridge, name: str, value: str) -> None:
    answer = await server.ask(f"/api/v1/models?{name}={value}", method="GET")
    judge(NATIVE, answer)
    assert answer.status == 400
    assert name in answer.json["message"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="#\x7f"), max_size=30))
async def test_any_query_gets_an_answer_in_the_envelope(server: Bridge, query: str) -> None:
    for path in ("/api/v1/models", "/v1/models"):
        answer = await knock(server, f"GET {path}?{query} HTTP/1.1\r\nhost: localhost")
        assert answer.status < 500
        if answer.headers["content-type"] == "application/json":  # else the connection has refused it already
            assert answer.json


async def test_the_tokens_are_those_of_the_reference(server: Bridge) -> None:
    for given_ in ({"prompt": "代码改变世界"}, {"messages": [{"role": "user", "content": "代码改变世界"}]}):
        answer = await server.ask("/api/v1/tokenizer", {"model": "qwen-max", "input": given_})
        assert answer.json == {
            "output": {"token_ids": [46100, 101933, 99489], "tokens": ["代码", "改变", "世界"]},
            "usage": {"input_tokens": 3},
            "request_id": answer.headers["x-request-id"],
        }


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"input": {"prompt": "x"}}, "Model can not be null."),
        ({"model": "qwen-plus"}, "Required parameter(input) missing"),
        ({"model": "qwen-plus", "input": []}, "Input should be a valid dictionary: input"),
        ({"model": "qwen-plus", "input": {}}, 'Either "prompt" or "messages" must exist'),
        ({"model": "qwen-plus", "input": {"messages": []}}, 'Either "prompt" or "messages" must exist'),
        ({"model": "qwen-plus", "input": {"messages": ["x"]}}, "input content must be a string."),
        ({"model": "qwen-plus", "input": {"messages": [{"content": [{"image": "x"}]}]}}, "input content must be"),
    ],
)
async def test_what_has_no_tokens_is_a_400(server: Bridge, body: Any, text: str) -> None:
    answer = await server.ask("/api/v1/tokenizer", body)
    judge(DOORS["tokenizer"], answer)
    assert answer.status == 400
    assert answer.json["message"].startswith(text)


async def test_a_long_text_is_counted_while_others_are_answered_and_a_longer_one_is_refused(server: Bridge) -> None:
    long = asyncio.create_task(server.ask("/api/v1/tokenizer", {"model": "m", "input": {"prompt": "a" * 2_000_000}}))
    await asyncio.sleep(0.1)
    assert (await server.ask("/healthz", method="GET")).status == 200
    assert not long.done()
    assert (await long).json["usage"]["input_tokens"] == 250_000
    refused = await server.ask("/api/v1/tokenizer", {"model": "m", "input": {"prompt": "a" * 4_000_001}})
    judge(DOORS["tokenizer"], refused)
    assert "Range of input length" in refused.json["message"]


@pytest.mark.parametrize(
    "listing",
    [
        b"",
        b"<html>",
        b"null",
        b'{"data":null}',
        b'{"data":[1]}',
        b'{"data":[{}]}',
        b'{"data":[{"id":5,"owned_by":{}},{"id":null},{"id":"m"}]}',
        b'{"data":[{"id":"\xff"}]}',
        b'{"data":[{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
    ],
)
async def test_an_engine_whose_list_is_odd_hides_nothing_else(listing: bytes) -> None:
    async def odd(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (len(listing), listing))
        await writer.drain()
        writer.close()

    engine = await asyncio.start_server(odd, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{engine.sockets[0].getsockname()[1]}"
    async with bridge(engine="http", engine_url=url) as server:
        answer = await server.ask("/v1/models", method="GET")
        assert answer.status == 200
        assert all(isinstance(row["id"], str) for row in answer.json["data"])
        native = await server.ask("/api/v1/models", method="GET")
        assert native.json["output"]["total"] == len(answer.json["data"])
    engine.close()


async def test_health_tells_no_more_than_it_must() -> None:
    async with scripted(Asked.whole) as engine, bridge(engine="http", engine_url=engine.url) as server:
        assert (await server.ask("/healthz", method="GET")).json == {"status": "ok", "server": "qiao"}
        assert (await server.ask("/readyz", method="GET")).json == {"status": "ready"}
    async with bridge(engine="http", engine_url="http://127.0.0.1:9", engine_key="sk-engine") as server:
        assert (await server.ask("/healthz", method="GET")).status == 200
        answer = await server.ask("/readyz", method="GET")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "127.0.0.1" not in json.dumps(answer.json)
        assert (await server.ask("/readyz", method="POST")).status == 400


async def test_no_model_name_of_a_caller_becomes_a_metric(server: Bridge) -> None:
    await server.chat(model="qwen-plus-latest")
    await server.chat(model="canary-model")
    await server.ask(TEXT, {"model": "canary-model", "input": {"prompt": "x"}})
    metrics = await server.ask("/metrics", method="GET")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"canary" not in metrics.body
    assert b"qwen" not in metrics.body
    assert b'qiao_calls_total{engine="simulator"' in metrics.body
