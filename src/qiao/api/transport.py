"""A connection's transport as uvicorn has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Courteous(asyncio.Transport):
    """Passes everything on but `close`: how to part depends on whether the client still sends, and is its owner's to say."""

    def __init__(self, wire: asyncio.Transport, part: Callable[[], None]) -> None:
        super().__init__()
        self.parting = False
        self._wire = wire
        self._part = part

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._wire.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._wire.write(data)

    def pause_reading(self) -> None:
        self._wire.pause_reading()

    def resume_reading(self) -> None:
        self._wire.resume_reading()

    def is_closing(self) -> bool:
        return self.parting

    def close(self) -> None:
        if not self.parting:
            self._part()

    def lost(self) -> None:
        """The connection has ended: forget its owner."""
        self.parting, self._part = True, _nothing


def _nothing() -> None:
    return
