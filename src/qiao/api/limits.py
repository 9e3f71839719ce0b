"""What clients may take of the server's time, memory and connections."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, bytes and counts."""

    connections: int = 12_000
    first_byte: float = 10.0  # from accept to the first byte
    head: float = 10.0  # for a whole request head
    body: float = 60.0  # for a whole request body …
    body_rate: int = 256 * 2**10  # … and a second more for so many bytes of it
    keep_alive: float = 75.0  # between two requests
    write_stall: float = 60.0  # for a client to read on
    linger: float = 1.0  # for a client to stop sending after the last answer
    hard_stop: float = 15.0  # from the cut of a drain to the end of every connection
    head_bytes: int = 16 * 2**10
    headers: int = 100
    url: int = 8 * 2**10
    pipelined: int = 16  # requests that wait behind the one that is answered
