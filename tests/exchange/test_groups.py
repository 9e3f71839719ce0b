"""Several engines of one model behind a whole server: who is asked, who is left out, and how they come back."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any

import pytest

from tests.stage import CALL, DONE, FINISH, HELLO, ROLE, USAGE, WHOLE, Answer, Asked, Bridge, Engine, bridge, scripted

pytestmark = pytest.mark.anyio
ADMIN = {"authorization": "Bearer sk-admin"}
NAMES = ("a", "b", "c")


def rows(*urls: str) -> list[dict[str, str]]:
    return [{"name": name, "kind": "openai", "url": url} for name, url in zip(NAMES, urls, strict=False)]


def group(*urls: str, **settings: Any) -> dict[str, Any]:
    """Settings of a server with one route, whose only place the engines share."""
    timeouts = {"connect": 1.0, "probe": 60.0} | settings.pop("timeouts", {})
    routes = [{"model": "*", "engines": [[*NAMES[: len(urls)]]]}]
    return {"engines": rows(*urls), "routes": routes, "timeouts": timeouts, "admin_key": "sk-admin"} | settings


@contextlib.asynccontextmanager
async def three(*script: Any) -> AsyncIterator[list[Engine]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(scripted(*(script or (answer,)))) for _ in NAMES]


async def answer(asked: Asked) -> None:
    if asked.json.get("stream"):
        await asked.events()
    else:
        await asked.whole()


async def fail(asked: Asked) -> None:
    await asked.whole(b"{}", 500)


async def states(server: Bridge) -> dict[str, dict[str, Any]]:
    told = await server.ask("/admin/engines", method="GET", **ADMIN)
    return {row["name"]: row for row in told.json["engines"]}


def conversation(number: int, turns: int = 1) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": "You help."}, {"role": "user", "content": f"question {number}"}]
    for turn in range(1, turns):
        messages += [{"role": "assistant", "content": f"answer {turn}"}, {"role": "user", "content": f"more {turn}"}]
    return messages


def engine(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.headers["x-qiao-engine"]


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it is true."""
    async with asyncio.timeout(20):
        for _ in count():
            if await true():
                return
            await asyncio.sleep(0.02)


async def stands(server: Bridge, name: str, state: str) -> None:
    async def true() -> bool:
        return (await states(server))[name]["state"] == state

    await until(true)


async def reached(number: int, *engines: Engine) -> None:
    async def true() -> bool:
        return sum(len(each.asked) for each in engines) >= number

    await until(true)


async def test_conversations_spread_and_each_stays_where_it_began() -> None:
    async with three() as engines, bridge(**group(*(each.url for each in engines))) as server:
        homes: dict[int, str] = {}
        for turn in range(1, 5):
            asked = [server.chat(messages=conversation(number, turn), stream=turn % 2 == 0) for number in range(30)]
            for number, answered in enumerate(await asyncio.gather(*asked)):
                assert homes.setdefault(number, engine(answered)) == engine(answered)
        assert set(homes.values()) == set(NAMES)
        assert max(Counter(homes.values()).values()) < 20
        assert all(row["running"] == row["outstanding_tokens"] == 0 for row in (await states(server)).values())


async def test_the_native_protocol_stays_with_the_same_engine_too() -> None:
    async with three() as engines, bridge(**group(*(each.url for each in engines))) as server:
        path = "/api/v1/services/aigc/text-generation/generation"
        for number in range(6):
            asked = [
                {"model": "qwen-plus", "input": {"messages": conversation(number, turns)}, "parameters": {}}
                for turns in (1, 2, 3)
            ]
            assert len({engine(await server.ask(path, body)) for body in asked}) == 1


async def test_one_conversation_that_everybody_has_is_shared_when_its_engine_is_full() -> None:
    release = asyncio.Event()

    async def slow(asked: Asked) -> None:
        await release.wait()
        await asked.whole()

    async with three(slow) as engines, bridge(**group(*(each.url for each in engines))) as server:
        calls = [asyncio.create_task(server.chat(user=str(number))) for number in range(100)]
        await reached(100, *engines)
        running = {name: row["outstanding_tokens"] for name, row in (await states(server)).items()}
        average = sum(running.values()) / 3
        assert max(running.values()) <= 1.25 * average + 4096 + 1100, "and one call more"
        assert min(running.values()) > 0
        release.set()
        counts = Counter(map(engine, await asyncio.gather(*calls)))
        assert set(counts) == set(NAMES)
        assert {row["outstanding_tokens"] for row in (await states(server)).values()} == {0}


