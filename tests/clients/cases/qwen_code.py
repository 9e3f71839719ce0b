"""qwen-code, without its terminal interface: one prompt, one answer."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile

import asked


def _qwen(server, *arguments: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
    """One run in an empty folder with a home of its own."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "HOME": home,
            "PATH": os.environ["PATH"],
            "OPENAI_API_KEY": key or server.key,
            "OPENAI_BASE_URL": server.openai,
            "OPENAI_MODEL": asked.MODEL,
            "QWEN_TELEMETRY_ENABLED": "false",
            "NO_COLOR": "1",
        }
        return subprocess.run(
            [os.environ["QIAO_TEST_NODE"], os.environ["QIAO_TEST_QWEN_CODE"], "--auth-type", "openai", *arguments],
            cwd=home,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
        )


def plain(server):
    done = _qwen(server, "你是谁？")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), done.stderr


def json_output(server):
    done = _qwen(server, "--output-format", "json", "你是谁？")
    assert done.returncode == 0, done.stderr
    messages = json.loads(done.stdout)
    result = messages[-1]
    assert result["type"] == "result"
    assert not result["is_error"], result
    assert result["result"]
    assert result["usage"]["output_tokens"] > 0


def wrong_key_is_told(server):
    done = _qwen(server, "你好", key=asked.WRONG_KEY)
    assert done.returncode != 0
    assert "401" in done.stdout + done.stderr
