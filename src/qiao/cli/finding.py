"""What one check of the doctor has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """`none`: there was nothing to check. `fix` says what to do when it is wrong."""

    name: str
    status: Literal["ok", "wrong", "none"]
    message: str
    fix: str = ""


def well(name: str, message: str) -> Finding:
    """It is in order."""
    return Finding(name, "ok", message)


def wrong(name: str, message: str, fix: str) -> Finding:
    """It is not, and this mends it."""
    return Finding(name, "wrong", message, fix)


def nothing(name: str, message: str) -> Finding:
    """There was nothing to check, and this is why."""
    return Finding(name, "none", message)
