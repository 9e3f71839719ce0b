"""Leave old messages out of a long conversation, without tearing it: a tool's result stays with its call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import msgspec

from qiao.wire import tokens
from qiao.wire.call import Call

_OPENERS = {"system", "developer"}
_MESSAGE = 5  # tokens around the text of a message


@dataclass(frozen=True, slots=True)
class Keep:
    """What of a conversation is sent on: the last rounds, and of those what fits so many tokens; None: all."""

    rounds: int | None = None
    tokens: int | None = None


class _Message(msgspec.Struct):
    role: Any = None
    content: Any = None
    tool_calls: Any = None


@dataclass(frozen=True, slots=True)
class _Unit:
    """Messages that stay together: a question, or an answer with the results of the tools that it calls."""

    places: list[int]  # in the conversation
    asks: bool  # a user's
    size: int  # tokens


def trimmed(call: Call, keep: Keep) -> Call:
    """The call without what `keep` leaves out; `left_out` of the new call counts the messages."""
    within = call.document if call.protocol == "openai" else call.document.object("input")
    messages = within and within.get("messages", list[msgspec.Raw])
    if within is None or not messages:
        return call
    kept = select(messages, keep)
    if len(kept) == len(messages):
        return call
    shorter = within.with_(messages=kept)
    document = shorter if call.protocol == "openai" else call.document.with_(input=shorter)
    return call.with_(document=document, left_out=len(messages) - len(kept))


def select(messages: list[msgspec.Raw], keep: Keep) -> list[msgspec.Raw]:
    """System messages, the last question and the newest of the rest; each with its own bytes."""
    read = [_read(raw) for raw in messages]
    openers = [at for at, message in enumerate(read) if message.role in _OPENERS]
    units = _units(read)
    starts = [at for at, unit in enumerate(units) if unit.asks]
    if keep.rounds is not None and len(starts) > keep.rounds:
        units = units[starts[-keep.rounds] :]
    if keep.tokens is not None:
        units = _fitting(units, keep.tokens - sum(_size(read[at]) for at in openers))
    return [messages[at] for at in sorted([*openers, *(at for unit in units for at in unit.places)])]


def _units(messages: list[_Message]) -> list[_Unit]:
    units: list[_Unit] = []
    for at, message in enumerate(messages):
        if message.role in _OPENERS:
            continue
        if message.role == "tool" and units and not units[-1].asks:
            last = units[-1]
            units[-1] = _Unit([*last.places, at], last.asks, last.size + _size(message))
        else:
            units.append(_Unit([at], message.role == "user", _size(message)))
    return units


def _fitting(units: list[_Unit], budget: int) -> list[_Unit]:
    """Whole rounds from the newest on; of the last one, when it is too long, its question and the newest answers."""
    last = max((at for at, unit in enumerate(units) if unit.asks), default=0)
    question, following = units[last : last + 1], units[last + 1 :]
    budget -= sum(unit.size for unit in question)
    at = len(following)
    while at and (at == len(following) or following[at - 1].size <= budget):  # what is answered to is always sent
        at -= 1
        budget -= following[at].size
    if at:
        return [*question, *following[at:]]
    start = last
    for earlier in range(last - 1, -1, -1):
        budget -= units[earlier].size
        if budget < 0:
            break
        if units[earlier].asks:
            start = earlier
    return units[start:]


def _read(raw: msgspec.Raw) -> _Message:
    try:
        return msgspec.json.decode(raw, type=_Message)
    except msgspec.DecodeError:  # the checks will say what is wrong with it
        return _Message()


def _size(message: _Message) -> int:
    content = cast("list[Any]", message.content) if isinstance(message.content, list) else [message.content]
    texts = [cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else part for part in content]
    if message.tool_calls:
        texts.append(msgspec.json.encode(message.tool_calls).decode())
    return _MESSAGE + tokens.count("\n".join(text for text in texts if isinstance(text, str)))
