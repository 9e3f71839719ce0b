import dashscope
from langchain_community.chat_models.tongyi import ChatTongyi

dashscope.base_http_api_url = "http://127.0.0.1:8000/api/v1"

chat = ChatTongyi(model="qwen-plus", api_key="sk-any", streaming=True)
for chunk in chat.stream("你是谁？"):
    print(chunk.content, end="", flush=True)
