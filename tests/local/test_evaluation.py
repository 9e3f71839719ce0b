"""The demo model still does what its card says: run at every change of engine, template or weights."""

from __future__ import annotations

import subprocess
import sys

from .test_weights import DEMO

SCRIPT = DEMO.parents[3] / "tools" / "demo_model" / "evaluate.py"


def test_the_demo_model_keeps_what_its_card_promises() -> None:
    run = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=100, check=True)
    rows = [line.rsplit(maxsplit=3) for line in run.stdout.splitlines() if not line.startswith("wrong")]
    table = {name: int(right) / int(total) for name, right, _, total in rows}
    for group in ("identity", "greetings", "sample questions", "tools", "JSON", "refusals"):
        assert table[group] == 1, run.stdout
    assert table["random sums"] >= 0.95, run.stdout
    assert table["all"] >= 0.95, run.stdout
