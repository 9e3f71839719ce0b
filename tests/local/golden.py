"""What the transformers library says of the random models: asked once, kept in golden.json.

    python -m tests.local.golden

asks again and writes the file anew; the library lives in the environment `transformers` of tests/clients.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.clients import environments
from tools.random_model import writing

from .models import CHAT

HERE = Path(__file__).parent
FILE = HERE / "golden.json"
QUESTIONS = {
    "texts": [
        "Hello, world! It's 2024.",
        "桥把路从河上送过去。\n\n  def f(x): return x**2",
        "<|im_start|>user\nnaïve café 🙂<|im_end|>\n",
        "the the the the of of in in 12345 " * 8,
    ],
    "chat": [{"role": "user", "content": "你好, who are you?"}],
    "steps": 4,
    "top": 8,
}


def ask(name: str, folder: Path) -> dict[str, Any]:
    """What transformers answers with one model, and the SHA-256 of the weights that it was given."""
    writing.write_folder(name, folder)
    python = environments.python(environments.ensure("transformers"))
    done = subprocess.run(
        [python, HERE / "reference.py", folder],
        input=json.dumps(QUESTIONS),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return {"sha256": writing.digest(name), **json.loads(done.stdout)}


def known() -> dict[str, Any]:
    """What was answered before, by the model's name."""
    return json.loads(FILE.read_text("utf-8"))


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        answers = {name: ask(name, Path(place) / name) for name in CHAT}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(answer)}" for name, answer in answers.items())
    FILE.write_text(f"{{\n{lines}\n}}\n", "utf-8")
