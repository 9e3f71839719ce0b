"""The simulator behaves like the cloud's chat API (reference §2.2-2.10), and its faults are what they are called."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any, cast

import pytest

from qiao.engines.simulator import Pace, base_model
from qiao.wire import tokens
from qiao.wire.call import Call, Principal
from tests.clients.cases.asked import CALCULATE, WEATHER
from tests.engines.play import (
    CATALOG,
    ID,
    LOOKUP,
    Waits,
    asking,
    called,
    events,
    new,
    run,
    said,
    streamed,
    whole,
)


def test_the_whole_answer_has_the_keys_of_the_cloud_in_their_order() -> None:
    _, body, _ = run(asking("你好"))
    head = '{"choices":[{"message":{"role":"assistant","content":"你好！有什么可以帮您？"},"finish_reason":"stop",'
    tail = (
        '"index":0,"logprobs":null}],"object":"chat.completion","usage":'
        '{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16,'
        '"prompt_tokens_details":{"cached_tokens":0}},"created":1700000000,"system_fingerprint":null,'
        f'"model":"qwen-plus","id":"chatcmpl-{ID}"}}'
    )
    assert body.decode() == head + tail


def test_a_stream_and_a_whole_answer_say_the_same() -> None:
    for call in (
        asking("讲个故事"),
        asking("为什么天是蓝的？", enable_thinking=True),
        asking("北京天气", tools=[WEATHER]),
        asking("hi 👩‍👩‍👧 ﬁ ü", seed=5),
        asking("hello", n=3),
    ):
        assert streamed(call).choices() == whole(call)["choices"]


def test_the_same_request_gets_the_same_answer_and_another_seed_another() -> None:
    answers = {said(asking("为什么？", seed=seed)) for seed in range(12)}
    assert len(answers) > 1
    assert said(asking("为什么？", seed=3)) == said(asking("为什么？", seed=3))
    assert run(asking("为什么？"))[1] == run(asking("为什么？"))[1]


def test_it_answers_in_the_language_of_the_question() -> None:
    assert said(asking("Why is the sky blue?")).isascii()
    assert not said(asking("天为什么是蓝的")).isascii()
    assert said(asking("hello")) == "Hello! How can I help you?"
    assert "qwen-plus" in said(asking("你是谁？"))


def test_it_does_what_needs_no_model() -> None:
    assert said(asking("2+2等于多少")) == "2+2 = 4"
    assert said(asking("What is (3 + 4) * 5?")) == "(3 + 4) * 5 = 35"
    assert said(asking("count to 5")) == "1, 2, 3, 4, 5"
    assert said(asking("Say: pong")) == "pong"
    assert len(said(asking("Write 500 words")).split()) == 500
    assert len(said(asking("写一篇300字的文章"))) == 300
    assert "9**9**9" in said(asking("What is 9**9**9 ?"))  # too large to work out, so it is only repeated


def test_it_remembers_a_name_told_earlier() -> None:
    history = [
        {"role": "user", "content": "你好，我叫小明。"},
        {"role": "assistant", "content": "您好，小明！"},
        {"role": "user", "content": "我叫什么名字？"},
    ]
    assert said(asking(messages=history)) == "您叫小明。"
    assert said(asking(messages=history[-1:])) == "您还没有告诉我您的名字。"
    english = [{"role": "user", "content": "My name is Ada."}, {"role": "user", "content": "What is my name?"}]
    assert said(asking(messages=english)) == "Your name is Ada."


def test_a_tool_is_called_when_the_text_asks_for_it() -> None:
    tools = [WEATHER, CALCULATE, LOOKUP]
    assert called(asking("北京天气怎么样？", tools=tools)) == [("get_current_weather", {"location": "北京"})]
    assert called(asking("What's the weather in Boston tomorrow, in celsius?", tools=tools)) == [
        ("get_current_weather", {"location": "Boston", "unit": "celsius"})
    ]
    assert called(asking("请计算 12 × (3+4)", tools=tools)) == [("calculate", {"expression": "12 * (3+4)"})]
    assert called(asking("Find the customer Li Lei", tools=tools)) == [
        ("lookup_customer", {"request": "Find the customer Li Lei", "level": "full"})
    ]
    assert called(asking("讲个笑话", tools=tools)) == []
    assert called(asking("Tell me a joke", tools=tools)) == []


def test_several_tools_are_called_only_when_that_is_allowed() -> None:
    text = "北京和上海的天气怎么样？再算一下 2+2"
    assert len(called(asking(text, tools=[WEATHER, CALCULATE]))) == 1
    assert called(asking(text, tools=[WEATHER, CALCULATE], parallel_tool_calls=True)) == [
        ("get_current_weather", {"location": "北京"}),
        ("get_current_weather", {"location": "上海"}),
        ("calculate", {"expression": "2+2"}),
    ]


def test_the_tool_choice_is_honoured() -> None:
    tools = [WEATHER, CALCULATE]
    assert called(asking("北京天气", tools=tools, tool_choice="none")) == []
    forced = {"type": "function", "function": {"name": "calculate"}}
    assert called(asking("北京天气", tools=tools, tool_choice=forced)) == [("calculate", {"expression": "北京天气"})]


def test_tool_results_are_used_in_the_answer() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_current_weather", "arguments": "{}"}}
    history = [
        {"role": "user", "content": "北京天气怎么样？"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "晴，5 度"},
    ]
    assert said(asking(messages=history, tools=[WEATHER])) == "查询的结果是：晴，5 度"


def test_the_deltas_of_a_tool_call_have_id_and_name_once() -> None:
    _, body, _ = run(asking("北京天气", tools=[WEATHER], stream=True))
    found = [json.loads(data)["choices"][0] for data in events(body)[:-1]]
    deltas = [choice["delta"]["tool_calls"][0] for choice in found if "tool_calls" in choice["delta"]]
    assert deltas[0]["id"].startswith("call_")
    assert len(deltas[0]["id"]) == 27
    assert deltas[0]["function"]["name"] == "get_current_weather"
    assert {delta["id"] for delta in deltas[1:]} == {""}
    assert all("name" not in delta["function"] for delta in deltas[1:])
    assert found[-1]["finish_reason"] == "tool_calls"


def test_it_thinks_when_the_model_thinks() -> None:
    def thought(**given: Any) -> str | None:
        return whole(asking("为什么？", **given))["choices"][0]["message"].get("reasoning_content")

    assert thought() is None
    assert thought(enable_thinking=True)
    assert thought(model="qwen3.5-plus")
    assert thought(model="qwen3.5-plus", enable_thinking=False) is None
    assert thought(model="qwen3.5-plus", reasoning_effort="none") is None
    assert thought(model="qwen-max", enable_thinking=True) is None


def test_the_soft_switches_silence_the_thought() -> None:
    quiet = whole(asking("为什么？ /no_think", model="qwen3-8b", enable_thinking=True))
    assert quiet["choices"][0]["message"]["reasoning_content"] == ""
    assert quiet["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0
    assert "/no_think" not in quiet["choices"][0]["message"]["content"]
    loud = whole(asking("为什么？ /no_think /think", model="qwen3-8b", enable_thinking=True))
    assert loud["choices"][0]["message"]["reasoning_content"]


def test_the_budget_cuts_the_thought_and_the_answer_follows() -> None:
    for budget in (1, 10, 25):
        answer = whole(asking("为什么天是蓝的？", enable_thinking=True, thinking_budget=budget))
        assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == budget
        assert answer["choices"][0]["message"]["content"]
        assert answer["choices"][0]["finish_reason"] == "stop"


def test_thoughts_come_before_the_answer_and_never_beside_it() -> None:
    _, body, _ = run(asking("为什么？", enable_thinking=True, stream=True))
    deltas = [json.loads(data)["choices"][0]["delta"] for data in events(body)[:-1]]
    assert deltas[0] == {"content": None, "role": "assistant", "reasoning_content": ""}
    kinds = [bool(delta["reasoning_content"]) for delta in deltas[1:]]
    assert kinds == sorted(kinds, reverse=True)
    assert all(delta["content"] is None or delta["reasoning_content"] is None for delta in deltas)


@pytest.mark.parametrize("fields", [{}, {"enable_thinking": True}, {"n": 3}, {"tools": [WEATHER]}, {"max_tokens": 3}])
def test_the_counts_add_up(fields: dict[str, Any]) -> None:
    answer = whole(asking("北京天气怎么样？", **fields))
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    texts = [choice["message"] for choice in answer["choices"]]
    spoken = sum(tokens.count(text["content"]) + tokens.count(text.get("reasoning_content", "")) for text in texts)
    assert usage["completion_tokens"] >= spoken
    if "enable_thinking" in fields:
        details = usage["completion_tokens_details"]
        assert details["reasoning_tokens"] == tokens.count(texts[0]["reasoning_content"])
        assert usage["completion_tokens"] == spoken + 2  # the tags around the thought
    assert usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"]


def test_the_usage_event_comes_only_when_it_is_asked_for() -> None:
    plain = events(run(asking(stream=True))[1])
    asked = events(run(asking(stream=True, stream_options={"include_usage": True}))[1])
    assert len(asked) == len(plain) + 1
    last = json.loads(asked[-2])
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 16
    assert all(json.loads(event)["usage"] is None for event in plain[:-1])


def test_running_counts_grow_to_the_final_ones() -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    data = [json.loads(event) for event in events(run(asking("讲个故事", stream=True, stream_options=options))[1])[:-1]]
    counts = [event["usage"]["completion_tokens"] for event in data]
    assert counts == sorted(counts)
    assert counts[-1] == counts[-2] > 20


def test_max_tokens_cuts_the_answer_but_not_the_thought() -> None:
    answer = whole(asking("count to 50", max_tokens=4, enable_thinking=True))
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["message"]["content"] == "1, 2"
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] > 4
    both = whole(asking("count to 50", max_completion_tokens=10, enable_thinking=True))
    assert both["usage"]["completion_tokens_details"]["reasoning_tokens"] == 10
    assert both["choices"][0]["message"]["content"] == ""
    assert both["choices"][0]["finish_reason"] == "length"
    assert whole(asking("count to 2", max_tokens=100))["choices"][0]["finish_reason"] == "stop"


def test_stop_ends_the_answer_before_the_stop_text() -> None:
    assert said(asking("count to 9", stop="4")) == "1, 2, 3, "
    assert said(asking("count to 9", stop=["8", " 3"])) == "1, 2,"
    assert said(asking("count to 9", stop=tokens.encode("5"))) == "1, 2, 3, 4, "
    assert said(asking("count to 9", stop=[tokens.encode("5"), tokens.encode("3")])) == "1, 2, "
    answer = whole(asking("why?", enable_thinking=True, stop="asks"))["choices"][0]
    assert "asks" in answer["message"]["reasoning_content"]
    assert answer["finish_reason"] == "stop"


def test_several_choices_are_interleaved_and_counted_together() -> None:
    _, body, _ = run(asking("为什么？", n=3, stream=True, stream_options={"include_usage": True}))
    data = [json.loads(event) for event in events(body)[:-1]]
    order = [event["choices"][0]["index"] for event in data if event["choices"]]
    assert order[:6] == [0, 0, 1, 1, 2, 2]  # the role and the first piece of each
    assert {len(event["choices"]) for event in data} == {0, 1}
    one = whole(asking("为什么？"))["usage"]
    assert data[-1]["usage"]["prompt_tokens"] == one["prompt_tokens"]
    assert data[-1]["usage"]["completion_tokens"] > 2 * one["completion_tokens"]


def test_json_object_answers_with_an_object() -> None:
    form = {"type": "json_object"}
    assert isinstance(json.loads(said(asking("Answer in json", response_format=form))), dict)
    named = json.loads(said(asking('Give json with "name" and "email" of Ada: ada@example.com', response_format=form)))
    assert named == {"name": "...", "email": "ada@example.com"}
    shown = [
        {"role": "system", "content": '输出 JSON，例如 {"person": "张三", "location": "北京"}'},
        {"role": "user", "content": "王五在上海工作。"},
    ]
    assert json.loads(said(asking(messages=shown, response_format=form))) == {"person": "王五", "location": "上海"}


def test_json_schema_answers_with_a_valid_instance() -> None:
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "kind": {"type": "string", "enum": ["weather", "news"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 9},
            "note": {"type": ["string", "null"]},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2},
        },
        "required": ["city", "kind", "days", "note", "tags"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    value = json.loads(said(asking("news of Boston for 3 days", response_format=form)))
    assert (value["city"], value["kind"], value["days"]) == ("Boston", "news", 3)
    assert len(value["tags"]) >= 2
    cut = whole(asking("news", response_format=form, max_tokens=5))["choices"][0]
    assert cut["finish_reason"] == "length"


def test_partial_mode_returns_only_the_continuation() -> None:
    def continued(prefix: str) -> str:
        start = {"role": "assistant", "content": prefix, "partial": True}
        return said(asking(messages=[{"role": "user", "content": "count to 9"}, start]))

    assert continued("1, 2, 3") == ", 4, 5, 6, 7, 8, 9"
    assert "Something else" not in continued("Something else")


def test_logprobs_have_the_form_of_the_reference() -> None:
    answer = whole(asking("hello", logprobs=True, top_logprobs=2))["choices"][0]
    content = answer["logprobs"]["content"]
    assert "".join(item["token"] for item in content) == answer["message"]["content"]
    assert content[0]["bytes"] == list(b"Hello")
    assert [len(item["top_logprobs"]) for item in content] == [2] * len(content)
    assert content[0]["top_logprobs"][0]["token"] == "Hello"
    assert all(item["logprob"] <= 0 for item in content)
    assert whole(asking("hello", logprobs=True))["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []


def test_a_beginning_that_was_read_before_is_cached() -> None:
    simulator = new()
    long = {"role": "system", "content": "You know a lot about bridges. " * 60}

    def cached(text: str, who: str = "a") -> tuple[int, int]:
        call = asking(messages=[long, {"role": "user", "content": text}])
        usage = whole(call.with_(principal=Principal(who)), simulator)["usage"]
        return usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens"]

    assert cached("one")[0] == 0
    hit, total = cached("two")
    assert 256 <= hit < total
    assert cached("three", who="b")[0] == 0  # one caller never sees another's
    assert whole(asking("short"), simulator)["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


def test_pictures_are_acknowledged_and_counted() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    sound = {"type": "input_audio", "input_audio": {"data": "https://example.com/a.wav", "format": "wav"}}
    answer = whole(asking([picture, picture, {"type": "text", "text": "这是什么？"}], model="qwen3-vl-plus"))
    assert answer["choices"][0]["message"]["content"].startswith("我收到了 2 张图片。")
    assert answer["usage"]["prompt_tokens_details"]["image_tokens"] == 512
    assert answer["usage"]["prompt_tokens"] > 512
    english = said(asking([sound, {"type": "text", "text": "What is this?"}], model="qwen3-omni-flash"))
    assert english.startswith("I received 1 audio. ")


def test_translating_models_translate() -> None:
    options = {"source_lang": "auto", "target_lang": "English"}
    assert said(asking("看完这个视频我没有笑", "qwen-mt-flash", translation_options=options)) == (
        "I didn't laugh after watching this video."
    )
    terms = {**options, "terms": [{"source": "生物传感器", "target": "biological sensor"}]}
    assert said(asking("生物传感器", "qwen-mt-flash", translation_options=terms)) == "[English] biological sensor"


@pytest.mark.parametrize(
    ("model", "cumulative"), [("qwen-mt-plus", True), ("qwen-mt-turbo", True), ("qwen-mt-flash", False)]
)
def test_some_translating_models_stream_the_text_so_far(model: str, cumulative: bool) -> None:
    options = {"source_lang": "auto", "target_lang": "English"}
    call = asking("看完这个视频我没有笑", model, translation_options=options, stream=True)

    def texts(call: Call) -> list[str]:
        data = [json.loads(event) for event in events(run(call)[1])[:-1]]
        return [event["choices"][0]["delta"]["content"] for event in data][1:-1]

    grown = texts(call)
    assert (grown[-1] == "I didn't laugh after watching this video.") is cumulative
    assert all(later.startswith(earlier) for earlier, later in pairwise(grown)) is cumulative
    # A native call reaches the engine through the translator, which counts on increments.
    assert "".join(texts(call.with_(path="text"))) == "I didn't laugh after watching this video."


def test_it_speaks_at_the_pace_that_it_is_given() -> None:
    waits = Waits()
    answer = whole(asking("count to 9"), new(pace=Pace(ttft=0.5, rate=10), clock=waits))
    assert waits.waited[0] == 0.5
    assert sum(waits.waited[1:]) == pytest.approx(answer["usage"]["completion_tokens"] / 10)
    waits.waited.clear()
    whole(asking("count to 9"), new(clock=waits))
    assert waits.waited == []


def test_it_plays_the_models_of_the_catalogue_and_is_ready() -> None:
    simulator = new(name="practice")
    assert simulator.name == "practice"
    assert simulator.traits.checks == "cloud"
    assert simulator.traits.attempts == 1
    assert asyncio.run(simulator.models()) == [*CATALOG.names(), *CATALOG.names("embedding"), *CATALOG.names("rerank")]
    assert asyncio.run(simulator.health()).ready
    assert base_model("qwen-plus!slow;seconds=2") == "qwen-plus"
    assert base_model("qwen-plus") == "qwen-plus"


def test_a_body_of_the_wrong_shape_is_refused_and_breaks_nothing() -> None:
    reply, body, _ = run(asking(messages=[{"role": "user", "content": 5}]))
    assert reply.status == 400
    assert json.loads(body)["error"]["message"] == "input content must be a string."


def test_a_stream_stops_where_the_reader_leaves() -> None:
    async def leave(model: str) -> list[bytes]:
        reply = await new().open(asking("讲个故事", model, stream=True))
        body = cast(AsyncGenerator[bytes], reply.body)
        first = await anext(body)
        await body.aclose()
        reply.close()
        return [first, *[piece async for piece in body]]

    assert len(asyncio.run(leave("qwen-plus"))) == 1
    assert len(asyncio.run(leave("qwen-plus!stall;after=9"))) == 1
