"""What a GGUF file says of itself, checked before an engine is started on it.

Only headers are read: 0.15 s for a vocabulary of 150,000 tokens. Keys as llama.cpp names them (its `llama-arch.cpp`).
"""

from __future__ import annotations

import mmap
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from qiao.weights import gguf

CONTROL = 3  # the token type of tokens that steer the model
Role = Literal["chat", "embedding", "rerank"]
# Architectures of Qwen models that llama.cpp runs. In the hybrid ones, most layers keep a state instead of a cache.
HYBRID = frozenset({"qwen3next", "qwen35", "qwen35moe"})
QWEN = frozenset({"qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe"}) | HYBRID
_INTERVAL = 4  # of a hybrid model's layers, every fourth attends to all tokens unless it says otherwise
_RANK = 4  # the pooling type of a reranker
_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
# `general.file_type` (source: llama_ftype in llama.h), without those that were taken out again.
_FILE_TYPES = """
F32 F16 Q4_0 Q4_1 . . . Q8_0 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K IQ2_XXS IQ2_XS Q2_K_S
IQ3_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ3_M IQ2_S IQ2_M IQ4_XS IQ1_M BF16 . . . TQ1_0 TQ2_0 MXFP4 NVFP4 Q1_0 Q2_0
"""
_QUANTISATIONS = dict(enumerate(_FILE_TYPES.split()))


class BadWeights(ValueError):
    """The file cannot be used as a model; one sentence for the user, in English and in Chinese."""

    def __init__(self, message: str, chinese: str = "") -> None:
        super().__init__(message)
        self.chinese = chinese or message


@dataclass(frozen=True, slots=True)
class Weights:
    """What a GGUF file says of itself. Sizes in bytes, lengths in tokens or values."""

    path: Path
    size: int  # of all shards
    version: int
    architecture: str
    name: str
    context: int
    template: str = ""  # the chat template, empty when there is none
    control: tuple[str, ...] = field(default=(), repr=False)  # the text of tokens that steer the model
    projector: Path | None = None  # the file that lets the model see images
    layers: int = 0
    embedding: int = 0  # the length of a token's vector
    kv_heads: tuple[int, ...] = field(default=(), repr=False)  # per layer; 0 where a layer keeps no cache
    key_length: int = 0
    value_length: int = 0
    state: int = 0  # bytes that the layers without a cache keep for each call that runs
    parameters: int = 0
    experts: int = 0
    quantisation: str = ""  # Q4_K_M
    role: Role = "chat"
    shards: tuple[Path, ...] = ()  # all files of a model in several, the first included

    @property
    def slug(self) -> str:
        """The name in the form of a model name: qwen3-0.6b."""
        return re.sub(r"[^a-z0-9._-]+", "-", self.name.lower()).strip("-") or "local"

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the model but the projector."""
        return self.shards or (self.path,)


def read(path: Path) -> Weights:
    """The facts of a model file, of which any shard may be named; BadWeights says why it cannot be used."""
    return _read(path, glance=False)


def glance(path: Path) -> Weights:
    """The same in a millisecond, without what follows the vocabulary's beginning: template, control, parameters."""
    return _read(path, glance=True)


def shards(path: Path) -> tuple[Path, ...]:
    """All files of a model in several, by the name of one; empty for a model in one file. BadWeights when one lacks."""
    named = shards_named(path)
    if lacking := next((shard.name for shard in named if not shard.exists()), None):
        raise BadWeights(
            f"{path} is one of {len(named)} files, and {lacking} is not beside it.",
            f"{path} 是 {len(named)} 个分片之一，旁边缺少 {lacking}。",
        )
    return named


