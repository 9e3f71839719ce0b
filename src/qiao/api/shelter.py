"""What all requests share: size limits, the memory that bodies may take, and the drain."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
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

    @contextmanager
    def buffered(self) -> Generator[Held]:
        """Count a body's bytes while it is read and released."""
        held = Held(self)
        try:
            yield held
        finally:
            self._held -= held.size

    def take(self, size: int) -> None:
        """Hold so many more bytes; 503 when all bodies together take too much."""
        if self._held + size > self.limits.buffered:
            text = "Too many requests. Your requests are being throttled due to system capacity limits."
            raise Draining(text, retry_after=1.0)
        self._held += size


@dataclass(slots=True)
class Held:
    """The bytes that one body holds."""

    shelter: Shelter
    size: int = 0

    def grow(self, by: int) -> None:
        """Hold more."""
        self.shelter.take(by)
        self.size += by
