"""Native requests as the hub's chat documents, and the options of their answers."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao.errors import InvalidParameter
from qiao.wire.call import Path
from qiao.wire.document import Document
from qiao.wire.model import Model
from qiao.wire.translate.native_call import Options, options, to_hub

OLD = Model("qwen-plus", path="text", thinking="off", result_format="text")
NEW = Model("qwen3-max", path="text", thinking="off", incremental_output=True)
OPEN = Model("qwen3-8b", path="text", thinking="on", incremental_output=True, cumulative_refused=True)


def hub(body: str, path: Path = "text") -> str:
    return to_hub(Document.parse(body.encode()), path).encode().decode()


def content(parts: list[Any], *, role: str = "user", path: Path = "multimodal") -> Any:
    body = json.dumps({"model": "m", "input": {"messages": [{"role": role, "content": parts}]}})
    return json.loads(hub(body, path))["messages"][0]["content"]


def asked(parameters: Any, model: Model = OLD, *, streamed: bool = True, thinking: bool = False) -> Options:
    return options(Document.build(parameters=parameters), model, streamed=streamed, thinking=thinking)


def test_parameters_move_to_the_top_and_untouched_bytes_stay() -> None:
    body = """{"model":"qwen-plus","parameters":{"result_format":"message","incremental_output":true,"top_p":0.80,
        "enable_thinking":false,"stop":[[37763,367]],"novel":{"a": 1.0}},"later":1e2,
        "input":{"messages":[{"role":"user", "content":"你是谁？"}]}}"""
    assert hub(body) == (
        '{"top_p":0.80,"enable_thinking":false,"stop":[[37763,367]],"novel":{"a": 1.0},"model":"qwen-plus",'
        '"later":1e2,"messages":[{"role":"user", "content":"你是谁？"}]}'
    )


@pytest.mark.parametrize("parameters", ["", ',"parameters":{}', ',"parameters":null'])
def test_parameters_may_be_missing_empty_or_null(parameters: str) -> None:
    assert hub('{"model":"m","input":{"prompt":"hi"}' + parameters + "}") == (
        '{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    )


def test_no_body_flag_switches_the_stream_and_no_parameter_replaces_the_model_or_the_messages() -> None:
    parameters = '{"stream":true,"stream_options":{"include_usage":true},"model":"other","messages":[]}'
    assert hub('{"model":"m","stream":true,"input":{"prompt":"hi"},"parameters":' + parameters + "}") == (
        '{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    )


def test_a_prompt_with_history_becomes_messages() -> None:
    body = '{"model":"m","input":{"prompt":"c","history":[{"user":"a","bot":"b"}],"messages":null,"plus":1}}'
    assert json.loads(hub(body)) == {
        "plus": 1,
        "model": "m",
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ],
    }


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('"input":{}', 'Either "prompt" or "messages" must exist and cannot both be none'),
        ('"input":{"prompt":null}', 'Either "prompt" or "messages" must exist and cannot both be none'),
        (
            '"input":{"prompt":"a","messages":[{}]}',
            'Only one of the parameters "prompt" and "messages" can be present',
        ),
        (
            '"input":{"prompt":"a","messages":[]}',
            "Role must be user or assistant and Content length must be greater than 0",
        ),
        ('"input":{"messages":[]}', "Role must be user or assistant and Content length must be greater than 0"),
        ('"input":{"prompt":""}', "Role must be user or assistant and Content length must be greater than 0"),
        ('"input":{"prompt":1}', "Input should be a valid string: input.prompt"),
        ('"input":{"prompt":"a","history":{}}', "Input should be a valid list: input.history"),
        ('"input":{"messages":{}}', "Input should be a valid list: input.messages"),
        ('"input":{"messages":["a"]}', "Input should be a valid dictionary: input.messages.0"),
        ('"input":{"messages":[{}, null]}', "Input should be a valid dictionary: input.messages.1"),
        ('"input":"a"', "Input should be a valid dictionary: input"),
        ('"other":1', "Field required: input"),
        ('"input":{"prompt":"a"},"parameters":[]', "Input should be a valid dictionary: parameters"),
        (
            '"input":{"messages":[{"content":[1]}]}',
            "The provided messages input is invalid. The error info is [Unexpected item type in content]",
        ),
        (
            '"input":{"messages":[{"content":[{"text":{}}]}]}',
            "The provided messages input is invalid. The error info is [Unexpected item type in content]",
        ),
    ],
)
def test_a_wrong_input_is_refused_in_the_clouds_words(body: str, text: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        hub("{" + body + "}")
    assert refused.value.message == text
    assert refused.value.behind_gateway


@pytest.mark.parametrize(
    ("native", "typed"),
    [
        ({"text": "a"}, {"type": "text", "text": "a"}),
        ("a", {"type": "text", "text": "a"}),
        (
            {"text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        ),
        (
            {"image": "https://h/a.png", "min_pixels": 4, "max_pixels": 9},
            {"type": "image_url", "image_url": {"url": "https://h/a.png"}, "min_pixels": 4, "max_pixels": 9},
        ),
        (
            {"video": ["u1", "u2"], "fps": 2, "max_frames": 8},
            {"type": "video", "video": ["u1", "u2"], "fps": 2, "max_frames": 8},
        ),
        ({"video": "u", "fps": 0.5}, {"type": "video_url", "video_url": {"url": "u"}, "fps": 0.5}),
        (
            {"audio": "https://h/a.mp3?sign=x.y"},
            {"type": "input_audio", "input_audio": {"data": "https://h/a.mp3?sign=x.y", "format": "mp3"}},
        ),
        (
            {"audio": "data:audio/x-wav;base64,QQ=="},
            {"type": "input_audio", "input_audio": {"data": "data:audio/x-wav;base64,QQ==", "format": "wav"}},
        ),
        (
            {"audio": "data:;base64,QQ=="},
            {"type": "input_audio", "input_audio": {"data": "data:;base64,QQ==", "format": "wav"}},
        ),
        ({"type": "image_url", "image_url": {"url": "u"}}, {"type": "image_url", "image_url": {"url": "u"}}),
        ({"novel": 1}, {"novel": 1}),
    ],
)
def test_a_part_of_one_key_becomes_a_typed_part(native: Any, typed: Any) -> None:
    assert content([native]) == [typed]


def test_a_part_with_two_kinds_becomes_two_parts() -> None:
    assert content([{"image": "u", "text": "a"}]) == [
        {"type": "image_url", "image_url": {"url": "u"}},
        {"type": "text", "text": "a"},
    ]


def test_plain_texts_become_one_string_for_tools_and_on_the_text_path() -> None:
    parts = [{"text": "a"}, {"type": "text", "text": "你"}]
    assert content(parts, role="tool") == "a你"
    assert content(parts, path="text") == "a你"
    assert content(parts) == [{"type": "text", "text": "a"}, {"type": "text", "text": "你"}]
    cached = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]
    assert content(cached, path="text") == cached
    assert content([], path="text") == []


def test_the_other_fields_of_a_message_are_carried() -> None:
    message = {"role": "assistant", "content": [{"text": "a"}], "tool_calls": [{"id": "c"}], "partial": True}
    body = json.dumps({"model": "m", "input": {"messages": [message]}})
    assert json.loads(hub(body))["messages"] == [{**message, "content": "a"}]


@pytest.mark.parametrize(
    ("parameters", "model", "thinking", "expected"),
    [
        (None, OLD, False, Options("text", False)),
        ({}, NEW, False, Options("message", True)),
        ({"result_format": "message"}, OLD, False, Options("message", False)),
        ({"result_format": "text"}, NEW, False, Options("text", True)),
        ({"incremental_output": True}, OLD, False, Options("text", True)),
        ({"incremental_output": False}, NEW, False, Options("message", False)),
        ({"incremental_output": None, "result_format": None}, OLD, True, Options("message", True)),
        ({"result_format": "message", "tools": [{}]}, OLD, False, Options("message", False)),
        ({"tools": []}, OLD, False, Options("text", False)),
        ({"n": 2}, OLD, False, Options("message", False, n=2)),
    ],
)
def test_what_is_given_wins_then_thinking_then_the_model(
    parameters: Any, model: Model, thinking: bool, expected: Options
) -> None:
    assert asked(parameters, model, thinking=thinking) == expected


@pytest.mark.parametrize(
    ("parameters", "model", "thinking", "text"),
    [
        ({"tools": [{}]}, OLD, False, "When 'tools' are provided, 'result_format' must be 'message'."),
        (
            {"tools": [{}], "result_format": "text"},
            NEW,
            False,
            "When 'tools' are provided, 'result_format' must be 'message'.",
        ),
        (
            {"result_format": "text"},
            NEW,
            True,
            'The result_format parameter must be "message" when enable_thinking is true',
        ),
        (
            {"incremental_output": False},
            NEW,
            True,
            'The incremental_output parameter must be "true" when enable_thinking is true',
        ),
        (
            {"incremental_output": False},
            OPEN,
            False,
            "The incremental_output parameter of this model cannot be set to False.",
        ),
        ({"result_format": "xml"}, OLD, False, "Input should be 'text' or 'message': parameters.result_format"),
        ({"result_format": 1}, OLD, False, "Input should be 'text' or 'message': parameters.result_format"),
        ({"incremental_output": "yes"}, OLD, False, "Input should be a valid boolean: parameters.incremental_output"),
        ({"n": "2"}, OLD, False, "Input should be a valid integer: parameters.n"),
        ([], OLD, False, "Input should be a valid dictionary: parameters"),
    ],
)
def test_wrong_options_are_refused_in_the_clouds_words(
    parameters: Any, model: Model, thinking: bool, text: str
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        asked(parameters, model, thinking=thinking)
    assert refused.value.message == text


def test_the_kind_of_stream_matters_only_to_streams() -> None:
    assert asked({"incremental_output": False}, OPEN, streamed=False).incremental_output is False


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["messages", "prompt", "history", "content", "text", "image", "video", "audio", "type"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@given(given=json_values, parameters=json_values, path=st.sampled_from(["text", "multimodal"]))
def test_no_request_can_break_the_reader(given: Any, parameters: Any, path: Path) -> None:
    body = json.dumps({"input": given, "parameters": parameters}).encode()
    document = Document.parse(body)
    with contextlib.suppress(InvalidParameter):
        json.loads(to_hub(document, path).encode())
    with contextlib.suppress(InvalidParameter):
        options(document, OLD, streamed=True, thinking=False)
