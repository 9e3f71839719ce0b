from langchain_qwq import ChatQwen

chat = ChatQwen(
    model="qwen-plus",
    base_url="http://127.0.0.1:8000/compatible-mode/v1",
    api_key="sk-any",
    enable_thinking=True,
)
answer = chat.invoke("解释什么是机器学习")
print("思考：", answer.additional_kwargs["reasoning_content"])
print("回答：", answer.content)
