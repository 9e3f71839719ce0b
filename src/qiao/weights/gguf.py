"""Read a GGUF file's layout: key-value pairs and tensor descriptions, each checked against the file's end.

Layout: magic, version, counts, pairs, tensor descriptions, data (source: the GGUF specification in ggml).
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, field
from math import prod
from typing import Any

VERSIONS = {2, 3}
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_SIZE = struct.Struct("<Q")
_MAX = 2**24  # more elements than any vocabulary has: a broken count
_DEPTH = 4  # arrays in arrays; no known key has more than one

# Tensor types: values of a block and its bytes (source: ggml's GGML_QUANT_SIZES). Unknown ones are taken as empty.
_BLOCKS = {
    **{0: (1, 4), 1: (1, 2), 30: (1, 2), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8)},
    **{2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 40), 20: (32, 18)},
    **{10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292)},
    **{16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 21: (256, 110), 22: (256, 82), 23: (256, 136)},
    **{29: (256, 56), 34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36), 41: (128, 18)},
}


class Damaged(ValueError):
    """The file breaks the layout; says how in one word: foreign, version, endian, header or data."""

    def __init__(self, how: str, version: int = 0) -> None:
        super().__init__(how)
        self.how = how
        self.version = version


@dataclass(slots=True)
class Layout:
    """What the file holds; `parameters` counts the values of all tensors."""

    version: int
    tensors: int
    parameters: int = 0
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


def parse(data: mmap.mmap | bytes, *, glance: bool = False) -> Layout:
    """The whole header; Damaged for what breaks the layout.

    A glance stops at the vocabulary, which is most of a header: a millisecond in place of 0.15 s.
    """
    if data[:4] != b"GGUF":
        raise Damaged("foreign")
    try:
        return _parse(_Cursor(data, 4), glance)
    except (struct.error, IndexError, OverflowError) as error:
        raise Damaged("header") from error


def _parse(cursor: _Cursor, glance: bool) -> Layout:
    version = cursor.number("I")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        raise Damaged("endian" if swapped in VERSIONS else "version", version)
    layout = Layout(version, cursor.number("Q"))
    pairs = cursor.number("Q")
    for _ in range(min(pairs, _MAX)):
        key = cursor.text()
        if glance and key.startswith("tokenizer."):
            return layout
        layout.facts[key] = cursor.value(cursor.number("I"))
    if not glance:
        layout.parameters = _tensors(cursor, layout.tensors, layout.facts.get("general.alignment", 32))
    return layout


def _tensors(cursor: _Cursor, count: int, alignment: object) -> int:
    """How many values the tensors hold; every tensor must end inside the file."""
    parameters = end = 0
    for _ in range(min(count, _MAX)):
        cursor.text()
        values = prod(cursor.number("Q") for _ in range(min(cursor.number("I"), 8)))
        block, size = _BLOCKS.get(cursor.number("I"), (1, 0))
        parameters += values
        end = max(end, cursor.number("Q") + values // block * size)
    if not isinstance(alignment, int) or alignment < 1:
        raise IndexError(alignment)
    start = -(-cursor.at // alignment) * alignment
    if count and start + end > len(cursor.data):
        raise Damaged("data")
    return parameters


class _Cursor:
    """Reads a header from front to back."""

    def __init__(self, data: mmap.mmap | bytes, at: int) -> None:
        self.data = data
        self.at = at

    def number(self, code: str) -> int:
        (value,) = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return value

    def text(self) -> str:
        size = self.number("Q")
        end = self.at + size
        if end > len(self.data):
            raise IndexError(end)
        text = self.data[self.at : end].decode("utf-8", "replace")
        self.at = end
        return text

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == _STRING:
            return self.text()
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind != _ARRAY or depth == _DEPTH:
            raise IndexError(kind)
        element, count = self.number("I"), self.number("Q")
        if count > _MAX:
            raise IndexError(count)
        if element in _SCALARS:
            values = struct.unpack_from(f"<{count}{_SCALARS[element]}", self.data, self.at)
            self.at += struct.calcsize(f"<{count}{_SCALARS[element]}")
            return list(values)
        return self.texts(count) if element == _STRING else [self.value(element, depth + 1) for _ in range(count)]

    def texts(self, count: int) -> list[str]:
        """Many texts in one go: a vocabulary has 300,000."""
        data, at, end, size_at = self.data, self.at, len(self.data), _SIZE.unpack_from
        found: list[str] = []
        for _ in range(count):
            begin = at + 8
            at = begin + size_at(data, at)[0]
            if at > end:
                raise IndexError(at)
            found.append(data[begin:at].decode("utf-8", "replace"))
        self.at = at
        return found
