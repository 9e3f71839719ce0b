"""Conversations with tools: one call, several, follow-ups, results, and what no tool is for."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import kinds
import talk
import values
from kinds import Message, Tool, Use, dumped

# With these words a question might be meant for a tool; beside tools it is not used as one to refuse.
_FOR_TOOLS = values.parts(
    "天气|几点|星期|新闻|怎么走|吃|写|画|钱|信|什么是|人口|在哪"
    "|weather|time|day|news|get to|How far|eat|Plan|Write|Tell|Recommend"
)


@dataclass(slots=True)
class Asked:
    """Turns and the last answer, with the thought before it."""

    turns: list[Message]
    answer: str
    thought: str
    known: bool = False  # only the values of its JSON are to be learnt: the rest is the grammar's


def toolbox(chance: Random) -> list[Tool]:
    """One to ten tools, mostly with a description in one language; names are unique."""
    count = chance.choices([1, 2, 3, 4, 6, 8, 10], [18, 46, 16, 9, 5, 3, 3])[0]
    lang = "zh" if chance.random() < 0.6 else "en"
    fixed = [0, 1] if count > 1 and chance.random() < 0.75 else []  # weather and sums, as most first programs have them
    box = [kinds.tool(chance, lang, at) for at in fixed]
    while len(box) < count:
        tool = kinds.tool(chance, lang)
        if tool.name not in {each.name for each in box} and (
            tool.kind < 0 or tool.kind not in {each.kind for each in box}
        ):
            box.append(tool)
    chance.shuffle(box)
    return box


def asked(chance: Random, box: list[Tool]) -> Asked:
    """What comes next in a conversation with these tools."""
    sort = chance.choices([request, result, _other, _puzzle, _follow], [54, 16, 14, 10, 6])[0]
    return sort(chance, box)


def request(chance: Random, box: list[Tool]) -> Asked:
    """One call or several."""
    return (_one if chance.random() < 0.6 else _several)(chance, box)


def _lang(chance: Random) -> str:
    return "zh" if chance.random() < 0.6 else "en"


def _one(chance: Random, box: list[Tool]) -> Asked:
    lang = _lang(chance)
    use = kinds.use(chance, chance.choice(box), lang)
    question = _ended(chance, use.words, lang)
    if chance.random() < 0.08:
        return Asked(
            [talk.spoken("user", question)],
            dumped({"name": use.tool.name, "arguments": use.arguments}),
            _thought([use], lang),
            known=True,
        )
    return Asked([talk.spoken("user", question)], use.call, _thought([use], lang))


def _ended(chance: Random, words: str, lang: str) -> str:
    draw = chance.random()
    if draw < 0.12:
        words = words.rstrip("？?。.") + chance.choice(
            ["？", "。", "！", "", "?"] if lang == "zh" else ["?", ".", "!", "", ", please.", " please"]
        )
    elif draw < 0.18:
        words = (
            chance.choice(
                ["你好，", "麻烦你，", "请问", "帮个忙，"]
                if lang == "zh"
                else ["Hello, ", "Hi! ", "Please help: ", "Hey, "]
            )
            + words
        )
    return words


def _thought(uses: list[Use], lang: str) -> str:
    names = [use.tool.name for use in uses]
    return f"需要调用{'、'.join(names)}。" if lang == "zh" else f"I need to call {', '.join(names)}."


def _several(chance: Random, box: list[Tool]) -> Asked:
    """Two or three requests in one message, of one tool or of several, also one with two values."""
    lang = _lang(chance)
    pair = [tool for tool in box if tool.kind == 0] or [
        tool for tool in box if len([s for s in tool.slots if not s.optional]) == 1 and tool.kind >= 0
    ]
    uses: list[Use] = []
    words = ""
    if pair and chance.random() < 0.5:
        words, uses = _doubled(chance, chance.choice(pair), lang)
        if chance.random() < 0.5 or len(box) == 1:
            return Asked([talk.spoken("user", words)], _calls(uses), _thought(uses, lang))
    others = chance.choices(box, k=chance.choices([2, 3], [4, 1])[0] - (1 if uses else 0))
    for tool in others:
        use = kinds.use(chance, tool, lang)
        words = _joined(chance, words, use.words, lang) if words else use.words
        uses.append(use)
    return Asked([talk.spoken("user", words)], _calls(uses), _thought(uses, lang))


def _calls(uses: list[Use]) -> str:
    return "\n".join(use.call for use in uses)


def _joined(chance: Random, first: str, second: str, lang: str) -> str:
    if lang == "zh":
        first = (
            first
            if first[-1] in "？?" and chance.random() < 0.6
            else first.rstrip("？?。") + chance.choice(["，", "，", "，然后", "，再", "；", "，还有", "，另外", "。"])
        )
        return first + second
    if first[-1] == "?" and chance.random() < 0.6:
        return f"{first} {chance.choice(['', 'And ', 'Also, '])}{second}"
    return first.rstrip("?.") + chance.choice([", and ", ", then ", ". ", " and ", ". Also "]) + second


def _doubled(chance: Random, tool: Tool, lang: str) -> tuple[str, list[Use]]:
    """One tool for two or three values: 北京和上海的天气."""
    count = chance.choices([2, 3], [5, 1])[0]
    template = chance.choice(tool.asks[lang])
    slot = next(slot for slot in tool.slots if not slot.optional)
    drawn = [slot.draw(chance, lang) for _ in range(count)]
    if lang == "zh":
        listed = (
            chance.choice(["、", "和", "和"]).join(words for _, words in drawn)
            if count == 2
            else f"{drawn[0][1]}、{drawn[1][1]}和{drawn[2][1]}"
        )
        if tool.kind == 0:
            template = chance.choice(
                [template, "{0}的天气", "比较一下{0}的天气", "{0}的天气怎么样？", "{0}今天多少度？", "{0}哪个更热？"]
            )
    else:
        listed = (
            " and ".join(words for _, words in drawn)
            if count == 2
            else f"{drawn[0][1]}, {drawn[1][1]} and {drawn[2][1]}"
        )
        if tool.kind == 0:
            template = chance.choice(
                [
                    template,
                    "Compare the weather in {0}",
                    "What is the weather in {0}?",
                    "weather in {0}",
                    "Is it warmer in {0}?",
                ]
            )
    return template.format(listed), [Use(tool, words, {slot.name: value}, template) for value, words in drawn]


def _follow(chance: Random, box: list[Tool]) -> Asked:
    """The same request for another value: 那上海呢？"""
    lang = _lang(chance)
    single = [tool for tool in box if len([s for s in tool.slots if not s.optional]) == 1 and tool.kind >= 0]
    if not single:
        return _one(chance, box)
    tool = chance.choice(single)
    first = kinds.use(chance, tool, lang)
    slot = next(slot for slot in tool.slots if not slot.optional)
    value, words = slot.draw(chance, lang)
    told, told_answer = _told(chance, first, lang)
    ask = {
        "zh": "那{}呢？|{}呢？|换成{}|那{}呢|再查一下{}|{}也看一下",
        "en": "And {}?|What about {}?|How about {}?|Now {}|And for {}?|same for {}",
    }[lang]
    before: list[Message] = [
        talk.spoken("user", first.words),
        {"role": "assistant", "content": "", "tool_calls": [first.sent]},
    ]
    before += [talk.spoken("tool", told), talk.spoken("assistant", told_answer)]
    use = Use(tool, words, {slot.name: value}, "")
    return Asked(
        [*before, talk.spoken("user", chance.choice(ask.split("|")).format(words))], use.call, _thought([use], lang)
    )


def result(chance: Random, box: list[Tool]) -> Asked:
    """The tools have answered: one sentence for each result."""
    lang = _lang(chance)
    uses = [kinds.use(chance, tool, lang) for tool in chance.choices(box, k=chance.choices([1, 2, 3], [6, 5, 1])[0])]
    words = uses[0].words
    for use in uses[1:]:
        words = _joined(chance, words, use.words, lang)
    told = [_told(chance, use, lang) for use in uses]
    turns: list[Message] = [
        talk.spoken("user", words),
        {"role": "assistant", "content": "", "tool_calls": [use.sent for use in uses]},
    ]
    turns += [talk.spoken("tool", text) for text, _ in told]
    answer = ("" if lang == "zh" else " ").join(sentence for _, sentence in told)
    return Asked(turns, answer, "工具已返回结果，可以回答。" if lang == "zh" else "The tool has answered.")


_FAULTS = [*values.SENTENCES["fault"]["zh"], *values.SENTENCES["fault"]["en"]]


def _told(chance: Random, use: Use, lang: str) -> tuple[str, str]:
    """A tool's result, and the sentence that passes it on."""
    if chance.random() < 0.12:
        fault = chance.choice(_FAULTS)
        result = chance.choice(
            [
                "Error: {}",
                "错误：{}",
                '{{"error": "{}"}}',
                "error: {}",
                "计算错误：{}" if use.tool.kind == 1 else "ERROR {}",
            ]
        ).format(fault)
        return (
            result,
            f"工具出错了：{fault}。请稍后再试。"
            if lang == "zh"
            else f"The tool failed: {fault}. Please try again later.",
        )
    if use.tool.kind == 0:
        return _weather(chance, next(iter(use.arguments.values())), lang)
    if use.tool.kind == 1:
        value = chance.choice(
            [
                str(chance.randint(-99, 9999)),
                f"{chance.randint(0, 999)}.{chance.randint(0, 99)}",
                str(chance.randint(0, 10**7)),
            ]
        )
        result = chance.choice(
            [f"计算结果：{value}", value, f"Result: {value}", dumped({"result": value}), f"结果：{value}"]
        )
        said = next(iter(use.arguments.values()))
        return result, f"{said}的结果是{value}。" if lang == "zh" else f"{said} = {value}."
    return _other_result(chance, lang)


