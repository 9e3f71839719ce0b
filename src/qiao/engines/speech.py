"""An answer as a model gives it: token by token, within its limits, stopped where the caller asks."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from qiao.engines import script
from qiao.engines.script import Ask
from qiao.wire import tokens
from qiao.wire.check_messages import is_list

# What a reasoning_effort allows (reference §2.2.2).
_EFFORT = {"minimal": 4_096, "low": 4_096, "medium": 16_384, "high": 262_144, "xhigh": 262_144, "max": 262_144}
Kind = Literal["thought", "text", "tool", "arguments", "finish"]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one chunk brings: a few characters of a thought, an answer or a tool call, and their tokens."""

    kind: Kind
    text: str  # of a finish: the reason
    tokens: int
    index: int  # the choice
    at: int = 0  # the tool call of the choice
    call: tuple[str, str] = ("", "")  # id and name, in the first piece of a tool call


def pieces(ask: Ask, choice: int) -> list[Piece]:
    """One choice as pieces, the finish last."""
    saying = script.answer(ask, choice)
    thought = _within(cut(saying.thought), _thought_limit(ask))
    thought_tokens = _size(thought)
    out = [Piece("thought", text, count, choice) for text, count in thought]
    room = _answer_limit(ask, thought_tokens)
    said: list[Piece] = []
    for at, (call, name, arguments) in enumerate(saying.calls):
        said.append(Piece("tool", "", tokens.count(name), choice, at, (call, name)))
        said += [Piece("arguments", text, count, choice, at) for text, count in cut(arguments)]
    said += [Piece("text", text, count, choice) for text, count in _stopped(saying.text, ask.values.get("stop"))]
    given = [
        piece for piece, total in zip(said, accumulate(piece.tokens for piece in said), strict=True) if total <= room
    ]
    reason = "length" if len(given) < len(said) or room < 0 else "tool_calls" if saying.calls else "stop"
    return [*out, *given, Piece("finish", reason, 0, choice)]


def cut(text: str) -> list[tuple[str, int]]:
    """A text as (characters, tokens); tokens that end inside a character stay together with the next ones."""
    text = unicodedata.normalize("NFC", text)
    out: list[tuple[str, int]] = []
    start = waiting = 0
    for token in tokens.pieces(text):
        whole = not waiting and text.startswith(token, start)
        place = start if whole else text.find(token, start) if "\ufffd" not in token else -1
        if place < 0:
            waiting += 1
            continue
        if place > start:
            out.append((text[start:place], max(waiting, 1)))
        out.append((token, 1))
        start, waiting = place + len(token), 0
    if start < len(text):
        out.append((text[start:], max(waiting, 1)))
    return out


def _within(parts: list[tuple[str, int]], limit: int | None) -> list[tuple[str, int]]:
    if limit is None:
        return parts
    totals = accumulate(count for _, count in parts)
    return [part for part, total in zip(parts, totals, strict=True) if total <= limit]


def _thought_limit(ask: Ask) -> int | None:
    budget = ask.values.get("thinking_budget") or _EFFORT.get(ask.values.get("reasoning_effort", ""))
    limits = [limit for limit in (budget, ask.model.max_thought, ask.values.get("max_completion_tokens")) if limit]
    return min(limits) if limits else None


def _answer_limit(ask: Ask, thought_tokens: int) -> float:
    """max_tokens counts the answer only, max_completion_tokens the thought too (reference §2.2.2)."""
    answer = ask.values.get("max_tokens") or ask.model.output_limit(ask.thinks) or float("inf")
    whole = ask.values.get("max_completion_tokens")
    return min(answer, whole - thought_tokens) if whole else answer


def _stopped(text: str, stop: Any) -> list[tuple[str, int]]:
    """The text up to the first stop, which is not said itself: a text, or token ids."""
    stops: list[Any] = stop if is_list(stop) else [stop] if stop else []
    words = [word for word in stops if isinstance(word, str) and word]
    end = min([len(text), *(text.find(word) for word in words if word in text)])
    parts = cut(text[:end])
    ids = [item if is_list(item) else [item] for item in stops if not isinstance(item, str)]
    if not ids:
        return parts
    spoken = tokens.encode(text[:end])
    ends = [at for wanted in ids if wanted for at in range(len(spoken)) if spoken[at : at + len(wanted)] == wanted]
    return _within(parts, min(ends)) if ends else parts


def _size(parts: list[tuple[str, int]]) -> int:
    return sum(count for _, count in parts)
