"""Who of a group is asked first: affinity, load, and that what was taken is given back."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao.exchange import balance
from qiao.exchange.balance import OVER, SLACK, Balance, Ticket
from qiao.gate.routes import Target
from qiao.wire.call import Call
from qiao.wire.document import Document

NAMES = ("gpu-1", "gpu-2", "gpu-3", "gpu-4")
MEMBERS = [Target(name, "m") for name in NAMES]
texts = st.text(max_size=30)


def call(messages: Any, protocol: Any = "openai", **fields: Any) -> Call:
    body = {"model": "m", "messages": messages} | fields
    if protocol == "dashscope":
        body = {"model": "m", "input": {"messages": messages}, "parameters": fields}
    document = Document.parse(json.dumps(body, ensure_ascii=False).encode())
    return Call("id", protocol, None, "m", document, stream=False, received=0.0)


def said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def first(shared: Balance, asked: Call, members: list[Target] = MEMBERS) -> str:
    return shared.order(asked, members)[0].engine


def idle() -> Balance:
    return Balance(dict.fromkeys(NAMES, "vllm"), NAMES)


@given(st.sampled_from(["openai", "dashscope"]), texts, texts, st.lists(texts, max_size=6))
def test_all_turns_of_a_conversation_begin_alike(protocol: str, system: str, question: str, more: list[str]) -> None:
    begun = [said("system", system), said("user", question)]
    roles = ("assistant", "user")
    later = begun + [said(roles[turn % 2], text) for turn, text in enumerate(more)]
    assert balance.beginning(call(begun, protocol)) == balance.beginning(call(later, protocol))


@given(texts, texts, texts)
def test_conversations_with_one_system_message_are_told_apart_by_their_first_question(
    system: str, one: str, other: str
) -> None:
    heads = {balance.beginning(call([said("system", system), said("user", text)])) for text in (one, other)}
    assert len(heads) == len({one, other})


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (' {"content":"a [b] {c}","role" : "user" }', ', {"content":"d","role":"assistant"}'),
        (
            '{"role":"user","content":[{"type":"text","text":"a"}]}',
            ' ,{"role":"assistant","content":"e"},{"role":"user"}',
        ),
        ('{"role":"system","content":"\\"role\\":\\"user\\""},{"role":"user","content":"a"}', ',{"role":"assistant"}'),
    ],
)
def test_the_order_of_fields_and_the_space_between_them_do_not_end_a_conversation(first: str, later: str) -> None:
    heads = set[bytes]()
    for messages in (first, first + later, first + later + later):
        document = Document.parse(f'{{"model":"m","messages":[{messages} ]}}'.encode())
        heads.add(balance.beginning(Call("i", "openai", None, "m", document, stream=False, received=0.0)))
    assert len(heads) == 1


def test_questions_about_one_long_document_begin_alike_and_so_do_their_turns() -> None:
    text = "长" * 40_000
    heads = {balance.beginning(call([said("user", text + question)])) for question in ("a", "b")}
    heads.add(balance.beginning(call([said("user", text), said("assistant", "x"), said("user", "y")])))
    assert len(heads) == 1


@given(st.binary(max_size=200), st.sampled_from(["openai", "dashscope"]))
def test_no_messages_are_too_odd_to_begin(raw: bytes, protocol: Any) -> None:
    for value in (raw.decode("latin-1"), [raw.decode("latin-1")], [[{}]], [1], None, {"messages": [{"role": 1}]}):
        document = Document.build(model="m", messages=value, input=value)
        made = Call("i", protocol, None, "m", document, stream=False, received=0.0)
        assert len(balance.beginning(made)) == 16


@given(st.lists(texts, min_size=1, max_size=30, unique=True), st.sampled_from(NAMES))
def test_an_engine_that_leaves_moves_its_own_conversations_only(questions: list[str], gone: str) -> None:
    shared = idle()
    left = [member for member in MEMBERS if member.engine != gone]
    for question in questions:
        asked = call([said("user", question)])
        before, after = shared.order(asked, MEMBERS), shared.order(asked, left)
        assert [member for member in before if member.engine != gone] == after


def test_conversations_spread_evenly_over_idle_engines() -> None:
    shared = idle()
    counts = Counter(first(shared, call([said("user", str(number))])) for number in range(2000))
    assert set(counts) == set(NAMES)
    assert max(counts.values()) < 1.25 * 500


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 60_000), st.booleans()), max_size=200))
def test_no_engine_is_given_more_while_it_is_over_its_share(asked: list[tuple[int, int, bool]]) -> None:
    shared = idle()
    tickets: list[Ticket] = []
    for conversation, size, ends in asked:
        made = call([said("user", str(conversation))], filler="x" * size)
        loads = {name: standing.outstanding for name, standing in shared.standings.items()}
        taken = first(shared, made)
        assert loads[taken] <= OVER * sum(loads.values()) / len(loads) + SLACK
        tickets.append(shared.begin(taken, made.document))
        if ends:
            tickets.pop(0).end()
    for ticket in tickets:
        ticket.end()
        ticket.end()
    assert all(standing.running == standing.outstanding == 0 for standing in shared.standings.values())


def test_a_limit_counts_as_output_up_to_what_is_expected_and_a_picture_does_not_count_as_a_book() -> None:
    def weight(**fields: Any) -> int:
        return balance.weight(call([said("user", "hi")], **fields).document)

    assert weight(max_tokens=10) == weight(max_completion_tokens=10) == weight(max_tokens=1024) - 1015
    for odd in (10**9, "many", -1, True, [1]):
        assert abs(weight(max_tokens=odd) - weight()) < 5 or odd is True
    assert weight(image="x" * 10**7) == balance.MOST_INPUT + balance.EXPECTED


def test_an_engine_in_no_group_counts_its_calls_and_not_their_tokens() -> None:
    shared = Balance({"a": "vllm"}, ())
    ticket = shared.begin("a", call([said("user", "hi")]).document)
    assert (shared.standings["a"].running, shared.standings["a"].outstanding) == (1, 0)
    ticket.end()
    assert shared.standings["a"].running == 0
