"""Planted secrets and prompts: nothing that is logged, counted, told or passed on holds one of them."""

from __future__ import annotations

import contextlib
import json
import traceback
from pathlib import Path
from typing import Any

import pytest
import structlog

from qiao import app
from qiao.api.cors import Cors
from qiao.api.drain import Drain
from qiao.api.front import Door, Front
from qiao.api.shelter import Shelter, SizeLimits
from qiao.api.visit import Visit
from qiao.config import ConfigError, Settings
from qiao.errors import Defect, StreamBroken
from qiao.gate.keys import Keys
from tests.api.doors import TEXT, knock
from tests.api.listening import listening
from tests.stage import ANSWER, CALL, HELLO, ROLE, USAGE, WHOLE, Asked, Bridge, bridge, scripted

pytestmark = pytest.mark.anyio
CLOUD, CLIENT, ENGINE, PROMPT = "sk-canary-cloud", "sk-canary-client", "sk-canary-engine", "canary-prompt"
ADMIN = "sk-canary-admin"
CANARIES = (CLOUD, CLIENT, ENGINE, PROMPT, ADMIN)
CHAT = "/v1/chat/completions"
ASKED = CALL | {"messages": [{"role": "user", "content": PROMPT}], "user": PROMPT}
NATIVE: dict[str, Any] = {"model": "qwen-plus", "input": {"prompt": PROMPT}}
WHOLES = {CHAT: WHOLE, "/v1/embeddings": b'{"data":[],"id":"r"}'}
# What the road itself adds to every answer.
OURS = {"date", "content-type", "content-length", "transfer-encoding", "connection", "x-request-id", "x-should-retry"}
STREAMED = {"cache-control", "x-accel-buffering"}


def canaries(text: str | bytes) -> list[str]:
    said = text if isinstance(text, str) else text.decode("utf-8", "replace")
    return [canary for canary in CANARIES if canary in said]


async def _bad_request(asked: Asked) -> None:
    await asked.whole(b'{"error":{"message":"bad n","code":"invalid_parameter_error"}}', 400)


async def _refused(asked: Asked) -> None:
    await asked.whole(b'{"error":{"message":"no","code":"invalid_api_key"}}', 401)


async def _failed(asked: Asked) -> None:
    await asked.whole(b"{}", 500)


async def _page(asked: Asked) -> None:
    await asked.whole(b"<html>", content_type="text/html")


async def _broken(asked: Asked) -> None:
    await asked.begin()
    await asked.piece(ROLE + HELLO)
    asked.reset()


async def _reset(asked: Asked) -> None:
    asked.reset()