def shards_named(path: Path) -> tuple[Path, ...]:
    """The same, whether they are there or not."""
    match = _SHARD.fullmatch(path.name)
    stem, count = (match[1], int(match[3])) if match else ("", 0)
    return tuple(path.with_name(f"{stem}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1))


def _read(path: Path, *, glance: bool) -> Weights:
    at = path
    try:
        parts = shards(path)
        at = first = parts[0] if parts else path
        layout = _layout(first, glance=glance)
        for at in parts[1:]:
            layout.parameters += 0 if glance else _layout(at).parameters
        return _weights(first, sum(part.stat().st_size for part in parts or (path,)), layout, parts)
    except gguf.Damaged as damage:
        raise (_foreign(at) if damage.how == "foreign" else _said(at, damage)) from damage
    except OSError as error:
        raise _unreadable(at, error) from error


def _layout(path: Path, *, glance: bool = False) -> gguf.Layout:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            raise BadWeights(f"{path} is empty.", f"{path} 是空文件。")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return gguf.parse(data, glance=glance)


def _weights(path: Path, size: int, layout: gguf.Layout, parts: tuple[Path, ...]) -> Weights:
    facts = _Facts(layout.facts)
    architecture = facts.text("general.architecture")
    if architecture == "clip":
        raise BadWeights(
            f"{path} is a projector for images, not a model: name the model's own file.",
            f"{path} 是图像投影文件，不是模型：请指定模型本身的文件。",
        )
    if facts.text("general.type") == "adapter":
        raise BadWeights(
            f"{path} is an adapter (LoRA), not a model: merge it into its model first.",
            f"{path} 是适配器（LoRA），不是模型：请先合并到它的模型里。",
        )
    if facts.number(f"{architecture}.vision.block_count"):
        raise BadWeights(
            f"{path} holds model and projector in one, which only Ollama's own engine reads: `qiao pull` gets both.",
            f"{path} 把模型和图像投影合在一起，只有 Ollama 自己的引擎能读：请用 `qiao pull` 下载。",
        )
    if not parts and facts.number("split.count") > 1:
        raise BadWeights(
            f"{path} is one shard of a model: give it its name back, which ends in -00001-of-0000N.gguf.",
            f"{path} 是模型的一个分片：请恢复以 -00001-of-0000N.gguf 结尾的原名。",
        )
    if not layout.tensors and not parts:
        raise BadWeights(f"{path} holds no weights.", f"{path} 里没有权重。")
    own = facts.of(architecture)
    heads = own.number("attention.head_count")
    head = own.number("embedding_length") // heads if heads else 0
    caches = _kv_heads(architecture, own)
    name = facts.text("general.name") or path.stem
    return Weights(
        path=path,
        size=size,
        version=layout.version,
        architecture=architecture,
        name=name,
        context=own.number("context_length"),
        template=facts.text("tokenizer.chat_template"),
        control=_control(facts.list("tokenizer.ggml.tokens"), facts.list("tokenizer.ggml.token_type")),
        projector=next(iter(sorted(path.parent.glob("mmproj*.gguf"))), None),
        layers=own.number("block_count"),
        embedding=own.number("embedding_length"),
        kv_heads=caches,
        key_length=own.number("attention.key_length") or head,
        value_length=own.number("attention.value_length") or head,
        state=_state(own) * caches.count(0),
        parameters=layout.parameters,
        experts=own.number("expert_count"),
        quantisation=_QUANTISATIONS.get(facts.number("general.file_type", -1), "").strip("."),
        role=_role(own.number("pooling_type"), name),
        shards=parts,
    )


def _kv_heads(architecture: str, own: _Facts) -> tuple[int, ...]:
    """The heads whose keys and values each layer keeps: one number for all, one for each, or every fourth layer only.

    Layers after the last that predict further tokens keep a cache too. A sliding window is counted in full.
    """
    layers = min(own.number("block_count"), 1024)
    given = own.list("attention.head_count_kv")
    heads = given or [own.number("attention.head_count_kv") or own.number("attention.head_count")] * layers
    recurrent = own.list("attention.recurrent_layers")
    if not recurrent and architecture in HYBRID:
        interval = max(own.number("full_attention_interval", _INTERVAL), 1)
        last = layers - own.number("nextn_predict_layers")
        recurrent = [at < last and (at + 1) % interval != 0 for at in range(layers)]
    return tuple(
        0 if any(recurrent[at : at + 1]) or not isinstance(count, int) else max(count, 0)
        for at, count in enumerate(heads[:layers])
    )


def _state(own: _Facts) -> int:
    """Bytes of a layer's state for one call: the convolution's last inputs and the memory, as 32-bit numbers."""
    inner, state = own.number("ssm.inner_size"), own.number("ssm.state_size")
    inputs = inner + 2 * own.number("ssm.group_count") * state
    return 4 * (inner * state + max(own.number("ssm.conv_kernel") - 1, 0) * inputs)


def _role(pooling: int, name: str) -> Role:
    """What the model is for: by its pooling type, or by its name where a file was made without."""
    if pooling == _RANK or "rerank" in name.lower():
        return "rerank"
    return "embedding" if pooling or "embed" in name.lower() else "chat"


def _control(tokens: list[Any], kinds: list[Any]) -> tuple[str, ...]:
    """Tokens marked as control, and those that llama.cpp takes for control by their look."""
    pairs = zip(map(str, tokens), kinds, strict=False)
    return tuple(token for token, kind in pairs if kind == CONTROL or (token[:2] == "<|" and token[-2:] == "|>"))


class _Facts:
    """Pairs of a header, each taken as the kind of value that it should be."""

    def __init__(self, facts: dict[str, Any], prefix: str = "") -> None:
        self._facts = facts
        self._prefix = prefix

    def of(self, architecture: str) -> _Facts:
        return _Facts(self._facts, f"{architecture}.")

    def number(self, key: str, otherwise: int = 0) -> int:
        value = self._facts.get(self._prefix + key)
        return value if isinstance(value, int) and 0 <= value < 2**40 else otherwise

    def text(self, key: str) -> str:
        value = self._facts.get(self._prefix + key)
        return value if isinstance(value, str) else ""

    def list(self, key: str) -> list[Any]:
        value = self._facts.get(self._prefix + key)
        return cast(list[Any], value) if isinstance(value, list) else []


def _said(path: Path, damage: gguf.Damaged) -> BadWeights:
    """What is wrong with the file, in one sentence."""
    english, chinese = {
        "version": (
            f"is GGUF of version {damage.version}; versions 2 and 3 can be read.",
            f"是第 {damage.version} 版 GGUF；只能读取第 2、3 版。",
        ),
        "endian": (
            "was written for a big-endian machine and cannot be read on this one.",
            "是为大端机器写的，这台机器读不了。",
        ),
        "header": ("is truncated: it ends inside its header.", "不完整：文件头没有结束。"),
        "data": ("is truncated: its weights are not all there.", "不完整：权重没有全部下载。"),
    }[damage.how]
    return BadWeights(f"{path} {english}", f"{path} {chinese}")


# The beginnings of what is often taken for a model.
_KINDS: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"version https://git-lfs"), "a Git LFS pointer: `git lfs pull` gets the file itself",
     "Git LFS 指针：用 `git lfs pull` 取得真正的文件"),
    (re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE), "a web page: the download went wrong",
     "网页：下载出错了"),
    (re.compile(rb"\{.*\"mediaType\"", re.DOTALL), "a manifest: name the model, as `ollama list` does",
     "清单文件：请像 `ollama list` 那样写模型名"),
    (re.compile(rb".{8}\{", re.DOTALL), "safetensors: name the folder that holds it",
     "safetensors：请指定它所在的文件夹"),
    (re.compile(rb"PK\x03\x04|\x80[\x02-\x05]"), "a PyTorch or ZIP file", "PyTorch 或 ZIP 文件"),
    (re.compile(rb"gg(ml|mf|jt|la)|lmgg|fmgg|tjgg"), "of GGML, which came before GGUF", "GGUF 之前的 GGML 文件"),
)  # fmt: skip


def _foreign(path: Path) -> BadWeights:
    """A file that is no GGUF: what it seems to be."""
    with path.open("rb") as file:
        begin = file.read(512)
    for pattern, english, chinese in _KINDS:
        if pattern.match(begin):
            return BadWeights(f"{path} is not a GGUF file but {english}.", f"{path} 不是 GGUF 文件，而是{chinese}。")
    return BadWeights(f"{path} is not a GGUF file.", f"{path} 不是 GGUF 文件。")


def _unreadable(path: Path, error: OSError) -> BadWeights:
    if isinstance(error, FileNotFoundError):
        return BadWeights(f"{path} does not exist.", f"{path} 不存在。")
    if isinstance(error, IsADirectoryError):
        return BadWeights(
            f"{path} is a folder: name the .gguf file in it.", f"{path} 是文件夹：请指定其中的 .gguf 文件。"
        )
    why = error.strerror or error
    return BadWeights(f"{path} cannot be read: {why}.", f"{path} 无法读取：{why}。")
