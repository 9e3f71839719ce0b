"""What of a long conversation is sent on, and that no tool's result is torn from its call."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao.gate.history import Keep, select, trimmed
from qiao.wire.call import Call
from qiao.wire.document import Document

S, D = {"role": "system", "content": "s"}, {"role": "developer", "content": "d"}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, *calls):
    made = [{"id": call, "type": "function", "function": {"name": "f", "arguments": "{}"}} for call in calls]
    return {"role": "assistant", "content": text} | ({"tool_calls": made} if made else {})


def result(call):
    return {"role": "tool", "tool_call_id": call, "content": "r"}


def kept(messages, **keep):
    raws = [msgspec.Raw(json.dumps(message).encode()) for message in messages]
    return [json.loads(bytes(raw)) for raw in select(raws, Keep(**keep))]


LONG = [
    S, user("1"), assistant("", "a"), result("a"), assistant("x"), D,
    user("2"), assistant("y"), user("3"), assistant("", "b", "c"), result("b"), result("c"), assistant("z"), user("4"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rounds", "wanted"),
    [(1, [S, D, LONG[-1]]), (2, [S, D, *LONG[8:]]), (3, [S, D, *LONG[6:]]), (4, LONG), (9, LONG)],
)
def test_the_last_rounds_stay_with_every_system_message_in_its_place(rounds, wanted):
    assert kept(LONG, rounds=rounds) == wanted


def test_whole_rounds_are_kept_as_long_as_they_fit():
    # Each message takes 6 tokens here, one with tool calls more.
    assert kept(LONG, tokens=18) == [S, D, LONG[-1]]
    assert kept([S, user("1"), assistant("2"), user("3"), assistant("4"), user("5")], tokens=30) == [
        S, user("3"), assistant("4"), user("5"),
    ]  # fmt: skip
    assert kept([S, user("1"), assistant("2"), user("3")], tokens=24) == [S, user("1"), assistant("2"), user("3")]
    assert kept([S, user("1"), assistant("2"), user("3")], tokens=23) == [S, user("3")]


def test_the_last_question_is_kept_whatever_it_takes():
    assert kept([S, user("a " * 500)], tokens=10) == [S, user("a " * 500)]
    assert kept([S, user("1"), assistant("2"), user("a " * 500)], tokens=10, rounds=5) == [S, user("a " * 500)]


def test_of_a_long_run_of_tools_the_question_and_the_newest_results_are_kept():
    run = [message for name in "abcdef" for message in (assistant("", name), result(name))]
    found = kept([S, user("0"), assistant("1"), user("go"), *run], tokens=80)
    assert found[:2] == [S, user("go")]
    assert found[2:] == run[-len(found[2:]) :]
    assert found[2]["role"] == "assistant"
    assert kept([S, user("go"), *run], tokens=1) == [S, user("go"), *run[-2:]]


def test_both_protocols_are_trimmed_and_other_fields_keep_their_bytes():
    messages = [S, user("1"), assistant("2"), user("3")]
    openai = Document.parse(b'{"x":0.80,"messages":%b}' % json.dumps(messages).encode())
    native = Document.parse(
        b'{"model":"m","input":{"x":0.80,"messages":%b},"parameters":{"y":1e-07}}' % json.dumps(messages).encode()
    )
    for protocol, document in (("openai", openai), ("dashscope", native)):
        call = Call("i", protocol, None, "m", document, stream=False, received=0.0)
        found = trimmed(call, Keep(rounds=1))
        assert found.left_out == 2
        inner = found.document if protocol == "openai" else found.document.object("input")
        assert inner.get("messages") == [S, user("3")]
        assert b"0.80" in inner.encode()
        assert trimmed(call, Keep(rounds=2)) is call


@pytest.mark.parametrize("body", [b"{}", b'{"messages":[]}', b'{"messages":null}', b'{"input":{"prompt":"x"}}'])
def test_a_call_without_a_conversation_is_left_alone(body):
    for protocol in ("openai", "dashscope"):
        call = Call("i", protocol, None, "m", Document.parse(body), stream=False, received=0.0)
        assert trimmed(call, Keep(1, 1)) is call


MESSAGE = st.one_of(
    st.just(S), st.builds(user, st.text(max_size=9)), st.builds(assistant, st.text(max_size=9)), st.integers(),
    st.just({"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url"}, 3]}),
    st.dictionaries(st.sampled_from(["role", "content", "tool_calls"]), st.one_of(st.none(), st.integers(), st.text())),
)  # fmt: skip
TURN = st.one_of(
    MESSAGE.map(lambda message: [message]),
    st.integers(1, 3).map(lambda many: [assistant("", *"abc"[:many]), *(result(name) for name in "abc"[:many])]),
)
LIMIT = st.one_of(st.none(), st.integers(1, 99))


@given(st.lists(TURN, max_size=12).map(lambda turns: [message for turn in turns for message in turn]), LIMIT, LIMIT)
def test_any_conversation_keeps_its_order_its_system_messages_its_last_one_and_its_pairs(messages, rounds, tokens):
    numbered = [message | {"n": at} if isinstance(message, dict) else message for at, message in enumerate(messages)]
    found = kept(numbered, rounds=rounds, tokens=tokens)
    places = [message["n"] for message in found if isinstance(message, dict)]
    assert places == sorted(places)
    assert [m for m in numbered if isinstance(m, dict) and m.get("role") == "system"] == [
        m for m in found if isinstance(m, dict) and m.get("role") == "system"
    ]
    assert not numbered or numbered[-1] in found
    for at, message in enumerate(numbered):
        follower = numbered[at + 1] if at + 1 < len(numbered) else None
        if isinstance(follower, dict) and follower.get("role") == "tool" and follower in found:
            assert message in found
