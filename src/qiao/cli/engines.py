"""`qiao engines`: how the engines of a server stand, and taking one out for maintenance."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import quote

from qiao.cli import help as help_page
from qiao.cli import place, remote
from qiao.cli.options import Engines
from qiao.cli.text import clean, say
from qiao.cli.trouble import Trouble

_REFUSED = {401: "engines.wrong_key", 403: "engines.off", 404: "engines.unknown"}
_DONE = {"drain": "engines.drained", "resume": "engines.resumed"}
_COLUMNS = ("name", "kind", "state", "running", "tokens", "reason")


def run(options: Engines) -> int:
    """Print the engines, or drain or resume one."""
    if options.action is not None and options.name is None:
        raise Trouble(say("engines.which", action=options.action), 2)
    if options.action is None:
        found = _ask(options, "GET", "/admin/engines")
    else:
        found = _ask(options, "POST", f"/admin/engines/{quote(options.name or '', safe='')}/{options.action}")
    if options.json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return 0
    try:
        done = _DONE.get(options.action or "")
        print(say(done, name=found["name"], running=found["running"]) if done else _table(found["engines"]))
    except (KeyError, TypeError) as error:
        raise Trouble(say("refusal.not_api")) from error
    return 0


def _ask(options: Engines, method: str, path: str) -> dict[str, Any]:
    key = options.key or os.environ.get("QIAO_ADMIN_KEY") or None
    try:
        return remote.told(place.Place(place.server(options.url), "qiao", key), method, path)
    except remote.Refusal as refusal:
        if refusal.status in _REFUSED:
            raise Trouble(say(_REFUSED[refusal.status], name=options.name or "")) from refusal
        raise


def _table(rows: list[dict[str, Any]]) -> str:
    """The rows under their heads, in columns."""
    lines = [[say(f"engines.{column}") for column in _COLUMNS], *map(_cells, rows)]
    widths = [max(help_page.cells(line[at]) for line in lines) for at in range(len(_COLUMNS))]
    padded = (
        "  ".join(cell + " " * (widths[at] - help_page.cells(cell)) for at, cell in enumerate(line)) for line in lines
    )
    return "\n".join(line.rstrip() for line in padded)


def _cells(row: dict[str, Any]) -> list[str]:
    tokens = row["outstanding_tokens"]
    again = say("engines.again", seconds=row["cool_down_s"]) if row["state"] == "cooling" else ""
    named = [clean(str(row[name])) for name in ("name", "kind")]
    return [
        *named,
        say(f"engines.{row['state']}"),
        str(row["running"]),
        "–" if tokens is None else str(tokens),
        clean(str(row["reason"])) + again,
    ]
