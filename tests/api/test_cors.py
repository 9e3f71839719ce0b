"""Calls from web pages: nothing unless configured, then an exact list or `*`, and never with credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.api.doors import TEXT, knock
from tests.stage import CALL, Answer, Asked, Bridge, bridge, scripted

pytestmark = pytest.mark.anyio
MINE, OTHER = "https://app.example", "https://evil.example"
ALLOWED, EXPOSED, VARY = "access-control-allow-origin", "access-control-expose-headers", "vary"
CHAT = "/v1/chat/completions"
PREFLIGHT = {"access_control_request_method": "POST", "access_control_request_headers": "authorization,x-odd"}


def rules(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.fixture(scope="module")
async def off(anyio_backend: str) -> AsyncIterator[Bridge]:
    async with bridge(engine="simulator") as server:
        yield server


@pytest.fixture(scope="module")
async def listed(anyio_backend: str) -> AsyncIterator[Bridge]:
    async with bridge(engine="simulator", keys="k", cors_origins=f"{MINE},http://localhost:5173") as server:
        yield server


@pytest.fixture(scope="module")
async def anyone(anyio_backend: str) -> AsyncIterator[Bridge]:
    async with bridge(engine="simulator", keys="k", cors_origins="*") as server:
        yield server


@pytest.mark.parametrize("origin", [MINE, OTHER, "null", "http://localhost", ""])
async def test_by_default_no_page_may_call(off: Bridge, origin: str) -> None:
    for answer in (
        await off.ask(CHAT, CALL, origin=origin),
        await off.ask(CHAT, b"{", origin=origin),
        await off.ask(CHAT, method="OPTIONS", origin=origin, **PREFLIGHT),
        await off.ask("/healthz", method="GET", origin=origin),
    ):
        assert rules(answer) == {}
        assert VARY not in answer.headers
    assert (await off.ask(CHAT, method="OPTIONS", origin=origin, **PREFLIGHT)).status == 400


@pytest.mark.parametrize("origin", [MINE, "http://localhost:5173"])
async def test_a_listed_page_gets_its_answers_and_its_errors(listed: Bridge, origin: str) -> None:
    asks = [
        (CHAT, CALL, {"authorization": "Bearer k"}, 200),
        (CHAT, CALL | {"stream": True}, {"authorization": "Bearer k"}, 200),
        (CHAT, CALL, {}, 401),
        (CHAT, b"{", {"authorization": "Bearer k"}, 400),
        (TEXT, {"model": "no"}, {"authorization": "Bearer k"}, 404),
        ("/v1/responses", {}, {"authorization": "Bearer k"}, 404),
        ("/v1/rerank", {}, {"authorization": "Bearer k"}, 400),
        ("/nowhere", {}, {}, 404),
    ]
    for path, body, headers, status in asks:
        answer = await listed.ask(path, body, origin=origin, **headers)
        assert answer.status == status
        assert answer.headers[ALLOWED] == origin
        assert "x-request-id" in answer.headers[EXPOSED]
        assert answer.headers[VARY] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        OTHER,
        "null",
        "",
        "*",
        "https://app.example.evil.example",
        "https://evil.example/https://app.example",
        "http://app.example",
        "https://app.example:443",
        "https://app.example/",
        "https://APP.example",
        " https://app.example,https://evil.example",
        "https://xapp.example",
        "http://localhost",
        "http://localhost:5174",
        "http://localhost:5173@evil.example",
    ],
)
async def test_a_page_that_is_not_listed_gets_no_leave(listed: Bridge, origin: str) -> None:
    for answer in (
        await listed.ask(CHAT, CALL, origin=origin, authorization="Bearer k"),
        await listed.ask(CHAT, method="OPTIONS", origin=origin, **PREFLIGHT),
    ):
        assert ALLOWED not in answer.headers
        assert answer.headers[VARY] == "Origin", "no cache gives it to the listed page"


async def test_a_call_without_an_origin_is_not_cached_for_a_page(listed: Bridge) -> None:
    answer = await listed.ask("/v1/models", method="GET", authorization="Bearer k")
    assert (rules(answer), answer.headers[VARY]) == ({}, "Origin")


async def test_a_preflight_is_answered_without_a_key(listed: Bridge, anyone: Bridge) -> None:
    for server, allowed in ((listed, MINE), (anyone, "*")):
        for path in (CHAT, TEXT, "/v1/models", "/v1/files", "/nowhere"):
            answer = await server.ask(path, method="OPTIONS", origin=MINE, **PREFLIGHT)
            assert (answer.status, answer.body) == (204, b"")
            assert answer.headers[ALLOWED] == allowed
            assert "POST" in answer.headers["access-control-allow-methods"]
            assert answer.headers["access-control-allow-headers"] == "authorization,x-odd"
            assert int(answer.headers["access-control-max-age"]) > 0
            assert "access-control-allow-credentials" not in answer.headers


async def test_options_that_is_no_preflight_is_a_request_like_others(listed: Bridge) -> None:
    assert (await listed.ask(CHAT, method="OPTIONS", origin=MINE)).status == 400
    assert (await listed.ask("/v1/files", method="OPTIONS", origin=MINE)).status == 401


@pytest.mark.parametrize("origin", [MINE, OTHER, "null"])
async def test_a_star_is_for_everyone_and_never_a_reflection(anyone: Bridge, origin: str) -> None:
    for body, status in ((CALL, 200), (b"{", 400)):
        answer = await anyone.ask(CHAT, body, origin=origin, authorization="Bearer k")
        assert answer.status == status
        assert answer.headers[ALLOWED] == "*"
        assert VARY not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers


async def test_the_cloud_gives_no_leave_in_our_place() -> None:
    async def lax(asked: Asked) -> None:
        await asked.whole(
            b"{}", access_control_allow_origin="*", access_control_allow_credentials="true", vary="X", set_cookie="a=b"
        )

    async with scripted(lax) as engine, bridge(engine="cloud", api_key="k", cloud_url=engine.url) as server:
        answer = await server.ask("/v1/responses", {}, origin=OTHER)
        assert answer.status == 200
        assert rules(answer) == {}
        assert not {"vary", "set-cookie"} & answer.headers.keys()


async def test_where_no_key_is_needed_a_page_of_another_site_cannot_even_ask_blindly(off: Bridge) -> None:
    page = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "content_type": "text/plain"}
    for origin in (OTHER, "null"):
        answer = await off.ask(CHAT, CALL, origin=origin, **page)
        assert (answer.status, answer.json["error"]["code"]) == (403, "access_denied")
        assert (await off.ask(TEXT, {}, origin=origin, **page)).json["code"] == "AccessDenied"
    assert (await off.ask("/v1/models", method="GET", **page)).status == 200, "it cannot read what it gets"
    for site in ("same-origin", "same-site", "none"):
        assert (await off.chat()).status == (await off.ask(CHAT, CALL, origin=MINE, sec_fetch_site=site)).status == 200
    async with bridge(engine="simulator", cors_origins=MINE) as server:
        assert (await server.ask(CHAT, CALL, origin=MINE, **page)).status == 200
        assert (await server.ask(CHAT, CALL, origin=OTHER, **page)).status == 403
    async with bridge(engine="simulator", keys="k") as server:
        assert (await server.ask(CHAT, CALL, origin=OTHER, **page)).status == 401, "without the key it is nobody"


async def test_a_foreign_host_gets_no_leave_either(listed: Bridge) -> None:
    answer = await knock(listed, f"POST {CHAT} HTTP/1.1\r\nhost: {OTHER[8:]}\r\norigin: {MINE}")
    assert (answer.status, rules(answer)) == (421, {})
