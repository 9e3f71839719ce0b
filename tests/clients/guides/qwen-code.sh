export OPENAI_BASE_URL=http://127.0.0.1:8000/compatible-mode/v1
export OPENAI_API_KEY=sk-any
export OPENAI_MODEL=qwen-plus
qwen --auth-type openai "你是谁？"
