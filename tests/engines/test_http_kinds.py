"""What differs between OpenAI-compatible servers: thinking, its spelling, and Ollama's own API."""

import json

import pytest

from tests.stage import DONE, FINISH, ROLE, USAGE, Asked, bridge, chunk, scripted

pytestmark = pytest.mark.anyio
NATIVE = "/api/v1/services/aigc/text-generation/generation"
THOUGHT = chunk({"reasoning": "hm", "content": None})
LINES = [
    {"message": {"role": "assistant", "content": "", "thinking": "let me see"}, "done": False},
    {"message": {"role": "assistant", "content": "你好"}, "done": False},
    {
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 9,
        "eval_count": 4,
    },
]


def one(kind: str, url: str, **more: object) -> dict[str, object]:
    return {"engines": [{"name": "gpu", "kind": kind, "url": url, **more}]}


def ndjson(*lines: object) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llama-server"])
async def test_thinking_travels_in_the_template_arguments_where_the_server_wants_it_there(kind: str) -> None:
    async with scripted(Asked.whole) as engine, bridge(**one(kind, engine.url)) as server:
        await server.chat(enable_thinking=True, chat_template_kwargs={"x": 1})
        await server.chat(model="qwen3.5-plus")
        await server.chat(model="somebody/else")
        first, second, third = (asked.json for asked in engine.asked)
        assert first["chat_template_kwargs"] == {"x": 1, "enable_thinking": True}
        assert "enable_thinking" not in first
        assert second["chat_template_kwargs"] == {"enable_thinking": True}, "the catalogue's default for the name"
        assert "chat_template_kwargs" not in third


async def test_a_plain_server_gets_the_call_as_it_is() -> None:
    async with scripted(Asked.whole) as engine, bridge(**one("openai", engine.url)) as server:
        body = b'{"model":"qwen-plus","messages":[{"role":"user","content":"x"}],"enable_thinking":true}'
        await server.ask("/v1/chat/completions", body)
        assert engine.asked[0].body == body


async def test_vllms_reasoning_is_spelled_as_the_reference_does() -> None:
    async def thinks(asked: Asked) -> None:
        await asked.events(ROLE + THOUGHT + FINISH + USAGE + DONE)

    async with scripted(thinks) as engine, bridge(**one("vllm", engine.url)) as server:
        assert b'"reasoning_content":"hm"' in (await server.chat(stream=True)).body
        native = {"model": "m", "input": {"prompt": "hi"}, "parameters": {"enable_thinking": True}}
        answer = await server.ask(NATIVE, native, x_dashscope_sse="enable")
        assert b'"reasoning_content":"hm"' in answer.body
        assert engine.asked[1].json["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


@pytest.mark.parametrize("owner", ["test", "vllm", "library"])
async def test_the_kind_is_found_by_what_the_server_says_of_itself(owner: str) -> None:
    async with scripted(Asked.whole, owner=owner) as engine, bridge(engine="http", engine_url=engine.url) as server:
        await server.chat(enable_thinking=True)
        asked = engine.asked[0]
        if owner == "library":
            assert (asked.path, asked.json["think"]) == ("/api/chat", True)
        elif owner == "vllm":
            assert asked.json["chat_template_kwargs"] == {"enable_thinking": True}
        else:
            assert asked.json["enable_thinking"] is True, "nothing told: a plain server"


async def test_ollama_is_asked_by_its_own_api_with_context_and_thinking() -> None:
    async def answer(asked: Asked) -> None:
        await asked.begin("application/x-ndjson")
        data = ndjson(*LINES)
        for at in range(0, len(data), 11):
            await asked.piece(data[at : at + 11])
        await asked.end()

    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    async with scripted(answer) as engine, bridge(**one("ollama", engine.url + "/v1", context=16384)) as server:
        whole = await server.chat(
            model="qwen3:8b",
            enable_thinking=True,
            temperature=0.5,
            max_tokens=7,
            stop="x",
            tools=tools,
            keep_alive="5m",
        )
        assert whole.json["choices"][0]["message"]["content"] == "你好"
        assert whole.json["usage"]["total_tokens"] == 13
        asked = engine.asked[0]
        assert asked.path == "/api/chat"
        assert asked.json["options"] == {"num_ctx": 16384, "temperature": 0.5, "num_predict": 7, "stop": ["x"]}
        assert (asked.json["tools"], asked.json["keep_alive"]) == (tools, "5m")
        streamed = await server.chat(model="qwen3-8b", enable_thinking=True, stream=True)
        assert b'"reasoning_content":"let me see"' in streamed.body
        assert streamed.body.endswith(DONE)
        assert engine.asked[1].json["think"] is True
        native = await server.ask(NATIVE, {"model": "qwen3:8b", "input": {"prompt": "hi"}})
        assert native.json["output"]["choices"][0]["message"]["content"] == "你好"


async def test_ollamas_tool_calls_images_and_errors_are_translated() -> None:
    call = {"function": {"name": "f", "arguments": {"city": "北京"}}}

    async def calls(asked: Asked) -> None:
        await asked.whole(ndjson({"message": {"content": "", "tool_calls": [call]}}, LINES[2]))

    async def missing(asked: Asked) -> None:
        await asked.whole(b'{"error":"model \'x\' not found"}', 404)

    async def broken(asked: Asked) -> None:
        await asked.whole(ndjson(LINES[1], {"error": "boom"}))

    async with scripted(calls, missing, broken) as engine, bridge(**one("ollama", engine.url)) as server:
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
        history = [
            {"role": "user", "content": [{"type": "text", "text": "see"}, image]},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        ]
        answer = (await server.chat(messages=history)).json["choices"][0]
        assert answer["finish_reason"] == "tool_calls"
        assert json.loads(answer["message"]["tool_calls"][0]["function"]["arguments"]) == {"city": "北京"}
        sent = engine.asked[0].json["messages"]
        assert sent[0]["images"] == ["QUJD"]
        assert sent[1]["tool_calls"][0]["function"]["arguments"] == {"a": 1}
        assert (await server.chat()).status == 404
        assert b'"error":{' in (await server.chat(stream=True)).body


async def test_a_prompt_that_ollama_would_cut_in_silence_is_refused() -> None:
    async with scripted(Asked.whole) as engine, bridge(**one("ollama", engine.url, context=256)) as server:
        answer = await server.chat(messages=[{"role": "user", "content": "word " * 400}])
        assert (answer.status, answer.json["error"]["message"]) == (400, "Range of input length should be [1, 256]")
        assert engine.asked == []
