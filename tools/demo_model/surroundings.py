"""What stands around a question: system prompts of any kind, and long text of no use."""

from __future__ import annotations

from random import Random

import values

_SYSTEMS = [*values.SENTENCES["system"]["zh"], *values.SENTENCES["system"]["en"]]


def system(chance: Random) -> str | None:
    """A system prompt: none, a usual one, rules, an agent's long one, or words without a meaning."""
    draw = chance.random()
    if draw < 0.4:
        return None
    if draw < 0.75:
        return chance.choice(_SYSTEMS)
    if draw < 0.8:
        return (
            values.characters(chance, 4, 12)
            if chance.random() < 0.5
            else " ".join(values.syllables(chance) for _ in range(chance.randint(3, 9)))
        )
    lines = chance.randint(2, 8) if draw < 0.97 else chance.randint(8, 30)
    return chance.choice(_SYSTEMS) + "\n\n" + text(chance, lines)


def text(chance: Random, lines: int) -> str:
    """Rules, headings, lists, places and code: so many lines of it."""
    lang = "zh" if chance.random() < 0.4 else "en"
    return "\n".join(_line(chance, lang) for _ in range(lines))


def _line(chance: Random, lang: str) -> str:
    draw = chance.random()
    if draw < 0.6:
        return (
            chance.choice(["- ", "", "* ", f"{chance.randint(1, 20)}. "])
            + chance.choice(values.SENTENCES["rule"][lang])
            + chance.choice([".", "。", ""])
        )
    if draw < 0.7:
        return "# " + values.bank(chance, "topic", lang)
    if draw < 0.85:
        return f"{values.syllables(chance)}: {values.phrase(chance, lang)}"
    if draw < 0.93:
        return f"{values.path(chance)} {values.date(chance)} {values.place(chance, lang)}"
    return f"    {values.syllables(chance)}({values.syllables(chance)}, {values.number(chance)})"
