"""Every door with odd bodies: whatever comes, the answer is in the door's own envelope and never a 5xx."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.doors import DOORS, Door, judge, places, replaced
from tests.stage import ANSWER, WHOLE, Asked, Bridge, bridge, scripted

pytestmark = pytest.mark.anyio
MIB = 2**20

_often = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
_seldom = settings(_often, max_examples=12)
odd: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(
        ["", "text", "json_schema", "image_url", "user", "tool", "auto", "weather", "{", "!html", "￿", "\0"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=4) | st.sampled_from(["type", "text", "function", "content"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
async def simulator(anyio_backend: str) -> AsyncIterator[Bridge]:
    async with bridge(engine="simulator") as server:
        yield server


@pytest.fixture(scope="module")
async def http(anyio_backend: str) -> AsyncIterator[Bridge]:
    async def fine(asked: Asked) -> None:
        if asked.json.get("stream"):
            await asked.events(ANSWER)
        else:
            await asked.whole(WHOLE)

    async with scripted(fine) as engine, bridge(engine="http", engine_url=engine.url) as server:
        yield server


async def _try(server: Bridge, door: Door, body: Any) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    judge(door, await server.ask(door.path, data, **door.headers))


@pytest.mark.parametrize("name", DOORS)
@_often
@given(body=st.binary(max_size=40))
async def test_any_bytes_get_an_answer_in_the_envelope(simulator: Bridge, name: str, body: bytes) -> None:
    await _try(simulator, DOORS[name], body)


@pytest.mark.parametrize("name", DOORS)
@_often
@given(body=odd)
async def test_any_json_gets_an_answer_in_the_envelope(simulator: Bridge, name: str, body: Any) -> None:
    await _try(simulator, DOORS[name], body)


@pytest.mark.parametrize("engine", ["simulator", "http"])
@pytest.mark.parametrize("name", DOORS)
@settings(_often, max_examples=400)
@given(at=st.integers(0, 200), value=odd)
async def test_any_value_in_any_place_gets_an_answer_in_the_envelope(
    simulator: Bridge, http: Bridge, engine: str, name: str, at: int, value: Any
) -> None:
    door = DOORS[name]
    all_places = places(door.call)
    body = replaced(door.call, all_places[at % len(all_places)], value)
    await _try(simulator if engine == "simulator" else http, door, body)
