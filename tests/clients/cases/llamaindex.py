"""LlamaIndex's DashScope LLM: the native protocol through the dashscope SDK 1.22."""

from __future__ import annotations

import asked
import dashscope
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.dashscope import DashScope


def _llm(server, **settings) -> DashScope:
    dashscope.base_http_api_url = server.native
    return DashScope(**{"model_name": asked.MODEL, "api_key": server.key, "max_tokens": 256} | settings)


def _said(messages: list[dict]) -> list[ChatMessage]:
    return [ChatMessage(role=message["role"], content=message["content"]) for message in messages]


def _weather(location: str) -> str:
    return f"{location}天气：多云，温度18°C"


def _weather_tool() -> FunctionTool:
    return FunctionTool.from_defaults(_weather, name="get_current_weather", description="查询指定城市的实时天气")


def complete(server):
    assert _llm(server).complete("你是谁？").text


def plain(server):
    assert _llm(server).chat(_said(asked.WHO)).message.content


def system_prompt(server):
    assert _llm(server).chat(_said(asked.WITH_SYSTEM)).message.content


def many_turns(server):
    assert _llm(server).chat(_said(asked.TURNS)).message.content


def stream(server):
    responses = list(_llm(server).stream_chat(_said(asked.WHO)))
    whole = "".join(response.delta or "" for response in responses)
    assert whole
    assert responses[-1].message.content == whole


def stream_of_a_completion(server):
    responses = list(_llm(server).stream_complete("你是谁？"))
    assert "".join(response.delta or "" for response in responses)


def tool_call(server):
    llm = _llm(server)
    response = llm.chat_with_tools([_weather_tool()], user_msg=asked.WEATHER_QUESTION)
    [call] = llm.get_tool_calls_from_response(response)
    assert call.tool_name == "get_current_weather"
    assert call.tool_kwargs["location"]


def wrong_key_is_told(server):
    # This client raises nothing: an answer without words carries the error.
    answer = _llm(server, api_key=asked.WRONG_KEY).chat(_said(asked.WHO))
    assert not answer.message.content
    assert answer.raw["code"] == "InvalidApiKey"


async def asynchronous(server):
    llm = _llm(server)
    assert (await llm.achat(_said(asked.WHO))).message.content
    stream = await llm.astream_chat(_said(asked.WHO))
    assert "".join([response.delta or "" async for response in stream])
