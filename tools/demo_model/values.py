"""Random values for the corpus: places, people, numbers, expressions, texts. Every one is a function of a Random."""

from __future__ import annotations

import tomllib
from pathlib import Path
from random import Random

WORDS = Path(__file__).parent / "words"


def parts(text: str) -> list[str]:
    """What stands between the |."""
    return text.split("|")


def one(chance: Random, text: str) -> str:
    """One of the parts."""
    return chance.choice(text.split("|"))


_PLACES = tomllib.loads((WORDS / "places.toml").read_text("utf-8"))
PLACES = {"zh": _PLACES["zh"].split(), "en": [name for name in _PLACES["en"].replace("\n", "|").split("|") if name]}
UNSEEN_PLACES = {
    "zh": _PLACES["unseen"]["zh"].split(),
    "en": [name for name in _PLACES["unseen"]["en"].replace("\n", "|").split("|") if name],
}
_NAMES = tomllib.loads((WORDS / "names.toml").read_text("utf-8"))
BANKS: dict[str, dict[str, list[str]]] = {
    kind: {lang: text.strip().split("|") for lang, text in rows.items()} for kind, rows in _NAMES["banks"].items()
}
SENTENCES: dict[str, dict[str, list[str]]] = tomllib.loads((WORDS / "sentences.toml").read_text("utf-8"))
# The 3,755 common characters of GB 2312, and the 3,008 rarer ones of its second level.
_ROWS = [bytes([high, low]) for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF)]
COMMON = [row.decode("gb2312") for row in _ROWS if row <= b"\xd7\xf9"]
RARE = [bytes([high, low]).decode("gb2312") for high in range(0xD8, 0xF8) for low in range(0xA1, 0xFF)]
_ONSETS = parts("b|c|d|f|g|h|j|k|l|m|n|p|qu|r|s|t|v|w|x|y|z|br|ch|cr|dr|fl|gr|kh|kr|ll|pl|sc|sh|sl|st|th|tr")
_VOWELS = parts("a|e|i|o|u|y|ai|au|ea|ee|ei|ia|ie|io|oo|ou|ua")
_ENDS = ["", "", "", "n", "s", "r", "k", "l", "m", "t", "x", "ng", "ck", "rd", "burg", "ton", "ville", "ford", "sk"]


def characters(chance: Random, least: int, most: int) -> str:
    """A string of Chinese characters without a meaning."""
    bank = COMMON if chance.random() < 0.93 else RARE
    return "".join(chance.choice(bank) for _ in range(chance.randint(least, most)))


def syllables(chance: Random) -> str:
    """A word that sounds English or foreign, in lower case."""
    word = "".join(chance.choice(_ONSETS) + chance.choice(_VOWELS) for _ in range(chance.randint(1, 3)))
    word += chance.choice(_ENDS)
    return chance.choice("aeiou") + word if chance.random() < 0.2 else word


def letters(chance: Random) -> str:
    """Letters at random: what no language would spell."""
    return "".join(chance.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(chance.randint(3, 8)))


def proper(chance: Random) -> str:
    """An invented English name."""
    return (letters(chance) if chance.random() < 0.15 else syllables(chance)).capitalize()


def place(chance: Random, lang: str) -> str:
    """A real place, or an invented one: only copying helps with those."""
    if chance.random() < 0.5:
        name = chance.choice(PLACES[lang])
    elif lang == "zh":
        name = characters(chance, 2, 4)
    else:
        name = proper(chance) + (" " + proper(chance) if chance.random() < 0.25 else "")
    if lang == "zh" and chance.random() < 0.1:
        name += chance.choice("市县镇区")
    return name


def person(chance: Random, lang: str) -> str:
    """A name of two or three characters, or a first name, at times with a family name."""
    if lang == "zh":
        if chance.random() < 0.3:
            return chance.choice(BANKS["person"]["zh"])
        return chance.choice(BANKS["family"]["zh"]) + characters(chance, 1, 2)
    first = chance.choice(BANKS["person"]["en"]) if chance.random() < 0.5 else proper(chance)
    return first + (
        " " + chance.choice([proper(chance), chance.choice(BANKS["family"]["en"])]) if chance.random() < 0.4 else ""
    )


def bank(chance: Random, kind: str, lang: str) -> str:
    """A word of the list with this name."""
    return chance.choice(BANKS[kind][lang])


def thing(chance: Random, lang: str) -> str:
    """A topic, or a word without a meaning."""
    if chance.random() < 0.7:
        return bank(chance, "topic", lang)
    return characters(chance, 2, 4) if lang == "zh" else syllables(chance)


def phrase(chance: Random, lang: str) -> str:
    """A short piece of text, to be searched, translated, noted or sent."""
    if chance.random() < 0.55:
        return bank(chance, "phrase", lang)
    if lang == "zh":
        return bank(chance, "topic", lang) + chance.choice(["", "的", "和", ""]) + characters(chance, 1, 4)
    return " ".join([syllables(chance) for _ in range(chance.randint(1, 2))] + [bank(chance, "topic", lang)])


def number(chance: Random) -> str:
    """A number as it is written: mostly small, at times with decimals."""
    draw = chance.random()
    if draw < 0.5:
        return str(chance.randint(0, 99))
    if draw < 0.8:
        return str(chance.randint(0, 9999))
    if draw < 0.9:
        return str(chance.randint(0, 10**7))
    return f"{chance.randint(0, 999)}.{chance.randint(0, 99)}"


def expression(chance: Random) -> str:
    """Two to four numbers with operators, at times with a pair of brackets or with spaces."""
    count = chance.choices([2, 3, 4], [6, 3, 1])[0]
    numbers = [number(chance) for _ in range(count)]
    if count > 2 and chance.random() < 0.45:
        at = chance.randint(0, count - 2)
        numbers[at], numbers[at + 1] = "(" + numbers[at], numbers[at + 1] + ")"
    gap = " " if chance.random() < 0.25 else ""
    text = numbers[0]
    for value in numbers[1:]:
        operator = "**" if chance.random() < 0.03 else chance.choice("+-*/")
        text += gap + operator + gap + value
    return text


def code(chance: Random) -> str:
    """An order or parcel number."""
    digits = "".join(chance.choice("0123456789") for _ in range(chance.randint(3, 9)))
    return (
        "".join(chance.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(chance.randint(0, 3)))
        + chance.choice(["", "", "-"])
        + digits
    )


def email(chance: Random) -> str:
    """An address for mail."""
    name = bank(chance, "person", "en").lower() if chance.random() < 0.5 else syllables(chance)
    host = chance.choice(["example.com", "test.org", f"{syllables(chance)}.com"])
    return f"{name}{chance.choice(['', '', str(chance.randint(1, 99))])}@{host}"


def date(chance: Random) -> str:
    """A day as 2026-05-17."""
    return f"{chance.randint(2020, 2031)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"


def clock(chance: Random) -> str:
    """A time as 07:30."""
    return f"{chance.randint(0, 23):02}:{chance.choice([0, 5, 10, 15, 20, 30, 40, 45, 50]):02}"


def symbol(chance: Random) -> str:
    """A stock's short name."""
    return "".join(chance.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(chance.randint(2, 5)))


def path(chance: Random) -> str:
    """A file's name with its folders."""
    parts = [
        chance.choice(["src", "docs", "data", "home", "tests", syllables(chance)]) for _ in range(chance.randint(0, 2))
    ]
    return "/".join([*parts, syllables(chance) + chance.choice([".py", ".txt", ".md", ".json", ".csv", ".log"])])
