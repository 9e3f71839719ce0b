"""What all requests share: size limits, the memory that bodies may take, and the drain."""

from __future__ import annotations

from dataclasses import dataclass

from qiao.api.drain import Drain
from qiao.errors import Draining


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """Request sizes in bytes."""

    body: int = 16 * 2**20
    body_base64: int = 64 * 2**20
    buffered: int = 256 * 2**20


class Shelter:
    """The server's shared state."""

    def __init__(self, limits: SizeLimits, drain: Drain) -> None:
        self.limits = limits
        self.drain = drain
        self._held = 0

    def take(self, size: int) -> None:
        """Hold so many more bytes; 503 when all bodies together take too much."""
        if self._held + size > self.limits.buffered:
            text = "Too many requests. Your requests are being throttled due to system capacity limits."
            raise Draining(text, retry_after=1.0)
        self._held += size

    def release(self, size: int) -> None:
        """The request that held so many bytes is answered."""
        self._held -= size
