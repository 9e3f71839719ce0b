"""Writes a random model as a Hugging Face folder and as one GGUF file."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiao.weights import folder as dense_folder
from qiao.weights.gguf_file import Fact, Kind, Tensor, write
from tools.random_model import families, numbers, vocabulary
from tools.random_model.shapes import MODELS, Model

SEED = 20261121
DTYPES = ("BF16", "F16", "F32")


def write_folder(name: str, out: Path, *, dtype: str = "BF16", shards: int = 1) -> None:
    """The model as config.json, tokenizer and weights; the same name gives the same bytes everywhere."""
    model = MODELS[name]
    out.mkdir(parents=True, exist_ok=True)
    ids = {"bos_token_id": model.ranks, "eos_token_id": model.ranks + 2, "pad_token_id": model.ranks}
    (out / "config.json").write_text(json.dumps(model.config | ids | {"dtype": _TORCH[dtype]}, indent=1), "utf-8")
    (out / "generation_config.json").write_text(json.dumps(ids), "utf-8")
    vocabulary.write(out, model.ranks)
    shapes = list(model.tensors().items())
    if shards == 1:
        _write_safetensors(out / "model.safetensors", dict(shapes), dtype)
        return
    named = {f"model-{at + 1:05}-of-{shards:05}.safetensors": shapes[at::shards] for at in range(shards)}
    for file, part in named.items():
        _write_safetensors(out / file, dict(part), dtype)
    index = {"metadata": {}, "weight_map": {name: file for file, part in named.items() for name, _ in part}}
    (out / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")


def write_gguf(name: str, out: Path, kind: Kind = Kind.F32) -> None:
    """The model as one GGUF file; the dense ones go the way that a user's folder goes."""
    model = MODELS[name]
    with TemporaryDirectory(prefix=f"{name}-", dir=out.parent) as place:
        source = Path(place) / name
        write_folder(name, source)
        if model.architecture in dense_folder.ARCHITECTURES:
            facts, tensors = dense_folder.plan(source, kind)
            if model.role != "chat":
                facts, tensors = _with_role(model, facts, tensors)
        else:
            facts, tensors = families.plan(model, source, kind)
        write(out, facts, tensors)


def digest(name: str) -> str:
    """SHA-256 over all weights as 32-bit floats, in order: says whether two machines draw the same model."""
    summed = hashlib.sha256()
    for tensor, shape in MODELS[name].tensors().items():
        summed.update(numbers.draw(SEED, tensor, shape).astype("<f4").tobytes())
    return summed.hexdigest()


_TORCH = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
# How Qwen3-Reranker is asked; llama-server fills in the two texts.
_RERANK = (
    "<|im_start|>system\nJudge whether the Document answers the Query: yes or no.<|im_end|>\n"
    "<|im_start|>user\n<Query>: {query}\n<Document>: {document}<|im_end|>\n<|im_start|>assistant\n"
)
_LAST, _RANK = 3, 4  # llama.cpp's pooling types


def _with_role(model: Model, facts: dict[str, Fact], tensors: list[Tensor]) -> tuple[dict[str, Fact], list[Tensor]]:
    """What a Qwen3-Embedding or a Qwen3-Reranker file has beside a chat model's."""
    if model.role == "embedding":
        ends: dict[str, Fact] = {"tokenizer.ggml.eos_token_id": model.ranks, "tokenizer.ggml.add_eos_token": True}
        return facts | ends | {"qwen3.pooling_type": _LAST}, tensors
    labels: dict[str, Fact] = {
        "qwen3.pooling_type": _RANK,
        "qwen3.classifier.output_labels": ["yes", "no"],
        "tokenizer.chat_template.rerank": _RERANK,
    }
    shape = (2, model.config["hidden_size"])
    head = Tensor("cls.output.weight", shape, Kind.F32, lambda: [numbers.draw(SEED, "cls.output.weight", shape)])
    return facts | labels, [*tensors, head]


def _write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]], dtype: str) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in shapes.items():
        size = int(np.prod(shape)) * (4 if dtype == "F32" else 2)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            file.write(_stored(numbers.draw(SEED, name, shape), dtype))


def _stored(values: NDArray[np.float32], dtype: str) -> bytes:
    if dtype == "BF16":
        return (values.view(np.uint32) >> np.uint32(16)).astype("<u2").tobytes()
    return values.astype("<f4" if dtype == "F32" else "<f2").tobytes()