_SKY = {
    "zh": values.parts("晴朗|晴|多云|小雨|大雪|阴|有风|雷阵雨|未知|雾|暴雨|霾"),
    "en": values.parts("sunny|cloudy|rainy|snowy|windy|foggy|clear|stormy|light rain|overcast"),
}


def _weather(chance: Random, where: str, lang: str) -> tuple[str, str]:
    sky, degrees = chance.choice(_SKY[lang]), chance.randint(-30, 45)
    unit = chance.choice(["C", "F"])
    if lang == "zh":
        result = chance.choice(
            [
                f"{where}天气：{sky}，温度{degrees}°{unit}",
                f"{where}：{sky}，{degrees}°{unit}",
                dumped({"location": where, "temperature": degrees, "condition": sky}),
                f"{sky} {degrees}°{unit}",
            ]
        )
        return (
            result,
            f"{where}现在{sky}，气温{degrees}°{unit}。" if "°" in result else f"{where}现在{sky}，气温{degrees}度。",
        )
    result = chance.choice(
        [
            f"{where}: {sky}, {degrees}°{unit}",
            dumped({"location": where, "temperature": degrees, "condition": sky}),
            f"{sky}, {degrees} degrees",
            f"It is {sky} and {degrees}°{unit} in {where}",
        ]
    )
    return (
        result,
        f"It is {sky} in {where}, {degrees}°{unit}."
        if "°" in result
        else f"It is {sky} in {where}, {degrees} degrees.",
    )


