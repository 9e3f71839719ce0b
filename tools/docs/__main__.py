"""`python -m tools.docs` writes docs/reference again, in both languages."""

from __future__ import annotations

from tools.docs.reference import ROOT, pages

for name, text in pages().items():
    path = ROOT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
