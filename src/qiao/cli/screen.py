"""Standard output as a terminal that Rich can draw on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console | None:
    """A console, or None where output is a file, a pipe or a terminal that only prints lines."""
    if not sys.stdout.isatty():
        return None
    from rich.console import Console

    found = Console(highlight=False)
    return None if found.is_dumb_terminal else found
