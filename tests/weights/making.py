"""Small GGUF files of every kind, written with the gguf package."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import gguf
import numpy


def model(
    path: Path, architecture: str = "qwen3", facts: dict[str, Any] | None = None, *, name: str = "Qwen3 4B"
) -> Path:
    """A file with a header like a real model's, small weights and the facts given (`context_length`, …)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    given: dict[str, Any] = {
        "block_count": 4,
        "context_length": 40960,
        "embedding_length": 64,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.key_length": 16,
        "attention.value_length": 16,
        **(facts or {}),
    }
    for key, value in given.items():
        full = key if key.startswith(("general.", "split.")) else f"{architecture}.{key}"
        if isinstance(value, list):
            writer.add_array(full, cast(list[Any], value))
        else:
            writer.add_uint32(full, value)
    writer.add_token_list(["<|im_end|>", "a"])
    writer.add_token_types([3, 1])
    writer.add_chat_template("{{ messages }}")
    writer.add_file_type(15)
    writer.add_tensor("token_embd.weight", numpy.zeros((2, 64), numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
