"""A survey's tool calls: two tools, every call run, the results sent back for the last answer."""

import json

from openai import OpenAI

client = OpenAI(api_key="sk-any", base_url="http://127.0.0.1:8000/compatible-mode/v1")


def declared(name, description, **properties):
    parameters = {"type": "object", "properties": properties, "required": [next(iter(properties))]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


tools = [
    declared(
        "get_current_weather",
        "查询指定城市的实时天气",
        location={"type": "string", "description": "城市名称，如北京、上海等"},
        unit={"type": "string", "enum": ["celsius", "fahrenheit"], "description": "温度单位"},
    ),
    declared("calculate", "执行数学计算", expression={"type": "string", "description": "数学表达式"}),
]
run = {
    "get_current_weather": lambda location, unit="celsius": f"{location}天气：晴朗，温度5°{unit[0].upper()}",
    "calculate": lambda expression: f"计算结果：{4 if expression.replace(' ', '') == '2+2' else expression}",
}

messages = [{"role": "user", "content": "北京现在多少度？计算一下2+2等于多少"}]
message = client.chat.completions.create(model="qwen-plus", messages=messages, tools=tools).choices[0].message
messages.append(message)
for call in message.tool_calls:
    result = run[call.function.name](**json.loads(call.function.arguments))
    messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
final = client.chat.completions.create(model="qwen-plus", messages=messages, tools=tools)
print(final.choices[0].message.content)
