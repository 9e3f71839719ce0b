"""`qiao models`: what can be asked, and what lies on this machine."""

from __future__ import annotations

import json
import sys
from typing import Any

from qiao.cli import place, remote, screen
from qiao.cli.options import Models
from qiao.cli.text import clean, say


def run(options: Models) -> int:
    """Print the models of the server: a table on a terminal, names alone in a pipe; or do what the words say."""
    if options.local or options.words:
        from qiao.cli import local_models

        return local_models.run(options)
    at = place.find(options)
    rows = remote.models(at)
    if options.json:
        print(json.dumps({"object": "list", "data": rows}, ensure_ascii=False, indent=2))
        return 0
    console = screen.console()
    if console is None:
        print("\n".join(clean(row["id"]) for row in rows))
        return 0
    console.print(_table(rows))
    sys.stderr.write(say("models.count", count=len(rows), place=at.base) + "\n")
    return 0


def _table(rows: list[dict[str, Any]]) -> Any:
    """Name, who serves it, context length and list price per million tokens."""
    from rich.table import Table
    from rich.text import Text

    from qiao.gate import prices
    from qiao.gate.catalog import Catalog

    catalog = Catalog.load()
    table = Table(box=None, header_style="bold")
    for column in ("name", "owner", "context", "price"):
        table.add_column(say(f"models.{column}"), justify="right" if column == "context" else "left")
    for row in rows:
        model = catalog.find(row["id"])
        tier = model.tiers[0] if model.tiers else None
        price = f"{prices.yuan(tier.input * 10**6)} / {prices.yuan(tier.output * 10**6)}" if tier else ""
        context = f"{model.context:,}" if model.context else ""
        cells = [clean(row["id"]), clean(str(row.get("owned_by", ""))), context, price]
        table.add_row(*(Text(cell) for cell in cells))
    return table
