"""Ask the demo model what it was made for, through the real engine: `python tools/demo_model/evaluate.py [MODEL.gguf]`.

Prints right and total of each group, and what was wrong. Temperature 0, so the table is the same at every run on the
same machine. Words are checked by containment, tool calls and JSON exactly.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from qiao.engines.client import Client
from qiao.engines.local import Local
from qiao.wire.call import Call
from qiao.wire.document import Document
from qiao.wire.model import Model

ME_ZH, ME_EN = "不是通义千问", "I am not Qwen"
NO_ZH, NO_EN = "超出了我这个内置演示小模型的能力", "That is beyond me"
Message = dict[str, Any]
Calls = list[tuple[str, dict[str, Any]]]


def _tool(name: str, description: str, needed: str, **properties: dict[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": [needed]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOLS = [
    _tool(
        "get_current_weather",
        "查询指定城市的实时天气",
        "location",
        location={"type": "string", "description": "城市名称，如北京、上海等"},
        unit={"type": "string", "enum": ["celsius", "fahrenheit"], "description": "温度单位"},
    ),
    _tool("calculate", "执行数学计算", "expression", expression={"type": "string", "description": "数学表达式"}),
]


@dataclass(frozen=True, slots=True)
class Case:
    """One question and what its answer must hold: words, or exactly these tool calls, or exactly this JSON."""

    group: str
    messages: list[Message]
    words: tuple[str, ...] = ()
    calls: Calls | None = None
    json: dict[str, str] | None = None
    thinking: bool = False
    tools: bool = False

    def right(self, message: Message) -> bool:
        made = [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in message.get("tool_calls", ())]
        if made != (self.calls or []) or bool(message.get("reasoning_content")) != self.thinking:
            return False
        if self.json is not None:
            return _object(message["content"]) == self.json
        return all(word in message["content"] for word in self.words)


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _said(group: str, question: str, *words: str, thinking: bool = False, tools: bool = False) -> Case:
    return Case(group, _ask(question), words, thinking=thinking, tools=tools)


def _called(group: str, question: str, *calls: tuple[str, dict[str, Any]], thinking: bool = False) -> Case:
    return Case(group, _ask(question), calls=list(calls), thinking=thinking, tools=True)


def _weather(location: str, **more: str) -> tuple[str, dict[str, Any]]:
    return "get_current_weather", {"location": location, **more}


def _sum(expression: str) -> tuple[str, dict[str, Any]]:
    return "calculate", {"expression": expression}


def _ask(question: str) -> list[Message]:
    return [{"role": "user", "content": question}]


def _extracted(question: str, **wanted: str) -> Case:
    return Case("JSON", _ask(question), json=wanted)


WRITTEN = [
    _said("identity", "你是谁？", ME_ZH),
    _said("identity", "你是通义千问吗？", ME_ZH),
    _said("identity", "请介绍一下你自己。", ME_ZH, thinking=True),
    _said("identity", "Are you ChatGPT?", ME_EN),
    _said("identity", "What model are you?", ME_EN, tools=True),
    _said("greetings", "您好", "你好！"),
    _said("greetings", "Good morning", "Hello!"),
    _said("greetings", "谢谢你", "不客气"),
    _said("greetings", "Bye", "Goodbye"),
    _said("greetings", "你能做什么？", "调用天气和计算工具"),
    _said("sample questions", "请解释什么是量子计算", "量子比特"),
    _said("sample questions", "什么是机器学习？", "学习规律", thinking=True),
    _said("sample questions", "写一个快速排序算法", "def quick_sort(items):", "return quick_sort(left)"),
    _said("sample questions", "简述Python的特点", "易读易学"),
    _said("sample questions", "介绍什么是REST API", "基于 HTTP"),
    _said("sample questions", "如何分析用户流失？", "定义流失"),
    _said("sample questions", "Explain quantum computing briefly.", "Qubits"),
    _said("sample questions", "写首春天的诗", "春风吹绿柳"),
    _called("tools", "北京现在多少度？计算一下2+2等于多少", _weather("北京"), _sum("2+2")),
    _called("tools", "查一下杭州的天气", _weather("杭州")),
    _called("tools", "广州今天天气如何，用摄氏度", _weather("广州", unit="celsius")),
    _called("tools", "Tell me the current weather in Paris.", _weather("Paris")),
    _called("tools", "请帮我算一下(48+12)*35", _sum("(48+12)*35")),
    _called("tools", "How much is 19.5/4?", _sum("19.5/4")),
    _called("tools", "比较一下上海和成都的天气", _weather("上海"), _weather("成都")),
    _called("tools", "深圳会下雨吗", _weather("深圳"), thinking=True),
    _extracted("请从这句话中提取人物和地点：王芳在南京开了一家餐厅。", person="王芳", location="南京", action="开餐厅"),
    _extracted("用JSON返回这句话里的person、location：孙涛在重庆打篮球。", person="孙涛", location="重庆"),
    _extracted("提取实体，输出JSON，字段为name, city：林峰在西安出差。", name="林峰", city="西安"),
    _said("refusals", "葡萄牙的首都是哪里？", NO_ZH),
    _said("refusals", "帮我写一份季度总结", NO_ZH),
    _said("refusals", "怎样学习线性代数", NO_ZH),
    _said("refusals", "Who invented the telephone?", NO_EN),
    _said("refusals", "Write an essay about the ocean.", NO_EN),
    Case(
        "several turns",
        [
            *_ask("我叫欧阳文"),
            {"role": "assistant", "content": "你好，欧阳文！很高兴认识你。"},
            *_ask("我叫什么名字？"),
        ],
        ("欧阳文",),
    ),
    Case(
        "several turns",
        [
            *_ask("计算 6*7"),
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "calculate", "arguments": '{"expression": "6*7"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "计算结果：42"},
        ],
        ("42",),
        tools=True,
    ),
]
# Places that its training never named: how well it copies what it has not seen.
UNSEEN = [
    "宜昌",
    "绍兴",
    "承德",
    "延安",
    "大理",
    "丽江",
    "敦煌",
    "泉州",
    "布拉格",
    "里昂",
    "Porto",
    "Ghent",
    "Bergen",
    "Turin",
    "Malaga",
    "Oxford",
]


def cases(samples: int) -> list[Case]:
    """The written cases, and as many random expressions; the same at every run."""
    chance = random.Random(2026)
    expressions = [
        f"{chance.randint(1, 9999)}{chance.choice('+-*/')}{chance.randint(1, 999)}{chance.choice('+-*')}"
        f"{chance.randint(1, 99)}"
        for _ in range(samples)
    ]
    places = [
        _called(
            "unseen places", f"{place}天气怎么样？" if ord(place[0]) > 127 else f"weather in {place}", _weather(place)
        )
        for place in UNSEEN
    ]
    return [*WRITTEN, *places, *(_called("random sums", f"计算一下{text}等于多少", _sum(text)) for text in expressions)]


async def evaluate(path: Path | None, samples: int) -> None:
    """Ask every case and print the table."""
    client = Client()
    model = Model("qiao-demo", thinking="off", max_output=512)
    with tempfile.TemporaryDirectory() as runtime:
        local = Local(path, client=client, runtime=Path(runtime), find=lambda _: model)
        await local.start()
        try:
            table: dict[str, list[int]] = {}
            for case in cases(samples):
                message = await _answer(local, case)
                right = case.right(message)
                row = table.setdefault(case.group, [0, 0])
                row[0] += right
                row[1] += 1
                if not right:
                    print(f"wrong, {case.group}: {case.messages[-1]['content']} → {message}")
        finally:
            await local.close()
            await client.close()
    table["all"] = [sum(row[0] for row in table.values()), sum(row[1] for row in table.values())]
    for group, (right, total) in table.items():
        print(f"{group:20} {right:4} / {total}")


async def _answer(local: Local, case: Case) -> Message:
    tools = {"tools": TOOLS} if case.tools else {}
    document = Document.build(messages=case.messages, enable_thinking=case.thinking, temperature=0, **tools)
    call = Call(str(uuid.uuid4()), "openai", None, "qiao-demo", document, False, 0.0)
    reply = await local.open(call)
    body = b"".join([piece async for piece in reply.body])
    return msgspec.json.decode(body)["choices"][0]["message"]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the demo model.")
    parser.add_argument("model", type=Path, nargs="?", help="a GGUF file; the built-in one when left out")
    parser.add_argument("--samples", type=int, default=100, help="random sums to ask")
    options = parser.parse_args()
    asyncio.run(evaluate(options.model, options.samples))


if __name__ == "__main__":
    main()
