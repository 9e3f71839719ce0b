import dashscope

dashscope.base_http_api_url = "http://127.0.0.1:8000/api/v1"
dashscope.api_key = "sk-any"

response = dashscope.Generation.call(
    model="qwen-plus",
    messages=[{"role": "user", "content": "你是谁？"}],
    result_format="message",
)
print(response.output.choices[0].message.content)

with dashscope.Client(base_url="http://127.0.0.1:8000/api/v1", api_key="sk-any") as client:
    stream = client.chat.completions.create(model="qwen-plus", messages=["你是谁？"], stream=True)
    for text in stream.text_stream:
        print(text, end="", flush=True)
