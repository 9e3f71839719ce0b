"""Conversations in words: fixed questions, refusals, names, repeating, small sums, input without a meaning."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from random import Random
from typing import Any

import values
from kinds import LANGS, Message

_TOLD: dict[str, Any] = tomllib.loads((values.WORDS / "answers.toml").read_text("utf-8"))
ANSWERS: list[dict[str, Any]] = [row | {"ask": row["ask"].strip().split("\n")} for row in _TOLD["answer"]]
REFUSAL: dict[str, Any] = _TOLD["refusal"]
_REFUSED = {lang: REFUSAL["ask"][lang].strip().split("|") for lang in LANGS}
_THOUGHT = {"zh": "这是常见问题，直接回答。", "en": "A common question; answer it directly."}
_BEYOND = {"zh": "这超出了我的能力，应如实说明。", "en": "This is beyond me; I should say so."}
_PUZZLED = {"zh": "这句话没有明确的意思，请用户说清楚。", "en": "This has no clear meaning; ask the user to say more."}
_WEIGHTS = {"identity": 9, "greeting": 4, "sample": 2, "help": 2}
_MARKS = "？?。.!！~…，,"


@dataclass(frozen=True, slots=True)
class Said:
    """A question, what is to be answered and the thought before it; earlier turns if there are any."""

    question: str
    answer: str
    thought: str
    before: tuple[Message, ...] = ()


def spoken(role: str, content: str) -> Message:
    """A message of plain text."""
    return {"role": role, "content": content}


def fixed(chance: Random) -> Said:
    """One of the questions with a fixed answer, its punctuation varied."""
    row = chance.choices(ANSWERS, [_WEIGHTS.get(row["kind"], 1) for row in ANSWERS])[0]
    question = chance.choice(row["ask"])
    draw = chance.random()
    if draw < 0.15:
        question = question.rstrip(_MARKS) + chance.choice(["？", "", "。", "!", "?", "！", "??", "~"])
    elif draw < 0.22 and row["lang"] == "en":
        question = question.lower() if draw < 0.19 else question.upper()
    elif draw < 0.26:
        question = {"zh": "请问", "en": "Please: "}[row["lang"]] + question
    return Said(question, row["say"], _THOUGHT[row["lang"]])


def refused(chance: Random) -> Said:
    """A question that is beyond the model."""
    lang = "zh" if chance.random() < 0.55 else "en"
    question = chance.choice(_REFUSED[lang]).format(
        x=values.thing(chance, lang), y=values.thing(chance, lang), p=values.place(chance, lang)
    )
    return Said(question, REFUSAL[lang], _BEYOND[lang])


def named(chance: Random) -> Said:
    """The user says a name, and at times asks for it afterwards, other turns between."""
    lang = "zh" if chance.random() < 0.6 else "en"
    name = values.person(chance, lang) if chance.random() < 0.8 else values.characters(chance, 2, 3)
    if lang == "zh":
        told = values.one(
            chance, "我叫{n}|我的名字是{n}|你好，我叫{n}|我是{n}|你好，我叫{n}。|大家都叫我{n}|我叫{n}，请记住"
        )
        asked = values.one(chance, "我叫什么名字？|我是谁？|你还记得我的名字吗？|我叫什么|我的名字是什么")
        greeting, answer = f"你好，{name}！很高兴认识你。", f"你叫{name}。"
        thoughts = ("用户在自我介绍。", f"用户说过自己叫{name}。")
    else:
        told = values.one(chance, "My name is {n}.|I am {n}|Hi, I'm {n}|Call me {n}.|My name is {n}, remember it")
        asked = values.one(chance, "What is my name?|Who am I?|Do you remember my name?|What did I say my name is?")
        greeting, answer = f"Nice to meet you, {name}!", f"Your name is {name}."
        thoughts = ("The user gives a name.", f"The user is called {name}.")
    told = told.format(n=name)
    if chance.random() < 0.4:
        return Said(told, greeting, thoughts[0])
    reply = greeting if chance.random() < 0.7 else chance.choice([f"你好，{name}！", "好的。", f"Hello {name}.", "OK"])
    before = [spoken("user", told), spoken("assistant", reply)]
    while chance.random() < 0.35:
        other = chance.choice([fixed, refused])(chance)
        before += [spoken("user", other.question), spoken("assistant", other.answer)]
    return Said(asked, answer, thoughts[1], tuple(before))


def repeated(chance: Random) -> Said:
    """Repeat after me, or: count."""
    if chance.random() < 0.25:
        last = chance.randint(2, 30)
        question = values.one(chance, "从1数到{n}|请从1数到{n}|数到{n}|Count from 1 to {n}|Count to {n}.|count to {n}")
        return Said(question.format(n=last), ", ".join(map(str, range(1, last + 1))), "依次写出数字。")
    lang = chance.choice(LANGS)
    text = chance.choice(
        [
            lambda: (
                values.characters(chance, 2, 10)
                if lang == "zh"
                else " ".join(values.proper(chance) for _ in range(chance.randint(1, 3)))
            ),
            lambda: values.phrase(chance, lang),
            lambda: values.place(chance, lang),
            lambda: values.code(chance),
            lambda: values.expression(chance),
            lambda: " ".join(values.place(chance, each) for each in LANGS),
        ]
    )()
    question = values.one(
        chance,
        "重复：{s}|请重复：{s}|跟我说：{s}|重复一遍：{s}|复述：{s}"
        "|Repeat: {s}|Say {s}|Repeat after me: {s}|Please repeat: {s}|Echo {s}",
    )
    return Said(question.format(s=text), text, "原样重复。")


def reckoned(chance: Random) -> Said:
    """A sum without a tool: it cannot reckon, and says so."""
    lang = "zh" if chance.random() < 0.6 else "en"
    small = f"{chance.randint(0, 20)}{chance.choice(['', '', ' '])}{chance.choice('+-*/')}{chance.randint(0, 20)}"
    text = small if chance.random() < 0.6 else values.expression(chance)
    asks = {
        "zh": "{}等于几？|{}=?|{}等于多少|计算{}|算一下{}|{}|{}是多少？|{}等于几",
        "en": "What is {}?|Calculate {}|How much is {}?|what's {}|Compute {}",
    }
    return Said(values.one(chance, asks[lang]).format(text), REFUSAL[lang], _BEYOND[lang])


def puzzling(chance: Random) -> Said:
    """Digits, marks, letters and pictures without a meaning: to be asked about, never to be acted on."""
    draw = chance.random()
    if draw < 0.25:
        text = "".join(chance.choice("0123456789") for _ in range(chance.randint(1, 8)))
    elif draw < 0.5:
        text = "".join(
            chance.choice("？?！!。.，,、…~-_=+*/\\|@#$%^&()[]{}<>:;'\"") for _ in range(chance.randint(1, 5))
        )
        text = text if chance.random() < 0.5 else chance.choice("？?！!。.…~,-") * chance.randint(1, 5)
    elif draw < 0.65:
        text = "".join(
            chance.choice(["😀", "😂", "👍", "❤️", "🎉", "🙏", "😭", "🔥", "🤔", "🚀", "🌧️", "☀️"])
            for _ in range(chance.randint(1, 3))
        )
    elif draw < 0.85:
        text = chance.choice(
            [
                values.letters(chance),
                values.letters(chance),
                values.syllables(chance),
                "".join(chance.choice("asdfghjkl") for _ in range(chance.randint(3, 7))),
                "".join(chance.choice("qwertyuiop") for _ in range(chance.randint(3, 7))),
                "abc",
                "xyz",
                "aaa",
                "asdf",
                "qwer",
                "hjkl",
                "zzz",
            ]
        )
    else:
        text = chance.choice(
            [
                values.characters(chance, 1, 3),
                "啊",
                "啊啊啊",
                "额",
                "呃",
                "的",
                "了",
                "呵呵呵",
                "哼",
                " ",
                "\n",
                "。。。",
                "、、、",
            ]
        )
    chinese = any("\u4e00" <= letter <= "\u9fff" or letter in "？！。，、…" for letter in text) or not any(
        letter.isalpha() and ord(letter) < 128 for letter in text
    )
    lang = "zh" if chinese else "en"
    return Said(text, REFUSAL[f"puzzled_{lang}"], _PUZZLED[lang])
