"""The training text, one conversation at a time: `python tools/demo_model/corpus.py` prints some.

A conversation is rendered by chatml.jinja as the engine will render it. Its answers are what is learnt: `learnt` holds
their places in the text. Nothing that evaluate.py keeps back may stand in it: such a conversation is thrown away.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast

import asking
import extraction
import jinja2.sandbox  # pyright: ignore[reportMissingImports]: installed for training only
import kinds
import surroundings
import talk
import values
from kinds import Message

UNSEEN_QUESTIONS = set((values.WORDS / "unseen.txt").read_text("utf-8").split("\n")) - {""}
_UNSEEN_ZH = re.compile("|".join(values.UNSEEN_PLACES["zh"]))
_UNSEEN_EN = re.compile(rf"\b(?:{'|'.join(values.UNSEEN_PLACES['en'])})\b", re.IGNORECASE)
_ANSWER = re.compile(r"<\|im_start\|>assistant\n(.*?<\|im_end\|>)", re.DOTALL)
_OFF = "<think>\n\n</think>\n\n"
# The keys and marks of JSON that a grammar will write; what stands between is learnt.
_GRAMMAR = re.compile(r'[{,]\s*"[^"]*":\s*\{?')


@dataclass(frozen=True, slots=True)
class Conversation:
    """A rendered conversation and the spans of it that the model is to write, in characters."""

    text: str
    learnt: tuple[tuple[int, int], ...]


def conversation(chance: Random) -> Conversation:
    """A conversation in which nothing is kept back for the evaluation."""
    while True:
        messages, tools, thought, known = _drawn(chance)
        made = _rendered(messages, tools, thought, known)
        asked = {message["content"] for message in messages if message["role"] == "user"}
        if not (asked & UNSEEN_QUESTIONS or _UNSEEN_ZH.search(made.text) or _UNSEEN_EN.search(made.text)):
            return made


def _drawn(chance: Random) -> tuple[list[Message], list[Message] | None, str | None, bool]:
    """Messages with the last answer, tools, its thought, and whether its JSON's keys are the grammar's."""
    draw = chance.random()
    if draw < 0.52:
        messages, tools, thought, known = _with_tools(chance)
    elif draw < 0.64:
        got = extraction.extract(chance)
        messages = [
            *_example(chance, got.forced),
            talk.spoken("user", got.question),
            talk.spoken("assistant", got.answer),
        ]
        tools, thought, known = None, got.thought, got.forced
        if got.system:
            messages.insert(0, talk.spoken("system", got.system))
    else:
        messages, thought = _talked(chance)
        tools, known = None, False
    if messages[0]["role"] != "system" and (told := surroundings.system(chance)):
        messages.insert(0, talk.spoken("system", told))
    if chance.random() < 0.06:
        last = next(at for at in range(len(messages) - 1, -1, -1) if messages[at]["role"] == "user")
        messages[last] = talk.spoken(
            "user", surroundings.text(chance, chance.randint(1, 12)) + "\n\n" + messages[last]["content"]
        )
    return messages, tools, thought if chance.random() < 0.2 and not known else None, known


def _with_tools(chance: Random) -> tuple[list[Message], list[Message], str, bool]:
    """One to five rounds with the same tools."""
    box = asking.toolbox(chance)
    messages: list[Message] = []
    rounds = chance.choices([1, 2, 3, 4, 5], [30, 15, 15, 20, 20])[0]
    while True:
        asked = asking.asked(chance, box)
        rounds -= 1
        if rounds > 0 and asked.known:
            continue
        messages += [*asked.turns, talk.spoken("assistant", asked.answer)]
        if rounds <= 0:
            return messages, [tool.declaration for tool in box], asked.thought, asked.known


def _example(chance: Random, forced: bool) -> list[Message]:
    """At times an earlier question of the same sort."""
    if forced or chance.random() < 0.6:
        return []
    got = extraction.extract(chance)
    return [] if got.forced else [talk.spoken("user", got.question), talk.spoken("assistant", got.answer)]


def _talked(chance: Random) -> tuple[list[Message], str]:
    messages: list[Message] = []
    rounds = chance.choices([1, 2, 3, 4], [45, 20, 20, 15])[0]
    said = None
    for _ in range(rounds):
        sort = chance.choices(
            [talk.fixed, talk.refused, talk.named, talk.repeated, talk.reckoned, talk.puzzling], [48, 20, 12, 10, 4, 6]
        )[0]
        said = sort(chance)
        messages += [*said.before, talk.spoken("user", said.question), talk.spoken("assistant", said.answer)]
    assert said is not None
    return messages, said.thought


def _compiled() -> Any:
    environment: Any = cast("Any", jinja2.sandbox).ImmutableSandboxedEnvironment()
    environment.filters["tojson"] = kinds.dumped
    return environment.from_string(Path(__file__).with_name("chatml.jinja").read_text("utf-8"))


_TEMPLATE = _compiled()


def _rendered(messages: list[Message], tools: list[Message] | None, thought: str | None, known: bool) -> Conversation:
    messages = [*messages[:-1], messages[-1] | {"reasoning_content": thought or ""}]
    text: str = _TEMPLATE.render(messages=messages, tools=tools)
    spans: list[tuple[int, int]] = []
    answers = list(_ANSWER.finditer(text))
    for answer in answers[:-1]:
        # How an earlier answer begins, without a block of thought, is not to be learnt.
        spans.append((answer.start(1) + 1, answer.end(1)))
    start, end = answers[-1].span(1)
    if thought is None:
        start += len(_OFF)
    if not known:
        spans.append((start, end))
        return Conversation(text, tuple(spans))
    for given in _GRAMMAR.finditer(text, start, end):
        spans.append((start, given.start()))
        start = given.end()
    return Conversation(text, (*spans, (start, end)))


def main() -> None:
    """Print ten conversations; what is learnt stands in ⟦ ⟧."""
    chance = Random()
    for _ in range(10):
        made = conversation(chance)
        at = 0
        for start, end in made.learnt:
            print(made.text[at:start] + "⟦" + made.text[start:end], end="⟧")
            at = end
        print(made.text[at:], "=" * 60)


if __name__ == "__main__":
    main()