@pytest.mark.parametrize("script", [_bad_request, _refused, _failed, _page, _broken, _reset, Asked.whole, Asked.events])
async def test_no_log_no_metric_and_no_answer_holds_a_secret_or_a_prompt(
    script: Any, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with scripted(script) as engine:
        rows = [
            {"name": "cloud", "kind": "cloud", "key": CLOUD, "url": engine.url},
            {"name": "http", "kind": "http", "key": ENGINE, "url": engine.url},
        ]
        async with bridge(engines=rows, keys=CLIENT, admin_key=ADMIN, log_calls=True, log_level="debug") as server:
            answers = [
                await server.ask(path, body, authorization=f"Bearer {key}", **headers)
                for path, body in ((CHAT, ASKED), (CHAT, ASKED | {"stream": True}), (TEXT, NATIVE), (CHAT, b"{"))
                for key, headers in ((CLIENT, {}), (CLIENT, {"x_dashscope_sse": "enable"}), (f"{CLIENT}-not", {}))
            ]
            with contextlib.suppress(StreamBroken):  # what is passed on breaks as it broke
                answers.append(
                    await server.ask(f"/v1/files?x={PROMPT}", method="GET", authorization=f"Bearer {CLIENT}")
                )
            answers += [await server.ask(path, method="GET") for path in ("/healthz", "/readyz", "/metrics")]
            answers += [
                await server.ask(path, method=method, authorization=f"Bearer {key}")
                for method, path in (("GET", "/admin/engines"), ("POST", f"/admin/engines/{PROMPT}/drain"))
                for key in (ADMIN, CLIENT, f"{ADMIN}-not")
            ]
            for answer in answers:
                assert canaries(answer.body) == []
                assert canaries(json.dumps(answer.headers)) == []
            for thing in (server.app, server.app.settings, vars(server.app), *server.app.engines):
                assert canaries(repr(thing)) == canaries(str(thing)) == []
            assert canaries(server.app.settings.model_dump_json()) == []
        assert any(ENGINE in asked.headers.get("authorization", "") for asked in engine.asked) or script is not _failed
    said = capfd.readouterr()
    assert '"request_id"' in said.err, "the calls were logged"
    assert canaries(said.out + said.err + caplog.text) == []


async def test_a_defect_tells_its_place_and_nothing_of_the_call(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(visit: Visit) -> None:
        told = f"{(await visit.body()).decode()} {visit.headers['authorization']}"
        try:
            raise KeyError(told)
        except KeyError as error:
            raise ValueError(told) from error

    async def known(visit: Visit) -> None:
        raise Defect("relay") from ValueError(visit.headers["authorization"])

    doors = [Door("/broken", broken), Door("/known", known)]
    front = Front(doors, Keys([CLIENT]), Shelter(SizeLimits(), Drain()), Cors([]), frozenset({"localhost"}))
    with structlog.testing.capture_logs() as logged:
        async with listening(front) as server:
            for path in ("/broken", "/known"):
                body = PROMPT.encode()
                head = (
                    f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
                )
                client = await server.client(f"{head}authorization: Bearer {CLIENT}\r\n\r\n".encode() + body)
                answer = await client.rest()
                assert answer.startswith(b"HTTP/1.1 500 ")
                assert canaries(answer) == []
                assert not any(word in answer for word in (b"Traceback", b".py", b"Error("))
    defects = [line for line in logged if line["event"] == "defect"]
    assert [line["path"] for line in defects] == ["/broken", "/known"]
    assert "KeyError" in defects[0]["traceback"]
    assert "test_leaks.py:" in defects[0]["traceback"]
    assert canaries(repr(logged) + caplog.text) == []


def test_settings_that_are_wrong_do_not_print_what_is_right(tmp_path: Path) -> None:
    file = tmp_path / "qiao.toml"
    for text in (
        f'keys = ["{CLIENT}"]\napi_key = "{CLOUD}"\nport = "x"\n',
        f'keys = ["{ADMIN}"]\nadmin_key = "{ADMIN}"\n',
        f'api_key = ["{CLOUD}"]\n',
        f'api_key = "{CLOUD}\n',
        f'[[engines]]\nname = "a"\nkind = "http"\nkey = "{ENGINE}"\n',
        f'[[engines]]\nname = "a b"\nkind = "http"\nkey = "{ENGINE}"\n',
        f'[[engines]]\nname = "a"\nkind = "http"\nkey = {{ a = "{ENGINE}" }}\n',
    ):
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            app.build(Settings.load(file))
        shown = "".join(traceback.format_exception(caught.value))
        assert canaries(str(caught.value)) == canaries(shown) == []


HOSTILE_REQUEST = {
    "cookie": f"a={PROMPT}",
    "x_forwarded_for": "1.2.3.4",
    "x_forwarded_host": "localhost",
    "forwarded": "for=1.2.3.4",
    "via": "1.1 x",
    "origin": "http://localhost",
    "referer": f"http://localhost/{PROMPT}",
    "x_api_key": "sk-other",
    "proxy_authorization": "Basic eDp4",
    "te": "trailers",
    "x_odd": "1",
    "traceparent": "00-1",
    "accept_language": "de",
    "sec_fetch_site": "same-origin",
    "x_request_id": "mine",
    "x_qiao_engine": "other",
    "content_encoding": "identity",
    "openai_organization": "org",
}
PASSED = {
    "user_agent": "dashscope/2.0.2",
    "accept": "*/*",
    "x_dashscope_workspace": "ws-1",
    "x_dashscope_sse": "disable",
    "anthropic_version": "2023-06-01",
    "range": "bytes=0-1",
}


@pytest.mark.parametrize("path", [CHAT, TEXT, "/v1/embeddings", "/v1/files"])
async def test_the_cloud_sees_its_own_headers_and_its_own_key(path: str) -> None:
    async def fine(asked: Asked) -> None:
        await asked.whole(WHOLES.get(path, b'{"output":{},"request_id":"r"}'))

    async with (
        scripted(fine) as engine,
        bridge(engine="cloud", api_key=CLOUD, cloud_url=engine.url, keys=CLIENT) as server,
    ):
        body = NATIVE if path == TEXT else ASKED
        answer = await server.ask(path, body, authorization=f"Bearer {CLIENT}", **HOSTILE_REQUEST, **PASSED)
        assert answer.status == 200
        headers = engine.asked[0].headers
        own = {"host", "authorization", "accept-encoding", "content-length"}
        given = {"content-type"} if path != "/v1/files" else set[str]()
        assert headers.keys() - {name.replace("_", "-") for name in PASSED} == own | given
        assert headers["authorization"] == f"Bearer {CLOUD}"
        assert headers["accept-encoding"] == "identity"
        assert f"http://{headers['host']}" == engine.url


async def test_an_engine_sees_no_header_of_the_caller() -> None:
    async with (
        scripted(Asked.whole) as engine,
        bridge(engine="http", engine_url=engine.url, engine_key=ENGINE, keys=CLIENT) as server,
    ):
        answer = await server.ask(CHAT, ASKED, authorization=f"Bearer {CLIENT}", **HOSTILE_REQUEST, **PASSED)
        headers = engine.asked[0].headers
        own = {"host", "accept-encoding", "authorization", "content-type", "content-length", "x-request-id"}
        assert headers.keys() == own
        assert headers["authorization"] == f"Bearer {ENGINE}"
        assert headers["x-request-id"] != "mine"
        assert answer.headers["x-request-id"] != "mine"


HOSTILE_ANSWER = {
    "set_cookie": "a=b",
    "location": "http://evil.example/",
    "refresh": "0; url=http://evil.example/",
    "access_control_allow_origin": "*",
    "access_control_allow_credentials": "true",
    "content_security_policy": "x",
    "strict_transport_security": "max-age=1",
    "www_authenticate": "Basic",
    "clear_site_data": "*",
    "alt_svc": "h3",
    "link": "</x>; rel=preload",
    "server": "evil",
    "via": "1.1 evil",
    "x_powered_by": "evil",
    "x_qiao_engine": "evil",
    "x_qiao_notice": "evil",
    "x_ratelimit_limit_requests": "1",
    "keep_alive": "timeout=1",
    "upgrade": "h2c",
    "trailer": "x",
    "etag": "e",
    "vary": "*",
    "service_worker_allowed": "/",
    "sourcemap": "/x",
    "x_odd": "\xff\xfe",
}
FROM_CLOUD = {"x_dashscope_call_gateway": "true", "req_cost_time": "5", "x_dashscope_finished": "true"}


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500])
@pytest.mark.parametrize("path", [CHAT, TEXT, "/v1/embeddings"])
async def test_only_known_headers_of_an_answer_come_back(path: str, status: int) -> None:
    async def hostile(asked: Asked) -> None:
        good = WHOLES.get(path, b'{"output":{},"usage":{},"request_id":"r"}')
        bad = (
            b'{"error":{"message":"m","code":"c"}}' if path == CHAT else b'{"code":"c","message":"m","request_id":"r"}'
        )
        fields = "".join(
            f"{name.replace('_', '-')}: {value}\r\n" for name, value in (HOSTILE_ANSWER | FROM_CLOUD).items()
        )
        body = good if status == 200 else bad
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{fields}content-length: {len(body)}\r\n\r\n"
        await asked.send(head.encode("latin-1") + body)

    async with scripted(hostile) as engine, bridge(engine="cloud", api_key="k", cloud_url=engine.url) as server:
        answer = await server.ask(path, NATIVE if path == TEXT else ASKED)
        theirs = {name.replace("_", "-") for name in FROM_CLOUD}
        assert answer.headers.keys() - theirs <= OURS | {"x-qiao-engine", "x-qiao-cost", "retry-after"}
        assert answer.headers.get("x-qiao-engine", "cloud") == "cloud"
        assert answer.status == status or status >= 400
        if status == 200:
            assert theirs <= answer.headers.keys()


