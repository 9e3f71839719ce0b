"""A program on a pseudo-terminal: type, and wait for what it shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence

_escape = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[=>78]|\x1b\][^\x07]*\x07|\r")
# Ctrl-C reaches a program only through the terminal that controls its session.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
CTRL_C, CTRL_D, ENTER, ALT_ENTER, TAB = b"\x03", b"\x04", b"\r", b"\x1b\r", b"\t"


class Terminal:
    """The other end of a terminal of 100 columns and 30 rows."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], rows: int = 30) -> None:
        self._fd, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 100, 0, 0))
        self.raw = b""
        self._seen = 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, *command],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env={**environment, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(inner)

    def type(self, *keys: str | bytes) -> None:
        """Press keys."""
        for key in keys:
            os.write(self._fd, key.encode() if isinstance(key, str) else key)

    def say(self, line: str) -> None:
        """A line and Enter."""
        self.type(line, ENTER)

    def wait(self, text: str, seconds: float = 10.0) -> str:
        """What has been shown since the last wait, up to and with the text; AssertionError when it does not come."""
        deadline = time.monotonic() + seconds
        while True:
            shown = self.shown
            at = shown.find(text, self._seen)
            if at >= 0:
                before, self._seen = self._seen, at + len(text)
                return shown[before : self._seen]
            more = self._read(max(deadline - time.monotonic(), 0))
            assert more, f"{text!r} was not shown after:\n{shown[self._seen :]}"

    @property
    def shown(self) -> str:
        """Everything written, without escape sequences."""
        return _escape.sub(b"", self.raw).decode("utf-8", "replace")

    def end(self, seconds: float = 20.0) -> int:
        """Wait for the end of the program; its exit code."""
        deadline = time.monotonic() + seconds
        while self._read(max(deadline - time.monotonic(), 0.01)):
            pass
        return self.process.wait(max(deadline - time.monotonic(), 0.1))

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._fd)

    def _read(self, seconds: float) -> bool:
        if not select.select([self._fd], [], [], seconds)[0]:
            return False
        try:
            piece = os.read(self._fd, 65_536)
        except OSError:
            return False
        if b"\x1b[6n" in piece:  # the terminal is asked where its cursor is: at the bottom
            os.write(self._fd, b"\x1b[30;1R")
        self.raw += piece
        return bool(piece)
