import dashscope
from llama_index.llms.dashscope import DashScope

dashscope.base_http_api_url = "http://127.0.0.1:8000/api/v1"

llm = DashScope(model_name="qwen-plus", api_key="sk-any")
for response in llm.stream_complete("你是谁？"):
    print(response.delta, end="", flush=True)
