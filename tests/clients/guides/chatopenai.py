from langchain_openai import ChatOpenAI

chat = ChatOpenAI(model="qwen-plus", base_url="http://127.0.0.1:8000/compatible-mode/v1", api_key="sk-any")
for chunk in chat.stream("你是谁？"):
    print(chunk.content, end="", flush=True)
