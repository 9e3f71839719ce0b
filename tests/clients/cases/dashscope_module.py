"""The dashscope SDK's module-level API, 1.22 and 2.x."""

from __future__ import annotations

from http import HTTPStatus

import asked
import dashscope
from dashscope import Generation, MultiModalConversation, TextEmbedding, TextReRank
from dashscope.aigc.generation import AioGeneration


def _at(server) -> None:
    dashscope.base_http_api_url = server.native
    dashscope.api_key = server.key


def _ok(response):
    assert response.status_code == HTTPStatus.OK, (response.status_code, response.code, response.message)
    return response


def _ask(server, messages=asked.WHO, **parameters):
    _at(server)
    return _ok(Generation.call(asked.MODEL, messages=messages, result_format="message", **parameters))


def _stream(server, messages=asked.WHO, **parameters) -> list:
    _at(server)
    parameters = {"result_format": "message"} | parameters
    return [_ok(event) for event in Generation.call(asked.MODEL, messages=messages, stream=True, **parameters)]


def _texts(events) -> list[str]:
    return [event.output.choices[0].message.content for event in events]


def _finish(event) -> str:
    return event.output.choices[0].finish_reason


def _check_usage(usage) -> None:
    asked.check_counts(usage.input_tokens, usage.output_tokens, usage.total_tokens)


def _call_tools(calls) -> list[dict]:
    return [
        {
            "role": "tool",
            "tool_call_id": call["id"],
            "content": asked.result_of(call["function"]["name"], call["function"]["arguments"]),
        }
        for call in calls
    ]


def plain_text_format(server):
    _at(server)
    response = _ok(Generation.call(asked.MODEL, messages=asked.WHO))
    assert response.output.text
    assert response.output.finish_reason == "stop"
    assert response.output.choices is None
    assert response.request_id
    _check_usage(response.usage)


def plain_message_format(server):
    response = _ask(server)
    choice = response.output.choices[0]
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason == "stop"
    _check_usage(response.usage)


def prompt_instead_of_messages(server):
    _at(server)
    assert _ok(Generation.call(asked.MODEL, prompt="你是谁？")).output.text


def system_prompt(server):
    assert _ask(server, asked.WITH_SYSTEM).output.choices[0].message.content


def many_turns(server):
    assert _ask(server, asked.TURNS).output.choices[0].message.content


def stream_is_cumulative_by_default(server):
    events = _stream(server)
    asked.check_cumulative(_texts(events))
    assert {_finish(event) for event in events[:-1]} == {"null"}
    assert _finish(events[-1]) == "stop"


def stream_of_text_is_cumulative_by_default(server):
    _at(server)
    events = [_ok(event) for event in Generation.call(asked.MODEL, messages=asked.WHO, stream=True)]
    asked.check_cumulative([event.output.text for event in events])
    assert events[-1].output.finish_reason == "stop"


def stream_in_increments(server):
    events = _stream(server, incremental_output=True)
    whole = "".join(_texts(events))
    assert whole
    assert max(len(text) for text in _texts(events)) < len(whole)
    assert _finish(events[-1]) == "stop"


def stream_cumulative_when_asked(server):
    asked.check_cumulative(_texts(_stream(server, incremental_output=False)))


def stream_counts_tokens_in_every_event(server):
    events = _stream(server, incremental_output=True)
    outputs = [event.usage.output_tokens for event in events]
    assert outputs == sorted(outputs), outputs
    _check_usage(events[-1].usage)
    assert len({event.request_id for event in events}) == 1


def tools_round_trip(server):
    messages = [{"role": "user", "content": asked.WEATHER_QUESTION}]
    first = _ask(server, messages, tools=asked.TOOLS).output.choices[0]
    assert first.finish_reason == "tool_calls"
    [call] = first.message.tool_calls
    assert call["function"]["name"] == "get_current_weather"
    assert call["index"] == 0
    last = _ask(server, [*messages, first.message, *_call_tools([call])], tools=asked.TOOLS)
    assert last.output.choices[0].message.content


def tools_in_parallel(server):
    messages = [{"role": "user", "content": asked.BOTH_QUESTION}]
    calls = _ask(server, messages, tools=asked.TOOLS, parallel_tool_calls=True).output.choices[0].message.tool_calls
    assert [call["function"]["name"] for call in calls] == ["get_current_weather", "calculate"]
    _call_tools(calls)


