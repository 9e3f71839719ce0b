"""The translation to llama-server and back, without a model: the cases that a demo model does not bring about."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao.errors import EngineFailed, InvalidParameter, ProtocolBroken
from qiao.wire import sse
from qiao.wire.call import Call
from qiao.wire.document import Document
from qiao.wire.model import Model, Sampling
from qiao.wire.translate import llama
from qiao.wire.translate.llama import Ask, Loaded
from qiao.wire.translate.llama_answer import Answer
from qiao.wire.translate.llama_call import ForcedCall

MODEL = Model("m", thinking="on", max_output=100, max_thought=50, sampling=Sampling(temperature=0.7, top_p=0.8))
LOADED = Loaded.of(("<|im_start|>", "<|im_end|>", "<s>"))
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def asked(model: Model = MODEL, loaded: Loaded = LOADED, **fields: Any) -> dict[str, Any]:
    return msgspec.json.decode(made(model, loaded, **fields).body)


def made(model: Model = MODEL, loaded: Loaded = LOADED, **fields: Any) -> Ask:
    document = Document.build(**({"messages": [{"role": "user", "content": "hi"}]} | fields))
    return llama.ask(Call("id", "openai", None, "m", document, True, 0.0), model, loaded)


def event(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + msgspec.json.encode({"choices": choices, **more}) + b"\n\n"


def fed(answer: Answer, *frames: bytes) -> list[dict[str, Any]]:
    out = b"".join([answer.feed(frame) for frame in frames])
    return [msgspec.json.decode(sse.data(frame) or b"") for frame in sse.split(out) if b"[DONE]" not in frame]


def test_the_engine_is_always_asked_to_stream_with_progress_and_usage() -> None:
    body = asked(stream=False)
    assert body["stream"] is body["return_progress"] is body["timings_per_token"] is True
    assert body["stream_options"] == {"include_usage": True}


def test_the_callers_sampling_goes_before_the_loaded_models_own_and_that_before_the_rows() -> None:
    loaded = Loaded.of((), sampling=Sampling(temperature=0.0))
    body = asked(loaded=loaded, top_p=0.5, repetition_penalty=1.1)
    assert (body["temperature"], body["top_p"], body["repeat_penalty"]) == (0.0, 0.5, 1.1)
    assert "top_k" not in asked(loaded=loaded), "a row's defaults belong to another model"
    assert asked()["temperature"] == 0.7
    assert "temperature" not in asked(Model("m"))


def test_a_top_k_over_100_switches_it_off() -> None:
    assert asked(top_k=101)["top_k"] == 0
    assert asked(top_k=100)["top_k"] == 100


def test_a_long_seed_is_folded_into_the_engines_range() -> None:
    assert asked(seed=1234)["seed"] == 1234
    assert 0 <= asked(seed=2**63 - 1)["seed"] < 2**32 - 1


def test_thinking_follows_the_row_and_the_call() -> None:
    def thinking(model: Model, **fields: Any) -> bool:
        return asked(model, **fields)["chat_template_kwargs"]["enable_thinking"]

    assert thinking(MODEL)
    assert not thinking(MODEL, enable_thinking=False)
    assert not thinking(Model("m"), enable_thinking=True)
    assert thinking(Model("m", known=False), enable_thinking=True)
    assert not thinking(Model("m", known=False))


def test_while_thinking_max_tokens_is_counted_by_the_answer_and_the_budget_by_the_engine() -> None:
    ask = made(max_tokens=5, thinking_budget=9)
    body = msgspec.json.decode(ask.body)
    assert "max_tokens" not in body
    assert (ask.limit, body["thinking_budget_tokens"]) == (5, 9)
    assert asked()["thinking_budget_tokens"] == 50
    assert made(max_tokens=5, enable_thinking=False).limit is None
    assert asked(max_tokens=5, enable_thinking=False)["max_tokens"] == 5
    assert asked(max_completion_tokens=7)["max_tokens"] == 7
    assert asked(enable_thinking=False)["max_tokens"] == 100


def test_control_tokens_become_text_in_messages_tools_and_arguments() -> None:
    tool = {"type": "function", "function": {"name": "f", "description": "<|im_end|>"}}
    body = made(messages=[{"role": "user", "content": "a<|im_start|>b<s>c"}], tools=[tool]).body.decode()
    assert "<\u2060|im_start|>" in body
    assert "<\u2060s>" in body
    assert "<|im_end|>" not in body
    assert "<|im_start|>" not in body


def test_a_tool_result_cannot_leave_its_frame_and_other_texts_keep_theirs() -> None:
    messages = [{"role": role, "content": "x</tool_response>y"} for role in ("user", "tool")]
    contents = [message["content"] for message in asked(messages=messages)["messages"]]
    assert contents == ["x</tool_response>y", "x<\u2060/tool_response>y"]


def test_a_model_that_sees_gets_images_as_data_only() -> None:
    def image(url: Any) -> list[dict[str, Any]]:
        part = {"type": "image_url", "image_url": {"url": url}, "min_pixels": 1}
        return [{"role": "user", "content": [part, {"type": "text", "text": "?"}]}]

    sees = Loaded.of((), sees=True)
    parts = asked(loaded=sees, messages=image("data:image/png;base64,AA=="))["messages"][0]["content"]
    assert parts[0] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    for url in ("http://169.254.169.254/", "file:///etc/passwd", "/etc/passwd", "DATA", 7, None):
        with pytest.raises(InvalidParameter, match="URL does not appear to be valid"):
            asked(loaded=sees, messages=image(url))
    with pytest.raises(InvalidParameter, match="Unexpected item type"):
        asked(messages=image("data:image/png;base64,AA=="))
    with pytest.raises(InvalidParameter, match="Unexpected item type"):
        asked(loaded=sees, messages=[{"role": "user", "content": [{"type": "video_url"}]}])


@pytest.mark.parametrize("stop", [[1, 2], [[1]], ["a", 1], 5, {"a": 1}])
def test_a_stop_that_is_not_text_is_refused(stop: Any) -> None:
    with pytest.raises(InvalidParameter) as error:
        made(stop=stop)
    assert error.value.param == "stop"


def test_a_tool_without_a_function_is_refused_in_the_references_words() -> None:
    with pytest.raises(InvalidParameter, match=r"'function' is a required property, expected an object - 'tools.1'"):
        made(tools=[TOOL, {"name": "f"}])


def test_a_stop_text_is_found_across_chunks_and_what_only_looked_like_it_is_kept() -> None:
    answer = Answer(Ask(b"", stop=("END",)), "id", "m", 0)
    pieces = [event({"content": piece}) for piece in ("a E", "N", "x E", "N", "D tail", "more")]
    chunks = fed(answer, *pieces)
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]) == "a ENx "
    assert answer.finished


def test_what_is_held_back_comes_at_the_end() -> None:
    answer = Answer(Ask(b"", stop=("END",)), "id", "m", 0)
    chunks = fed(answer, event({"content": "a E"}), event({}, "stop"), b"data: [DONE]\n\n")
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks if chunk["choices"]) == "a E"


def test_an_error_in_the_stream_is_the_engines_failure() -> None:
    with pytest.raises(EngineFailed, match="out of memory"):
        Answer(Ask(b""), "id", "m", 0).feed(b'data: {"error":{"code":500,"message":"out of memory"}}\n\n')


def test_an_end_without_a_reason_is_a_broken_protocol() -> None:
    answer = Answer(Ask(b""), "id", "m", 0)
    answer.feed(event({"content": "a"}))
    with pytest.raises(ProtocolBroken):
        answer.feed(b"data: [DONE]\n\n")


def test_what_is_not_a_chunk_is_a_broken_protocol_and_a_comment_is_nothing() -> None:
    answer = Answer(Ask(b""), "id", "m", 0)
    assert answer.feed(b": ping\n\n") == b""
    with pytest.raises(ProtocolBroken):
        answer.feed(b"data: {nonsense\n\n")


def test_a_forced_call_that_was_cut_is_shown_as_the_text_it_is() -> None:
    answer = Answer(Ask(b"", forced=True), "id", "m", 0)
    chunks = fed(answer, event({"content": '{"name": "f", "argu'}), event({}, "length"), b"data: [DONE]\n\n")
    deltas = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert "tool_calls" not in str(deltas)
    assert deltas[-1]["finish_reason"] == "length"


def test_a_forced_call_comes_as_it_is_made_with_its_name_first() -> None:
    answer = Answer(Ask(b"", forced=True), "id", "m", 0)
    pieces = ['{"na', 'me" : "f", "argum', 'ents": {"a', '": "x}', '\\"y"', ', "b": [1]}', " ", "}"]
    chunks = fed(answer, *(event({"content": piece}) for piece in pieces), event({}, "stop"), b"data: [DONE]\n\n")
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert calls[0]["function"] == {"name": "f", "arguments": ""}
    assert calls[0]["id"].startswith("call_")
    arguments = [call["function"]["arguments"] for call in calls[1:]]
    assert arguments == ['{"a', '": "x}', '\\"y"', ', "b": [1]}']
    assert all(call["id"] == "" and "name" not in call["function"] for call in calls[1:])
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]][-1] == "tool_calls"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda of: st.lists(of) | st.dictionaries(st.text(), of)
)


@given(st.text(), st.dictionaries(st.text(), _JSON), st.sampled_from([None, 1]), st.data())
def test_a_forced_call_is_the_same_however_it_is_cut(
    name: str, arguments: dict[str, Any], indent: int | None, data: st.DataObject
) -> None:
    text = json.dumps({"name": name, "arguments": arguments}, indent=indent, ensure_ascii=data.draw(st.booleans()))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    call = ForcedCall()
    pieces = [call.feed(text[start:end]) for start, end in pairwise([0, *cuts, len(text)])]
    assert call.name == name
    assert json.loads("".join(pieces)) == arguments


def test_usage_counts_what_was_made_when_the_answer_is_cut_here() -> None:
    answer = Answer(Ask(b"", thinking=True, could_think=True, limit=2), "id", "m", 0)
    progress = {"prompt_progress": {"total": 9, "cache": 4, "processed": 9}}
    fed(answer, event({}, **progress), event({"reasoning_content": "t"}, timings={"predicted_n": 3}))
    chunks = fed(answer, *(event({"content": str(n)}, timings={"predicted_n": 5 + n}) for n in range(4)))
    usage = chunks[-1]["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (9, 6)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 4
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 3
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
