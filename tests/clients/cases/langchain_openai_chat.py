"""LangChain's ChatOpenAI, pointed at Qiao by its base URL."""

from __future__ import annotations

import asked
import openai
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


def _chat(server, **settings) -> ChatOpenAI:
    given = {"model": asked.MODEL, "base_url": server.openai, "api_key": server.key, "max_retries": 0, "timeout": 30}
    return ChatOpenAI(**given | settings)


def _gather(chunks):
    chunks = list(chunks)
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


def plain(server):
    answer = _chat(server).invoke("你是谁？")
    assert answer.content
    usage = answer.usage_metadata
    asked.check_counts(usage["input_tokens"], usage["output_tokens"], usage["total_tokens"])


def system_prompt(server):
    assert _chat(server).invoke([SystemMessage("You are a helpful assistant."), HumanMessage("Hello")]).content


def many_turns(server):
    turns = [HumanMessage("你好，我叫诸葛明。"), AIMessage("你好，诸葛明！"), HumanMessage("我叫什么名字？")]
    assert _chat(server).invoke(turns).content


def stream_with_usage(server):
    whole = _gather(_chat(server, stream_usage=True).stream("你是谁？"))
    assert whole.content
    assert whole.usage_metadata["total_tokens"] > 0


def tools_round_trip(server):
    chat = _chat(server).bind_tools(asked.TOOLS, parallel_tool_calls=True)
    question = HumanMessage(asked.BOTH_QUESTION)
    answer = chat.invoke([question])
    assert [call["name"] for call in answer.tool_calls] == ["get_current_weather", "calculate"]
    results = [ToolMessage("好", tool_call_id=call["id"]) for call in answer.tool_calls]
    assert chat.invoke([question, answer, *results]).content


def tools_streamed_in_parallel(server):
    whole = _gather(_chat(server).bind_tools(asked.TOOLS, parallel_tool_calls=True).stream(asked.BOTH_QUESTION))
    assert [call["name"] for call in whole.tool_calls] == ["get_current_weather", "calculate"]


def structured_output(server):
    wanted = {"title": "event", "description": "What happened"} | asked.SCHEMA
    chat = _chat(server).with_structured_output(wanted, method="json_schema", strict=True)
    assert set(chat.invoke(asked.EXTRACT[0]["content"])) == set(asked.SCHEMA["required"])


def json_object(server):
    chat = _chat(server).bind(response_format={"type": "json_object"})
    asked.check_extracted(chat.invoke(asked.EXTRACT[0]["content"]).content)


def image(server):
    parts = [{"type": "image_url", "image_url": {"url": asked.IMAGE}}, {"type": "text", "text": asked.LOOK}]
    assert _chat(server, model=asked.VISION_MODEL).invoke([HumanMessage(content=parts)]).content


def thinking_on(server):
    chat = _chat(server, extra_body={"enable_thinking": True})
    answer = chat.invoke(asked.THINK[0]["content"])
    assert answer.content
    assert answer.usage_metadata["output_token_details"]["reasoning"] > 0


def wrong_key_is_authentication_error(server):
    with asked.raises(openai.AuthenticationError):
        _chat(server, api_key=asked.WRONG_KEY).invoke("你好")


def unknown_model_is_not_found_error(server):
    with asked.raises(openai.NotFoundError):
        _chat(server, model=asked.UNKNOWN_MODEL).invoke("你好")


async def asynchronous(server):
    chat = _chat(server)
    assert (await chat.ainvoke("你是谁？")).content
    assert "".join([chunk.content async for chunk in chat.astream("你是谁？")])


def fault_429_is_rate_limit_error(server):
    with asked.raises(openai.RateLimitError):
        _chat(server, model=f"{asked.MODEL}!429").invoke("你好")


def vector_store_of_openai_embeddings(server):
    embeddings = OpenAIEmbeddings(
        model=asked.EMBEDDING_MODEL,
        base_url=server.openai,
        api_key=server.key,
        check_embedding_ctx_length=False,  # else it sends token ids, which the cloud refuses as well
        chunk_size=10,
    )
    documents = embeddings.embed_documents([*asked.DOCUMENTS, *("filler",) * 12])
    asked.check_vectors(embeddings.embed_query(asked.QUERY), documents[:3])