async def test_a_member_that_fails_is_not_seen_by_the_client() -> None:
    async with (
        scripted(fail) as bad,
        scripted(answer) as good,
        bridge(**group(bad.url, good.url)) as server,
    ):
        answers = [await server.chat(messages=conversation(number), stream=True) for number in range(10)]
        assert {engine(each) for each in answers} == {"b"}
        assert len(bad.asked) <= 5, "the breaker leaves it alone after that"
        row = (await states(server))["a"]
        if len(bad.asked) == 5:
            assert (row["state"], row["reason"]) == ("cooling", "500 InternalError")
            assert 10 < row["cool_down_s"] <= 18


async def test_when_a_group_fails_the_next_place_is_asked() -> None:
    async with contextlib.AsyncExitStack() as stack:
        bad = [await stack.enter_async_context(scripted(fail)) for _ in range(2)]
        last = await stack.enter_async_context(scripted(answer))
        routes = [{"model": "*", "engines": [["a", "b"], "c=other"]}]
        settings = group(bad[0].url, bad[1].url, last.url) | {"routes": routes}
        server = await stack.enter_async_context(bridge(**settings))
        assert engine(await server.chat()) == "c"
        assert last.asked[0].json["model"] == "other"
        assert len(bad[0].asked) == len(bad[1].asked) == 1
        rows = await states(server)
        assert rows["a"]["outstanding_tokens"] == rows["b"]["outstanding_tokens"] == 0
        assert rows["c"]["outstanding_tokens"] is None, "it shares its load with nobody"


async def test_the_last_attempt_is_kept_for_the_next_place() -> None:
    async with three(fail) as bad, scripted(answer) as last:
        engines = [*rows(*(each.url for each in bad)), {"name": "d", "kind": "openai", "url": last.url}]
        routes = [{"model": "*", "engines": [[*NAMES], "d"]}]
        async with bridge(engines=engines, routes=routes) as server:
            assert engine(await server.chat()) == "d"
            assert sum(len(each.asked) for each in bad) == 2


async def test_an_engine_that_dies_under_load_is_left_out_and_comes_back() -> None:
    broken: list[str] = []

    async def long(asked: Asked) -> None:
        await asked.begin()
        await asked.piece(ROLE + HELLO)
        await asyncio.sleep(0.3)
        await asked.piece(FINISH + USAGE + DONE)
        await asked.end()

    async with scripted(long) as good, contextlib.AsyncExitStack() as stack:
        dying = await stack.enter_async_context(scripted(long))
        port = int(dying.url.rpartition(":")[2])
        settings = group(dying.url, good.url, timeouts={"probe": 0.05})
        async with bridge(**settings) as server:

            async def ask(number: int) -> None:
                answered = await server.chat(messages=conversation(number), stream=True)
                assert answered.status == 200
                if DONE not in answered.body:
                    broken.append(engine(answered))

            calls: list[asyncio.Task[None]] = []
            for number in range(60):
                calls.append(asyncio.create_task(ask(number)))
                await asyncio.sleep(0.01)
                if number == 20:
                    running = (await states(server))["a"]["running"]
                    await stack.aclose()
            await asyncio.gather(*calls)
            assert running > 0
            assert set(broken) <= {"a"}
            assert len(broken) <= running + 2, "only what ran there breaks off"
            await stands(server, "a", "unhealthy")
            row = (await states(server))["a"]
            assert row["reason"] == "a: no answer from the engine"
            assert row["running"] == row["outstanding_tokens"] == 0
            assert {engine(await server.chat(messages=conversation(n), stream=True)) for n in range(8)} == {"b"}
            async with scripted(long, port=port):
                await stands(server, "a", "ready")
                seen = [server.chat(messages=conversation(number), stream=True) for number in range(12)]
                assert {engine(answered) for answered in await asyncio.gather(*seen)} == {"a", "b"}


async def test_probes_ask_members_of_groups_for_their_health_and_never_for_an_answer() -> None:
    async with scripted(answer) as a, scripted(answer) as b, scripted(answer) as alone:
        routes = [{"model": "*", "engines": [["a", "b"], "c"]}]
        settings = group(a.url, b.url, alone.url, timeouts={"probe": 0.02}) | {"routes": routes}
        async with bridge(**settings) as server:
            await asyncio.sleep(0.2)
            told = await states(server)
            assert told["a"]["looked_s"] < 5
            assert told["c"]["looked_s"] is None
        assert a.asked == b.asked == alone.asked == []


