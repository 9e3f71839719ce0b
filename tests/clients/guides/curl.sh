curl -sS http://127.0.0.1:8000/compatible-mode/v1/chat/completions \
  -H "Authorization: Bearer sk-any" -H "Content-Type: application/json" \
  -d '{"model": "qwen-plus", "messages": [{"role": "user", "content": "你是谁？"}]}'

curl -sS --no-buffer http://127.0.0.1:8000/api/v1/services/aigc/text-generation/generation \
  -H "Authorization: Bearer sk-any" -H "Content-Type: application/json" -H "X-DashScope-SSE: enable" \
  -d '{"model": "qwen-plus", "input": {"messages": [{"role": "user", "content": "你是谁？"}]}}'
