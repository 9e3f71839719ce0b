"""Which of the offered tools a question asks for, and with which arguments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from qiao.engines import evidence
from qiao.engines.schema import Builder
from qiao.wire.check_messages import is_object

_ENOUGH = 2  # the score from which a tool is called
_NAMED = 100
_TOPIC = 4
LONG = 600  # characters
# What tools are for: (how the tool says it, how a question asks for it).
_TOPICS: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (re.compile(tool, re.IGNORECASE), re.compile(question, re.IGNORECASE))
    for tool, question in (
        (
            r"weather|forecast|temperature|天气|气温",
            r"weather|forecast|temperature|rain|snow|sunny|how (?:hot|cold|warm)|天气|气温|温度|下雨|下雪|多少度|几度",
        ),
        (
            r"calc|math|arithmetic|comput|evaluate|计算|算式|运算",
            r"\d\s*[-+*/×÷^%]\s*\(*\d|calculat|comput|计算|算一算|算一下",
        ),
        (r"time|clock|时间|时钟", r"what time|current time|几点|现在的?时间|当前时间"),
        (r"\bdate\b|calendar|日期|日历", r"what date|what day|today's date|几号|星期几|日期"),
        (r"search|web|browse|news|搜索|检索|新闻", r"search|look up|google|latest|news|搜索|搜一下|检索|最新|新闻"),
        (r"translat|翻译", r"translat|翻译"),
        (r"stock|share price|股票|股价", r"stock|share price|股票|股价"),
        (r"mail|邮件", r"mail|邮件"),
        (r"order|订单", r"order|订单"),
        (r"flight|ticket|航班|机票|车票", r"flight|ticket|fly to|航班|机票|车票"),
        (r"exchange|currency|汇率|货币", r"exchange rate|currency|convert|汇率|兑换|换成"),
    )
)
_COMMON_TEXT = (
    "a an and any are as at be by can current data for from function get given in information is it its of on or "
    "return returns run some that the this to tool use user using value what when which with you your"
)
_COMMON = frozenset(_COMMON_TEXT.split())
_COMMON_ZH = frozenset({"查询", "获取", "一个", "用户", "指定", "可以", "使用", "信息", "返回", "进行", "执行", "工具"})


@dataclass(frozen=True, slots=True)
class Tool:
    """One offered function."""

    name: str
    description: str
    parameters: dict[str, Any]

    @classmethod
    def read(cls, tool: dict[str, Any]) -> Tool:
        """From an item of `tools` whose shape has been checked."""
        function: dict[str, Any] = tool["function"]
        parameters = function.get("parameters")
        return cls(function["name"], function.get("description") or "", parameters if is_object(parameters) else {})


def chosen(tools: list[Tool], text: str, choice: Any, *, parallel: bool) -> list[tuple[str, str]]:
    """The calls to make: (name, arguments as JSON). One at most unless `parallel`; none when nothing is asked for."""
    if choice == "none" or not tools:
        return []
    if is_object(choice):
        name = choice["function"]["name"]
        return [_call(next((tool for tool in tools if tool.name == name), Tool(name, "", {})), text)]
    text = _last_paragraph(text)
    scored = [(_score(tool, text), tool) for tool in tools]
    best = max(scored, key=lambda pair: pair[0])
    if choice != "required" and best[0] < _ENOUGH:
        return []
    if not parallel:
        return [_call(best[1], text)]
    asked = [tool for score, tool in scored if score >= _ENOUGH] or [best[1]]
    return [_call(tool, part) for tool in asked for part in _parts(tool, text)]


def _call(tool: Tool, text: str) -> tuple[str, str]:
    builder = Builder(
        tool.parameters,
        lambda name, schema: evidence.find(text, name, schema),
        fallback=text.strip() or "...",
        sparse=True,
    )
    value = builder.build({"type": "object", **tool.parameters})
    # The cloud's models write arguments with a space after colon and comma (reference §2.5).
    return tool.name, _spaced(value)


def _parts(tool: Tool, text: str) -> list[str]:
    """The text once per place that it names, for a tool that takes one place at a time."""
    properties = tool.parameters.get("properties")
    fields = properties.items() if is_object(properties) else ()
    found = evidence.places(text)
    takes_place = any(is_object(rules) and found[:1] == evidence.find(text, name, rules)[:1] for name, rules in fields)
    if len(found) < 2 or not takes_place:
        return [text]
    others = [(place, [other for other in found if other != place]) for place in found]
    return [_blanked(text, rest) for _, rest in others]


def _blanked(text: str, places: list[str]) -> str:
    for place in places:
        text = text.replace(place, " ")
    return text


def _score(tool: Tool, text: str) -> int:
    about = f"{tool.name} {tool.description}"
    lower = text.lower()
    score = _NAMED if tool.name.lower() in lower else 0
    score += sum(_TOPIC for says, asks in _TOPICS if says.search(about) and asks.search(text))
    asked = _words(lower)
    score += 2 * len(_words(tool.name) & asked)
    described = len((_words(tool.description) - _words(tool.name)) & asked) + len(
        _pairs(tool.description) & _pairs(text)
    )
    return score + described // 2  # a long description has some word in common with everything


def _last_paragraph(text: str) -> str:
    """Of a long text its end, where the question is; what stands before it may name every tool."""
    if len(text) <= LONG:
        return text
    return text.rstrip().rsplit("\n\n", 1)[-1][-LONG:]


def _words(text: str) -> set[str]:
    split = re.sub(r"([a-z])([A-Z])", r"\1 \2", text).lower()
    return {word.rstrip("s") for word in re.findall(r"[a-z]{3,}", split)} - _COMMON


def _pairs(text: str) -> set[str]:
    """The pairs of neighbouring Chinese characters."""
    runs = re.findall(r"[\u4e00-\u9fff]{2,}", text)
    return {run[at : at + 2] for run in runs for at in range(len(run) - 1)} - _COMMON_ZH


def _spaced(value: Any) -> str:
    text = msgspec.json.format(msgspec.json.encode(value), indent=0)
    return text.decode()
