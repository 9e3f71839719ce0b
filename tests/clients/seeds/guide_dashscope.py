"""An API guide's samples for the dashscope SDK, with `result_format="message"`, which `output.choices` needs."""

import dashscope
from dashscope import Generation

dashscope.api_key = "sk-any"
dashscope.base_http_api_url = "http://127.0.0.1:8000/api/v1"

response = Generation.call(
    model="qwen-turbo",
    messages=[
        {"role": "system", "content": "你是一个有帮助的助手。"},
        {"role": "user", "content": "请介绍一下自然语言处理技术。"},
    ],
    result_format="message",
)
if response.status_code != 200:
    raise SystemExit(f"{response.code}, {response.message}")
print(response.output.choices[0].message.content)

for chunk in Generation.call(
    model="qwen-turbo",
    messages=[{"role": "user", "content": "讲个故事"}],
    result_format="message",
    stream=True,
):
    if chunk.status_code != 200:
        raise SystemExit(f"{chunk.code}, {chunk.message}")
    print(chunk.output.choices[0].message.content)
