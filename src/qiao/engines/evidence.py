"""What a question holds: places, sums, dates, numbers and names, in Chinese and English.

The patterns have no part that may begin at every character and run on without end: a long text stays cheap.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

from qiao.wire.check_messages import is_list

_CITIES = (
    "北京|上海|广州|深圳|杭州|南京|苏州|成都|重庆|武汉|西安|天津|长沙|郑州|青岛|厦门|大连|昆明|哈尔滨|沈阳|济南|合肥|福州|"
    "香港|澳门|台北|新加坡|东京|大阪|首尔|曼谷|纽约|伦敦|巴黎|柏林|悉尼|波士顿|旧金山|洛杉矶|莫斯科"
)
_WORLD = (
    "Beijing|Shanghai|Guangzhou|Shenzhen|Hangzhou|Hong Kong|Singapore|Tokyo|Osaka|Seoul|Bangkok|New York|London|Paris|"
    "Berlin|Sydney|Boston|San Francisco|Los Angeles|Chicago|Seattle|Moscow"
)
_city = re.compile(_CITIES)
_world = re.compile(rf"\b(?:{_WORLD})\b", re.IGNORECASE)
_zh_place = re.compile(
    r"(?:请问|查询|查一下|查查|帮我|看看|告诉我|想知道|，|。|？|\s|^)([\u4e00-\u9fff]{2,6}?)市?"
    r"(?:的|今天|今日|明天|后天|现在|当前|目前|这周|未来){0,3}(?:天气|气温|温度|下雨|多少度|几度)"
)
_en_place = re.compile(r"\b(?:in|for|at|near|of|to)\s+((?:[A-Z][\w'’-]+)(?:,?\s+[A-Z][\w'’-]+)*)")
_sum = re.compile(r"(?<![\d.])\({0,8}-?\d[\d.]*(?:\s*(?:\*\*|[-+*/×÷^%])\s*[-(]*\d[\d.]*\)*)+")
_date = re.compile(
    r"\d{4}[-/年]\d{1,2}[-/月]\d{1,2}日?|今天|明天|后天|昨天|\b(?:today|tomorrow|yesterday|tonight)\b", re.IGNORECASE
)
_number = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")
_email = re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}")
_url = re.compile(r"https?://[^\s，。）)\"'<>]+")
_quoted = re.compile(r"[“\"「『']([^”\"」』']{1,200})[”\"」』']")
_name = re.compile(
    r"(?:我叫|我的名字是|我的名字叫)\s*(?!什么|啥|谁)([\u4e00-\u9fffA-Za-z·]{1,12}?)(?=[，。！？,.!?\s]|$)"
    r"|(?:\b[Mm]y name is|\bI am called|\b[Cc]all me)\s+([A-Z][\w'’-]*(?:\s+[A-Z][\w'’-]*)?)"
)
_person = re.compile(r"([张王李赵刘陈杨黄周吴徐孙][\u4e00-\u9fff]{1,2}?)(?=在|是|于|说|去|来|的|，|。|、|和)")


def speaks_chinese(text: str) -> bool:
    """Whether a text is to be answered in Chinese."""
    return re.search(r"[\u4e00-\u9fff]", text) is not None


def places(text: str) -> list[str]:
    """The places that a text names, in its order."""
    found = [match.group() for match in _city.finditer(text)] or [match.group(1) for match in _zh_place.finditer(text)]
    english = [match.group(1) for match in _en_place.finditer(text)]
    listed = [match.group() for match in _world.finditer(text)]
    english += [place for place in listed if not any(place.lower() in longer.lower() for longer in english)]
    return list(dict.fromkeys([*found, *english]))


def sums(text: str) -> list[str]:
    """The arithmetic expressions of a text, in Python's signs."""
    found = [match.group().strip() for match in _sum.finditer(text) if _date.fullmatch(match.group().strip()) is None]
    return [sum_.replace("×", "*").replace("÷", "/").replace("^", "**") for sum_ in found]


def numbers(text: str) -> list[int | float]:
    """The numbers of a text, in its order."""
    values = [match.group() for match in _number.finditer(text)]
    return [float(value) if "." in value else int(value) for value in values if len(value) < 19]


def names(text: str) -> list[str]:
    """What the speaker says to be called, and Chinese persons spoken of."""
    own = [match.group(1) or match.group(2) for match in _name.finditer(text)]
    return [*own, *(match.group(1) for match in _person.finditer(text))]


def introduced(text: str) -> str | None:
    """The name that the speaker gives as his own."""
    match = _name.search(text)
    return (match.group(1) or match.group(2)) if match else None


def _found(pattern: re.Pattern[str]) -> Callable[[str], list[Any]]:
    return lambda text: [match.group(match.lastindex or 0) for match in pattern.finditer(text)]


# Which finder is asked, by what the field is called or says of itself.
_FINDERS: tuple[tuple[re.Pattern[str], Callable[[str], list[Any]]], ...] = (
    (re.compile(r"locat|city|place|region|address|城市|地点|地址|位置|地区", re.IGNORECASE), places),
    (re.compile(r"expr|formula|equation|arithmetic|表达式|算式|公式", re.IGNORECASE), sums),
    (re.compile(r"e-?mail|邮箱|邮件", re.IGNORECASE), _found(_email)),
    (re.compile(r"\burl\b|link|网址|链接", re.IGNORECASE), _found(_url)),
    (re.compile(r"date|\bday\b|日期|时间", re.IGNORECASE), _found(_date)),
    (re.compile(r"name|person|who|姓名|名字|人名", re.IGNORECASE), names),
    (re.compile(r"title|keyword|symbol|phrase|标题|关键词", re.IGNORECASE), _found(_quoted)),
)


def find(text: str, name: str, schema: dict[str, Any]) -> list[Any]:
    """What the text holds for a field of a schema; the field's name counts before its description."""
    if is_list(schema.get("enum")):
        words = [value for value in schema["enum"] if isinstance(value, str) and value]
        return [word for word in words if word.lower() in text.lower()]
    kind = schema.get("type")
    kinds: list[Any] = kind if is_list(kind) else [kind]
    if "integer" in kinds or "number" in kinds:
        return list(numbers(text))
    if "string" not in kinds and kind is not None:
        return []
    for about in (name, str(schema.get("description", ""))):
        for pattern, finder in _FINDERS:
            if pattern.search(about):
                return finder(text)
    return []


_NOT_A_SUM = "not an arithmetic expression of a sane size"
_SIGNS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}


def worked_out(expression: str) -> str | None:
    """The value of an arithmetic expression; None when it has none of a sane size."""
    try:
        value = _value(ast.parse(expression, mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return None
    return str(int(value)) if float(value).is_integer() else f"{value:.10g}"


def _value(node: ast.expr) -> int | float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and abs(node.value) < 1e15:
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand)
    if not isinstance(node, ast.BinOp):
        raise ValueError(_NOT_A_SUM)
    left, right = _value(node.left), _value(node.right)
    if isinstance(node.op, ast.Pow) and abs(left) <= 1_000 and 0 <= right <= 30:
        return left**right
    if type(node.op) not in _SIGNS or abs(left) > 1e100 or abs(right) > 1e100:
        raise ValueError(_NOT_A_SUM)
    return _SIGNS[type(node.op)](left, right)