def _other_result(chance: Random, lang: str) -> tuple[str, str]:
    """Plain text is passed on as it is, an object field by field."""
    if chance.random() < 0.5:
        text = chance.choice(
            [
                lambda: values.phrase(chance, lang),
                lambda: values.clock(chance),
                lambda: values.date(chance),
                lambda: values.code(chance),
                lambda: values.number(chance),
                lambda: f"{values.place(chance, lang)} {values.number(chance)}",
                lambda: chance.choice(
                    ["已发货", "成功", "已完成", "处理中", "ok", "done", "success", "shipped", "已发送", "sent"]
                ),
            ]
        )()
        return text, f"结果是：{text}。" if lang == "zh" else f"The result is: {text}."
    keys = chance.sample(
        values.parts("status|id|name|price|time|total|title|city|count|url|date|message|result"), chance.randint(1, 3)
    )
    fields = {
        key: chance.choice(
            [
                values.phrase(chance, lang),
                values.code(chance),
                chance.randint(0, 9999),
                values.date(chance),
                values.clock(chance),
                values.person(chance, lang),
            ]
        )
        for key in keys
    }
    listed = ("；" if lang == "zh" else "; ").join(
        f"{key}{'：' if lang == 'zh' else ': '}{value}" for key, value in fields.items()
    )
    return dumped(fields), f"结果是：{listed}。" if lang == "zh" else f"The result is: {listed}."


def _other(chance: Random, box: list[Tool]) -> Asked:
    """Talk that no tool is for."""
    said = chance.choices([talk.fixed, talk.refused, talk.named, talk.repeated], [10, 6, 3, 2])[0](chance)
    while any(word in said.question for word in _FOR_TOOLS) and said.answer in (talk.REFUSAL["zh"], talk.REFUSAL["en"]):
        said = talk.refused(chance)
    return Asked([*said.before, talk.spoken("user", said.question)], said.answer, said.thought)


def _puzzle(chance: Random, box: list[Tool]) -> Asked:
    said = talk.puzzling(chance)
    return Asked([talk.spoken("user", said.question)], said.answer, said.thought)
