"""The `llm` command, with Qiao as one of its OpenAI-compatible models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import asked

MODELS = """\
- model_id: qiao
  model_name: {model}
  api_base: {base}
  api_key_name: qiao
  can_stream: true
  supports_tools: true
  supports_schema: true
- model_id: qiao-vl
  model_name: {vision}
  api_base: {base}
  api_key_name: qiao
  vision: true
"""
WEATHER = """
def get_current_weather(location: str) -> str:
    "查询指定城市的实时天气"
    return location + "天气：多云，温度18°C"
"""


def _llm(server, *arguments: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
    """One run of the command with a fresh home."""
    command = str(Path(sys.executable).with_name("llm"))
    with tempfile.TemporaryDirectory() as home:
        models = MODELS.format(model=asked.MODEL, vision=asked.VISION_MODEL, base=server.openai)
        Path(home, "extra-openai-models.yaml").write_text(models, "utf-8")
        Path(home, "keys.json").write_text(json.dumps({"qiao": key or server.key}), "utf-8")
        return subprocess.run(
            [command, *arguments],
            check=False,
            env=os.environ | {"LLM_USER_PATH": home},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )


def _said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), done.stderr
    return done.stdout


def plain(server):
    _said(_llm(server, "-m", "qiao", "--no-stream", "你是谁？"))


def stream(server):
    _said(_llm(server, "-m", "qiao", "你是谁？"))


def system_prompt(server):
    _said(_llm(server, "-m", "qiao", "-s", "You are a helpful assistant.", "Hello"))


def options(server):
    _said(_llm(server, "-m", "qiao", "-o", "temperature", "0.5", "-o", "seed", "7", "你是谁？"))


def usage(server):
    done = _llm(server, "-m", "qiao", "--usage", "你是谁？")
    _said(done)
    assert "Token usage" in done.stderr


def tools(server):
    _said(_llm(server, "-m", "qiao", "--functions", WEATHER, asked.WEATHER_QUESTION))


def json_schema(server):
    schema = json.dumps(asked.SCHEMA)
    asked.check_schema(_said(_llm(server, "-m", "qiao", "--schema", schema, asked.EXTRACT[0]["content"])))


def image(server):
    import base64

    with tempfile.NamedTemporaryFile(suffix=".png") as picture:
        picture.write(base64.b64decode(asked.PIXELS))
        picture.flush()
        _said(_llm(server, "-m", "qiao-vl", "-a", picture.name, asked.LOOK))


def wrong_key_is_told(server):
    done = _llm(server, "-m", "qiao", "你好", key=asked.WRONG_KEY)
    assert done.returncode != 0
    assert "Incorrect API key" in done.stderr