async def test_an_engine_is_drained_without_losing_a_stream() -> None:
    release = asyncio.Event()

    async def long(asked: Asked) -> None:
        await asked.begin()
        await asked.piece(ROLE + HELLO)
        await release.wait()
        await asked.piece(FINISH + USAGE + DONE)
        await asked.end()

    async with scripted(long) as a, scripted(long) as b, bridge(**group(a.url, b.url)) as server:
        running = asyncio.create_task(server.chat(stream=True))
        await reached(1, a, b)
        home, other = ("a", "b") if a.asked else ("b", "a")
        drained = await server.ask(f"/admin/engines/{home}/drain", **ADMIN)
        assert (drained.json["state"], drained.json["running"]) == ("draining", 1)
        elsewhere = asyncio.create_task(server.chat(stream=True))
        await asyncio.sleep(0.1)
        release.set()
        assert engine(await elsewhere) == other
        finished = await running
        assert (engine(finished), finished.body.endswith(DONE)) == (home, True)
        assert (await states(server))[home]["running"] == 0
        assert (await server.ask(f"/admin/engines/{home}/resume", **ADMIN)).json["state"] == "ready"
        assert engine(await server.chat(stream=True)) == home


async def test_with_its_only_engine_drained_a_route_says_so() -> None:
    async with scripted(answer) as one, bridge(**group(one.url, routes=[])) as server:
        await server.ask("/admin/engines/a/drain", **ADMIN)
        answered = await server.chat()
        assert answered.status == 503
        assert "drained for maintenance" in answered.json["error"]["message"]
        assert answered.headers["retry-after"] == "5"
        ready = await server.ask("/readyz", method="GET")
        assert (ready.status, ready.json["reasons"]) == (503, ["a: drained for maintenance"])
        await server.ask("/admin/engines/a/resume", **ADMIN)
        assert engine(await server.chat()) == "a"


async def broken(asked: Asked) -> None:
    await asked.begin()
    await asked.piece(ROLE + HELLO)
    await asyncio.sleep(0.02)
    asked.writer.transport.abort()


async def refused(asked: Asked) -> None:
    await asked.whole(b'{"error":{"message":"bad n","code":"invalid_parameter_error"}}', 400)


async def silent(asked: Asked) -> None:
    await asked.gone()


async def reset(asked: Asked) -> None:
    asked.writer.transport.abort()


async def test_whatever_happens_to_calls_nothing_stays_outstanding() -> None:
    scripts = [answer, fail, broken, refused, silent, reset, answer] * 12
    async with scripted(*scripts) as a, scripted(*scripts[3:]) as b:
        settings = group(a.url, b.url, timeouts={"first_byte": 0.3, "idle": 0.3, "connect": 0.3})
        async with bridge(**settings) as server:
            leaving = [await asyncio.open_connection(server.url.host, server.url.port) for _ in range(6)]
            body = json.dumps(CALL).encode()
            head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)
            for _, writer in leaving:
                writer.write(head + body)
            asked = [server.chat(messages=conversation(number), stream=number % 2 == 0) for number in range(24)]
            calls = asyncio.gather(*asked)
            await asyncio.sleep(0.05)
            for _, writer in leaving:
                writer.close()
            await calls
            await asyncio.sleep(0.5)
            for row in (await states(server)).values():
                assert (row["running"], row["outstanding_tokens"]) == (0, 0)


async def test_the_metrics_tell_how_the_engines_stand() -> None:
    async with scripted(answer) as a, scripted(answer) as b, bridge(**group(a.url, b.url)) as server:
        await server.ask("/admin/engines/b/drain", **ADMIN)
        text = (await server.ask("/metrics", method="GET")).body.decode()
        for line in (
            'qiao_engine_running{engine="a"} 0.0',
            'qiao_engine_outstanding_tokens{engine="a"} 0.0',
            'qiao_engine_state{engine="a",state="ready"} 1.0',
            'qiao_engine_state{engine="b",state="ready"} 0.0',
            'qiao_engine_state{engine="b",state="draining"} 1.0',
        ):
            assert line in text


async def test_an_answer_of_a_group_bears_the_name_that_was_asked_for() -> None:
    async def mine(asked: Asked) -> None:
        await asked.whole(WHOLE.replace(b'"model":"qwen-plus"', b'"model":"%s"' % asked.json["model"].encode()))

    routes = [{"model": "qwen-*", "engines": [["a=qwen3-30b", "b=Qwen/Qwen3-30B-A3B"]]}]
    async with scripted(mine) as a, scripted(mine) as b, bridge(**group(a.url, b.url) | {"routes": routes}) as server:
        for number in range(8):
            assert (await server.chat(messages=conversation(number))).json["model"] == "qwen-plus"
        assert {asked.json["model"] for asked in a.asked + b.asked} == {"qwen3-30b", "Qwen/Qwen3-30B-A3B"}
