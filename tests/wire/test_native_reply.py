"""The hub's answers as native ones: framing, both kinds of stream, whole bodies, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao.errors import EngineBusy, ProtocolBroken, QiaoError, StreamBroken
from qiao.wire import sse
from qiao.wire.call import Path as NativePath
from qiao.wire.chunks import DONE, ChunkWriter
from qiao.wire.translate.native_call import Options
from qiao.wire.translate.native_reply import NativeReply
from qiao.wire.usage import Usage

GOLDEN = Path(__file__).parent / "golden"
ID = "ab9f3446-9bbf-963e-9754-2d6543343d7e"
USAGE = Usage(16, 9, 0, 3)
SHAPES = {
    "text-incremental": ("text", Options("text", True)),
    "text-cumulative": ("text", Options("text", False)),
    "message-incremental": ("text", Options("message", True)),
    "message-cumulative": ("text", Options("message", False)),
    "multimodal-incremental": ("multimodal", Options("message", True)),
}


def writer(*, thinking: bool = False) -> ChunkWriter:
    return ChunkWriter(ID, "qwen-plus", 1_735_120_033, thinking=thinking)


def plain() -> list[bytes]:
    to = writer()
    return [to.text("目前"), to.text('"杭州"\n'), to.finish("stop"), to.usage(Usage(16, 5)), DONE]


def thoughtful() -> list[bytes]:
    to = writer(thinking=True)
    return [to.thought("嗯"), to.thought("，"), to.text("好"), to.text("。"), to.finish("stop"), to.usage(USAGE), DONE]


def calling() -> list[bytes]:
    to = writer()
    name = "get_current_weather"
    return [
        to.tool(0, "call_29a870e7106f45deb8add3", name, '{"location": "'),
        to.arguments(0, '浙江省杭州市"}'),
        to.tool(1, "call_026e44bb31a74266949a20", name, '{"location":'),
        to.arguments(1, ' "上海市"}'),
        to.finish("tool_calls"),
        to.usage(Usage(16, 40)),
        DONE,
    ]


SCRIPTS = {"plain": plain, "thinking": thoughtful, "tools": calling}
FILES = [
    (script, shape)
    for script in SCRIPTS
    for shape in SHAPES
    if script == "plain" or not shape.startswith("text")  # thought and tools need messages
]


def reply(
    path: NativePath = "text",
    options: Options | None = None,
    *,
    streamed: bool = True,
    thinking: bool = False,
) -> NativeReply:
    return NativeReply(ID, path, options or Options(), streamed=streamed, thinking=thinking, prompt_estimate=16)


def run(to: NativeReply, pieces: list[bytes]) -> bytes:
    return b"".join([to.feed(piece) for piece in pieces]) + to.end()


def data(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(sse.data(frame) or b"") for frame in sse.split(stream)]


def choices(stream: bytes) -> list[dict[str, Any]]:
    return [event["output"]["choices"][0] for event in data(stream)]


def message(stream: bytes) -> list[dict[str, Any]]:
    return [choice["message"] for choice in choices(stream)]


@pytest.mark.parametrize(("script", "shape"), FILES)
def test_streams_are_those_of_the_golden_files(script: str, shape: str) -> None:
    path, options = SHAPES[shape]
    stream = run(reply(path, options, thinking=script == "thinking"), SCRIPTS[script]())
    assert stream == (GOLDEN / f"{script}.{shape}.sse").read_bytes()


def test_an_event_is_framed_and_its_message_spelled_as_recorded() -> None:
    recorded = (GOLDEN / "recorded_thinking.sse").read_bytes()
    first = sse.split(run(reply(thinking=True), thoughtful()))[0]
    end = recorded.index(b',"usage":')
    assert first[:end] == recorded[:end]
    assert first.endswith(b',"request_id":"%s"}\n\n' % ID.encode())


def test_tool_calls_are_spelled_as_recorded_up_to_the_finish() -> None:
    recorded = (GOLDEN / "recorded_tools.jsonl").read_bytes().splitlines()
    frames = sse.split(run(reply(), calling()))
    for line, frame in zip(recorded[:3], frames, strict=False):
        assert b'{"output":{"choices":[%s]}' % line in frame
    assert choices(b"".join(frames))[3]["message"] == json.loads(recorded[3])["message"]
    last = choices(frames[-1])[0]
    assert last["finish_reason"] == "tool_calls"
    assert last["message"]["tool_calls"] == [{"index": 1, "id": "", "type": "function", "function": {"arguments": ""}}]


@pytest.mark.parametrize(("script", "shape"), FILES)
def test_a_hub_stream_may_be_cut_at_every_byte(script: str, shape: str) -> None:
    path, options = SHAPES[shape]
    stream = b"".join(SCRIPTS[script]())
    whole = run(reply(path, options), [stream])
    assert run(reply(path, options), [stream[at : at + 1] for at in range(len(stream))]) == whole
    for cut in range(0, len(stream), 7):
        assert run(reply(path, options), [stream[:cut], stream[cut:]]) == whole


words = st.text(st.characters(codec="utf-8"), max_size=6)
pieces = st.lists(st.tuples(st.sampled_from(["thought", "text", "tool"]), words), max_size=12)


def scripted(script: list[tuple[str, str]]) -> bytes:
    to = writer(thinking=True)
    out: list[bytes] = []
    calls = 0
    for kind, text in script:
        if kind == "thought":
            out.append(to.thought(text))
        elif kind == "text":
            out.append(to.text(text))
        elif calls == 0 or text.startswith("a"):
            out.append(to.tool(calls, f"call_{calls}", "f", text))
            calls += 1
        else:
            out.append(to.arguments(calls - 1, text))
    reason = "tool_calls" if calls else "stop"
    return b"".join([*out, to.finish(reason), to.usage(USAGE), DONE])


@given(script=pieces, cuts=st.lists(st.integers(0, 2000), max_size=5), incremental=st.booleans())
def test_the_native_stream_does_not_depend_on_the_cuts(
    script: list[tuple[str, str]], cuts: list[int], incremental: bool
) -> None:
    stream = scripted(script)
    options = Options("message", incremental)
    ends = sorted({min(cut, len(stream)) for cut in cuts})
    parts = [stream[start:end] for start, end in zip([0, *ends], [*ends, len(stream)], strict=True)]
    assert run(reply("text", options), parts) == run(reply("text", options), [stream])


@given(pieces)
def test_the_increments_add_up_to_the_cumulative_stream_and_to_the_whole_answer(script: list[tuple[str, str]]) -> None:
    stream = [scripted(script)]
    steps = message(run(reply("text", Options("message", True)), stream))
    sums = message(run(reply("text", Options("message", False)), stream))
    assert len(steps) == len(sums)
    text = thought = ""
    calls: list[dict[str, Any]] = []
    for step, so_far in zip(steps, sums, strict=True):
        text += step["content"]
        thought += step.get("reasoning_content", "")
        for tool in step.get("tool_calls", ()):
            if tool["id"]:
                calls.append({**tool, "function": dict(tool["function"])})
            else:
                calls[tool["index"]]["function"]["arguments"] += tool["function"]["arguments"]
        assert (so_far["content"], so_far.get("reasoning_content", "")) == (text, thought)
        assert so_far.get("tool_calls", []) == calls
        assert so_far["role"] == step["role"] == "assistant"
    whole = json.loads(run(reply(streamed=False), stream))["output"]["choices"][0]["message"]
    assert (whole["content"], whole.get("reasoning_content", ""), whole.get("tool_calls", [])) == (text, thought, calls)


def test_running_counts_are_estimates_and_the_last_ones_are_the_engines() -> None:
    to = reply(thinking=True)
    counts = [event["usage"] for event in data(run(to, thoughtful()))]
    assert [count["output_tokens"] for count in counts] == [1, 2, 3, 4, 9]
    assert [count["output_tokens_details"]["reasoning_tokens"] for count in counts] == [1, 2, 2, 2, 3]
    assert all(count["total_tokens"] == count["input_tokens"] + count["output_tokens"] for count in counts)
    assert counts[-1]["prompt_tokens_details"] == {"cached_tokens": 0}
    assert to.usage == USAGE


def test_running_counts_of_the_engine_are_used_where_it_gives_them() -> None:
    to = writer()
    to.running = Usage(20, 7)
    answer = reply()
    assert data(answer.feed(to.text("a")))[0]["usage"] == {
        "total_tokens": 27,
        "output_tokens": 7,
        "input_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert answer.usage == Usage(20, 7)


def test_a_stream_without_usage_ends_with_the_estimate_and_settles_without_counts() -> None:
    to = writer()
    answer = reply()
    events = data(run(answer, [to.text("a"), to.finish("length"), DONE]))
    assert events[-1]["output"]["choices"][0]["finish_reason"] == "length"
    assert events[-1]["usage"] == {"total_tokens": 17, "output_tokens": 1, "input_tokens": 16}
    assert answer.usage is None
    assert answer.finished


@pytest.mark.parametrize("ending", [[], [DONE], [b'data: {"choices":[],"usage":null}\n\n', DONE, DONE]])
def test_the_last_event_is_written_once_however_the_engine_ends(ending: list[bytes]) -> None:
    to = writer()
    stream = run(reply(), [to.text("a"), to.finish("stop"), *ending])
    assert [choice["finish_reason"] for choice in choices(stream)] == ["null", "stop"]
    assert b"[DONE]" not in stream


def test_a_finish_reason_beside_text_waits_for_the_last_event() -> None:
    body = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    found = choices(run(reply(), [body, DONE]))
    assert [(choice["message"]["content"], choice["finish_reason"]) for choice in found] == [
        ("a", "null"),
        ("", "stop"),
    ]


def test_thought_and_text_in_one_chunk_become_two_events() -> None:
    body = b'data: {"choices":[{"delta":{"content":"a","reasoning":"t"}}]}\n\n'
    found = message(run(reply(), [body, DONE]))
    assert [(each["content"], each["reasoning_content"]) for each in found] == [("", "t"), ("a", ""), ("", "")]


def test_repeated_ids_and_names_and_missing_indexes_of_an_engine_are_mended() -> None:
    first = b'{"id":"c1","function":{"name":"f","arguments":null}}'
    again = b'{"id":"c1","index":0,"function":{"name":"f","arguments":"{}"}}'
    chunks = [b'data: {"choices":[{"delta":{"tool_calls":[%s]}}]}\n\n' % tool for tool in (first, again)]
    tools = [each["tool_calls"][0] for each in message(run(reply(), [*chunks, DONE])) if "tool_calls" in each]
    assert [(tool["id"], tool["function"]) for tool in tools] == [
        ("c1", {"name": "f", "arguments": ""}),
        ("", {"arguments": "{}"}),
    ]


def test_several_choices_are_one_choice_per_event_with_its_index() -> None:
    to = writer()
    script = [to.text("a"), to.text("b", 1), to.finish("stop", 1), to.text("c"), to.finish("length"), DONE]
    found = choices(run(reply(options=Options(n=2)), script))
    assert [(choice["index"], choice["message"]["content"], choice["finish_reason"]) for choice in found] == [
        (0, "a", "null"),
        (1, "b", "null"),
        (0, "c", "null"),
        (0, "", "length"),
        (1, "", "stop"),
    ]
    whole = json.loads(run(reply(options=Options(n=2), streamed=False), script))["output"]["choices"]
    assert [(choice["index"], choice["message"]["content"]) for choice in whole] == [(0, "ac"), (1, "b")]


def test_log_probabilities_are_carried() -> None:
    to = writer()
    given = {"content": [{"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []}]}
    script = [to.text("a", logprobs=given), to.finish("stop"), DONE]
    assert choices(run(reply(), script))[0]["logprobs"] == given
    assert json.loads(run(reply(streamed=False), script))["output"]["choices"][0]["logprobs"] == given


def test_audio_is_carried_beside_the_choices() -> None:
    body = b'data: {"choices":[{"delta":{"audio":{"data":"AAA=","id":"audio_1"}}}]}\n\n'
    assert data(run(reply("multimodal"), [body, DONE]))[0]["output"]["audio"] == {"data": "AAA=", "id": "audio_1"}


def without(value: Any, *names: str) -> Any:
    return {name: inner for name, inner in value.items() if name not in names}


def test_whole_answers_look_as_recorded() -> None:
    to = writer()
    text = json.loads((GOLDEN / "recorded_text.json").read_bytes())
    script = [to.text("1+1"), to.text("等于2。"), to.finish("stop"), to.usage(Usage(16, 6)), DONE]
    ours = json.loads(run(reply(options=Options("text"), streamed=False), script))
    assert ours["output"] == text["output"]
    assert without(ours["usage"], "prompt_tokens_details") == text["usage"]

    to = writer(thinking=True)
    recorded = (GOLDEN / "recorded_message.json").read_bytes()
    script = [to.thought("..."), to.text("2"), to.finish("stop"), to.usage(Usage(20, 1, reasoning=0)), DONE]
    ours_bytes = run(reply(streamed=False, thinking=True), script)
    assert ours_bytes.replace(ID.encode(), b"1d881da5-0028-9f20-8e7f-6bc7ae891c54") + b"\n" == recorded

    to = writer()
    picture = json.loads((GOLDEN / "recorded_multimodal.json").read_bytes())
    script = [to.text("海滩。"), to.finish("stop"), to.usage(Usage(3613, 3, images=3577)), DONE]
    ours = json.loads(run(reply("multimodal", streamed=False), script))
    assert ours["output"] == picture["output"]
    assert without(ours["usage"], "prompt_tokens_details", "total_tokens") == picture["usage"]


def completion(**choice: Any) -> bytes:
    usage = {"prompt_tokens": 16, "completion_tokens": 9}
    return msgspec.json.encode({"choices": [{"index": 0, "finish_reason": "stop"} | choice], "usage": usage})


def test_an_engine_that_did_not_stream_still_gives_a_native_stream() -> None:
    body = completion(message={"role": "assistant", "content": "好", "reasoning_content": "嗯"})
    answer = reply(thinking=True)
    stream = run(answer, [body[:20], body[20:]])
    assert [(each["reasoning_content"], each["content"]) for each in message(stream)] == [
        ("嗯", ""),
        ("", "好"),
        ("", ""),
    ]
    assert data(stream)[-1]["usage"]["output_tokens"] == 9
    assert (answer.usage, answer.finished) == (Usage(16, 9), True)


def test_an_engine_that_did_not_stream_gives_a_native_body() -> None:
    tool = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = completion(message={"role": "assistant", "content": None, "tool_calls": [tool]}, finish_reason="tool_calls")
    answer = json.loads(run(reply("multimodal", streamed=False), [b"\n", body]))
    assert answer["output"]["choices"] == [
        {
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": [], "tool_calls": [tool | {"index": 0}]},
        }
    ]
    assert answer["request_id"] == ID


def test_an_error_of_the_engine_inside_its_stream_becomes_an_error_event() -> None:
    to = writer()
    failure = b'data: {"error":{"message":"m","code":"limit_burst_rate"}}\n\n'
    answer = reply()
    stream = run(answer, [to.text("a"), failure, to.text("late"), DONE])
    assert isinstance(answer.error, EngineBusy)
    assert len(sse.split(stream)) == 2
    assert stream.endswith(
        b'id:2\nevent:error\n:HTTP_STATUS/429\ndata:{"code":"Throttling.BurstRate","message":"m","request_id":"%s"}\n\n'
        % ID.encode()
    )


def test_an_error_of_the_engine_inside_its_stream_is_raised_where_nothing_was_sent() -> None:
    answer = reply(streamed=False)
    assert answer.feed(b'data: {"error":{"message":"m","code":"limit_burst_rate"}}\n\n') == b""
    with pytest.raises(EngineBusy) as busy:
        answer.end()
    assert json.loads(answer.fail(busy.value)) == {"code": "Throttling.BurstRate", "message": "m", "request_id": ID}


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        (b"<html>login</html>", ProtocolBroken),
        (b'{"broken', ProtocolBroken),
        (b"{}", ProtocolBroken),
        (b'{"error":{"message":"m","code":"limit_requests"}}', EngineBusy),
        (b"data: nonsense\n\n", ProtocolBroken),
        (b"data: [DONE]\n\n", ProtocolBroken),
        (b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', StreamBroken),
        (b'data: {"choices":[{"delta":{"tool_calls":[{"index":999999999}]}}]}\n\n', QiaoError),
        (b"", StreamBroken),
    ],
)
def test_what_is_no_complete_answer_is_an_error(stream: bytes, kind: type[QiaoError], streamed: bool) -> None:
    answer = reply(streamed=streamed, options=Options("message", False))
    with pytest.raises(kind):
        run(answer, [stream])


def test_a_broken_stream_ends_with_the_next_number() -> None:
    answer = reply()
    answer.feed(writer().text("a"))
    with pytest.raises(StreamBroken) as broken:
        answer.end()
    assert answer.fail(broken.value).startswith(b"id:2\nevent:error\n:HTTP_STATUS/502\n")


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_of_an_engine_can_break_the_translator(junk: bytes, streamed: bool) -> None:
    for stream in (junk, b"data: " + junk + b"\n\n", plain()[0] + junk, b"{" + junk):
        answer = reply(streamed=streamed)
        try:
            run(answer, [stream])
        except QiaoError as error:
            answer.fail(error)
