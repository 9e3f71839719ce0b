"""The demo model still does what its card says: run at every change of engine, template or weights."""

from __future__ import annotations

import subprocess
import sys

from .test_weights import DEMO

SCRIPT = DEMO.parents[3] / "tools" / "demo_model" / "evaluate.py"
# The share of right answers in a group, a little under what the card shows.
BARS = {
    "identity": 0.8,
    "greetings": 0.9,
    "sample questions": 0.6,
    "refusals": 0.8,
    "thinking": 1.0,
    "written tools": 1.0,
    "forced call": 1.0,
    "random sums": 0.95,
}


def test_the_demo_model_keeps_what_its_card_promises() -> None:
    command = [sys.executable, SCRIPT, "--samples", "20", "--only", *BARS]
    run = subprocess.run(command, capture_output=True, text=True, timeout=110, check=True)
    rows = [line.rsplit(maxsplit=3) for line in run.stdout.splitlines() if not line.startswith("wrong")]
    table = {name: int(right) / int(total) for name, right, _, total in rows}
    assert {group for group, bar in BARS.items() if table[group] < bar} == set(), run.stdout
