"""LangChain's ChatQwen of langchain-qwq, which also shows the thought."""

from __future__ import annotations

import asked
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_qwq import ChatQwen


def _chat(server, **settings) -> ChatQwen:
    given = {"model": asked.MODEL, "base_url": server.openai, "api_key": server.key, "max_retries": 0}
    return ChatQwen(**given | settings)


def _gather(chunks):
    chunks = list(chunks)
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def plain(server):
    answer = _chat(server).invoke("你是谁？")
    assert answer.content
    assert answer.usage_metadata["total_tokens"] > 0


def system_prompt(server):
    assert _chat(server).invoke([SystemMessage("You are a helpful assistant."), HumanMessage("Hello")]).content


def many_turns(server):
    turns = [HumanMessage("你好，我叫诸葛明。"), AIMessage("你好，诸葛明！"), HumanMessage("我叫什么名字？")]
    assert _chat(server).invoke(turns).content


def stream(server):
    assert _gather(_chat(server).stream("你是谁？")).content


def thinking_streamed(server):
    whole = _gather(_chat(server, enable_thinking=True).stream(asked.THINK[0]["content"]))
    assert whole.additional_kwargs["reasoning_content"]
    assert whole.content


def thinking(server):
    answer = _chat(server, enable_thinking=True).invoke(asked.THINK[0]["content"])
    assert answer.additional_kwargs["reasoning_content"]
    assert answer.content


def tools_round_trip(server):
    chat = _chat(server).bind_tools(asked.TOOLS)
    question = HumanMessage(asked.WEATHER_QUESTION)
    answer = chat.invoke([question])
    assert answer.tool_calls[0]["name"] == "get_current_weather"
    results = [ToolMessage("上海天气：多云，温度18°C", tool_call_id=call["id"]) for call in answer.tool_calls]
    assert chat.invoke([question, answer, *results]).content


def tools_streamed(server):
    whole = _gather(_chat(server).bind_tools(asked.TOOLS).stream(asked.WEATHER_QUESTION))
    assert whole.tool_calls[0]["name"] == "get_current_weather"


def structured_output(server):
    wanted = {"title": "event", "description": "What happened"} | asked.SCHEMA
    chat = _chat(server).with_structured_output(wanted, method="json_mode")
    assert isinstance(chat.invoke(asked.EXTRACT[0]["content"]), dict)


def image(server):
    parts = [{"type": "image_url", "image_url": {"url": asked.IMAGE}}, {"type": "text", "text": asked.LOOK}]
    assert _chat(server, model=asked.VISION_MODEL).invoke([HumanMessage(content=parts)]).content


async def asynchronous(server):
    chat = _chat(server)
    assert (await chat.ainvoke("你是谁？")).content
    assert "".join([chunk.content async for chunk in chat.astream("你是谁？")])
