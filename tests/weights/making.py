"""Small GGUF files of every kind, written with the gguf package, and the stores in which others keep them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import gguf
import numpy

from qiao.weights.places import Places


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
        elif isinstance(value, str):
            writer.add_string(full, value)
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


def hub(places: Places, repository: str, file: str, version: str = "a1", **given: Any) -> Path:
    """A file in the cache of Hugging Face: a link to a blob, as huggingface_hub makes it."""
    folder = places.hugging_face / f"models--{repository.replace('/', '--')}"
    blob = model(folder / "blobs" / f"{len(list(folder.glob('blobs/*')))}abc", **given)
    link = folder / "snapshots" / version / file
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    return link


def ollama(places: Places, called: str, tag: str, *, projector: bool = False, **given: Any) -> Path:
    """A model in Ollama's store: a manifest, and blobs by their digests."""
    root = places.ollama[0]
    digest = f"{len(list(root.glob('blobs/*'))):064x}"
    blob = model(root / "blobs" / f"sha256-{digest}", **given)
    kind = "application/vnd.ollama.image."
    layers = [
        {"mediaType": f"{kind}license", "digest": f"sha256:{9:064x}"},
        {"mediaType": f"{kind}model", "digest": f"sha256:{digest}", "size": 1},
    ]
    if projector:
        layers.append({"mediaType": f"{kind}projector", "digest": f"sha256:{'f' * 64}"})
        (root / "blobs" / f"sha256-{'f' * 64}").write_bytes(b"GGUF")
    manifest = root / "manifests" / "registry.ollama.ai" / "library" / called / tag
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return blob
