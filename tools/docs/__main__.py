"""`python -m tools.docs` writes docs/reference again, in both languages."""

from __future__ import annotations

import sys

from tools.docs.reference import ROOT, pages

untranslated: set[str] = set()
for name, text in pages(untranslated).items():
    path = ROOT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
if untranslated:
    sys.exit("\n".join(["tools/docs/chinese.py lacks:", *sorted(untranslated)]))