async def test_only_known_headers_of_a_stream_come_back() -> None:
    async def hostile(asked: Asked) -> None:
        fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in HOSTILE_ANSWER.items())
        head = f"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\n{fields}transfer-encoding: chunked\r\n\r\n"
        await asked.send(head.encode("latin-1"))
        await asked.piece(ANSWER)
        await asked.end()

    async with scripted(hostile) as engine, bridge(engine="cloud", api_key="k", cloud_url=engine.url) as server:
        answer = await server.chat(stream=True)
        assert answer.body == ANSWER.replace(USAGE, b"")
        assert answer.headers.keys() <= OURS | STREAMED | {"x-qiao-engine"}


@pytest.mark.parametrize("path", ["/v1/files/f/content", "/v1/models", CHAT])
async def test_a_redirect_of_the_cloud_goes_nowhere(path: str) -> None:
    async with scripted(Asked.whole) as trap:

        async def redirect(asked: Asked) -> None:
            await asked.whole(b"{}", 307, location=trap.url)

        async with scripted(redirect) as engine, bridge(engine="cloud", api_key="k", cloud_url=engine.url) as server:
            answer = await server.ask(path, ASKED if path == CHAT else None, method="POST" if path == CHAT else "GET")
            if path != "/v1/models":  # the scripted engine answers that one itself
                assert answer.status == 502
            assert "location" not in answer.headers
            assert trap.asked == []


