"""The openai SDK, 1.54 and newest: one file for both."""

from __future__ import annotations

import asyncio
import json
import uuid

import asked
import openai
from openai import AsyncOpenAI, OpenAI


def _client(server, **settings) -> OpenAI:
    return OpenAI(**{"base_url": server.openai, "api_key": server.key, "timeout": 30, "max_retries": 0} | settings)


def _async_client(server) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=server.openai, api_key=server.key, timeout=30, max_retries=0)


def _ask(server, messages=asked.WHO, **parameters):
    with _client(server) as client:
        return client.chat.completions.create(model=asked.MODEL, messages=messages, **parameters)


def _stream(server, messages=asked.WHO, **parameters) -> list:
    with _client(server) as client:
        stream = client.chat.completions.create(model=asked.MODEL, messages=messages, stream=True, **parameters)
        return list(stream)


def _text(chunks) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def _call_tools(calls) -> list[dict]:
    return [
        {
            "role": "tool",
            "tool_call_id": call.id,
            "content": asked.result_of(call.function.name, call.function.arguments),
        }
        for call in calls
    ]


def plain(server):
    completion = _ask(server)
    choice = completion.choices[0]
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason == "stop"
    assert completion.object == "chat.completion"
    assert completion.model == asked.MODEL
    assert completion.id.startswith("chatcmpl-")
    usage = completion.usage
    asked.check_counts(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)


def request_id_is_the_completion_id(server):
    completion = _ask(server)
    assert completion.id == f"chatcmpl-{completion._request_id}"


def system_prompt(server):
    assert _ask(server, asked.WITH_SYSTEM).choices[0].message.content


def many_turns(server):
    completion = _ask(server, asked.TURNS)
    assert completion.choices[0].message.content
    assert completion.usage.prompt_tokens > _ask(server, asked.TURNS[:1]).usage.prompt_tokens