def tools_streamed_in_increments(server):
    messages = [{"role": "user", "content": asked.BOTH_QUESTION}]
    events = _stream(server, messages, tools=asked.TOOLS, parallel_tool_calls=True, incremental_output=True)
    calls: dict[int, dict] = {}
    for event in events:
        for delta in event.output.choices[0].message.get("tool_calls") or []:
            call = calls.setdefault(delta["index"], {"id": "", "function": {"name": "", "arguments": ""}})
            call["id"] += delta.get("id") or ""
            call["function"]["name"] += delta["function"].get("name") or ""
            call["function"]["arguments"] += delta["function"].get("arguments") or ""
    assert [calls[index]["function"]["name"] for index in sorted(calls)] == ["get_current_weather", "calculate"]
    _call_tools(calls.values())
    assert _finish(events[-1]) == "tool_calls"


def tools_streamed_whole(server):
    messages = [{"role": "user", "content": asked.BOTH_QUESTION}]
    last = _stream(server, messages, tools=asked.TOOLS, parallel_tool_calls=True)[-1].output.choices[0]
    assert last.finish_reason == "tool_calls"
    assert [call["function"]["name"] for call in last.message.tool_calls] == ["get_current_weather", "calculate"]
    _call_tools(last.message.tool_calls)


def thinking_streamed(server):
    events = _stream(server, asked.THINK, enable_thinking=True, incremental_output=True)
    messages = [event.output.choices[0].message for event in events]
    thoughts = [place for place, message in enumerate(messages) if message.get("reasoning_content")]
    answers = [place for place, message in enumerate(messages) if message.content]
    assert thoughts, "no reasoning_content in the stream"
    assert answers, "no content after the thought"
    assert thoughts[-1] < answers[0], "thought and answer overlap"


def thinking_in_text_format_is_refused(server):
    _at(server)
    stream = Generation.call(asked.MODEL, messages=asked.THINK, stream=True, result_format="text", enable_thinking=True)
    last = list(stream)[-1]
    assert last.status_code == HTTPStatus.BAD_REQUEST
    assert last.code == "InvalidParameter"
    assert "enable_thinking" in last.message


def json_object(server):
    response = _ask(server, asked.EXTRACT, response_format={"type": "json_object"})
    asked.check_extracted(response.output.choices[0].message.content)


def json_schema(server):
    wanted = {"type": "json_schema", "json_schema": {"name": "event", "strict": True, "schema": asked.SCHEMA}}
    response = _ask(server, asked.EXTRACT, response_format=wanted)
    asked.check_schema(response.output.choices[0].message.content)


def _look(server, **parameters):
    _at(server)
    messages = [{"role": "user", "content": [{"image": asked.IMAGE}, {"text": asked.LOOK}]}]
    return MultiModalConversation.call(model=asked.VISION_MODEL, messages=messages, **parameters)


def image(server):
    assert _ok(_look(server)).output.choices[0].message.content[0]["text"]


def image_streamed(server):
    events = _look(server, stream=True, incremental_output=True)
    parts = [part for event in events for part in _ok(event).output.choices[0].message.content]
    assert "".join(part["text"] for part in parts)


def max_tokens(server):
    response = _ask(server, asked.COUNT, max_tokens=3)
    assert response.output.choices[0].finish_reason == "length"
    assert response.usage.output_tokens <= 3


def stop(server):
    whole = _ask(server, asked.COUNT, temperature=0).output.choices[0].message.content
    word = whole[len(whole) // 2]
    choice = _ask(server, asked.COUNT, temperature=0, stop=word).output.choices[0]
    assert word not in choice.message.content
    assert choice.finish_reason == "stop"


def seed(server):
    answers = [_ask(server, seed=7, temperature=0).output.choices[0].message.content for _ in range(2)]
    assert answers[0] == answers[1]


def two_choices(server):
    choices = _ask(server, n=2).output.choices
    assert [choice["index"] for choice in choices] == [0, 1]
    assert all(choice.message.content for choice in choices)


def wrong_key_is_401(server):
    _at(server)
    response = Generation.call(asked.MODEL, messages=asked.WHO, api_key=asked.WRONG_KEY)
    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert response.code == "InvalidApiKey"
    assert response.message.startswith("Invalid API-key provided.")
    assert response.request_id


def wrong_key_in_a_stream_is_401(server):
    _at(server)
    [only] = Generation.call(asked.MODEL, messages=asked.WHO, api_key=asked.WRONG_KEY, stream=True)
    assert only.status_code == HTTPStatus.UNAUTHORIZED
    assert only.code == "InvalidApiKey"


def unknown_model_is_told(server):
    _at(server)
    response = Generation.call(asked.UNKNOWN_MODEL, messages=asked.WHO)
    assert response.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}
    assert response.code in {"InvalidParameter", "ModelNotFound"}
    assert response.message


