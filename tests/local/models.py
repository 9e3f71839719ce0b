"""Tiny random models of every family as GGUF files, for tests that need an engine but no sense in its answers."""

from __future__ import annotations

from pathlib import Path

from qiao.weights.gguf_file import Kind
from tools.random_model.writing import write_gguf

CHAT = ("tiny-qwen2.5", "tiny-qwen3", "tiny-qwen3-moe", "tiny-qwen3.5")
EMBEDDING = "tiny-qwen3-embedding"  # 64 numbers, the last token's
RERANKER = "tiny-qwen3-reranker"


def tiny(name: str, folder: Path, kind: Kind = Kind.Q8_0) -> Path:
    """The model of this name as a file in `folder`, made in a tenth of a second unless it is there."""
    path = folder / f"{name}-{kind.name}.gguf"
    if not path.exists():
        write_gguf(name, path, kind)
    return path
