from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8000/compatible-mode/v1", api_key="sk-any")

stream = client.chat.completions.create(
    model="qwen-plus",
    messages=[{"role": "user", "content": "你是谁？"}],
    stream=True,
    extra_body={"enable_thinking": False},
)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