def bad_parameter_is_400(server):
    _at(server)
    response = Generation.call(asked.MODEL, messages=asked.WHO, temperature=3)
    assert response.status_code == HTTPStatus.BAD_REQUEST
    assert response.code == "InvalidParameter"
    assert "Temperature" in response.message


def bad_parameter_in_a_stream_is_an_error_event(server):
    _at(server)
    [only] = Generation.call(asked.MODEL, messages=asked.WHO, temperature=3, stream=True)
    assert only.status_code == HTTPStatus.BAD_REQUEST
    assert only.code == "InvalidParameter"


def vision_model_on_the_text_path_is_told(server):
    _at(server)
    response = Generation.call(asked.VISION_MODEL, messages=asked.WHO)
    assert response.status_code == HTTPStatus.BAD_REQUEST
    assert response.message.startswith("url error, please check url")


def tokenizer(server):
    _at(server)
    response = _ok(dashscope.Tokenization.call(asked.MODEL, messages=[{"role": "user", "content": "代码改变世界"}]))
    assert len(response.output["token_ids"]) == len(response.output["tokens"])
    assert "".join(response.output["tokens"]) == "代码改变世界"
    assert response.usage["input_tokens"] == len(response.output["token_ids"])


def tokenizer_agrees_with_the_one_in_the_package(server):
    _at(server)
    text = "桥 connects 2 banks, 对吗？"
    response = _ok(dashscope.Tokenization.call(asked.MODEL, messages=[{"role": "user", "content": text}]))
    assert list(response.output["token_ids"]) == dashscope.get_tokenizer("qwen-turbo").encode(text)


async def asynchronous(server):
    _at(server)
    response = await AioGeneration.call(asked.MODEL, messages=asked.WHO, result_format="message")
    assert _ok(response).output.choices[0].message.content


async def asynchronous_stream(server):
    _at(server)
    stream = await AioGeneration.call(
        asked.MODEL, messages=asked.WHO, result_format="message", stream=True, incremental_output=True
    )
    events = [_ok(event) async for event in stream]
    assert "".join(_texts(events))


async def asynchronous_error(server):
    _at(server)
    stream = await AioGeneration.call(asked.MODEL, messages=asked.WHO, temperature=3, stream=True)
    [only] = [event async for event in stream]
    assert only.code == "InvalidParameter"


def fault_429_is_told(server):
    _at(server)
    response = Generation.call(f"{asked.MODEL}!429", messages=asked.WHO)
    assert response.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert response.code == "Throttling.RateQuota"


def fault_in_the_middle_of_a_stream_is_the_last_event(server):
    _at(server)
    model = f"{asked.MODEL}!error;after=3"
    *good, last = Generation.call(model, messages=asked.WHO, result_format="message", stream=True)
    assert all(event.status_code == HTTPStatus.OK for event in good)
    assert last.status_code == HTTPStatus.BAD_REQUEST  # this client's own number for every error event
    assert last.code
    assert last.message


def vector_of_each_text(server):
    _at(server)
    texts = [asked.QUERY, *asked.DOCUMENTS]
    response = _ok(TextEmbedding.call(asked.EMBEDDING_MODEL, input=texts, dimension=256, text_type="query"))
    rows = response.output["embeddings"]
    assert [row["text_index"] for row in rows] == [0, 1, 2, 3]
    query, *documents = [row["embedding"] for row in rows]
    assert len(query) == 256
    asked.check_vectors(query, documents)
    assert response.usage["total_tokens"] > 0


def vector_ranks(server):
    _at(server)
    response = _ok(TextReRank.call(asked.RERANK_MODEL, asked.QUERY, asked.DOCUMENTS, return_documents=True, top_n=2))
    results = response.output.results
    asked.check_ranks([(result.index, result.relevance_score) for result in results])
    assert len(results) == 2
    assert results[0]["document"]["text"] == asked.DOCUMENTS[asked.BEST]
    assert response.usage["total_tokens"] > 0


def vector_of_too_many_texts_is_told(server):
    _at(server)
    response = TextEmbedding.call(asked.EMBEDDING_MODEL, input=["a"] * 11)
    assert response.status_code == HTTPStatus.BAD_REQUEST
    assert response.code == "InvalidParameter"
    assert "should not be larger than 10" in response.message


def vector_fault_429_is_told(server):
    _at(server)
    response = TextReRank.call(f"{asked.RERANK_MODEL}!429", asked.QUERY, asked.DOCUMENTS)
    assert response.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert response.code == "Throttling.RateQuota"
