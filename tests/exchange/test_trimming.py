"""A route that sends on only the newest part of a conversation, and says so."""

import pytest

from tests.stage import Asked, bridge, scripted

pytestmark = pytest.mark.anyio
TURNS = [{"role": role, "content": str(at)} for at in range(6) for role in ("user", "assistant")]
LAST = {"role": "user", "content": "last"}


async def test_a_route_keeps_the_newest_rounds_and_tells_how_many_messages_it_left_out() -> None:
    async with scripted(Asked.whole, Asked.events, Asked.whole) as engine:
        rows = [{"name": "own", "kind": "openai", "url": engine.url}]
        short = {"model": "short-*", "engines": ["own"], "history": {"rounds": 2}}
        async with bridge(engines=rows, routes=[short, {"model": "*", "engines": ["own"]}]) as server:
            for stream in (False, True):
                answer = await server.chat(model="short-qwen", stream=stream, messages=[*TURNS, LAST])
                assert answer.headers["x-qiao-left-out"] == "10"
                assert engine.asked[-1].json["messages"] == [*TURNS[-2:], LAST]
            answer = await server.chat(messages=[*TURNS, LAST])
            assert "x-qiao-left-out" not in answer.headers
            assert engine.asked[-1].json["messages"] == [*TURNS, LAST]
