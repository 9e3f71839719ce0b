"""LangChain's ChatTongyi: the native protocol through the dashscope SDK."""

from __future__ import annotations

import uuid

import asked
import dashscope
from langchain_community.chat_models.tongyi import ChatTongyi
from langchain_community.document_compressors.dashscope_rerank import DashScopeRerank
from langchain_community.embeddings import DashScopeEmbeddings
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage


def _chat(server, **settings) -> ChatTongyi:
    dashscope.base_http_api_url = server.native
    return ChatTongyi(**{"model": asked.MODEL, "api_key": server.key, "max_retries": 1} | settings)


def _gather(chunks):
    chunks = list(chunks)
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def plain(server):
    answer = _chat(server).invoke("你是谁？")
    assert answer.content
    usage = answer.response_metadata["token_usage"]
    asked.check_counts(usage["input_tokens"], usage["output_tokens"], usage["total_tokens"])
    assert answer.response_metadata["finish_reason"] == "stop"


def system_prompt(server):
    assert _chat(server).invoke([SystemMessage("You are a helpful assistant."), HumanMessage("Hello")]).content


def many_turns(server):
    turns = [HumanMessage("你好，我叫诸葛明。"), AIMessage("你好，诸葛明！"), HumanMessage("我叫什么名字？")]
    assert _chat(server).invoke(turns).content


def stream(server):
    # Without the switch LangChain asks for the whole answer and calls it one chunk.
    texts = [chunk.content for chunk in _chat(server, streaming=True).stream("你是谁？")]
    assert "".join(texts)
    assert max(map(len, texts)) < len("".join(texts))


def streaming_switch(server):
    assert _chat(server, streaming=True).invoke("你是谁？").content


def tools_round_trip(server):
    chat = _chat(server).bind_tools(asked.TOOLS)
    question = HumanMessage(asked.WEATHER_QUESTION)
    answer = chat.invoke([question])
    [call] = answer.tool_calls
    assert call["name"] == "get_current_weather"
    assert call["args"]["location"]
    result = ToolMessage("上海天气：多云，温度18°C", tool_call_id=call["id"], name=call["name"])
    assert chat.invoke([question, answer, result]).content


def tools_streamed(server):
    # With tools bound this client leaves incremental_output out and subtracts what it has already seen.
    whole = _gather(_chat(server, streaming=True).bind_tools(asked.TOOLS).stream(asked.WEATHER_QUESTION))
    [call] = whole.tool_calls
    assert call["name"] == "get_current_weather"
    assert call["args"]["location"]


def words_streamed_with_tools_bound(server):
    bound = _chat(server, streaming=True).bind_tools(asked.TOOLS)
    assert "".join(chunk.content for chunk in bound.stream("你好"))


def tools_in_parallel(server):
    answer = _chat(server).bind_tools(asked.TOOLS, parallel_tool_calls=True).invoke(asked.BOTH_QUESTION)
    assert [call["name"] for call in answer.tool_calls] == ["get_current_weather", "calculate"]


def thinking_streamed(server):
    chat = _chat(server, streaming=True, model_kwargs={"enable_thinking": True, "incremental_output": True})
    whole = _gather(chat.stream(asked.THINK[0]["content"]))
    assert whole.additional_kwargs["reasoning_content"]
    assert whole.content


def json_object(server):
    chat = _chat(server, model_kwargs={"response_format": {"type": "json_object"}})
    asked.check_extracted(chat.invoke(asked.EXTRACT[0]["content"]).content)


def image(server):
    parts = [{"image": asked.IMAGE}, {"text": asked.LOOK}]
    assert _chat(server, model=asked.VISION_MODEL).invoke([HumanMessage(content=parts)]).content


def wrong_key_is_value_error(server):
    with asked.raises(ValueError) as caught:
        _chat(server, api_key=asked.WRONG_KEY).invoke("你好")
    assert "InvalidApiKey" in str(caught.error)


def bad_parameter_is_value_error(server):
    with asked.raises(ValueError) as caught:
        _chat(server, model_kwargs={"temperature": 3}).invoke("你好")
    assert "InvalidParameter" in str(caught.error)


async def asynchronous(server):
    chat = _chat(server)
    assert (await chat.ainvoke("你是谁？")).content
    chat = _chat(server, streaming=True)
    assert "".join([chunk.content async for chunk in chat.astream("你是谁？")])


def fault_429_once_is_retried(server):
    model = f"{asked.MODEL}!429-once;key={uuid.uuid4()}"
    assert _chat(server, model=model, max_retries=3).invoke("你是谁？").content


def vector_store_of_dashscope_embeddings(server):
    dashscope.base_http_api_url = server.native
    embeddings = DashScopeEmbeddings(model=asked.EMBEDDING_MODEL, dashscope_api_key=server.key, max_retries=1)
    documents = embeddings.embed_documents([*asked.DOCUMENTS, *("filler",) * 12])  # more than one request takes
    assert len(documents) == 15
    asked.check_vectors(embeddings.embed_query(asked.QUERY), documents[:3])


def vector_ranks_by_dashscope_rerank(server):
    dashscope.base_http_api_url = server.native
    reranker = DashScopeRerank(dashscope_api_key=server.key, top_n=2)
    reranker.model = asked.RERANK_MODEL  # it overrides the one given with a model that the cloud has retired
    ranks = reranker.rerank(asked.DOCUMENTS, asked.QUERY)
    asked.check_ranks([(rank["index"], rank["relevance_score"]) for rank in ranks])
    assert len(ranks) == 2
