"""The parameter checks, against the texts of the reference (§2.2, §2.3, §4.4, §6)."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao.errors import InvalidParameter
from qiao.wire.check_values import KINDS
from qiao.wire.checks import check
from qiao.wire.document import Document
from qiao.wire.model import Model

HI = {"role": "user", "content": "hi"}
ABLE = frozenset({"tools", "json_object", "json_schema", "search", "partial", "n", "vision", "video", "audio"})
PLUS = Model(
    "qwen-plus",
    max_input=1000,
    max_input_thinking=900,
    max_output=8192,
    max_thought=500,
    thinking="off",
    abilities=ABLE,
)
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
FORCED = {"type": "function", "function": {"name": "f"}}
CALLING = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}},
    ],
}
ANSWER_A = {"role": "tool", "tool_call_id": "a", "content": "1"}
ANSWER_B = {"role": "tool", "tool_call_id": "b", "content": "2"}
UNANSWERED = (
    'An assistant message with "tool_calls" must be followed by tool messages responding to each "tool_call_id".'
)
STOP = 'The "stop" parameter must be of type "str", "list[str]", "list[int]", or "list[list[int]]", and all elements'


def document(**fields: Any) -> Document:
    return Document.parse(json.dumps({"messages": [HI], **fields}).encode())


def complaint(
    level: Any, model: Model = PLUS, *, stream: bool = False, tokens: int | None = None, **fields: Any
) -> str:
    """The text of the refusal, or nothing."""
    try:
        check(document(**fields), model, level, stream=stream, input_tokens=tokens)
    except InvalidParameter as error:
        return error.message
    return ""


SHAPES: list[tuple[dict[str, Any], str]] = [
    ({"temperature": "hot"}, "'temperature' must be Float"),
    ({"temperature": True}, "'temperature' must be Float"),
    ({"top_p": "x"}, "Input should be a valid number, unable to parse string as a number: parameters.top_p"),
    ({"top_k": 1.5}, "Input should be a valid integer: parameters.top_k"),
    ({"logprobs": "yes"}, "Input should be a valid boolean: parameters.logprobs"),
    ({"seed": "7"}, "Input should be a valid integer, unable to parse string as an integer: parameters.seed"),
    ({"stream_options": []}, "Input should be a valid dictionary: parameters.stream_options"),
    ({"stream_options": {"include_usage": 1}}, "Input should be a valid boolean: parameters.stream_options"),
    ({"stop": 5}, STOP),
    ({"stop": ["a", 5]}, STOP),
    ({"stop": [[1], ["a"]]}, STOP),
    ({"stop": [True]}, STOP),
    ({"tools": [{"name": "f"}]}, "'function' is a required property, expected an object - 'tools.0'"),
    ({"tools": [TOOL, 3]}, "'function' is a required property, expected an object - 'tools.1'"),
    ({"tools": [{"function": {}}]}, "'name' is a required property"),
    ({"tools": {}}, "Input should be a valid list: parameters.tools"),
    ({"tool_choice": 3}, "Input should be a valid string: parameters.tool_choice.str & Field required"),
    ({"tool_choice": {"type": "function"}}, "Input should be a valid string: parameters.tool_choice.str"),
    ({"tool_choice": "always"}, 'tool_choice is one of the strings that should be ["none", "auto"]'),
    ({"response_format": "json"}, "Unknown format of response_format"),
    (
        {"response_format": {"type": "xml"}},
        "'response_format.type' Invalid value: 'xml'. Supported values are: 'json_object' and 'text'.",
    ),
    ({"response_format": {"type": "json_schema"}}, "Unknown format of response_format"),
    ({"messages": None}, "you must provide a messages parameter"),
    ({"messages": []}, "[] is too short - 'messages'"),
    ({"messages": "hi"}, "Input should be a valid list: input.messages"),
    ({"messages": [HI, "hi"]}, "Input should be a valid dictionary: input.messages.1"),
    (
        {"messages": [{"role": "bot", "content": "x"}]},
        "bot is not one of ['system', 'assistant', 'user', 'tool', 'function'] - 'messages.[0].role'",
    ),
    ({"messages": [{"content": "x"}]}, "null is not one of ['system', 'assistant', 'user', 'tool', 'function']"),
    ({"messages": [{"role": "user"}]}, "The content field is a required field."),
    ({"messages": [{"role": "assistant", "content": None}]}, "The content field is a required field."),
    ({"messages": [{"role": "user", "content": 5}]}, "input content must be a string."),
    (
        {"messages": [{"role": "user", "content": [{"type": "poem", "poem": "x"}]}]},
        "The provided messages input is invalid. The error info is [Unexpected item type in content]",
    ),
    (
        {"messages": [{"role": "user", "content": ["x"]}]},
        "The provided messages input is invalid. The error info is [Unexpected item type in content]",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
        "Field required: input.messages.0.content.0.image_url",
    ),
    ({"messages": [{**CALLING, "tool_calls": [{"id": "a"}]}]}, "'function' is a required property"),
    (
        {"messages": [{**CALLING, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}]},
        'The "function.arguments" parameter of the code model must be in JSON format.',
    ),
]
RANGES: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 2.0}, "Temperature should be in [0.0, 2.0)"),
    ({"temperature": -0.1}, "Temperature should be in [0.0, 2.0)"),
    ({"top_p": 0}, "Range of top_p should be (0.0, 1.0]"),
    ({"top_p": 1.01}, "Range of top_p should be (0.0, 1.0]"),
    ({"top_k": -1}, "Parameter top_k be greater than or equal to 0"),
    ({"repetition_penalty": 0}, "Repetition_penalty should be greater than 0.0"),
    ({"presence_penalty": 2.5}, "Presence_penalty should be in [-2.0, 2.0]"),
    ({"max_tokens": 0}, "Range of max_tokens should be [1, 8192]"),
    ({"n": 5}, "Range of n should be [1, 4]"),
    ({"n": 0}, "Range of n should be [1, 4]"),
    ({"seed": -1}, "-1 is lesser than the minimum of 0 - 'seed'"),
    ({"seed": 2**63}, "Range of seed should be [0, 9223372036854775807]"),
    ({"top_logprobs": 6}, "Range of top_logprobs should be [0, 5]"),
    ({"thinking_budget": 0}, "The thinking_budget parameter must be a positive integer and not greater than 500"),
    ({"reasoning_effort": "huge"}, "'reasoning_effort' Invalid value: 'huge'."),
    ({"tools": [{"function": {"name": "a b"}}]}, "Tool names must be"),
    ({"tools": [TOOL], "tool_choice": {"function": {"name": "g"}}}, "The function of tool_choice"),
    (
        {"response_format": {"type": "json_object"}},
        "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
    ),
    (
        {"messages": [HI, ANSWER_A]},
        'messages with role "tool" must be a response to a preceeding message with "tool_calls".',
    ),
    (
        {"messages": [HI, CALLING, ANSWER_A, ANSWER_B, ANSWER_A]},
        'messages with role "tool" must be a response to a preceeding message with "tool_calls".',
    ),
    (
        {"messages": [HI, CALLING, ANSWER_A, HI]},
        f"{UNANSWERED} The following tool_call_ids did not have response messages: message[3].role",
    ),
    ({"messages": [HI, CALLING]}, UNANSWERED),
    (
        {
            "messages": [
                HI,
                {**CALLING, "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{x"}}]},
                ANSWER_A,
            ]
        },
        'The "function.arguments" parameter of the code model must be in JSON format.',
    ),
    (
        {"messages": [{"role": "system", "content": "x"}]},
        "The input messages do not contain elements with the role of user.",
    ),
]
THINK = {"enable_thinking": True}
IMAGE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]}
CLOUD: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"stream_only": True}, {}, "This model only support stream mode, please enable the stream parameter to access"),
    (
        {"thinking": "on", "stream_to_think": True},
        {},
        "parameter.enable_thinking must be set to false for non-streaming calls",
    ),
    ({"thinking": "only"}, {"enable_thinking": False}, "The value of the enable_thinking parameter is restricted"),
    (
        {},
        {**THINK, "response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "JSON"}]},
        "Json mode response is not supported when enable_thinking is true",
    ),
    (
        {},
        {**THINK, "messages": [HI, {"role": "assistant", "content": "x", "partial": True}]},
        "Partial mode is not supported when enable_thinking is true",
    ),
    (
        {},
        {**THINK, "tools": [TOOL], "tool_choice": FORCED},
        "The tool_choice parameter does not support being set to required or object in thinking mode",
    ),
    (
        {"thinking": "on"},
        {"tools": [TOOL], "tool_choice": "required"},
        "The tool_choice parameter does not support being set to required or object in thinking mode",
    ),
    ({}, {**THINK, "n": 2}, "Range of n should be [1, 1]"),
    (
        {},
        {"tools": [TOOL], "tool_choice": "required"},
        'tool_choice is one of the strings that should be ["none", "auto"]',
    ),
    ({}, {"max_tokens": 8193}, "Range of max_tokens should be [1, 8192]"),
    ({"abilities": frozenset()}, {"n": 2}, "Range of n should be [1, 1]"),
    ({}, {"n": 2, "tools": [TOOL]}, "Range of n should be [1, 1]"),
    ({"abilities": frozenset()}, {"enable_search": True}, "This model does not support enable_search."),
    ({"abilities": frozenset()}, {"tools": [TOOL]}, "The tool call is not supported."),
    ({}, {"tools": [{"function": {"name": "search"}}]}, "Tool names are not allowed to be [search]"),
    ({}, {"tools": []}, "[] is too short - 'tools'"),
    (
        {"abilities": frozenset({"json_object"})},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "'response_format.type' Invalid value: 'json_schema'. Supported values are: 'json_object' and 'text'.",
    ),
    ({}, {"modalities": ["text", "audio"]}, "'audio' output only support with stream=true"),
    ({}, {"thinking_budget": 501}, "The thinking_budget parameter must be a positive integer and not greater than 500"),
    (
        {},
        {**THINK, "thinking_budget": 400, "max_completion_tokens": 400},
        "max_completion_tokens [400] must be greater than thinking_budget [400]",
    ),
    (
        {"abilities": frozenset()},
        {"messages": [IMAGE]},
        "The provided messages input is invalid. The error info is [Unexpected item type in content]",
    ),
    (
        {"abilities": frozenset({"translation"})},
        {"messages": [{"role": "system", "content": "x"}, HI]},
        "Role must be user or assistant and Content length must be greater than 0",
    ),
]


@pytest.mark.parametrize(("fields", "text"), SHAPES)
def test_a_wrong_shape_is_refused_from_the_level_types_on(fields: dict[str, Any], text: str) -> None:
    assert complaint("none", **fields) == ""
    for level in ("types", "ranges", "cloud"):
        assert complaint(level, **fields).startswith(text)


@pytest.mark.parametrize(("fields", "text"), RANGES)
def test_a_value_out_of_range_is_refused_from_the_level_ranges_on(fields: dict[str, Any], text: str) -> None:
    assert complaint("types", **fields) == ""
    for level in ("ranges", "cloud"):
        assert complaint(level, **fields).startswith(text)


@pytest.mark.parametrize(("row", "fields", "text"), CLOUD)
def test_what_a_model_cannot_do_is_refused_at_the_level_cloud_only(
    row: dict[str, Any], fields: dict[str, Any], text: str
) -> None:
    model = replace(PLUS, **row)
    assert complaint("ranges", model, **fields) == ""
    assert complaint("cloud", model, **fields).startswith(text)


def test_an_ordinary_body_with_every_field_passes_at_every_level() -> None:
    fields: dict[str, Any] = {
        "messages": [
            {"role": "developer", "content": "Be short."},
            {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]},
            {"role": "assistant", "content": None, "reasoning_content": "hm"},
            HI,
            {**CALLING, "content": None},
            ANSWER_B,
            ANSWER_A,
            HI,
        ],
        "temperature": 0,
        "top_p": 1,
        "top_k": 0,
        "max_tokens": 8192,
        "seed": 1234,
        "stop": [[1, 2], [3]],
        "logprobs": True,
        "top_logprobs": 5,
        "tools": [TOOL],
        "tool_choice": FORCED,
        "parallel_tool_calls": True,
        "frequency_penalty": 0.5,
        "store": False,
        "metadata": {"a": [1]},
        "user": 5,
        "logit_bias": "anything",
    }
    for level in ("none", "types", "ranges", "cloud"):
        assert complaint(level, **fields) == ""


def test_null_means_absent() -> None:
    fields = dict.fromkeys(KINDS)
    assert complaint("cloud", **fields) == ""


def test_the_word_json_is_found_in_any_case_and_in_parts() -> None:
    for message in (
        {"role": "system", "content": "Answer in JSON."},
        {"role": "user", "content": [{"type": "text", "text": "as Json please"}]},
    ):
        assert complaint("cloud", messages=[message, HI], response_format={"type": "json_object"}) == ""
    said = {"role": "assistant", "content": "json"}
    assert complaint("ranges", messages=[HI, said, HI], response_format={"type": "json_object"})


def test_the_length_of_the_prompt_is_checked_where_it_is_known() -> None:
    assert complaint("cloud", tokens=1000) == ""
    assert complaint("cloud", tokens=1001) == "Range of input length should be [1, 1000]"
    assert complaint("cloud", tokens=901, enable_thinking=True) == "Range of input length should be [1, 900]"
    assert complaint("ranges", tokens=1001) == ""


def test_streams_may_do_what_only_streams_may() -> None:
    model = replace(PLUS, thinking="on", stream_to_think=True, stream_only=True)
    assert complaint("cloud", model, stream=True, modalities=["audio"]) == ""


def test_a_model_that_nobody_knows_is_not_judged() -> None:
    model = Model("my-own", known=False)
    fields = {"tools": [TOOL], "enable_search": True, "messages": [IMAGE], "max_tokens": 10**6}
    assert complaint("cloud", model, **fields) == ""


def test_thinking_models_that_only_stream_ignore_the_switch() -> None:
    model = replace(PLUS, thinking="only", stream_only=True)
    assert complaint("cloud", model, stream=True, enable_thinking=False) == ""


def test_a_reasoning_effort_of_none_turns_thinking_off() -> None:
    model = replace(PLUS, thinking="on")
    fields = {"tools": [TOOL], "tool_choice": FORCED, "reasoning_effort": "none"}
    assert complaint("cloud", model, **fields) == ""


def test_an_image_in_a_conversation_passes_for_a_model_that_sees() -> None:
    assert complaint("cloud", messages=[IMAGE]) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from(
    [
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "url",
        "function",
        "name",
        "arguments",
        "id",
        "tool_calls",
        "partial",
    ]
)
NEAR = st.recursive(
    JSON | WORDS | st.sampled_from(["user", "assistant", "tool", "system", "json_schema", "required"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool", "system"]) | NEAR,
        "content": NEAR,
        "tool_calls": NEAR,
        "tool_call_id": NEAR,
        "partial": NEAR,
    },
)


@given(
    st.dictionaries(st.sampled_from(list(KINDS)), NEAR, max_size=5),
    st.lists(MESSAGE | st.just(HI), max_size=4) | NEAR,
    st.booleans(),
)
def test_any_object_is_accepted_or_refused_but_never_breaks_a_check(fields: Any, messages: Any, stream: bool) -> None:
    body = Document.parse(json.dumps({"messages": messages, **fields}).encode())
    for level in ("types", "ranges", "cloud"):
        for model in (PLUS, replace(PLUS, thinking="on", abilities=frozenset({"translation"}))):
            with suppress(InvalidParameter):
                check(body, model, level, stream=stream, input_tokens=7)
