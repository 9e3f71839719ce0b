"""The simulator's rehearsed faults."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qiao.wire import chunks, sse
from qiao.wire.call import Principal
from tests.engines.play import ID, Waits, asking, new, run, whole

REFUSALS = [
    ("401", 401, "invalid_api_key", "Incorrect API key provided."),
    ("403", 403, "AccessDenied.Unpurchased", "Access to model denied."),
    ("404", 404, "model_not_found", "The model `qwen-plus` does not exist or you do not have access to it."),
    ("429", 429, "limit_requests", "You have exceeded your current request limit."),
    ("429;code=burst", 429, "limit_burst_rate", "Request rate increased too quickly."),
    ("429;code=quota", 429, "insufficient_quota", "You exceeded your current quota"),
    ("500", 500, "internal_error", "An internal error has occured, please try again later or contact service support."),
    ("503", 503, "ModelServingError", "Too many requests. Your requests are being throttled due to system capacity"),
    ("error", 500, "internal_error", "An internal error has occured"),
]


@pytest.mark.parametrize(("fault", "status", "code", "text"), REFUSALS)
def test_a_refusal_has_the_envelope_of_the_cloud(fault: str, status: int, code: str, text: str) -> None:
    named = asking(model=f"qwen-plus!{fault}")
    for call in (named, asking().with_(headers={"x-qiao-fault": fault})):
        reply, body, _ = run(call)
        assert (reply.status, reply.content_type, reply.guarded) == (status, "application/json", False)
        error = json.loads(body)
        assert error["error"]["code"] == code
        assert error["error"]["message"].startswith(text)
        assert error["request_id"] == ID
        assert "retry-after" not in reply.headers


def test_a_refusal_may_say_when_to_come_back() -> None:
    assert run(asking(model="qwen-plus!429;retry_after=7"))[0].headers["retry-after"] == "7"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_fault_of_once_fails_once_per_caller_model_and_body(status: int) -> None:
    simulator = new()

    def tried(text: str = "hi", who: str = "a", fault: str = f"{status}-once") -> int:
        call = asking(text, model=f"qwen-plus!{fault}").with_(principal=Principal(who))
        return run(call, simulator)[0].status

    assert [tried(), tried(), tried()] == [status, 200, 200]
    assert [tried("other"), tried("other")] == [status, 200]
    assert [tried(who="b"), tried(who="b")] == [status, 200]
    keyed = f"{status}-once;key=k"
    assert [tried("one", fault=keyed), tried("two", fault=keyed)] == [status, 200]


def test_slow_and_stall_wait() -> None:
    waits = Waits()
    _, slow, _ = run(asking("讲个故事", "qwen-plus!slow;seconds=4", stream=True), new(clock=waits))
    assert waits.waited == [4]
    assert slow.endswith(chunks.DONE)
    waits.waited.clear()
    run(asking("讲个故事", "qwen-plus!stall;after=2;seconds=9", stream=True), new(clock=waits))
    assert waits.waited == [9]


def frames_of(fault: str, **fields: Any) -> tuple[list[bytes], bool]:
    reply, body, broken = run(asking("讲个故事", f"qwen-plus!{fault}", stream=True, **fields))
    assert reply.status == 200
    assert not reply.guarded
    return sse.split(body), broken


def test_cut_breaks_the_connection_between_or_within_frames() -> None:
    frames, broken = frames_of("cut;after=4")
    assert (len(frames), broken) == (4, True)
    frames, broken = frames_of("cut;after=4;bytes=10")
    assert (len(frames), frames[4], broken) == (5, b'data: {"ch', True)
    _, body, broken = run(asking(model="qwen-plus!cut"))
    assert broken
    assert body.startswith(b'{"choices"')


def test_incomplete_ends_cleanly_without_a_finish_reason() -> None:
    frames, broken = frames_of("incomplete")
    assert not broken
    assert len(frames) > 3
    assert all(json.loads(sse.data(frame) or b"")["choices"][0]["finish_reason"] is None for frame in frames)
    with pytest.raises(json.JSONDecodeError):
        json.loads(run(asking(model="qwen-plus!incomplete"))[1])


def test_garbage_is_not_json() -> None:
    frames, _ = frames_of("garbage;after=2")
    with pytest.raises(json.JSONDecodeError):
        json.loads(sse.data(frames[2]) or b"")
    with pytest.raises(json.JSONDecodeError):
        json.loads(run(asking(model="qwen-plus!garbage"))[1])


def test_an_error_in_the_middle_is_the_last_event() -> None:
    frames, broken = frames_of("error;after=3")
    assert (len(frames), broken) == (4, False)
    assert json.loads(sse.data(frames[3]) or b"")["error"]["code"] == "internal_error"


def test_wrong_usage_is_wrong() -> None:
    def usage(kind: str) -> Any:
        frames, _ = frames_of(f"wrong-usage;kind={kind}", stream_options={"include_usage": True})
        return json.loads(sse.data(frames[-2]) or b"").get("usage")

    assert usage("negative")["total_tokens"] < 0
    assert usage("huge")["total_tokens"] == 10**18
    assert usage("missing") is None
    assert whole(asking(model="qwen-plus!wrong-usage"))["usage"]["total_tokens"] < 0


def test_done_twice_goes_on_after_the_end() -> None:
    frames, _ = frames_of("done-twice")
    assert frames.count(b"data: [DONE]\n\n") == 2
    assert frames[-3] == frames[-1]


def test_huge_sends_one_event_of_that_size() -> None:
    frames, _ = frames_of("huge;mib=2")
    assert max(map(len, frames)) > 2 * 2**20


def test_html_and_empty_are_no_answers() -> None:
    reply, body, _ = run(asking(model="qwen-plus!html", stream=True))
    assert (reply.status, reply.content_type) == (200, "text/html; charset=utf-8")
    assert body.startswith(b"<!DOCTYPE html>")
    assert run(asking(model="qwen-plus!empty", stream=True))[1] == b""
    assert run(asking(model="qwen-plus!empty"))[1] == b""


def test_an_unknown_fault_or_option_is_explained() -> None:
    reply, body, _ = run(asking(model="qwen-plus!boom"))
    assert reply.status == 400
    assert "There is no fault 'boom'." in json.loads(body)["error"]["message"]
    for option in ("429;retry_after=soon", "cut;after=-1", "stall;seconds=nan", "huge;mib=1e99"):
        assert run(asking(model=f"qwen-plus!{option}", stream=True))[0].status == 400


def test_without_rehearsal_faults_are_guarded_like_any_engines() -> None:
    simulator = new(rehearsal=False)
    for fault in ("500", "cut", "html"):
        assert run(asking(model=f"qwen-plus!{fault}", stream=True), simulator)[0].guarded
    assert run(asking())[0].guarded
