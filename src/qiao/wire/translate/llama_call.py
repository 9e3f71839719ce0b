"""A forced tool call, which the engine writes as one JSON object: its name, then its arguments, as they come."""

from __future__ import annotations

import re

import msgspec

_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*', re.DOTALL)


class ForcedCall:
    """Fed with pieces of `{"name": …, "arguments": …}`: knows the name, and gives the arguments without the frame."""

    def __init__(self) -> None:
        self.name: str | None = None  # once it has come
        self.held = ""  # what has come before the arguments
        self._depth = 0  # of brackets inside the arguments
        self._quoted = self._escaped = self._ended = False

    def feed(self, text: str) -> str:
        """The piece of the arguments in this text."""
        if self.name is None:
            self.held += text
            found = _HEAD.match(self.held)
            if found is None:
                return ""
            self.name = msgspec.json.decode(found[1], type=str)
            text, self.held = self.held[found.end() :], ""
        return "".join([character for character in text if self._inside(character)])

    def _inside(self, character: str) -> bool:
        """Whether a character belongs to the arguments; the frame's bracket ends them."""
        if self._quoted:
            self._quoted = self._escaped or character != '"'
            self._escaped = character == "\\" and not self._escaped
        elif character == '"':
            self._quoted = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            self._ended = self._ended or self._depth < 0
        elif self._depth == 0 and character.isspace():
            return False
        return not self._ended
