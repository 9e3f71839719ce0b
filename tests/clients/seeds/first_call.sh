# The first call, without an SDK.
curl -sS -X POST http://127.0.0.1:8000/compatible-mode/v1/chat/completions \
  -H "Authorization: Bearer sk-any" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "qwen-plus",
    "messages": [
      {"role": "system", "content": "You are a helpful assistant."},
      {"role": "user", "content": "你是谁？"}
    ]
  }'
