"""A GGUF file's header: what it holds, checked before an engine is started on it.

Layout: magic, version, counts, key-value pairs, tensor descriptions, data (source: the GGUF specification in ggml).
Only the header is read: 0.15 s for a vocabulary of 150,000 tokens.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERSIONS = {2, 3}
CONTROL = 3  # the token type of tokens that steer the model
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MAX = 2**24  # more elements than any vocabulary has: a broken count


class BadWeights(ValueError):
    """The file cannot be used as a model; the message is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What a GGUF file says of itself. Sizes in bytes, lengths in tokens."""

    path: Path
    size: int
    version: int
    architecture: str
    name: str
    context: int
    template: str = ""  # the chat template, empty when there is none
    control: tuple[str, ...] = field(default=(), repr=False)  # the text of tokens that steer the model
    projector: Path | None = None  # the file that lets the model see images

    @property
    def slug(self) -> str:
        """The name in the form of a model name: qwen3-0.6b."""
        return re.sub(r"[^a-z0-9._-]+", "-", self.name.lower()).strip("-") or "local"


def read(path: Path) -> Weights:
    """The facts of a model file; BadWeights says in one sentence why it cannot be used."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(path, data)
    except FileNotFoundError as error:
        raise BadWeights(f"{path} does not exist.") from error
    except IsADirectoryError as error:
        raise BadWeights(f"{path} is a folder: name the .gguf file in it.") from error
    except (struct.error, IndexError) as error:
        raise BadWeights(f"{path} is truncated: it ends inside its header.") from error
    except OSError as error:
        raise BadWeights(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        if isinstance(error, BadWeights):
            raise
        raise BadWeights(f"{path} is not a GGUF file, or a damaged one.") from error


def _read(path: Path, data: mmap.mmap) -> Weights:
    if data[:4] != b"GGUF":
        raise BadWeights(f"{path} is not a GGUF file.")
    (version,) = struct.unpack_from("<I", data, 4)
    if version not in VERSIONS:
        raise BadWeights(f"{path} is GGUF of version {version}; versions 2 and 3 can be read.")
    cursor = _Cursor(data, 8)
    tensors, pairs = cursor.number("Q"), cursor.number("Q")
    facts: dict[str, Any] = {}
    for _ in range(min(pairs, _MAX)):
        key = cursor.text()
        facts[key] = cursor.value(cursor.number("I"))
    _check_data(path, cursor, tensors, facts.get("general.alignment", 32))
    architecture = str(facts.get("general.architecture", ""))
    if architecture == "clip":
        raise BadWeights(f"{path} is a projector for images, not a model: name the model's own file.")
    return Weights(
        path=path,
        size=len(data),
        version=version,
        architecture=architecture,
        name=str(facts.get("general.name") or path.stem),
        context=int(facts.get(f"{architecture}.context_length", 0)),
        template=str(facts.get("tokenizer.chat_template", "")),
        control=_control(facts.get("tokenizer.ggml.tokens", []), facts.get("tokenizer.ggml.token_type", [])),
        projector=next(iter(sorted(path.parent.glob("mmproj*.gguf"))), None),
    )


def _control(tokens: list[str], kinds: list[int]) -> tuple[str, ...]:
    """Tokens marked as control, and those that llama.cpp takes for control by their look."""
    pairs = zip(tokens, kinds, strict=False)
    return tuple(token for token, kind in pairs if kind == CONTROL or (token[:2] == "<|" and token[-2:] == "|>"))


def _check_data(path: Path, cursor: _Cursor, tensors: int, alignment: int) -> None:
    """Every tensor must begin inside the file; what is wrong with its content, the engine says."""
    last = 0
    for _ in range(min(tensors, _MAX)):
        cursor.text()
        for _ in range(cursor.number("I")):
            cursor.number("Q")
        cursor.number("I")
        last = max(last, cursor.number("Q"))
    start = -(-cursor.at // alignment) * alignment
    if tensors == 0 or start + last >= len(cursor.data):
        raise BadWeights(f"{path} is truncated: its weights are not all there.")


class _Cursor:
    """Reads a header from front to back."""

    def __init__(self, data: mmap.mmap, at: int) -> None:
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

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            return self.number(_SCALARS[kind]) if kind in _SCALARS else _unknown(kind)
        element, count = self.number("I"), self.number("Q")
        if count > _MAX:
            raise IndexError(count)
        if element in _SCALARS:
            values = struct.unpack_from(f"<{count}{_SCALARS[element]}", self.data, self.at)
            self.at += struct.calcsize(f"<{count}{_SCALARS[element]}")
            return list(values)
        read: Callable[[], Any] = self.text if element == _STRING else lambda: self.value(element)
        return [read() for _ in range(count)]


def _unknown(kind: int) -> Any:
    raise ValueError(f"unknown value type {kind}")
