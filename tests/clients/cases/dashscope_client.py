"""The dashscope SDK's `Client` of 2.x: native by default, and the OpenAI protocol where it is told so."""

from __future__ import annotations

import asked
import dashscope
from dashscope.v2 import errors


def _client(server, **settings) -> dashscope.Client:
    given = {"api_key": server.key, "base_url": server.native, "protocol": "native", "timeout": 30, "max_retries": 0}
    return dashscope.Client(**given | settings)


def _ask(server, messages=asked.WHO, **parameters):
    with _client(server) as client:
        return client.chat.completions.create(model=asked.MODEL, messages=messages, **parameters)


def _stream(server, messages=asked.WHO, **parameters) -> list:
    with _client(server) as client:
        return list(client.chat.completions.create(model=asked.MODEL, messages=messages, stream=True, **parameters))


def _call_tools(calls) -> list[dict]:
    return [
        {
            "role": "tool",
            "tool_call_id": call.id,
            "content": asked.result_of(call.function.name, call.function.arguments),
        }
        for call in calls
    ]


def _check_usage(usage) -> None:
    asked.check_counts(usage.input_tokens, usage.output_tokens, usage.total_tokens)


def plain(server):
    completion = _ask(server)
    assert completion.choices[0].message.content
    assert completion.choices[0].finish_reason == "stop"
    assert completion.request_id == completion.headers["x-request-id"]
    _check_usage(completion.usage)


def system_prompt(server):
    assert _ask(server, asked.WITH_SYSTEM).choices[0].message.content


def many_turns(server):
    assert _ask(server, asked.TURNS).choices[0].message.content


def stream(server):
    chunks = _stream(server)
    whole = "".join(chunk.delta.content or "" for chunk in chunks)
    assert whole
    assert max(len(chunk.delta.content or "") for chunk in chunks) < len(whole)
    assert chunks[-1].choices[0].finish_reason == "stop"
    _check_usage(chunks[-1].usage)


def stream_cumulative_when_asked(server):
    asked.check_cumulative([chunk.delta.content or "" for chunk in _stream(server, incremental_output=False)])


def stream_gathered(server):
    with _client(server) as client:
        stream = client.chat.completions.create(model=asked.MODEL, messages=asked.WHO, stream=True)
        completion = stream.get_final_message()
    assert completion.choices[0].message.content
    _check_usage(completion.usage)


def tools_round_trip(server):
    messages = [{"role": "user", "content": asked.WEATHER_QUESTION}]
    choice = _ask(server, messages, tools=asked.TOOLS).choices[0]
    assert choice.finish_reason == "tool_calls"
    [call] = choice.message.tool_calls
    answer = choice.message.model_dump(exclude_none=True)
    last = _ask(server, [*messages, answer, *_call_tools([call])], tools=asked.TOOLS)
    assert last.choices[0].message.content


def tools_streamed_in_parallel(server):
    messages = [{"role": "user", "content": asked.BOTH_QUESTION}]
    with _client(server) as client:
        stream = client.chat.completions.create(
            model=asked.MODEL, messages=messages, tools=asked.TOOLS, parallel_tool_calls=True, stream=True
        )
        choice = stream.get_final_message().choices[0]
    calls = choice.message.tool_calls
    assert [call.function.name for call in calls] == ["get_current_weather", "calculate"]
    _call_tools(calls)


def thinking_streamed(server):
    with _client(server) as client:
        stream = client.chat.completions.create(
            model=asked.MODEL, messages=asked.THINK, enable_thinking=True, stream=True
        )
        message = stream.get_final_message().choices[0].message
    assert message.reasoning_content
    assert message.content


def json_object(server):
    completion = _ask(server, asked.EXTRACT, response_format={"type": "json_object"})
    asked.check_extracted(completion.choices[0].message.content)


def image(server):
    parts = [{"type": "image", "url": asked.IMAGE}, {"type": "text", "text": asked.LOOK}]
    with _client(server) as client:
        completion = client.chat.completions.create(
            model=asked.VISION_MODEL, messages=[{"role": "user", "content": parts}]
        )
    assert completion.choices[0].message.content


