"""What a call of the cloud costs: told in a header and in the call log, by the model that answered."""

import json

import pytest

from tests.stage import Asked, bridge, scripted

pytestmark = pytest.mark.anyio
MAX = {"model": "*", "engines": ["cloud=qwen-max"]}


def cloud(url: str, **more: object) -> dict[str, object]:
    return {"engines": [{"name": "cloud", "kind": "cloud", "key": "sk-1", "url": url}], **more}


async def test_a_whole_answer_tells_its_cost_and_a_stream_leaves_it_to_the_log(capfdbinary) -> None:
    async with scripted(Asked.whole, Asked.events) as engine, bridge(**cloud(engine.url, log_calls=True)) as server:
        assert (await server.chat()).headers["x-qiao-cost"] == "0.0000112 CNY"
        assert "x-qiao-cost" not in (await server.chat(stream=True)).headers
    lines = [json.loads(line) for line in capfdbinary.readouterr().err.splitlines() if b'"outcome"' in line]
    assert [line["nano_yuan"] for line in lines] == [9 * 800 + 2 * 2_000] * 2


async def test_the_model_that_answered_is_billed_under_whatever_name_it_was_asked() -> None:
    async with scripted(Asked.whole) as engine, bridge(**cloud(engine.url, routes=[MAX])) as server:
        assert (await server.chat()).headers["x-qiao-cost"] == "0.0000408 CNY"


async def test_singapore_bills_its_own_prices_at_the_set_rate() -> None:
    more = {"region": "singapore", "prices": {"dollar": 7}}
    async with scripted(Asked.whole) as engine, bridge(**cloud(engine.url, **more)) as server:
        assert (await server.chat()).headers["x-qiao-cost"] == "0.000042 CNY"


async def test_an_engine_of_ones_own_costs_nothing() -> None:
    async with scripted(Asked.whole) as engine, bridge(engine="http", engine_url=engine.url) as server:
        assert "x-qiao-cost" not in (await server.chat()).headers


async def test_an_own_price_counts_and_a_price_of_tomorrow_does_not() -> None:
    mine = {"model": "qwen-*", "tiers": [{"input": 1, "output": 10}]}
    tomorrow = {"model": "qwen-plus", "since": "2999-01-01", "tiers": [{"input": 9, "output": 9}]}
    prices = {"models": [tomorrow, mine]}
    async with scripted(Asked.whole) as engine, bridge(**cloud(engine.url, prices=prices)) as server:
        assert (await server.chat()).headers["x-qiao-cost"] == "0.000029 CNY"


@pytest.mark.parametrize(("unknown", "cost"), [(None, None), ("free", "0.00 CNY")])
async def test_an_unknown_price_is_unknown_or_free_but_never_nothing_unasked(unknown, cost) -> None:
    async with scripted(Asked.whole) as engine, bridge(**cloud(engine.url, prices={"unknown": unknown})) as server:
        answer = await server.chat(model="qwen3.5-omni-plus")
        assert answer.status == 200
        assert answer.headers.get("x-qiao-cost") == cost


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/v1/services/aigc/text-generation/generation"])
async def test_an_unknown_price_is_refused_where_it_is_to_be_and_nobody_is_asked(path) -> None:
    async with scripted(Asked.whole) as engine, bridge(**cloud(engine.url, prices={"unknown": "refuse"})) as server:
        body = {"model": "nobody-knows", "messages": [], "input": {"messages": [{"role": "user", "content": "x"}]}}
        answer = await server.ask(path, body)
        assert answer.status == 403
        assert b"The price of nobody-knows is not known" in answer.body
        assert b"access_denied" in answer.body or b"AccessDenied" in answer.body
        assert engine.asked == []
        assert (await server.chat()).status == 200


async def test_where_prices_are_needed_an_engine_of_ones_own_still_answers() -> None:
    async with scripted(Asked.whole) as own, scripted(Asked.whole) as paid:
        rows = [
            {"name": "cloud", "kind": "cloud", "key": "sk-1", "url": paid.url},
            {"name": "own", "kind": "openai", "url": own.url},
        ]
        async with bridge(engines=rows, prices={"unknown": "refuse"}) as server:
            answer = await server.chat(model="nobody-knows")
            assert answer.headers["x-qiao-engine"] == "own"
            assert paid.asked == []