def stream(server):
    chunks = _stream(server)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert _text(chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    assert len({chunk.created for chunk in chunks}) == 1


def stream_with_usage(server):
    chunks = _stream(server, stream_options={"include_usage": True})
    last = chunks[-1]
    assert last.choices == []
    asked.check_counts(last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens)
    assert all(chunk.usage is None for chunk in chunks[:-1])


def stream_left_early_frees_the_client(server):
    with _client(server) as client:
        with client.chat.completions.create(model=asked.MODEL, messages=asked.COUNT, stream=True) as stream:
            next(iter(stream))
        assert client.chat.completions.create(model=asked.MODEL, messages=asked.WHO).choices[0].message.content


def tools_round_trip(server):
    messages = [{"role": "user", "content": asked.WEATHER_QUESTION}]
    first = _ask(server, messages, tools=asked.TOOLS).choices[0]
    assert first.finish_reason == "tool_calls"
    [call] = first.message.tool_calls
    assert call.type == "function"
    assert call.id
    assert call.function.name == "get_current_weather"
    last = _ask(server, [*messages, first.message, *_call_tools([call])], tools=asked.TOOLS).choices[0]
    assert last.message.content
    assert last.finish_reason == "stop"


def tools_in_parallel(server):
    messages = [{"role": "user", "content": asked.BOTH_QUESTION}]
    first = _ask(server, messages, tools=asked.TOOLS, parallel_tool_calls=True).choices[0]
    calls = first.message.tool_calls
    assert [call.function.name for call in calls] == ["get_current_weather", "calculate"]
    assert len({call.id for call in calls}) == 2
    last = _ask(server, [*messages, first.message, *_call_tools(calls)], tools=asked.TOOLS)
    assert last.choices[0].message.content


def tools_streamed_in_parallel(server):
    messages = [{"role": "user", "content": asked.BOTH_QUESTION}]
    with _client(server) as client:
        # 1.54 keeps the accumulating helper in beta.
        chat = client.chat if hasattr(client.chat.completions, "stream") else client.beta.chat
        with chat.completions.stream(
            model=asked.MODEL, messages=messages, tools=asked.TOOLS, parallel_tool_calls=True
        ) as stream:
            choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls
    assert [call.function.name for call in calls] == ["get_current_weather", "calculate"]
    assert all(call.id.startswith("call_") and call.id.count("call_") == 1 for call in calls)
    for call in calls:
        asked.result_of(call.function.name, call.function.arguments)


def tools_not_wanted(server):
    messages = [{"role": "user", "content": asked.WEATHER_QUESTION}]
    choice = _ask(server, messages, tools=asked.TOOLS, tool_choice="none").choices[0]
    assert not choice.message.tool_calls
    assert choice.finish_reason == "stop"


def tool_chosen_by_name(server):
    chosen = {"type": "function", "function": {"name": "get_current_weather"}}
    messages = [{"role": "user", "content": asked.WEATHER_QUESTION}]
    [call] = _ask(server, messages, tools=asked.TOOLS, tool_choice=chosen).choices[0].message.tool_calls
    assert call.function.name == "get_current_weather"


def thinking(server):
    completion = _ask(server, asked.THINK, extra_body={"enable_thinking": True})
    message = completion.choices[0].message
    assert message.reasoning_content
    assert message.content
    assert "<think>" not in message.content
    assert completion.usage.completion_tokens_details.reasoning_tokens > 0


def thinking_streamed(server):
    chunks = _stream(server, asked.THINK, extra_body={"enable_thinking": True})
    deltas = [chunk.choices[0].delta for chunk in chunks]
    thoughts = [place for place, delta in enumerate(deltas) if delta.reasoning_content]
    answers = [place for place, delta in enumerate(deltas) if delta.content]
    assert thoughts, "no reasoning_content in the stream"
    assert answers, "no content after the thought"
    assert thoughts[-1] < answers[0], "thought and answer overlap"


def thinking_switched_off(server):
    message = _ask(server, asked.THINK, extra_body={"enable_thinking": False}).choices[0].message
    assert not getattr(message, "reasoning_content", None)
    assert message.content


def json_object(server):
    choice = _ask(server, asked.EXTRACT, response_format={"type": "json_object"}).choices[0]
    asked.check_extracted(choice.message.content)


def json_schema(server):
    wanted = {"name": "event", "strict": True, "schema": asked.SCHEMA}
    choice = _ask(server, asked.EXTRACT, response_format={"type": "json_schema", "json_schema": wanted}).choices[0]
    asked.check_schema(choice.message.content)


def _look(server):
    parts = [
        {"type": "image_url", "image_url": {"url": asked.IMAGE}},
        {"type": "text", "text": asked.LOOK},
    ]
    with _client(server) as client:
        return client.chat.completions.create(model=asked.VISION_MODEL, messages=[{"role": "user", "content": parts}])


def image(server):
    assert _look(server).choices[0].message.content


def max_tokens(server):
    completion = _ask(server, asked.COUNT, max_tokens=3)
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage.completion_tokens <= 3


def stop(server):
    whole = _ask(server, asked.COUNT, temperature=0).choices[0].message.content
    word = whole[len(whole) // 2]
    choice = _ask(server, asked.COUNT, temperature=0, stop=word).choices[0]
    assert word not in choice.message.content
    assert choice.finish_reason == "stop"


def seed(server):
    first, second = (_ask(server, seed=7, temperature=0).choices[0].message.content for _ in range(2))
    assert first == second


def two_choices(server):
    completion = _ask(server, n=2)
    assert [choice.index for choice in completion.choices] == [0, 1]
    assert all(choice.message.content for choice in completion.choices)


def sampling_parameters_of_qwen(server):
    completion = _ask(
        server,
        temperature=0.7,
        top_p=0.8,
        presence_penalty=0.5,
        extra_body={"top_k": 20, "repetition_penalty": 1.05, "enable_search": False},
    )
    assert completion.choices[0].message.content


def wrong_key_is_authentication_error(server):
    with _client(server, api_key=asked.WRONG_KEY) as client:
        with asked.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model=asked.MODEL, messages=asked.WHO)
        assert caught.error.status_code == 401
        assert caught.error.code == "invalid_api_key"
        assert "Incorrect API key" in caught.error.message
        assert caught.error.request_id


def unknown_model_is_not_found_error(server):
    with _client(server) as client:
        with asked.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model=asked.UNKNOWN_MODEL, messages=asked.WHO)
        assert caught.error.code == "model_not_found"
        assert asked.UNKNOWN_MODEL in caught.error.message


