"""Lay out a page of help from the options that Typer has built: in both languages, in columns, without Rich."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from unicodedata import east_asian_width

Row = tuple[str, str]
_LEFT = 28
_piece = re.compile(r"\s+|[!-~]+|[^\s!-~][，。；：、）”]*")


def page(usage: str, summary: str, sections: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """The whole page: usage, what the command does, and its sections of rows."""
    lines = [usage, "", *summary.splitlines()]
    width = max(min(shutil.get_terminal_size().columns, 100), 60)
    for title, rows in sections:
        if rows:
            left = min(max(len(name) for name, _ in rows), _LEFT) + 4
            lines += ["", title, *(line for row in rows for line in _row(row, left, width))]
    return "\n".join(lines) + "\n"


def cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns; breaks at spaces and between Chinese characters."""
    lines = [""]
    for piece in _piece.findall(text):
        if lines[-1] and cells(lines[-1]) + cells(piece.rstrip()) > width:
            lines[-1] = lines[-1].rstrip()
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return lines


def _row(row: Row, left: int, width: int) -> Iterator[str]:
    name, said = row
    first, *rest = wrap(said, width - left)
    if len(name) + 4 > left:
        yield f"  {name}"
        yield f"{'':{left}}{first}"
    else:
        yield f"  {name:{left - 2}}{first}".rstrip()
    for line in rest:
        yield f"{'':{left}}{line}"
