"""Native DashScope on the wire: the stream switch, errors, and the relay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao.errors import (
    BodyTooLarge,
    Defect,
    Draining,
    EngineBusy,
    EngineFailed,
    EngineTimeout,
    InvalidParameter,
    KeyRefused,
    MalformedBody,
    MissingKey,
    NoCredit,
    ProtocolBroken,
    QiaoError,
    Refused,
    StreamBroken,
    UnknownModel,
    WrongKey,
    WrongMethod,
)
from qiao.wire import dashscope, retry_after
from qiao.wire.usage import Usage

GOLDEN = Path(__file__).parent / "golden"
NOW = 1_800_000_000.0
ID = "5b441aa7-0b9c-9fbc-ae0a-e2b212b71eac"


def event(number: int, text: str, finish: str = "null", output: int = 1) -> bytes:
    choice = {"message": {"content": text, "role": "assistant"}, "finish_reason": finish}
    usage = {"total_tokens": 16 + output, "output_tokens": output, "input_tokens": 16}
    data = {"output": {"choices": [choice]}, "usage": usage, "request_id": ID}
    return dashscope.frame(number, json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())


STREAM = event(1, "目前") + event(2, '杭州"finish_reason":"stop"', output=2) + event(3, "", "stop", 3)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-dashscope-sse": "enable", "accept": "*/*"}, True),
        ({"x-dashscope-sse": "Enable"}, True),
        ({"accept": "text/event-stream"}, True),
        ({"accept": "application/json, Text/Event-Stream;q=0.9"}, True),
        ({"x-dashscope-sse": "disable", "accept": "*/*"}, False),
        ({"accept": "application/json"}, False),
        ({}, False),
    ],
)
def test_a_stream_is_asked_for_by_header(headers: dict[str, str], expected: bool) -> None:
    assert dashscope.streams(headers) is expected


@pytest.mark.parametrize(
    ("error", "status", "code", "message"),
    [
        (MissingKey(), 401, "InvalidApiKey", "No API-key provided."),
        (WrongKey(), 401, "InvalidApiKey", "Invalid API-key provided."),
        (UnknownModel(param="qwen-x"), 404, "ModelNotFound", "The model qwen-x does not exist."),
        (
            MalformedBody(),
            400,
            "InvalidParameter",
            "Required body invalid, please check the request body format.",
        ),
        (WrongMethod(param="GET"), 400, "InvalidParameter", "Request method 'GET' is not supported."),
        (BodyTooLarge(), 413, "BadRequest.TooLarge", "Payload Too Large"),
        (Draining(), 503, "ModelUnavailable", "The server is stopping. Please try again later."),
        (EngineTimeout(), 504, "RequestTimeOut", "Request timed out, please try again later."),
        (EngineBusy(), 429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
        (EngineBusy("Slower.", code="Throttling.BurstRate"), 429, "Throttling.BurstRate", "Slower."),
        (
            Defect(),
            500,
            "InternalError",
            "An internal error has occured, please try again later or contact service support.",
        ),
    ],
)
def test_an_error_before_a_stream_is_flat_and_has_its_own_status(
    error: QiaoError, status: int, code: str, message: str
) -> None:
    rendered = dashscope.render_error(error, ID, streamed=True)
    assert (rendered.status, rendered.content_type) == (status, "application/json")
    assert json.loads(rendered.body) == {"code": code, "message": message, "request_id": ID}


def test_a_parameter_error_of_a_stream_is_an_event_in_a_200() -> None:
    error = InvalidParameter("url error, please check url！")
    rendered = dashscope.render_error(error, ID, streamed=True)
    assert (rendered.status, rendered.content_type) == (200, "text/event-stream;charset=UTF-8")
    assert rendered.body == (GOLDEN / "recorded_error.sse").read_bytes()
    assert dashscope.render_error(error, ID, streamed=False).status == 400


def test_the_clouds_own_refusal_goes_back_as_it_came() -> None:
    body = b'{"request_id":"other", "code":"DataInspectionFailed","message":"Input data may ..."}'
    refused = dashscope.classify(400, {"content-type": "application/json;charset=UTF-8"}, body, NOW)
    rendered = dashscope.render_error(refused, ID, streamed=False)
    assert (rendered.status, rendered.content_type, rendered.body) == (400, "application/json;charset=UTF-8", body)


@pytest.mark.parametrize(
    ("status", "code", "native"),
    [
        (400, "invalid_parameter_error", "InvalidParameter"),
        (400, "invalid_request_error", "InvalidParameter"),
        (400, "data_inspection_failed", "DataInspectionFailed"),
        (400, "BadRequestError", "InvalidParameter"),
        (404, "model_not_found", "ModelNotFound"),
        (404, "NotFoundError", "ModelNotFound"),
        (422, "422", "InvalidParameter"),
        (403, "access_denied", "AccessDenied"),
        (403, "AccessDenied.Unpurchased", "AccessDenied.Unpurchased"),
        (400, "", "InvalidParameter"),
    ],
)
def test_a_refusal_of_an_openai_engine_gets_the_flat_envelope(status: int, code: str, native: str) -> None:
    refused = Refused(
        "No.", status=status, code=code, body=b'{"error":{"message":"No."}}', content_type="application/json"
    )
    rendered = dashscope.render_error(refused, ID, streamed=False)
    assert rendered.status == status
    assert json.loads(rendered.body) == {"code": native, "message": "No.", "request_id": ID}
    streamed = dashscope.render_error(refused, ID, streamed=True)
    assert streamed.body.startswith(b"id:1\nevent:error\n:HTTP_STATUS/%d\ndata:{" % status)


def test_an_error_frame_counts_on_and_holds_all_three_keys() -> None:
    assert dashscope.error_frame(StreamBroken("Cut."), ID, 7) == (
        b'id:7\nevent:error\n:HTTP_STATUS/502\ndata:{"code":"InternalError","message":"Cut.","request_id":"%s"}\n\n'
        % ID.encode()
    )


@pytest.mark.parametrize(
    ("status", "code", "kind", "kept"),
    [
        (429, "Throttling", EngineBusy, "Throttling"),
        (429, "Throttling.RateQuota", EngineBusy, "Throttling.RateQuota"),
        (429, "Throttling.BurstRate", EngineBusy, "Throttling.BurstRate"),
        (429, "limit_requests", EngineBusy, "Throttling.RateQuota"),
        (429, "PostpaidBillOverdue", NoCredit, "PostpaidBillOverdue"),
        (429, "PrepaidBillOverdue", NoCredit, "PrepaidBillOverdue"),
        (429, "CommodityNotPurchased", NoCredit, "CommodityNotPurchased"),
        (400, "Arrearage", NoCredit, "Arrearage"),
        (403, "AllocationQuota.FreeTierOnly", NoCredit, "AllocationQuota.FreeTierOnly"),
        (401, "InvalidApiKey", KeyRefused, "InvalidApiKey"),
        (401, "", KeyRefused, "InvalidApiKey"),
        (500, "InternalError.Algo", EngineFailed, "InternalError.Algo"),
        (503, "ModelUnavailable", EngineFailed, "ModelUnavailable"),
        (403, "AccessDenied", Refused, "AccessDenied"),
        (400, "InvalidParameter", Refused, "InvalidParameter"),
        (302, "", ProtocolBroken, "InternalError.Algo"),
    ],
)
def test_the_clouds_errors_are_told_apart(status: int, code: str, kind: type[QiaoError], kept: str) -> None:
    body = json.dumps({"code": code, "message": "m", "request_id": ID}).encode()
    error = dashscope.classify(status, {}, body, NOW)
    assert type(error) is kind
    assert error.code == kept


def test_a_502_with_a_web_page_is_a_failed_engine() -> None:
    error = dashscope.classify(502, {"content-type": "text/html"}, b"<html>\xff bad gateway</html>", NOW)
    assert isinstance(error, EngineFailed)
    assert (error.status, error.code) == (502, "InternalError")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after": "1000000000"}, 3600.0),
        ({"retry-after": "9" * 500}, 3600.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:20 GMT"}, 20.0),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:20 -0000"}, 20.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "٣"}, None),
        ({}, None),
    ],
)
def test_the_pause_asked_for_is_read_in_all_its_spellings(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after.seconds(headers, NOW) == expected
    busy = dashscope.classify(429, headers, b"", NOW)
    assert busy.retry_after == expected


@given(st.text())
def test_no_retry_after_can_break_the_reader(value: str) -> None:
    wait = retry_after.seconds({"retry-after": value, "retry-after-ms": value}, NOW)
    assert wait is None or 0 <= wait <= 3600


def test_an_error_inside_a_stream_is_classified_by_code_and_status() -> None:
    busy = dashscope.frame(4, b'{"code":"Throttling.RateQuota","message":"m","request_id":"r"}', status=400)
    assert isinstance(dashscope.error_in(busy), EngineBusy)
    refused = dashscope.error_in((GOLDEN / "recorded_error.sse").read_bytes())
    assert isinstance(refused, Refused)
    assert (refused.status, refused.code, refused.message) == (400, "InvalidParameter", "url error, please check url！")
    assert isinstance(dashscope.error_in(b'{"code":"InternalError","message":"m"}'), EngineFailed)
    assert isinstance(dashscope.error_in(dashscope.frame(1, b"not json", status=500)), EngineFailed)
    assert isinstance(dashscope.error_in(dashscope.frame(1, b"{}", status=503)), EngineFailed)
    assert dashscope.error_in(event(1, "a")) is None
    assert dashscope.error_in(b": keep-alive\n\n") is None


def test_a_native_stream_passes_byte_for_byte_and_its_facts_are_known() -> None:
    relay = dashscope.NativeRelay("mine", streamed=True)
    assert relay.feed(STREAM) == STREAM
    assert relay.end() == b""
    assert (relay.usage, relay.answer_id, relay.error, relay.finished) == (Usage(16, 3), ID, None, True)


@pytest.mark.parametrize("stream", [STREAM, STREAM.replace(b"\n", b"\r\n"), b": keep-alive\n\n" + STREAM])
def test_a_native_stream_may_be_cut_at_every_byte(stream: bytes) -> None:
    for cut in range(len(stream) + 1):
        relay = dashscope.NativeRelay("mine", streamed=True)
        assert relay.feed(stream[:cut]) + relay.feed(stream[cut:]) + relay.end() == stream
        assert relay.usage == Usage(16, 3)


def test_text_that_looks_like_a_finish_reason_is_not_one() -> None:
    relay = dashscope.NativeRelay("mine", streamed=True)
    relay.feed(event(1, '"finish_reason":"stop"'))
    assert not relay.finished


def test_a_native_stream_that_ends_early_is_broken_and_its_usage_so_far_is_known() -> None:
    for end in (event(2, "b", output=2), event(2, "b", output=2) + event(3, "", "stop")[:-1]):
        relay = dashscope.NativeRelay("mine", streamed=True)
        relay.feed(event(1, "a") + end)
        with pytest.raises(StreamBroken) as broken:
            relay.end()
        assert relay.usage == Usage(16, 2)
        assert relay.fail(broken.value).startswith(b"id:3\nevent:error\n:HTTP_STATUS/502\n")


def test_an_error_event_of_the_cloud_passes_and_ends_the_stream() -> None:
    failure = dashscope.frame(2, b'{"code":"DataInspectionFailed","message":"m","request_id":"r"}', status=400)
    relay = dashscope.NativeRelay("mine", streamed=True)
    assert relay.feed(event(1, "a") + failure + event(3, "late", "stop")) == event(1, "a") + failure
    assert relay.feed(event(4, "later")) == b""
    assert relay.end() == b""
    assert isinstance(relay.error, Refused)
    assert relay.error.code == "DataInspectionFailed"
    assert relay.usage == Usage(16, 1)


@pytest.mark.parametrize("junk", [b"data:{broken\n\n", b"<html>\n\n</html>\n\n", b'data:"text"\n\n'])
def test_a_stream_that_is_not_native_is_refused(junk: bytes) -> None:
    with pytest.raises(ProtocolBroken):
        dashscope.NativeRelay("mine", streamed=True).feed(junk)


def test_a_json_answer_passes_as_a_whole() -> None:
    body = (GOLDEN / "recorded_multimodal.json").read_bytes()
    relay = dashscope.NativeRelay("mine", streamed=False)
    assert relay.feed(body[:50]) + relay.feed(body[50:]) == b""
    assert relay.end() == body
    assert relay.usage == Usage(3613, 3, images=3577)
    assert (relay.answer_id, relay.finished) == ("e81aa922-be6c-9f9d-bd4f-0f43e21fd913", True)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>login</html>", ProtocolBroken),
        (b"", ProtocolBroken),
        (b"{}", ProtocolBroken),
        (b'{"output":null}', ProtocolBroken),
        (b'{"code":"Throttling","message":"m","request_id":"r"}', EngineBusy),
        (b'{"code":"InternalError","message":"m","request_id":"r"}', EngineFailed),
        (b'{"code":"InvalidParameter","message":"m","request_id":"r"}', Refused),
    ],
)
def test_a_json_answer_without_output_is_an_error(body: bytes, kind: type[QiaoError]) -> None:
    relay = dashscope.NativeRelay("mine", streamed=False)
    relay.feed(body)
    with pytest.raises(kind):
        relay.end()
    assert json.loads(relay.fail(StreamBroken("x")))["request_id"] == "mine"


@given(st.binary(max_size=300), st.sampled_from([200, 302, 400, 401, 404, 429, 500]))
def test_no_bytes_of_the_cloud_can_break_the_reader(data: bytes, status: int) -> None:
    dashscope.classify(status, {}, data, NOW)
    dashscope.error_in(data)
    dashscope.error_in(b"id:1\nevent:error\n:HTTP_STATUS/500\ndata:" + data + b"\n\n")
    for streamed in (True, False):
        for piece in (data, b"data:" + data + b"\n\n", event(1, "a") + data):
            relay = dashscope.NativeRelay("mine", streamed=streamed)
            try:
                relay.feed(piece)
                relay.end()
            except QiaoError as error:
                relay.fail(error)
            assert relay.usage is None or relay.usage.total >= 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["code", "x"]), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(["code", "message", "request_id", "output", "usage", "error"]), json_values, max_size=6
    ),
    st.sampled_from([400, 429, 500]),
)
def test_no_json_of_the_cloud_can_break_the_reader(value: dict[str, object], status: int) -> None:
    data = json.dumps(value).encode()
    error = dashscope.classify(status, {}, data, NOW)
    dashscope.render_error(error, ID, streamed=True)
    relay = dashscope.NativeRelay("mine", streamed=True)
    try:
        relay.feed(dashscope.frame(1, data))
        relay.end()
    except QiaoError as failure:
        relay.fail(failure)
