cat > "$(dirname "$(llm logs path)")/extra-openai-models.yaml" <<'END'
- model_id: qiao
  model_name: qwen-plus
  api_base: http://127.0.0.1:8000/compatible-mode/v1
  api_key_name: qiao
  supports_tools: true
  supports_schema: true
END
llm keys set qiao --value sk-any
llm -m qiao "你是谁？"
