"""The admin doors: who may use them, and what they tell."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.doors import knock
from tests.stage import CALL, Asked, Bridge, bridge, scripted

pytestmark = pytest.mark.anyio
DOORS = [("GET", "/admin/engines"), ("POST", "/admin/engines/gpu/drain"), ("POST", "/admin/engines/gpu/resume")]
CHAT = "/v1/chat/completions"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
async def server() -> AsyncIterator[Bridge]:
    async with scripted(Asked.whole) as engine:
        rows = [{"name": "gpu", "kind": "vllm", "url": engine.url}, {"name": "sim", "kind": "simulator"}]
        async with bridge(engines=rows, keys="sk-client", admin_key="sk-admin") as running:
            yield running


@pytest.mark.parametrize(("method", "path"), DOORS)
async def test_only_the_admin_key_opens_the_admin_doors(server: Bridge, method: str, path: str) -> None:
    for headers in ({}, bearer("sk-client"), bearer("sk-admin "[:-2]), bearer("x" * 5000), {"x_api_key": "sk-client"}):
        assert (await server.ask(path, method=method, **headers)).status == 401
    assert (await server.ask(path, method=method, **bearer("sk-admin"))).status == 200
    assert (await server.ask(path, method=method, x_api_key="sk-admin")).status == 200


async def test_the_admin_key_opens_no_other_door(server: Bridge) -> None:
    assert (await server.ask(CHAT, CALL, **bearer("sk-admin"))).status == 401
    assert (await server.ask("/metrics", method="GET", **bearer("sk-admin"))).status == 401
    assert (await server.ask("/v1/models", method="GET", **bearer("sk-admin"))).status == 401
    assert (await server.ask(CHAT, CALL, **bearer("sk-client"))).status == 200


@pytest.mark.parametrize(("method", "path"), DOORS)
@pytest.mark.parametrize("key", [None, "", " "])
async def test_without_an_admin_key_the_doors_say_how_to_open_them(method: str, path: str, key: str | None) -> None:
    async with bridge(engine="simulator", admin_key=key) as running:
        for headers in ({}, bearer(""), bearer("guess")):
            answer = await running.ask(path, method=method, **headers)
            assert answer.status == 403
            assert "QIAO_ADMIN_KEY" in answer.json["error"]["message"]


async def test_the_engines_are_told_with_what_runs_on_them(server: Bridge) -> None:
    told = (await server.ask("/admin/engines", method="GET", **bearer("sk-admin"))).json
    idle = {
        "state": "ready",
        "running": 0,
        "outstanding_tokens": None,
        "reason": "",
        "cool_down_s": 0,
        "looked_s": None,
    }
    assert told == {"engines": [{"name": "gpu", "kind": "vllm"} | idle, {"name": "sim", "kind": "simulator"} | idle]}


async def test_an_engine_that_is_not_there_is_a_404(server: Bridge) -> None:
    for name in ("no", "%00", "..%2f", "你", "x" * 4000):
        path = f"/admin/engines/{name.encode().decode('latin-1')}/drain"
        answer = await knock(
            server, f"POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer sk-admin\r\ncontent-length: 0"
        )
        assert answer.status in {400, 404}


async def test_a_wrong_method_drains_nothing(server: Bridge) -> None:
    assert (await server.ask("/admin/engines/gpu/drain", method="GET", **bearer("sk-admin"))).status == 400
    told: Any = (await server.ask("/admin/engines", method="GET", **bearer("sk-admin"))).json
    assert told["engines"][0]["state"] == "ready"