def max_tokens(server):
    completion = _ask(server, asked.COUNT, max_tokens=3)
    assert completion.choices[0].finish_reason == "length"


def two_choices(server):
    choices = _ask(server, n=2).choices
    assert [choice.index for choice in choices] == [0, 1]


def over_the_openai_protocol(server):
    with _client(server, base_url=server.openai, protocol="openai") as client:
        completion = client.chat.completions.create(model=asked.MODEL, messages=asked.WHO)
        stream = client.chat.completions.create(model=asked.MODEL, messages=asked.WHO, stream=True)
        streamed = "".join(stream.text_stream)
    assert completion.choices[0].message.content
    assert streamed


def wrong_key_is_authentication_error(server):
    with _client(server, api_key=asked.WRONG_KEY) as client:
        with asked.raises(errors.AuthenticationError) as caught:
            client.chat.completions.create(model=asked.MODEL, messages=asked.WHO)
        assert caught.error.status_code == 401


def unknown_model_is_told(server):
    with _client(server) as client:
        with asked.raises((errors.NotFoundError, errors.BadRequestError)) as caught:
            client.chat.completions.create(model=asked.UNKNOWN_MODEL, messages=asked.WHO)
        assert caught.error.message


def bad_parameter_is_bad_request_error(server):
    with asked.raises(errors.BadRequestError) as caught:
        _ask(server, temperature=3)
    assert "Temperature" in caught.error.message


def bad_parameter_in_a_stream_is_bad_request_error(server):
    with asked.raises(errors.BadRequestError) as caught:
        _stream(server, temperature=3)
    assert "Temperature" in caught.error.message


def tokenizer(server):
    with _client(server) as client:
        counted = client.tokenization.count(model=asked.MODEL, prompt="代码改变世界")
    assert counted.input_tokens == len(counted.token_ids) > 0


def models_list(server):
    with _client(server) as client:
        page = client.models.list(page_size=5)
        assert 0 < len(page.models) <= 5
        assert page.total_count >= len(page.models)
        assert client.models.get(asked.MODEL).model == asked.MODEL


async def asynchronous(server):
    async with dashscope.AsyncClient(api_key=server.key, base_url=server.native, timeout=30) as client:
        completion = await client.chat.completions.create(model=asked.MODEL, messages=asked.WHO)
        stream = await client.chat.completions.create(model=asked.MODEL, messages=asked.WHO, stream=True)
        streamed = [chunk.delta.content or "" async for chunk in stream]
    assert completion.choices[0].message.content
    assert "".join(streamed)


def fault_429_is_rate_limit_error(server):
    with _client(server) as client:
        with asked.raises(errors.RateLimitError) as caught:
            client.chat.completions.create(model=f"{asked.MODEL}!429", messages=asked.WHO)
        assert caught.error.status_code == 429


def vector_of_each_text(server):
    with _client(server) as client:
        answer = client.embeddings.create(
            model=asked.EMBEDDING_MODEL, input=[asked.QUERY, *asked.DOCUMENTS], dimension=256
        )
    assert [row.index for row in answer.embeddings] == [0, 1, 2, 3]
    query, *documents = [row.embedding for row in answer.embeddings]
    asked.check_vectors(query, documents)
    assert answer.request_id == answer.headers["x-request-id"]
    assert answer.usage.total_tokens > 0


def vector_ranks(server):
    with _client(server) as client:
        answer = client.rerank.create(
            model=asked.RERANK_MODEL, query=asked.QUERY, documents=asked.DOCUMENTS, return_documents=True
        )
    asked.check_ranks([(result.index, result.relevance_score) for result in answer.results])
    assert answer.results[0].document.text == asked.DOCUMENTS[asked.BEST]


def vector_of_an_unknown_model_is_told(server):
    with _client(server) as client:
        with asked.raises((errors.NotFoundError, errors.BadRequestError)) as caught:
            client.embeddings.create(model=asked.UNKNOWN_MODEL, input="a")
        assert caught.error.message
