"""A survey's conversation: the answers go back with the next question."""

from openai import OpenAI

client = OpenAI(api_key="sk-any", base_url="http://127.0.0.1:8000/compatible-mode/v1")
messages = [{"role": "system", "content": "你是一个专业的Python编程助手，帮助用户解决编程问题。"}]
for question in ("你好", "写一个快速排序算法"):
    messages.append({"role": "user", "content": question})
    response = client.chat.completions.create(model="qwen-plus", messages=messages, temperature=0.7)
    messages.append({"role": "assistant", "content": response.choices[0].message.content})
    print(messages[-1]["content"])
    print(response.usage.prompt_tokens, response.usage.completion_tokens)
