"""An API guide's samples for the openai SDK: words, a stream, an image, JSON, and a retry with growing waits."""

import time

from openai import APIStatusError, OpenAI

client = OpenAI(api_key="sk-any", base_url="http://127.0.0.1:8000/compatible-mode/v1")


def ask(content, model="qwen-turbo", **parameters):
    messages = [{"role": "user", "content": content}]
    return client.chat.completions.create(model=model, messages=messages, **parameters)


print(ask("请介绍一下自然语言处理技术。").choices[0].message.content)

for chunk in ask("讲个故事", stream=True):
    if chunk.choices[0].delta.content:
        print(chunk.choices[0].delta.content, end="")

fruit = ask("用 JSON 生成一个包含三个水果及其价格的列表", response_format={"type": "json_object"})
print(fruit.choices[0].message.content)

for attempt in range(3):
    try:
        print(ask("你好").choices[0].message.content)
        break
    except APIStatusError as error:
        if error.status_code != 429:
            raise
        time.sleep((attempt + 1) * 2)
