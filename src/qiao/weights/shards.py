"""The tensors of a folder's .safetensors files; nothing that a file says of itself is believed unchecked.

Layout of a file: the length of the header in 8 bytes, the header in JSON, data (source: the safetensors format).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from qiao.weights.header import BadWeights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INDEX = "model.safetensors.index.json"
WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}  # bytes of a weight
PIECE = 2**22  # weights that are in memory at once, whatever the tensor's size
_LONGEST_HEADER = 100 * 2**20  # the limit that the safetensors library has
_LARGEST = 65504.0  # what 16 bits hold; no trained weight comes near
_LARGEST_JSON = 64 * 2**20

T = TypeVar("T")


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


class _Entry(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a tensor lies: its file, type, shape with rows first, and first byte."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """The values in order, whole rows at a time."""
        import numpy as np

        row = self.shape[-1]
        rows = 1
        for length in self.shape[:-1]:
            rows *= length
        step = max(1, PIECE // row)
        with self.file.open("rb") as file:
            file.seek(self.start)
            for first in range(0, rows, step):
                wanted = min(step, rows - first) * row * WIDTHS[self.dtype]
                data = file.read(wanted)
                if len(data) < wanted:
                    raise BadWeights(
                        f"{self.file} is truncated: {self.name} is not all there.",
                        f"{self.file} 不完整：{self.name} 没有全部写入。",
                    )
                values = _floats(data, self.dtype)
                if not (np.abs(values) <= _LARGEST).all():
                    raise BadWeights(
                        f"{self.file} is damaged: {self.name} holds values that are no weights.",
                        f"{self.file} 已损坏：{self.name} 的数值不是权重。",
                    )
                yield values.reshape(-1, row)


def read(folder: Path) -> dict[str, Stored]:
    """Every tensor of a folder by its name; BadWeights where a file is missing or says what cannot be."""
    index = folder / INDEX
    if not index.exists():
        return _tensors(folder / "model.safetensors")
    wanted = decode(index, _Index).weight_map
    found: dict[str, Stored] = {}
    for name in sorted(set(wanted.values())):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise BadWeights(
                f"{index} names {name!r}, which is not a .safetensors file of its folder.",
                f"{index} 提到的 {name!r} 不是同一文件夹里的 .safetensors 文件。",
            )
        found |= _tensors(folder / name)
    if missing := next((name for name in wanted if name not in found), None):
        raise BadWeights(
            f"{folder / wanted[missing]} lacks {missing}, which {INDEX} says is in it.",
            f"{folder / wanted[missing]} 缺少 {missing}，而 {INDEX} 说它在里面。",
        )
    return found


def decode(path: Path, kind: type[T]) -> T:
    """A JSON file of the folder as a value of this type; BadWeights says what is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_JSON + 1)
        if len(data) > _LARGEST_JSON:
            raise BadWeights(f"{path} is larger than such a file can be.", f"{path} 大得不像这种文件。")
        return msgspec.json.decode(data, type=kind)
    except FileNotFoundError as error:
        raise BadWeights(f"{path} does not exist.", f"{path} 不存在。") from error
    except OSError as error:
        raise BadWeights(f"{path} cannot be read: {error.strerror}.", f"{path} 无法读取：{error.strerror}。") from error
    except msgspec.ValidationError as error:
        raise BadWeights(f"{path} is not what it should be: {error}.", f"{path} 的内容不对：{error}。") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadWeights(f"{path} is not JSON.", f"{path} 不是 JSON。") from error


def _tensors(path: Path) -> dict[str, Stored]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            if 8 + length > size or length > _LONGEST_HEADER:
                raise BadWeights(
                    f"{path} is not a .safetensors file, or is truncated.", f"{path} 不是 .safetensors 文件，或不完整。"
                )
            header = msgspec.json.decode(file.read(length), type=dict[str, msgspec.Raw])
            header.pop("__metadata__", None)
            entries = {name: msgspec.json.decode(raw, type=_Entry) for name, raw in header.items()}
    except FileNotFoundError as error:
        raise BadWeights(f"{path} is missing.", f"缺少 {path}。") from error
    except OSError as error:
        raise BadWeights(f"{path} cannot be read: {error.strerror}.", f"{path} 无法读取：{error.strerror}。") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadWeights(
            f"{path} is not a .safetensors file, or a damaged one.", f"{path} 不是 .safetensors 文件，或已损坏。"
        ) from error
    return {name: _stored(path, name, entry, 8 + length, size) for name, entry in entries.items()}


def _stored(path: Path, name: str, entry: _Entry, data: int, size: int) -> Stored:
    """Check the place of a tensor: inside the file, and as long as its shape says."""
    if not name.isprintable():
        raise BadWeights(
            f"{path} is damaged: it holds a tensor without a proper name.", f"{path} 已损坏：有张量没有正确的名称。"
        )
    first, last = entry.data_offsets
    count = WIDTHS.get(entry.dtype)
    if count is None:
        types = "BF16, F16 and F32"
        raise BadWeights(
            f"{path} holds {name} as {entry.dtype!r}; only {types} can be read: use the official GGUF.",
            f"{path} 中 {name} 的类型是 {entry.dtype!r}，只支持 {types}：请使用官方 GGUF。",
        )
    for length in entry.shape:
        if length < 1:
            raise BadWeights(f"{path} is damaged: {name} has no size.", f"{path} 已损坏：{name} 没有大小。")
        count *= length
        if count > size:
            break
    if not (first >= 0 and last - first == count and entry.shape):
        raise BadWeights(
            f"{path} is damaged: {name} has another size than its shape says.",
            f"{path} 已损坏：{name} 的大小与形状不符。",
        )
    if data + last > size:
        raise BadWeights(f"{path} is truncated: {name} is not all there.", f"{path} 不完整：{name} 没有全部写入。")
    return Stored(path, name, entry.dtype, tuple(entry.shape), data + first)


def _floats(data: bytes, dtype: str) -> NDArray[np.float32]:
    import numpy as np

    if dtype == "BF16":  # the upper half of a float of 32 bits
        return (np.frombuffer(data, "<u2").astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.frombuffer(data, "<f4" if dtype == "F32" else "<f2").astype(np.float32, copy=False)