@pytest.fixture
async def cloud(anyio_backend: str) -> Any:
    async with scripted(Asked.whole) as engine, bridge(engine="cloud", api_key="k", cloud_url=engine.url) as server:
        yield server, engine


@pytest.mark.parametrize(
    "target",
    [
        "/v1/files/../../api/v1/apps",
        "/v1/files/..",
        "/v1/files/.",
        "/v1/files/../content",
        "/api/v1/tasks/..",
        "/v1/conversations/../items/..",
        "/v1/files/%2e%2e",
        "/v1/files/a%2fb",
        "/v1/files/a/b/c",
        "/v1//files",
        "/v1/files/a%0d%0ahost:x",
        "/v1/files/a;b",
        "/v1/account",
        "/api/v1/users",
        "/api/v2/anything",
        "/api-task/v1/other",
        "/compatible-mode/v2/files",
        "/apps/other",
        "/v1/files/" + "a" * 201,
        "/v1/files/\xff",
    ],
)
async def test_a_path_off_the_list_does_not_reach_the_cloud(cloud: tuple[Bridge, Any], target: str) -> None:
    server, engine = cloud
    for method in ("GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"):
        answer = await knock(server, f"{method} {target} HTTP/1.1\r\nhost: localhost")
        assert answer.status in {400, 404}
    assert engine.asked == []


@pytest.mark.parametrize("query", ["a=%0d%0ahost:%20x", "after=f&limit=2", "x=%00", "x=" + "y" * 2000, "a=b?c=d"])
async def test_a_query_reaches_the_cloud_as_it_was_written(cloud: tuple[Bridge, Any], query: str) -> None:
    server, engine = cloud
    answer = await knock(server, f"GET /v1/files?{query} HTTP/1.1\r\nhost: localhost")
    assert answer.status == 200
    assert engine.asked[0].path == f"/compatible-mode/v1/files?{query}"
    assert "x" not in engine.asked[0].headers.get("host", "")
