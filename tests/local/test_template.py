"""The built-in model's template, rendered by the engine, is the very text that Qwen3 models were trained on."""

from __future__ import annotations

import hashlib
import tomllib
from typing import Any

import msgspec
import pytest

from qiao.engines.client import Client, Url
from qiao.engines.local import Local
from qiao.weights import header

from .test_weights import DATA, DEMO

pytestmark = pytest.mark.anyio
TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}},
}
CALLED = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"city": "北京"}'}},
    {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}},
]}  # fmt: skip
RESULTS = [
    {"role": "tool", "tool_call_id": "a", "content": "5°C"},
    {"role": "tool", "tool_call_id": "b", "content": "4"},
]
HI = {"role": "user", "content": "hi"}
HEAD = """\
# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
"""
ASKED = "<|im_start|>user\nhi<|im_end|>\n"
CALLS = """\
<tool_call>
{"name": "f", "arguments": {"city": "北京"}}
</tool_call>
<tool_call>
{"name": "f", "arguments": {}}
</tool_call><|im_end|>
<|im_start|>user
<tool_response>
5°C
</tool_response>
<tool_response>
4
</tool_response><|im_end|>
"""
TURN, OFF = "<|im_start|>assistant\n", "<think>\n\n</think>\n\n"


async def rendered(local: Local, client: Client, messages: list[dict[str, Any]], **more: Any) -> str:
    await local.start()
    assert local._resident.child is not None
    await local._resident.child.ready(10)
    body = msgspec.json.encode({"messages": messages, **more})
    url = Url.unix(local._resident.child.socket, "/apply-template")
    response = await client.open(url, "POST", [("content-type", "application/json")], body, reuse=False)
    return msgspec.json.decode(await response.all())["prompt"]


@pytest.mark.parametrize(
    ("messages", "more", "text"),
    [
        ([HI], {}, ASKED + TURN),
        ([HI], {"chat_template_kwargs": {"enable_thinking": True}}, ASKED + TURN),
        ([HI], {"chat_template_kwargs": {"enable_thinking": False}}, ASKED + TURN + OFF),
        ([{"role": "system", "content": "S"}, HI], {}, "<|im_start|>system\nS<|im_end|>\n" + ASKED + TURN),
        ([HI], {"tools": [TOOL]}, "<|im_start|>system\n" + HEAD + ASKED + TURN),
        (
            [{"role": "system", "content": "S"}, HI],
            {"tools": [TOOL]},
            "<|im_start|>system\nS\n\n" + HEAD + ASKED + TURN,
        ),
        ([HI, CALLED, *RESULTS], {}, ASKED + TURN + CALLS + TURN),
        (
            [HI, {"role": "assistant", "content": "ok", "reasoning_content": "t"}, HI],
            {},
            ASKED + TURN + "ok<|im_end|>\n" + ASKED + TURN,
        ),
        (
            [HI, {"role": "assistant", "content": "<think>\nt\n</think>\n\nok"}, HI],
            {},
            ASKED + TURN + "ok<|im_end|>\n" + ASKED + TURN,
        ),
        (
            [HI, {**CALLED, "reasoning_content": "t"}, *RESULTS],
            {},
            ASKED + TURN + "<think>\nt\n</think>\n\n" + CALLS + TURN,
        ),
        (
            [HI, {"role": "assistant", "content": "1, 2"}],
            {"chat_template_kwargs": {"enable_thinking": False}},
            ASKED + TURN + OFF + "1, 2",
        ),
    ],
)
async def test_a_conversation_renders_as_qwen3_expects_it(
    local: Local, client: Client, messages: list[dict[str, Any]], more: dict[str, Any], text: str
) -> None:
    assert await rendered(local, client, messages, **more) == text


def test_the_shipped_file_holds_the_template_of_the_tree_and_is_the_one_described() -> None:
    template = DEMO.parents[3] / "tools" / "demo_model" / "chatml.jinja"
    assert header.read(DEMO).template == template.read_text()
    card = tomllib.loads(DEMO.with_suffix(".toml").read_text())
    assert card["sha256"] == hashlib.sha256(DATA).hexdigest()
    assert (card["name"], card["bytes"]) == (header.read(DEMO).slug, len(DATA))
