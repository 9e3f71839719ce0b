"""A survey's stream with token counts; the chunk that brings them has no choice, which its sample forgot."""

from openai import OpenAI

client = OpenAI(api_key="sk-any", base_url="http://127.0.0.1:8000/compatible-mode/v1")
stream = client.chat.completions.create(
    model="qwen-plus",
    messages=[{"role": "user", "content": "写一个快速排序算法"}],
    stream=True,
    stream_options={"include_usage": True},
)
counted = None
for chunk in stream:
    if chunk.choices and chunk.choices[0].delta.content:
        print(chunk.choices[0].delta.content, end="", flush=True)
    counted = chunk.usage or counted
print(counted.prompt_tokens, counted.completion_tokens, counted.total_tokens)
