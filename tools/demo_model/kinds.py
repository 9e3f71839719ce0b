"""Tools as a program would declare them, and questions with the calls that answer them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import values

Message = dict[str, Any]
KINDS: list[dict[str, Any]] = tomllib.loads((values.WORDS / "tools.toml").read_text("utf-8"))["kind"]
COMMANDS = values.parts(
    "ls -la|git status|pytest -q|npm install|make test|pwd|df -h|python main.py|cat notes.txt|docker ps"
)
LANGS = ("zh", "en")


@dataclass(frozen=True, slots=True)
class Slot:
    """One parameter of a tool: its name, and how a question speaks of its value."""

    name: str
    row: dict[str, Any]

    @property
    def optional(self) -> bool:
        return bool(self.row.get("optional"))

    def draw(self, chance: Random, lang: str) -> tuple[Any, str]:
        """A value, and the words for it."""
        if choices := self.row.get("choices"):
            key = chance.choice(list(choices))
            return {"true": True, "false": False}.get(key, key), choices[key][lang]
        value = drawn(chance, self.row["value"], lang)
        return value, str(value)

    def schema(self, chance: Random, lang: str) -> dict[str, Any]:
        """Its JSON schema."""
        choices: dict[str, Any] = self.row.get("choices", {})
        kind = "integer" if self.row.get("value", "").startswith("integer") else "string"
        schema: dict[str, Any] = {"type": "boolean" if "true" in choices else kind}
        if choices and "true" not in choices:
            schema["enum"] = list(choices)
        if (about := self.row.get(lang)) and chance.random() < 0.8:
            schema["description"] = chance.choice(about.split("|"))
        return schema


@dataclass(frozen=True, slots=True)
class Tool:
    """A declared tool and what may be asked of it."""

    name: str
    declaration: Message
    slots: tuple[Slot, ...]
    asks: dict[str, list[str]]
    kind: int  # its place in KINDS; -1 for an invented tool


@dataclass(frozen=True, slots=True)
class Use:
    """A request for one tool: the words and the call that is right."""

    tool: Tool
    words: str
    arguments: dict[str, Any]
    template: str

    @property
    def call(self) -> str:
        """The call as the model writes it."""
        return "<tool_call>\n" + dumped({"name": self.tool.name, "arguments": self.arguments}) + "\n</tool_call>"

    @property
    def sent(self) -> Message:
        """The call as a client sends it back."""
        return {"type": "function", "function": {"name": self.tool.name, "arguments": dumped(self.arguments)}}


def dumped(value: Any) -> str:
    """JSON with its Chinese characters left as they are."""
    return json.dumps(value, ensure_ascii=False)


def drawn(chance: Random, value: str, lang: str) -> Any:
    """A value of the kind that tools.toml names."""
    if value.startswith("integer"):
        least, most = map(int, value.split(":")[1:])
        return chance.randint(least, most)
    if value == "stock":
        return values.symbol(chance) if chance.random() < 0.6 else values.bank(chance, "company", lang)
    if value == "command":
        return chance.choice(COMMANDS) if chance.random() < 0.6 else f"{values.syllables(chance)} {values.path(chance)}"
    if value in ("place", "person", "phrase"):
        return getattr(values, value)(chance, lang)
    simple: Callable[[Random], str] | None = getattr(values, value, None)
    return simple(chance) if simple else values.bank(chance, value, lang)


def tool(chance: Random, lang: str, kind: int | None = None) -> Tool:
    """A tool of this kind, or of any; one in twelve is invented."""
    if kind is None and chance.random() < 0.08:
        return _invented(chance, lang)
    at = kind if kind is not None else chance.choices(range(len(KINDS)), [row.get("weight", 1) for row in KINDS])[0]
    row = KINDS[at]
    odd = chance.random() < 0.08
    name = _word(chance) if odd else chance.choice(row["names"].split("|"))
    slots = tuple(
        Slot(_word(chance) if chance.random() < 0.06 else chance.choice(slot["names"].split("|")), slot)
        for slot in row.get("slot", ())
        if not slot.get("optional") or chance.random() < 0.6
    )
    about = chance.choice(row[lang].split("|"))
    asks = {each: row["ask"][each].split("|") for each in LANGS}
    return Tool(name, _declared(chance, name, about, slots, lang), slots, asks, at)


def _word(chance: Random) -> str:
    return chance.choice(
        [values.syllables(chance), values.letters(chance), f"{values.syllables(chance)}_{values.syllables(chance)}"]
    )


def _declared(chance: Random, name: str, about: str, slots: tuple[Slot, ...], lang: str) -> Message:
    function: Message = {"name": name, "description": about}
    if slots or chance.random() < 0.7:
        needed = [slot.name for slot in slots if not slot.optional]
        properties = {slot.name: slot.schema(chance, lang) for slot in slots}
        function["parameters"] = parameters = dict[str, Any](type="object", properties=properties)
        if needed or chance.random() < 0.5:
            parameters["required"] = needed
        if chance.random() < 0.06:
            parameters["additionalProperties"] = False
    return {"type": "function", "function": function}


def _invented(chance: Random, lang: str) -> Tool:
    """A verb, a noun and one to three fields: what the question repeats, the call must hold."""
    verb, noun = chance.randrange(25), chance.randrange(40)
    words = {each: (_at("verb", each, verb), _at("noun", each, noun)) for each in LANGS}
    name = "_".join(words["en"]).replace(" ", "_") if chance.random() < 0.8 else _word(chance)
    about = {"zh": "".join(words["zh"]), "en": " ".join(words["en"]).capitalize()}[lang]
    slots: list[Slot] = []
    for field in chance.sample(range(20), chance.randint(1, 3)):
        value = (
            "integer:1:999"
            if field in (7, 16, 19)
            else chance.choice(
                ["phrase", "code", "place", "person", "date", "topic", "clock", "email", "product", "path"]
            )
        )
        label = _at("field", "en", field)
        slots.append(
            Slot(
                label if chance.random() < 0.85 else _word(chance),
                {"value": value, "zh": _at("field", "zh", field), "en": label.capitalize()},
            )
        )
    fields = [slot.row["zh"] for slot in slots]
    labels = [slot.row["en"].lower() for slot in slots]
    zh = [
        f"{lead}{words['zh'][0]}{words['zh'][1]}，" + "，".join(f"{f}{link}{{{i}}}" for i, f in enumerate(fields))
        for lead in ("", "请", "帮我")
        for link in ("是", "为", "：")
    ]
    en = [
        f"{lead}{words['en'][0]} the {words['en'][1]} with " + joint.join(f"{f} {{{i}}}" for i, f in enumerate(labels))
        for lead in ("Please ", "I want to ", "")
        for joint in (" and ", ", ")
    ]
    return Tool(name, _declared(chance, name, about, tuple(slots), lang), tuple(slots), {"zh": zh, "en": en}, -1)


def _at(bank: str, lang: str, at: int) -> str:
    return values.BANKS[bank][lang][at]


def use(chance: Random, asked: Tool, lang: str, template: str | None = None) -> Use:
    """A question for this tool, in this language; the same template again when one is given."""
    template = template or chance.choice(asked.asks[lang])
    drawn_slots = [slot.draw(chance, lang) for slot in asked.slots]
    mandatory = [words for slot, (_, words) in zip(asked.slots, drawn_slots, strict=True) if not slot.optional]
    text = template.format(*mandatory)
    arguments: dict[str, Any] = {}
    for slot, (value, words) in zip(asked.slots, drawn_slots, strict=True):
        if slot.optional:
            if chance.random() < 0.6:
                continue
            tail = chance.choice(slot.row["tail"][lang].split("|"))
            text = text.rstrip("？?。.") + tail.format(words)
        arguments[slot.name] = value
    if asked.kind == 1 and chance.random() < 0.2:
        text, arguments = _spoken(chance, asked, lang)
    return Use(asked, text, arguments, template)


def _spoken(chance: Random, asked: Tool, lang: str) -> tuple[str, dict[str, Any]]:
    """A sum in words: 3加5."""
    first, second, sign = values.number(chance), values.number(chance), chance.choice("+-*/")
    words = {
        "zh": {"+": "加|加上", "-": "减|减去", "*": "乘|乘以", "/": "除以"},
        "en": {"+": " plus ", "-": " minus ", "*": " times | multiplied by ", "/": " divided by "},
    }[lang][sign]
    said = first + chance.choice(words.split("|")) + second
    return chance.choice(asked.asks[lang]).format(said), {asked.slots[0].name: f"{first}{sign}{second}"}
