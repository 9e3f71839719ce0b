"""Qwen-Agent: its DashScope and its OpenAI model, and an assistant that calls a tool."""

from __future__ import annotations

import json

import asked
from qwen_agent.agents import Assistant
from qwen_agent.llm import get_chat_model
from qwen_agent.llm.base import ModelServiceError
from qwen_agent.tools.base import BaseTool, register_tool

FUNCTIONS = [tool["function"] for tool in asked.TOOLS]


@register_tool("get_current_weather")
class _Weather(BaseTool):
    description = asked.WEATHER["function"]["description"]
    parameters = asked.WEATHER["function"]["parameters"]

    def call(self, params: str, **_) -> str:
        return asked.result_of("get_current_weather", params)


def _settings(server, protocol: str, **generate) -> dict:
    place = {
        "dashscope": {"model_type": "qwen_dashscope", "base_http_api_url": server.native},
        "openai": {"model_server": server.openai},
    }[protocol]
    return {"model": asked.MODEL, "api_key": server.key, **place, "generate_cfg": {"max_retries": 0, **generate}}


def _last(replies) -> list:
    last = None
    for reply in replies:
        last = reply
    assert last
    return last


def dashscope_plain(server):
    # Its DashScope model streams unless the raw interface is switched off.
    llm = get_chat_model(_settings(server, "dashscope", use_raw_api=False))
    [reply] = llm.chat(asked.WHO, stream=False)
    assert reply["content"]


def dashscope_stream(server):
    replies = list(get_chat_model(_settings(server, "dashscope")).chat(asked.WHO, stream=True))
    texts = [reply[-1]["content"] for reply in replies]
    asked.check_cumulative(texts)


def dashscope_system_prompt(server):
    assert _last(get_chat_model(_settings(server, "dashscope")).chat(asked.WITH_SYSTEM))[-1]["content"]


def dashscope_many_turns(server):
    assert _last(get_chat_model(_settings(server, "dashscope")).chat(asked.TURNS))[-1]["content"]


def dashscope_thinking_streamed(server):
    llm = get_chat_model(_settings(server, "dashscope", enable_thinking=True, incremental_output=True))
    replies = _last(llm.chat(asked.THINK, stream=True))
    assert "".join(reply.get("reasoning_content") or "" for reply in replies)
    assert replies[-1]["content"]


def dashscope_tools_streamed(server):
    llm = get_chat_model(_settings(server, "dashscope", use_raw_api=True, incremental_output=True))
    messages = [{"role": "user", "content": asked.WEATHER_QUESTION}]
    replies = _last(llm.chat(messages, functions=FUNCTIONS, stream=True))
    call = replies[-1]["function_call"]
    asked.result_of(call["name"], call["arguments"])


def openai_plain(server):
    [reply] = get_chat_model(_settings(server, "openai")).chat(asked.WHO, stream=False)
    assert reply["content"]


def openai_stream(server):
    replies = list(get_chat_model(_settings(server, "openai")).chat(asked.WHO, stream=True))
    asked.check_cumulative([reply[-1]["content"] for reply in replies])


def openai_tools_streamed(server):
    llm = get_chat_model(_settings(server, "openai", use_raw_api=True))
    messages = [{"role": "user", "content": asked.WEATHER_QUESTION}]
    call = _last(llm.chat(messages, functions=FUNCTIONS, stream=True))[-1]["function_call"]
    asked.result_of(call["name"], call["arguments"])


def assistant_calls_a_tool(server):
    settings = _settings(server, "openai", use_raw_api=True)
    assistant = Assistant(llm=settings, function_list=["get_current_weather"])
    replies = _last(assistant.run([{"role": "user", "content": asked.WEATHER_QUESTION}]))
    assert [reply["role"] for reply in replies] == ["assistant", "function", "assistant"], replies
    assert json.loads(replies[0]["function_call"]["arguments"])["location"]
    assert replies[-1]["content"]


def wrong_key_is_model_service_error(server):
    llm = get_chat_model(_settings(server, "dashscope") | {"api_key": asked.WRONG_KEY})
    with asked.raises(ModelServiceError) as caught:
        list(llm.chat(asked.WHO, stream=True))
    assert caught.error.code == "InvalidApiKey"
