"""Writes a GGUF file, the counterpart of `header`: whole, or not at all.

Layout: magic, version, counts, key-value pairs, tensor descriptions, data; numbers are little-endian (source: the GGUF
specification in ggml). Data is encoded piece by piece, so a file may be larger than the memory. numpy comes with
qiao[local].
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 3
ALIGNMENT = 32
BLOCK = 32  # weights that share a scale in Q8_0
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9

Fact = str | bool | int | float | Sequence[str] | Sequence[int]


class Kind(IntEnum):
    """How weights are stored; the value is ggml's own number."""

    F32 = 0
    F16 = 1
    Q8_0 = 8

    @property
    def file_type(self) -> int:
        """The value of `general.file_type` when most weights are of this kind."""
        return {Kind.F32: 0, Kind.F16: 1, Kind.Q8_0: 7}[self]

    def size(self, count: int) -> int:
        """Bytes that so many weights take."""
        return count // BLOCK * 34 if self is Kind.Q8_0 else count * (4 if self is Kind.F32 else 2)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor to write: its shape with rows first, and what yields its values in order, in pieces of whole rows."""

    name: str
    shape: tuple[int, ...]
    kind: Kind
    pieces: Callable[[], Iterable[NDArray[np.float32]]]

    @property
    def size(self) -> int:
        """Bytes in the file, without padding."""
        count = 1
        for length in self.shape:
            count *= length
        return self.kind.size(count)


def write(
    out: Path,
    facts: Mapping[str, Fact],
    tensors: Sequence[Tensor],
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the file beside its place and move it there when it is whole.

    `progress` is told the bytes written and the bytes in all, now and then. A float among the facts is stored with 32
    bits, an int with 32 bits unsigned, in a list signed.
    """
    part = out.with_name(out.name + ".part")
    try:
        with part.open("wb") as file:
            _write(file, facts, tensors, progress)
            file.flush()
            os.fsync(file.fileno())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def encode(values: NDArray[np.float32], kind: Kind) -> bytes:
    """The bytes of so many whole rows."""
    if kind is Kind.F32:
        return values.astype("<f4", copy=False).tobytes()
    return values.astype("<f2").tobytes() if kind is Kind.F16 else _q8_0(values)


def _q8_0(values: NDArray[np.float32]) -> bytes:
    """Blocks of 32 weights: a 16-bit scale, then whole numbers from -127 to 127, halves rounded away from zero."""
    import numpy as np

    blocks = values.reshape(-1, BLOCK)
    scales = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    with np.errstate(divide="ignore"):
        inverse = np.where(scales == 0, np.float32(0), np.float32(1) / scales)
    scaled = blocks * inverse
    packed = np.empty((len(blocks), 2 + BLOCK), np.uint8)
    packed[:, :2] = scales.astype("<f2").view(np.uint8)
    packed[:, 2:] = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(np.int8).view(np.uint8)
    return packed.tobytes()


def _write(
    file: BinaryIO,
    facts: Mapping[str, Fact],
    tensors: Sequence[Tensor],
    progress: Callable[[int, int], None] | None,
) -> None:
    file.write(b"GGUF" + struct.pack("<IQQ", VERSION, len(tensors), len(facts)))
    for key, value in facts.items():
        file.write(_text(key) + _fact(value))
    at = 0
    for tensor in tensors:
        shape = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *reversed(tensor.shape))
        file.write(_text(tensor.name) + shape + struct.pack("<IQ", tensor.kind, at))
        at += tensor.size + _padding(tensor.size)
    file.write(bytes(_padding(file.tell())))
    done = 0
    for tensor in tensors:
        before = file.tell()
        for piece in tensor.pieces():
            done += file.write(encode(piece, tensor.kind))
            if progress:
                progress(done, at)
        assert file.tell() - before == tensor.size, tensor.name
        done += file.write(bytes(_padding(tensor.size)))


def _padding(size: int) -> int:
    return -size % ALIGNMENT


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    return struct.pack("<Q", len(data)) + data


def _fact(value: Fact) -> bytes:
    """The type's number and the value."""
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _text(value)
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT32, value)
    if value and isinstance(value[0], str):
        return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(_text(str(text)) for text in value)
    kind, code = (_BOOL, "?") if value and isinstance(value[0], bool) else (_INT32, "i")
    return struct.pack("<IIQ", _ARRAY, kind, len(value)) + struct.pack(f"<{len(value)}{code}", *value)
