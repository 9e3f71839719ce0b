"""Split a byte stream into server-sent events (frames), wherever TCP cut it."""

from __future__ import annotations

import re

from qiao.errors import ProtocolBroken

MAX_FRAME = 4 * 2**20
KEEP_ALIVE = b": keep-alive\n\n"
_boundary = re.compile(rb"\r\n\r\n|\n\n|\r\r|\n\r\n")


class Splitter:
    """Feed it what a read gave; it returns the whole frames and keeps the rest."""

    __slots__ = ("_scanned", "_tail")

    def __init__(self) -> None:
        self._tail = b""
        self._scanned = 0

    @property
    def rest(self) -> bytes:
        """What has come since the last whole frame."""
        return self._tail

    def complete(self, chunk: bytes) -> bytes:
        """All whole frames so far as one piece of bytes, exactly as they came; ProtocolBroken if one has no end."""
        if not self._tail and chunk.endswith(b"\n\n"):
            return chunk
        data = self._tail + chunk if self._tail else chunk
        end = 0
        for match in _boundary.finditer(data, max(0, self._scanned - 3)):
            end = match.end()
        if len(data) - end > MAX_FRAME:
            raise ProtocolBroken("The engine sent an event of more than 4 MiB.")
        self._tail = data[end:]
        self._scanned = len(self._tail)
        return data[:end]

    def frames(self, chunk: bytes) -> list[bytes]:
        """The whole frames so far, one by one, with their ends."""
        return split(self.complete(chunk))


def split(frames: bytes) -> list[bytes]:
    """Whole frames as a list, each with its end."""
    out: list[bytes] = []
    start = 0
    for match in _boundary.finditer(frames):
        out.append(frames[start : match.end()])
        start = match.end()
    if start < len(frames):
        out.append(frames[start:])
    return out


def data(frame: bytes) -> bytes | None:
    """The data of a frame (its data lines joined), or None for a comment or an empty one."""
    if frame.startswith(b"data: ") and frame.count(b"\n") == 2 and frame.endswith(b"\n\n"):
        return frame[6:-2]
    lines = [_value(line) for line in frame.splitlines() if line.startswith(b"data:") or line == b"data"]
    return b"\n".join(lines) if lines else None


def event(frame: bytes) -> bytes:
    """The event name of a frame, `message` when it has none."""
    for line in frame.splitlines():
        if line.startswith(b"event:"):
            return _value(line)
    return b"message"


def _value(line: bytes) -> bytes:
    value = line.partition(b":")[2]
    return value[1:] if value.startswith(b" ") else value
