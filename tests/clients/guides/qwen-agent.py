from qwen_agent.agents import Assistant

assistant = Assistant(
    llm={
        "model": "qwen-plus",
        "model_server": "http://127.0.0.1:8000/compatible-mode/v1",
        "api_key": "sk-any",
    }
)
*_, replies = assistant.run([{"role": "user", "content": "你是谁？"}])
print(replies[-1]["content"])
