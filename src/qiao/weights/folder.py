"""A folder of the Hugging Face kind (config.json, tokenizer.json, *.safetensors) becomes one GGUF file.

Dense Qwen2, Qwen2.5 and Qwen3 models only: those are a renaming of tensors. For others there are official GGUF files.
The memory it takes stays at some tens of megabytes, whatever the size of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from qiao.weights import shards, vocabulary
from qiao.weights.gguf_file import BLOCK, Fact, Kind, Tensor, write
from qiao.weights.header import BadWeights

ARCHITECTURES = {"Qwen2ForCausalLM": "qwen2", "Qwen3ForCausalLM": "qwen3"}
# What a folder may hold beside the tensors of the model: nothing that the model needs.
_SPARE = (".rotary_emb.inv_freq",)

_Size = Annotated[int, msgspec.Meta(gt=0, le=2**20)]
_Length = Annotated[int, msgspec.Meta(gt=0, le=2**31)]  # in tokens
_Base = Annotated[float, msgspec.Meta(gt=0, le=1e12)]


class Rope(msgspec.Struct):
    """How positions are rotated; YaRN stretches the rotation for long texts."""

    rope_type: str | None = None
    type: str | None = None  # the older name of the same
    rope_theta: _Base | None = None
    factor: Annotated[float, msgspec.Meta(gt=0, le=1e6)] | None = None
    original_max_position_embeddings: _Length | None = None


class Config(msgspec.Struct):
    """What config.json says of a dense model."""

    hidden_size: _Size
    intermediate_size: _Size
    num_hidden_layers: Annotated[int, msgspec.Meta(gt=0, le=1000)]
    num_attention_heads: _Size
    vocab_size: Annotated[int, msgspec.Meta(gt=0, le=2**20)]
    rms_norm_eps: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    architectures: list[str] = []
    num_key_value_heads: _Size | None = None
    head_dim: _Size | None = None
    max_position_embeddings: _Length = 32768
    rope_theta: _Base | None = None
    rope_scaling: Rope | None = None
    rope_parameters: Rope | None = None  # the same two in one, since transformers 5
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    use_sliding_window: bool = False
    quantization_config: Any = None


class _Kind(msgspec.Struct):
    """Read first: other architectures have other fields."""

    architectures: list[str] = []


@dataclass(frozen=True, slots=True)
class Part:
    """A tensor of the model: its name in the folder, its name in GGUF, and its shape."""

    source: str
    target: str
    shape: tuple[int, ...]


def translate(
    folder: Path, out: Path, kind: Kind = Kind.Q8_0, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write the folder's model as `out`; BadWeights says in one sentence why it cannot be.

    Norms and biases stay as they are, with 32 bits. `progress` is told the bytes written and the bytes in all.
    """
    facts, tensors = plan(folder, kind)
    try:
        write(out, facts, tensors, progress)
    except OSError as error:
        raise BadWeights(
            f"{out} cannot be written: {error.strerror}.", f"{out} 无法写入：{error.strerror}。"
        ) from error


def plan(folder: Path, kind: Kind) -> tuple[dict[str, Fact], list[Tensor]]:
    """The facts and the tensors of the file to write; everything is checked but the weights themselves."""
    path = folder / "config.json"
    named = shards.decode(path, _Kind).architectures
    architecture = next((ARCHITECTURES[name] for name in named if name in ARCHITECTURES), None)
    if architecture is None:
        what = named[0] if named and named[0].isidentifier() else "a model of no known kind"
        raise BadWeights(
            f"{folder} holds {what}; only dense Qwen2 and Qwen3 can be read so: use the official GGUF.",
            f"{folder} 里是 {what}，这种形式只支持稠密的 Qwen2 与 Qwen3：请使用官方 GGUF。",
        )
    config = shards.decode(path, Config)
    if config.quantization_config or config.use_sliding_window or (config.attention_bias and architecture == "qwen3"):
        raise BadWeights(
            f"{folder} holds a variant that cannot be read so: use the official GGUF.",
            f"{folder} 里的变体不支持这种形式：请使用官方 GGUF。",
        )
    facts: dict[str, Fact] = {
        "general.architecture": architecture,
        "general.type": "model",
        "general.name": _name(folder),
        "general.file_type": kind.file_type,
        "general.quantization_version": 2,
        **{f"{architecture}.{key}": value for key, value in shape_facts(config, path).items()},
        **vocabulary.facts(folder, config.vocab_size),
    }
    stored = shards.read(folder)
    parts = dense(config, architecture)
    spare = set(stored) - {part.source for part in parts} - {"lm_head.weight"}
    if unknown := next((name for name in sorted(spare) if not name.endswith(_SPARE)), None):
        raise BadWeights(
            f"{folder} holds {unknown}, which a model of this kind does not have: use the official GGUF.",
            f"{folder} 里有此类模型没有的 {unknown}：请使用官方 GGUF。",
        )
    return facts, [_tensor(folder, part, stored.get(part.source), kind) for part in parts]


