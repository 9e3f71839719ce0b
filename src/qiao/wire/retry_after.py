"""How long an engine asks to be left alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST = 3600.0


def seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds from `now` (epoch) that `retry-after-ms` or `retry-after` (seconds or an HTTP date) asks for, at most
    one hour; None when neither says so in a readable way. Header names are lower-case.
    """
    wait = _number(headers.get("retry-after-ms", ""))
    if wait is not None:
        return _clamp(wait / 1000)
    given = headers.get("retry-after", "")
    wait = _number(given)
    if wait is None:
        date = _date(given)
        wait = None if date is None else date - now
    return None if wait is None else _clamp(wait)


def _number(text: str) -> float | None:
    text = text.strip()
    if not text.isascii() or not text.replace(".", "", 1).isdigit():
        return None
    return float(text)


def _date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _clamp(wait: float) -> float:
    return min(max(wait, 0.0), LONGEST)
