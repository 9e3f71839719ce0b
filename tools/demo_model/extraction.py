"""Questions whose answer is JSON: facts from a sentence, pairs, lists; the fields are named, or the schema's."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import values
from kinds import LANGS, dumped
from talk import fixed

# A fact's names as a field, and how a sentence tells it.
_FIELDS: dict[str, dict[str, str]] = {
    "person": {"zh": "person|name|姓名|人物|人名|名字", "en": "person|name|who|full_name|person_name"},
    "place": {"zh": "location|city|地点|城市|place", "en": "location|city|place|where|town"},
    "action": {"zh": "action|event|事件|行为|活动", "en": "action|event|activity|what"},
    "age": {"zh": "age|年龄", "en": "age|years"},
    "job": {"zh": "job|职业|occupation|工作", "en": "job|occupation|profession|role"},
    "email": {"zh": "email|邮箱|contact", "en": "email|mail|contact"},
    "product": {"zh": "product|商品|产品|item", "en": "product|item|goods"},
    "count": {"zh": "quantity|数量|count", "en": "quantity|count|amount"},
    "price": {"zh": "price|价格|单价", "en": "price|cost"},
    "date": {"zh": "date|日期|时间", "en": "date|day|when"},
}
_SENTENCES = {
    "zh": [
        ("{person}在{place}{action}。", "person place action"),
        ("{person}在{place}{action}。", "person place action"),
        ("{person}今年{age}岁，住在{place}，是一名{job}。", "person age place job"),
        ("{date}，{person}到{place}{action}。", "date person place action"),
        ("{person}买了{count}个{product}，每个{price}元。", "person count product price"),
        ("{job}{person}（{age}岁）的邮箱是{email}。", "job person age email"),
        ("{product}的价格是{price}元，产地{place}。", "product price place"),
        ("我是{person}，{age}岁，来自{place}。", "person age place"),
        ("客户{person}于{date}订购{count}件{product}，寄往{place}。", "person date count product place"),
    ],
    "en": [
        ("{person} {action} in {place}.", "person action place"),
        ("{person} lives in {place}.", "person place"),
        ("{person} is {age} years old and works as a {job} in {place}.", "person age job place"),
        ("On {date} {person} bought {count} {product} for {price} dollars.", "date person count product price"),
        ("My name is {person}, I am {age} and I come from {place}.", "person age place"),
        ("The {product} cost {price} dollars in {place}.", "product price place"),
        ("Write to {person} at {email}, a {job} from {place}.", "person email job place"),
    ],
}
SYSTEMS = [*values.SENTENCES["only json"]["zh"], *values.SENTENCES["only json"]["en"]]
_THOUGHT = {"zh": "按 JSON 输出。", "en": "Answer as JSON."}


@dataclass(frozen=True, slots=True)
class Extract:
    """A question and its JSON; `forced` when the fields are known by the grammar alone."""

    question: str
    answer: str
    thought: str
    system: str | None = None
    forced: bool = False


def extract(chance: Random) -> Extract:
    """One question of any of these sorts."""
    lang = chance.choice(LANGS)
    sort = chance.choices([_facts, _pairs, _list, _answered], [10, 4, 2, 2])[0]
    return sort(chance, lang)


def _facts(chance: Random, lang: str) -> Extract:
    text, names = chance.choice(_SENTENCES[lang])
    told, facts = dict[str, str](), dict[str, Any]()
    for name in names.split():
        told[name], facts[name] = _fact(chance, name, lang)
    sentence = text.format(**told)
    kept = [name for name in names.split() if chance.random() < 0.75] or [names.split()[0]]
    if chance.random() < 0.2:
        chance.shuffle(kept)
    keys = {name: chance.choice(_FIELDS[name][chance.choice([lang, "en"])].split("|")) for name in kept}
    if names == "person place action" and chance.random() < 0.3:
        kept, keys = ["person", "place", "action"], {"person": "person", "place": "location", "action": "action"}
    if len(set(keys.values())) < len(keys):
        keys = {name: name for name in kept}
    answer = dumped({keys[name]: facts[name] for name in kept})
    system = chance.choice(SYSTEMS) if chance.random() < 0.35 else None
    if chance.random() < 0.25:
        question = chance.choice(values.SENTENCES["extract freely"][lang]).format(t=sentence)
        return Extract(question, answer, _THOUGHT[lang], system, forced=True)
    listed = chance.choice(["、", ", ", "和", "，"] if lang == "zh" else [", ", " and ", ", "]).join(keys.values())
    question = chance.choice(values.SENTENCES["extract"][lang]).format(k=listed, t=sentence)
    return Extract(question, answer, _THOUGHT[lang], system)


def _fact(chance: Random, name: str, lang: str) -> tuple[str, Any]:
    if name == "action":
        at = chance.randrange(len(values.BANKS["action"][lang]))
        return values.BANKS["action"][lang][at], values.BANKS["short"][lang][at]
    if name in ("age", "count", "price"):
        number = (
            chance.randint(1, 99)
            if name != "price"
            else chance.choice([chance.randint(1, 9999), chance.randint(1, 99) + 0.5])
        )
        return str(number), number
    if name in ("person", "place"):
        text = getattr(values, name)(chance, lang)
    elif name in ("email", "date"):
        text = getattr(values, name)(chance)
    else:
        text = values.bank(chance, name, lang)
    return text, text


def _pairs(chance: Random, lang: str) -> Extract:
    """key=value, also numbers and truth."""
    pairs: dict[str, Any] = {}
    for key in chance.sample(values.SENTENCES["key"]["en"], chance.randint(1, 4)):
        pairs[key] = chance.choice(
            [
                lambda: values.place(chance, lang),
                lambda: values.person(chance, lang),
                lambda: chance.randint(0, 9999),
                lambda: chance.random() < 0.5,
                lambda: values.code(chance),
                lambda: values.phrase(chance, lang),
                lambda: round(chance.random() * 100, 1),
            ]
        )()
    link = chance.choice(["=", ": ", "：", " = "] + (["是"] if lang == "zh" else [" is "]))
    text = chance.choice(["，", ", ", "; ", "\n"]).join(
        f"{key}{link}{dumped(value).strip(chr(34))}" for key, value in pairs.items()
    )
    lead = {
        "zh": "用JSON返回：|转成JSON：|把下面的内容变成JSON：|JSON格式：",
        "en": "Return as JSON: |JSON: |Turn this into JSON: |As a JSON object: ",
    }[lang]
    return Extract(
        chance.choice(lead.split("|")) + text,
        dumped(pairs),
        _THOUGHT[lang],
        chance.choice(SYSTEMS) if chance.random() < 0.2 else None,
    )


def _list(chance: Random, lang: str) -> Extract:
    """Things named in a row, as an array under one field."""
    sort = chance.choice(["fruit", "product", "color", "language", "place", "person", "number"])
    count = chance.randint(2, 5)
    if sort == "number":
        things: list[Any] = [chance.randint(0, 999) for _ in range(count)]
    elif sort in ("place", "person"):
        things = [getattr(values, sort)(chance, lang) for _ in range(count)]
    else:
        things = chance.sample(values.BANKS[sort][lang], count)
    key = {"zh": f"{sort}s|items|list|列表", "en": f"{sort}s|items|list|values"}[lang]
    field = chance.choice(key.split("|"))
    text = chance.choice(["、", "，", ", "] if lang == "zh" else [", ", " and ", ", "]).join(map(str, things))
    return Extract(
        chance.choice(values.SENTENCES["list"][lang]).format(k=field, t=text), dumped({field: things}), _THOUGHT[lang]
    )


def _answered(chance: Random, lang: str) -> Extract:
    """An ordinary question where only JSON may be answered."""
    said = fixed(chance)
    answer = said.answer if said.answer.startswith("{") else dumped({"answer": said.answer})
    if len(answer) > 160:
        return _pairs(chance, lang)
    return Extract(said.question, answer, _THOUGHT[lang], chance.choice(SYSTEMS))
