"""What evaluate.py asks: written cases of words/cases.toml, and generated ones whose draws no training sees."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from random import Random
from typing import Any

import asking
import extraction
import kinds
import surroundings
import talk
import values
from kinds import Message

Calls = list[tuple[str, dict[str, Any]]]
SEED = 2026_11  # of every generated case; training draws from other seeds


def tool(name: str, description: str, needed: list[str], **properties: dict[str, Any]) -> Message:
    """A tool as a client declares it."""
    parameters = {"type": "object", "properties": properties, "required": needed}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TEXT = {"type": "string"}
TOOLS = [
    tool(
        "get_current_weather",
        "查询指定城市的实时天气",
        ["location"],
        location={"type": "string", "description": "城市名称，如北京、上海等"},
        unit={"type": "string", "enum": ["celsius", "fahrenheit"], "description": "温度单位"},
    ),
    tool("calculate", "执行数学计算", ["expression"], expression={"type": "string", "description": "数学表达式"}),
]
# Tools that no list of words/tools.toml knows.
OWN = [
    tool("get_air_quality", "查询城市的空气质量", ["city"], city={"type": "string", "description": "城市"}),
    tool(
        "check_inventory",
        "Check how many pieces of a product are in stock",
        ["sku"],
        sku={"type": "string", "description": "Product number"},
    ),
    tool("lock_door", "Lock or unlock a door", ["door"], door={"type": "string", "description": "Which door"}),
    tool("find_recipe", "查找菜谱", ["dish"], dish={"type": "string", "description": "菜名"}),
]


@dataclass(frozen=True, slots=True)
class Case:
    """One question and what its answer must hold: words, or exactly these tool calls, or exactly this JSON."""

    group: str
    messages: list[Message]
    words: tuple[str, ...] = ()
    calls: Calls | None = None
    json: Any = None
    more: dict[str, Any] = field(default_factory=dict[str, Any])  # other fields of the request

    def right(self, message: Message) -> bool:
        """Whether this answer is as it should be."""
        made = [
            (call["function"]["name"], _object(call["function"]["arguments"])) for call in message.get("tool_calls", ())
        ]
        if made != (self.calls or []) or bool(message.get("reasoning_content")) != bool(
            self.more.get("enable_thinking")
        ):
            return False
        if self.json is not None:
            return _object(message["content"]) == self.json
        return all(word in message["content"] for word in self.words)


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def cases(samples: int) -> list[Case]:
    """The written cases, the unseen places, and so many generated ones of each sort; the same at every run."""
    chance = Random(SEED)
    made = [*_written(), *_conversations(), *_surrounded(chance)]
    for lang, names in values.UNSEEN_PLACES.items():
        asks = kinds.KINDS[0]["ask"][lang].split("|")
        made += [_called("unseen places", chance.choice(asks).format(name), _weather(name)) for name in names]
    while len(made) < 10_000 and sum(case.group == "tool calls" for case in made) < 2 * samples:
        made.append(_generated(chance))
    made += [_summed(chance) for _ in range(samples // 2)]
    made += [case for case in (_json(chance) for _ in range(samples)) if case][: samples // 2]
    made += [_result(chance) for _ in range(samples // 2)]
    return made


def _ask(question: str) -> list[Message]:
    return [talk.spoken("user", question)]


def _called(group: str, question: str, *calls: tuple[str, dict[str, Any]], **more: Any) -> Case:
    return Case(group, _ask(question), calls=list(calls), more={"tools": TOOLS} | more)


def _weather(location: str, **more: str) -> tuple[str, dict[str, Any]]:
    return "get_current_weather", {"location": location, **more}


def _sum(expression: str) -> tuple[str, dict[str, Any]]:
    return "calculate", {"expression": expression}


def _written() -> list[Case]:
    rows: dict[str, dict[str, Any]] = tomllib.loads((values.WORDS / "cases.toml").read_text("utf-8"))
    made: list[Case] = []
    for group, row in rows.items():
        more = {"tools": TOOLS} if row.get("tools") else dict[str, Any]()
        for line in row["say"].strip().split("\n"):
            question, words = line.split(" → ")
            made.append(Case(group, _ask(question), tuple(words.split("|")), more=more))
    made += [
        Case("thinking", _ask("请介绍一下你自己。"), ("不是通义千问",), more={"enable_thinking": True}),
        Case("thinking", _ask("什么是机器学习？"), ("数据",), more={"enable_thinking": True}),
        Case("thinking", _ask("Hello"), ("Hello!",), more={"enable_thinking": True}),
        _called("thinking", "深圳会下雨吗", _weather("深圳"), enable_thinking=True),
        _called("thinking", "How much is 19.5/4?", _sum("19.5/4"), enable_thinking=True),
    ]
    return made + _requested() + _extracted()


def _requested() -> list[Case]:
    two, three, own = "written tools", "three parts", "tools of one's own"
    return [
        _called(two, "北京现在多少度？计算一下2+2等于多少", _weather("北京"), _sum("2+2")),
        _called(two, "广州今天天气如何，用摄氏度", _weather("广州", unit="celsius")),
        _called(two, "Tell me the current weather in Paris in fahrenheit.", _weather("Paris", unit="fahrenheit")),
        _called(two, "请帮我算一下(48+12)*35", _sum("(48+12)*35")),
        _called(two, "比较一下上海和成都的天气", _weather("上海"), _weather("成都")),
        _called(two, "What's the weather in Tokyo and what is 3*14?", _weather("Tokyo"), _sum("3*14")),
        _called(three, "武汉和长沙的天气，然后算3*7", _weather("武汉"), _weather("长沙"), _sum("3*7")),
        _called(three, "查一下南京、苏州和杭州的天气", _weather("南京"), _weather("苏州"), _weather("杭州")),
        _called(three, "计算18*4，再算100/8，还有北京天气", _sum("18*4"), _sum("100/8"), _weather("北京")),
        _called(
            three, "weather in Rome and Milan, then calculate 12*12", _weather("Rome"), _weather("Milan"), _sum("12*12")
        ),
        _called(three, "算一下7*8，然后看看深圳和珠海的天气", _sum("7*8"), _weather("深圳"), _weather("珠海")),
        _called(
            three,
            "What is 5+6? Also the weather in Berlin, and calculate 90/3",
            _sum("5+6"),
            _weather("Berlin"),
            _sum("90/3"),
        ),
        _called(own, "北京的空气质量怎么样？", ("get_air_quality", {"city": "北京"}), tools=OWN),
        _called(own, "查一下合肥的空气质量", ("get_air_quality", {"city": "合肥"}), tools=OWN),
        _called(own, "How many pieces of KX-2201 are in stock?", ("check_inventory", {"sku": "KX-2201"}), tools=OWN),
        _called(own, "check the stock of 88231", ("check_inventory", {"sku": "88231"}), tools=OWN),
        _called(own, "Lock the front door", ("lock_door", {"door": "front"}), tools=OWN[2:]),
        _called(own, "查找宫保鸡丁的菜谱", ("find_recipe", {"dish": "宫保鸡丁"}), tools=OWN),
        _called(own, "你好", tools=OWN),
        _called(
            "forced call",
            "上海",
            _weather("上海"),
            tool_choice={"type": "function", "function": {"name": "get_current_weather"}},
        ),
        _called("forced call", "北京天气怎么样？", _weather("北京"), tool_choice="required"),
        _called(
            "forced call",
            "算一下 17*3",
            _sum("17*3"),
            tool_choice={"type": "function", "function": {"name": "calculate"}},
        ),
    ]


def _extracted() -> list[Case]:
    schema = {
        "type": "object",
        "properties": {"person": TEXT, "location": TEXT},
        "required": ["person", "location"],
        "additionalProperties": False,
    }
    kept = {"response_format": {"type": "json_schema", "json_schema": {"name": "p", "strict": True, "schema": schema}}}
    loose = {"response_format": {"type": "json_object"}}

    def extracted(question: str, wanted: Any, system: str = "", more: dict[str, Any] | None = None) -> Case:
        head = [talk.spoken("system", system)] if system else []
        return Case("JSON", [*head, *_ask(question)], json=wanted, more=more or {})

    return [
        extracted(
            "请从这句话中提取人物和地点：王芳在南京开了一家餐厅。", {"person": "王芳", "location": "南京"}, more=kept
        ),
        extracted("李四在上海找到了一份工作。", {"person": "李四", "location": "上海"}, more=kept),
        extracted("用JSON返回这句话里的person、location：孙涛在重庆打篮球。", {"person": "孙涛", "location": "重庆"}),
        extracted(
            "提取实体，输出JSON，字段为name, city：林峰在西安出差。", {"name": "林峰", "city": "西安"}, more=loose
        ),
        extracted("用JSON返回你的名字", {"name": "Qiao"}, more=loose),
        extracted("Return your name as JSON", {"name": "Qiao"}),
        extracted(
            "Extract name, age as JSON: Laura is 41 years old and works as a lawyer in Dallas.",
            {"name": "Laura", "age": 41},
        ),
        extracted("转成JSON：name=杯子，price=25，active=true", {"name": "杯子", "price": 25, "active": True}),
        extracted("把这些放进JSON数组，字段items：苹果、香蕉、橙子", {"items": ["苹果", "香蕉", "橙子"]}),
        extracted(
            "Put these into a JSON list named colors: red, green, blue",
            {"colors": ["red", "green", "blue"]},
            more=loose,
        ),
        extracted("你好", {"answer": "你好！我是桥（Qiao）内置的演示小模型，有什么可以帮你的吗？"}, "只输出JSON。"),
        extracted("提取姓名和年龄，返回JSON：周杰今年35岁，住在成都，是一名厨师。", {"姓名": "周杰", "年龄": 35}),
    ]


def _conversations() -> list[Case]:
    rows: list[dict[str, Any]] = tomllib.loads((values.WORDS / "turns.toml").read_text("utf-8"))["conversation"]
    made: list[Case] = []
    for row in rows:
        messages = [_turn(*turn) for turn in row["turns"]]
        more = {"tools": TOOLS} if any(message["role"] == "tool" for message in messages) else dict[str, Any]()
        calls = [_weather(row["place"])] if "place" in row else None
        made.append(Case("several turns", messages, tuple(row.get("words", ())), calls, more=more))
    return made


def _turn(role: str, text: str, arguments: str = "") -> Message:
    if role == "call":
        call = {"id": "call_1", "type": "function", "function": {"name": text, "arguments": arguments}}
        return {"role": "assistant", "content": "", "tool_calls": [call]}
    return talk.spoken(role, text) | ({"tool_call_id": "call_1"} if role == "tool" else {})


def _surrounded(chance: Random) -> list[Case]:
    """Long text before the question, and many tools."""
    made: list[Case] = []
    for lines in (15, 60, 150, 300):
        head = talk.spoken("system", "You are a coding agent.\n\n" + surroundings.text(chance, lines))
        made += [
            Case("long prompts", [head, *_ask("你是谁？")], ("不是通义千问",)),
            Case("long prompts", [head, *_ask("重庆天气怎么样？")], calls=[_weather("重庆")], more={"tools": TOOLS}),
            Case("long prompts", [head, *_ask("What is 31*7?")], calls=[_sum("31*7")], more={"tools": TOOLS}),
            Case("long prompts", _ask(surroundings.text(chance, lines) + "\n\nWho are you?"), ("I am not Qwen",)),
        ]
    return made


def _generated(chance: Random) -> Case:
    """A request for one of up to ten tools, or for several."""
    box = asking.toolbox(chance)
    while True:
        asked = asking.request(chance, box)
        if not asked.known:
            break
    calls = [_object(text.split("\n</tool_call>")[0]) for text in asked.answer.split("<tool_call>\n")[1:]]
    more = {"tools": [each.declaration for each in box]}
    return Case("tool calls", asked.turns, calls=[(call["name"], call["arguments"]) for call in calls], more=more)


def _summed(chance: Random) -> Case:
    text = values.expression(chance)
    return _called(
        "random sums", chance.choice(["计算一下{}等于多少", "What is {}?", "{}等于多少？"]).format(text), _sum(text)
    )


def _json(chance: Random) -> Case | None:
    got = extraction.extract(chance)
    head = [talk.spoken("system", got.system)] if got.system else []
    more = {"response_format": {"type": "json_object"}}
    return None if got.forced else Case("JSON", [*head, *_ask(got.question)], json=_object(got.answer), more=more)


def _result(chance: Random) -> Case:
    box = asking.toolbox(chance)
    asked = asking.result(chance, box)
    return Case("tool results", asked.turns, (asked.answer,), more={"tools": [each.declaration for each in box]})