def shape_facts(config: Config, path: Path) -> dict[str, Fact]:
    """The shape of a model of attention heads, without the architecture's name before the keys."""
    return {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads or config.num_attention_heads,
        "attention.key_length": head_size(config),
        "attention.value_length": head_size(config),
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        **_rope(config, path),
    }


def head_size(config: Config) -> int:
    """The length of one attention head."""
    return config.head_dim or config.hidden_size // config.num_attention_heads


def dense(config: Config, architecture: str) -> list[Part]:
    """Every tensor of a dense model, in the order of the file."""
    width, vocabulary_size = config.hidden_size, config.vocab_size
    parts = [
        Part("model.embed_tokens.weight", "token_embd.weight", (vocabulary_size, width)),
        Part("model.norm.weight", "output_norm.weight", (width,)),
    ]
    if not config.tie_word_embeddings:
        parts.append(Part("lm_head.weight", "output.weight", (vocabulary_size, width)))
    for at in range(config.num_hidden_layers):
        for source, target, shape in [*attention(config, architecture), *_feed_forward(config)]:
            parts.append(Part(f"model.layers.{at}.{source}", f"blk.{at}.{target}", shape))
    return parts


def attention(config: Config, architecture: str) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """A layer's tensors up to the feed-forward network: name in the folder, name in GGUF, shape."""
    width, head = config.hidden_size, head_size(config)
    queries = config.num_attention_heads * head
    keys = (config.num_key_value_heads or config.num_attention_heads) * head
    yield "input_layernorm.weight", "attn_norm.weight", (width,)
    for letter, rows in (("q", queries), ("k", keys), ("v", keys)):
        yield f"self_attn.{letter}_proj.weight", f"attn_{letter}.weight", (rows, width)
        if architecture == "qwen2":
            yield f"self_attn.{letter}_proj.bias", f"attn_{letter}.bias", (rows,)
        elif letter != "v":
            yield f"self_attn.{letter}_norm.weight", f"attn_{letter}_norm.weight", (head,)
    yield "self_attn.o_proj.weight", "attn_output.weight", (width, queries)
    yield "post_attention_layernorm.weight", "ffn_norm.weight", (width,)


def _feed_forward(config: Config) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    width, inner = config.hidden_size, config.intermediate_size
    yield "mlp.gate_proj.weight", "ffn_gate.weight", (inner, width)
    yield "mlp.up_proj.weight", "ffn_up.weight", (inner, width)
    yield "mlp.down_proj.weight", "ffn_down.weight", (width, inner)


def _tensor(folder: Path, part: Part, stored: shards.Stored | None, kind: Kind) -> Tensor:
    if stored is None:
        raise BadWeights(f"{folder} lacks the tensor {part.source}.", f"{folder} 缺少张量 {part.source}。")
    if stored.shape != part.shape:
        has, should = "×".join(map(str, stored.shape)), "×".join(map(str, part.shape))
        raise BadWeights(
            f"{stored.file} holds {part.source} as {has}, which should be {should}.",
            f"{stored.file} 中 {part.source} 的形状是 {has}，应为 {should}。",
        )
    return Tensor(part.target, part.shape, stored_kind(part.shape, kind), stored.pieces)


def stored_kind(shape: tuple[int, ...], kind: Kind) -> Kind:
    """Norms and biases are kept exact; rows that blocks do not fill get 16 bits."""
    if len(shape) == 1:
        return Kind.F32
    return Kind.F16 if kind is Kind.Q8_0 and shape[-1] % BLOCK else kind


def _rope(config: Config, path: Path) -> dict[str, Fact]:
    rope = config.rope_parameters or config.rope_scaling or Rope()
    how = rope.rope_type or rope.type or "default"
    found: dict[str, Fact] = {"rope.freq_base": rope.rope_theta or config.rope_theta or 10000.0}
    if how == "default":
        return found
    if how != "yarn" or rope.factor is None or rope.original_max_position_embeddings is None:
        raise BadWeights(
            f"{path} asks for rope scaling {how!r} as nothing here does it: use the official GGUF.",
            f"{path} 要求的 rope 缩放 {how!r} 这里不支持：请使用官方 GGUF。",
        )
    return found | {
        "rope.scaling.type": how,
        "rope.scaling.factor": rope.factor,
        "rope.scaling.original_context_length": rope.original_max_position_embeddings,
    }


def _name(folder: Path) -> str:
    """The model's name; in a cache of Hugging Face it is above the folder of the revision."""
    place = folder.resolve()
    return place.parents[1].name.rpartition("--")[2] if place.parent.name == "snapshots" else place.name