def bad_parameter_is_bad_request_error(server):
    with asked.raises(openai.BadRequestError) as caught:
        _ask(server, temperature=3)
    assert caught.error.code == "invalid_parameter_error"
    assert "Temperature" in caught.error.message


def bad_parameter_in_a_stream_is_bad_request_error(server):
    with asked.raises(openai.BadRequestError) as caught:
        _stream(server, temperature=3)
    assert caught.error.status_code == 400


def models_list(server):
    with _client(server) as client:
        listed = [model.id for model in client.models.list()]
        assert asked.MODEL in listed
        assert client.models.retrieve(asked.MODEL).id == asked.MODEL


async def asynchronous(server):
    async with _async_client(server) as client:
        completion = await client.chat.completions.create(model=asked.MODEL, messages=asked.WHO)
    assert completion.choices[0].message.content


async def asynchronous_stream(server):
    async with _async_client(server) as client:
        stream = await client.chat.completions.create(model=asked.MODEL, messages=asked.WHO, stream=True)
        chunks = [chunk async for chunk in stream]
    assert _text(chunks)


async def eight_at_once(server):
    async with _async_client(server) as client:
        completions = await asyncio.gather(
            *(client.chat.completions.create(model=asked.MODEL, messages=asked.WHO) for _ in range(8))
        )
    assert len({completion.id for completion in completions}) == 8


def raw_response_is_json(server):
    with _client(server) as client:
        response = client.chat.completions.with_raw_response.create(model=asked.MODEL, messages=asked.WHO)
    body = json.loads(response.text if isinstance(response.text, str) else response.http_response.text)
    assert response.headers["content-type"].startswith("application/json")
    assert body["choices"][0]["message"]["content"]


def fault_429_is_rate_limit_error(server):
    with _client(server) as client:
        with asked.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model=f"{asked.MODEL}!429", messages=asked.WHO)
        assert caught.error.code == "limit_requests"


def fault_429_once_is_retried(server):
    rehearsed = f"{asked.MODEL}!429-once;retry_after=0;key={uuid.uuid4()}"
    with _client(server, max_retries=2) as client:
        assert client.chat.completions.create(model=rehearsed, messages=asked.WHO).choices[0].message.content


def fault_500_is_internal_server_error(server):
    with _client(server) as client:
        with asked.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model=f"{asked.MODEL}!500", messages=asked.WHO)
        assert caught.error.status_code >= 500


def fault_in_the_middle_of_a_stream_is_api_error(server):
    model = f"{asked.MODEL}!error;after=3"
    # Behind another server the error may be seen before the first byte is passed on: then it is a status.
    with _client(server) as client, asked.raises(openai.APIError) as caught:
        list(client.chat.completions.create(model=model, messages=asked.WHO, stream=True))
    assert caught.error.message


def vector_of_each_text(server):
    with _client(server) as client:
        answer = client.embeddings.create(model=asked.EMBEDDING_MODEL, input=[asked.QUERY, *asked.DOCUMENTS])
    query, *documents = [row.embedding for row in answer.data]
    assert len(query) == 1024
    asked.check_vectors(query, documents)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def vector_as_plain_numbers_of_a_size(server):
    with _client(server) as client:
        answer = client.embeddings.create(
            model=asked.EMBEDDING_MODEL, input=asked.QUERY, dimensions=64, encoding_format="float"
        )
    assert len(answer.data[0].embedding) == 64


def vector_of_too_many_texts_is_bad_request_error(server):
    with _client(server) as client:
        with asked.raises(openai.BadRequestError) as caught:
            client.embeddings.create(model=asked.EMBEDDING_MODEL, input=["a"] * 11)
        assert "should not be larger than 10" in str(caught.error)


def vector_fault_429_is_rate_limit_error(server):
    with _client(server) as client, asked.raises(openai.RateLimitError):
        client.embeddings.create(model=f"{asked.EMBEDDING_MODEL}!429", input="a")
