"""The way out of a connection: it parts so that the last answer arrives, and drops who does not read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from qiao.api.deadlines import Deadlines
from qiao.api.limits import Limits

_PROGRESS = 16 * 2**10  # bytes that a client must take within `write_stall` to count as reading


class Transport(asyncio.Transport):
    """The transport as uvicorn has it. `wire` is the real one.

    `sends` tells whether the client may still be sending, and `gone` is called before a client is dropped.
    """

    def __init__(
        self,
        wire: asyncio.Transport,
        deadlines: Deadlines,
        limits: Limits,
        sends: Callable[[], bool],
        gone: Callable[[], None],
    ) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._head: bytes | None = None  # waits for the first bytes of its body, to go out with them
        self._begins = False
        self.parting = False  # nothing more is answered
        self._wire = wire
        self._deadlines = deadlines
        self._limits = limits
        self._sends = sends
        self._gone = gone
        self._unsent = 0

    def begin(self) -> None:
        """An answer begins: what is written next is its head."""
        self._begins = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send; a head goes out with the first piece of its body, or with the loop's next turn."""
        if self._head is not None:
            head, self._head = self._head, None
            self._wire.write(head + data)
        elif self._begins:
            self._begins, self._head = False, bytes(data)
            self._loop.call_soon(self._release)
        else:
            self._wire.write(data)

    def _release(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._wire.write(head)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._wire.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._wire.pause_reading()

    def resume_reading(self) -> None:
        self._wire.resume_reading()

    def is_closing(self) -> bool:
        return self.parting

    def close(self) -> None:
        """End the connection after the last byte. To close while the client sends would reset what it has not read."""
        if self.parting:
            return
        self.parting = True
        self._release()
        self.must_read()
        if not self._sends():
            self._wire.close()
            return
        self._deadlines.sending(self._limits.linger, self._wire.close)
        self._wire.resume_reading()
        with contextlib.suppress(OSError, RuntimeError):  # the peer is gone already
            self._wire.write_eof()

    def abort(self) -> None:
        """End the connection now, whatever is still to be sent."""
        self._gone()
        self.parting = True
        self._wire.abort()

    def must_read(self) -> None:
        """The client must take some of what waits for it, again and again, or it is dropped."""
        self._unsent = self._wire.get_write_buffer_size()
        self._deadlines.reading(self._limits.write_stall, self._late)

    def lost(self) -> None:
        """The connection has ended: forget who owned it."""
        self.parting = True
        self._sends, self._gone = _no, _nothing

    def _late(self) -> None:
        left = self._wire.get_write_buffer_size()
        if self._unsent - left >= _PROGRESS:
            self.must_read()
        elif left:
            self.abort()


def _no() -> bool:
    return False


def _nothing() -> None:
    return
