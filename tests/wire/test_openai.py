"""OpenAI mode on the wire: what passes byte for byte, what must change, and what errors look like."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao import errors
from qiao.wire import openai
from qiao.wire.openai import BodyRelay, EventRelay

ID = "5f8d1c7e-0f0a-4d51-9d8d-7a3a5f1c9b10"
ROLE = b'data: {"choices":[{"delta":{"content":"","role":"assistant"},"index":0}],"usage":null,"id":"chatcmpl-a1"}\n\n'
ODD = b'data: {"choices":[{"delta":{"content":"\xe4\xbd\xa0 \\u597d"},"index":0}],"x_odd":{"t":0.80,"n":1e-07},"usage":null}\n\n'
FINISH = b'data: {"choices":[{"finish_reason":"stop","delta":{"content":""},"index":0}],"usage":null}\n\n'
USAGE = (
    b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,"total_tokens":16},"id":"chatcmpl-a1"}\n\n'
)
DONE = b"data: [DONE]\n\n"
STREAM = ROLE + b": ping\n\n" + ODD + ODD.replace(b"data: ", b"data:") + FINISH + USAGE + DONE


def relayed(relay: EventRelay, stream: bytes, cuts: list[int]) -> bytes:
    out, start = b"", 0
    for cut in [*sorted({c for c in cuts if c < len(stream)}), len(stream)]:
        out += relay.feed(stream[start:cut])
        start = cut
    return out + relay.end()


@given(st.lists(st.integers(0, len(STREAM))))
def test_a_stream_of_the_same_protocol_passes_byte_for_byte_wherever_it_was_cut(cuts: list[int]) -> None:
    relay = EventRelay(ID)
    assert relayed(relay, STREAM, cuts) == STREAM
    assert relay.usage is not None
    assert (relay.usage.input, relay.usage.output) == (9, 7)
    assert relay.answer_id == "a1"
    assert relay.finished


@given(st.lists(st.integers(0, len(STREAM))))
def test_the_usage_event_is_hidden_when_the_client_did_not_ask_for_it(cuts: list[int]) -> None:
    relay = EventRelay(ID, hide_usage=True)
    assert relayed(relay, STREAM, cuts) == STREAM.replace(USAGE, b"")
    assert relay.usage is not None


def test_carriage_returns_and_frames_after_done_are_legal() -> None:
    relay = EventRelay(ID)
    stream = STREAM.replace(b"\n\n", b"\r\n\r\n")
    assert relayed(relay, stream + ODD, [10, 11, 12]) == stream


def test_a_model_name_is_replaced_in_the_envelope_and_not_in_the_text() -> None:
    frame = b'data: {"model":"Qwen/Qwen3-8B","choices":[{"delta":{"content":"\\"model\\":\\"Qwen/Qwen3-8B\\""}}]}\n\n'
    relay = EventRelay(ID, rename={b'"model":"Qwen/Qwen3-8B"': b'"model":"qwen-plus"'})
    out = relay.feed(frame)
    assert json.loads(out[6:])["model"] == "qwen-plus"
    assert json.loads(out[6:])["choices"][0]["delta"]["content"] == '"model":"Qwen/Qwen3-8B"'


def test_a_stream_that_ends_early_is_broken() -> None:
    relay = EventRelay(ID)
    relay.feed(ROLE + ODD[:20])
    with pytest.raises(errors.StreamBroken):
        relay.end()


def test_a_missing_done_after_a_finish_reason_is_tolerated() -> None:
    relay = EventRelay(ID)
    assert relay.feed(ROLE + FINISH) == ROLE + FINISH
    assert relay.end() == b""


def test_an_event_that_is_not_json_is_a_broken_protocol() -> None:
    relay = EventRelay(ID)
    relay.feed(ROLE)
    with pytest.raises(errors.ProtocolBroken):
        relay.feed(b"data: {broken\n\n")


@pytest.mark.parametrize(
    "frame",
    [
        b'data: {"error":{"message":"boom","type":"internal_error","param":null,"code":"internal_error"}}\n\n',
        b'data: {"code":"InternalError","message":"boom","request_id":"x"}\n\n',
        b'data: {"error":"boom"}\n\n',
    ],
)
def test_an_error_inside_the_stream_passes_and_is_remembered(frame: bytes) -> None:
    relay = EventRelay(ID)
    assert relay.feed(ROLE + frame + ODD) == ROLE + frame
    assert isinstance(relay.error, errors.EngineError)
    assert relay.error.message == "boom"


def test_the_last_frame_of_a_failed_stream_is_nested_and_no_done_follows() -> None:
    relay = EventRelay(ID)
    relay.feed(ROLE)
    frame = relay.fail(errors.StreamBroken("It broke."))
    body = json.loads(frame[6:])
    assert body["error"]["message"] == "It broke."
    assert body["id"] == "chatcmpl-a1"
    assert b"[DONE]" not in frame


def test_a_whole_answer_passes_byte_for_byte() -> None:
    body = b'{ "choices": [{"message":{"content":"hi"}, "x":0.80}], "usage":{"prompt_tokens":1,"completion_tokens":2}, "id":"chatcmpl-z" }'
    relay = BodyRelay(ID)
    assert relay.feed(body[:30]) == relay.feed(body[30:]) == b""
    assert relay.end() == body
    assert relay.answer_id == "z"


@pytest.mark.parametrize("body", [b"<html>", b'{"ok":true}', b'"text"', b'{"error":{"message":"no","code":"x"}}', b""])
def test_a_body_that_is_no_completion_is_the_engines_fault(body: bytes) -> None:
    relay = BodyRelay(ID)
    relay.feed(body)
    with pytest.raises(errors.EngineError):
        relay.end()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid_parameter_error", errors.Refused),
        (401, "invalid_api_key", errors.KeyRefused),
        (400, "Arrearage", errors.NoCredit),
        (403, "AllocationQuota.FreeTierOnly", errors.NoCredit),
        (404, "model_not_found", errors.Refused),
        (429, "limit_requests", errors.EngineBusy),
        (429, "insufficient_quota", errors.EngineBusy),
        (500, "internal_error", errors.EngineFailed),
        (503, "", errors.EngineFailed),
    ],
)
def test_an_engines_answer_is_classified(status: int, code: str, kind: type[errors.QiaoError]) -> None:
    body = json.dumps({"error": {"message": "m", "type": "t", "param": None, "code": code}}).encode()
    error = openai.classify(status, {"retry-after": "7"}, body, 0.0)
    assert type(error) is kind
    assert error.message == "m"
    if status == 429:
        assert error.retry_after == 7


@given(st.integers(400, 599), st.binary(max_size=200))
def test_classifying_never_fails(status: int, body: bytes) -> None:
    assert isinstance(openai.classify(status, {}, body, 0.0), errors.QiaoError)
    openai.error_in(body)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_odd_bytes_end_in_an_engine_error_or_pass(chunks: list[bytes]) -> None:
    relay = EventRelay(ID)
    try:
        for chunk in chunks:
            relay.feed(chunk + b"\n\n")
        relay.end()
    except errors.EngineError:
        pass


def test_gateway_errors_and_model_errors_have_their_own_envelopes() -> None:
    wrong = openai.render_error(errors.WrongKey(), ID, streamed=True)
    assert (wrong.status, wrong.content_type) == (401, "application/json")
    assert list(json.loads(wrong.body)["error"]) == ["message", "type", "param", "code"]
    assert json.loads(wrong.body)["request_id"] == ID
    bad = openai.render_error(errors.InvalidParameter("Range of n should be [1, 4]"), ID, streamed=False)
    body = json.loads(bad.body)
    assert list(body["error"]) == ["code", "param", "message", "type"]
    assert body["error"]["code"] == "invalid_parameter_error"
    assert body["id"] == f"chatcmpl-{ID}"
    framed = openai.render_error(errors.InvalidParameter("x"), ID, streamed=True)
    assert framed.status == 400
    assert framed.body.startswith(b'data: {"error":')
    assert framed.body.endswith(b"\n\n")


def test_a_missing_key_is_told_in_the_references_words() -> None:
    body = json.loads(openai.render_error(errors.MissingKey(), ID, streamed=False).body)
    assert body["error"]["message"].startswith("You didn't provide an API key.")
    assert body["error"]["code"] is None
