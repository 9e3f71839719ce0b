"""The random models: config.json of each, in the words of its Hugging Face class, and the tensors that it has.

Those of `tiny-` names are for tests, below one megabyte; `qwen3-0.6b` has the true shape and the true vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from qiao.weights import folder

Shape = tuple[int, ...]
RANKS = 1000  # byte pairs of the small vocabulary; the 26 added tokens follow
TRUE_RANKS = 151_643


@dataclass(frozen=True, slots=True)
class Model:
    """A random model: its config.json, and how many ranks of Qwen's vocabulary it knows."""

    name: str
    config: dict[str, Any]
    ranks: int = RANKS
    role: str = "chat"  # or embedding, or rerank: what its GGUF file says it is for

    @property
    def architecture(self) -> str:
        """The class that reads it in transformers."""
        return self.config["architectures"][0]

    @property
    def dense(self) -> folder.Config:
        """The part of config.json that all families share."""
        return msgspec.convert(self.config, folder.Config)

    def tensors(self) -> dict[str, Shape]:
        """Every tensor of the folder by name, in the order in which its numbers are drawn."""
        return dict(_FAMILIES[self.architecture](self))


def _config(architecture: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "architectures": [architecture],
        "model_type": kind,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "max_position_embeddings": 4096,
        "dtype": "bfloat16",
        **fields,
    }


_TINY = {
    "vocab_size": 1056,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
_QWEN3 = {"head_dim": 32, "attention_bias": False, "tie_word_embeddings": True}
_MIXTURE = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "norm_topk_prob": True}
_HYBRID = {
    "num_hidden_layers": 4,
    "layer_types": ["linear_attention"] * 3 + ["full_attention"],
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 32,
    "linear_value_head_dim": 32,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 1000000.0,
        "partial_rotary_factor": 0.25,
        "mrope_section": [2, 1, 1],
        "mrope_interleaved": True,
    },
}
_TRUE_0_6B = {
    "vocab_size": 151_936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40_960,
}


_qwen3 = _config("Qwen3ForCausalLM", "qwen3", **(_TINY | _QWEN3))
MODELS = {
    model.name: model
    for model in (
        Model("tiny-qwen2.5", _config("Qwen2ForCausalLM", "qwen2", **_TINY, tie_word_embeddings=False)),
        Model("tiny-qwen3", _qwen3),
        Model("tiny-qwen3-embedding", _qwen3, role="embedding"),
        Model("tiny-qwen3-reranker", _qwen3, role="rerank"),
        Model(
            "tiny-qwen3-moe",
            _config("Qwen3MoeForCausalLM", "qwen3_moe", **(_TINY | _QWEN3 | _MIXTURE), decoder_sparse_step=1),
        ),
        Model("tiny-qwen3.5", _config("Qwen3_5ForCausalLM", "qwen3_5_text", **(_TINY | _QWEN3 | _HYBRID))),
        Model(
            "qwen3-0.6b",
            _config("Qwen3ForCausalLM", "qwen3", **(_QWEN3 | _TRUE_0_6B)),
            ranks=TRUE_RANKS,
        ),
    )
}


def _dense(model: Model) -> Iterator[tuple[str, Shape]]:
    architecture = folder.ARCHITECTURES[model.architecture]
    for part in folder.dense(model.dense, architecture):
        yield part.source, part.shape


def _mixture(model: Model) -> Iterator[tuple[str, Shape]]:
    """Instead of one feed-forward network some small ones, and what chooses among them."""
    config, width, inner = model.config, model.config["hidden_size"], model.config["moe_intermediate_size"]
    for name, shape in _around(model):
        yield name, shape
    for at in range(config["num_hidden_layers"]):
        for name, _, shape in folder.attention(model.dense, "qwen3"):
            yield f"model.layers.{at}.{name}", shape
        yield f"model.layers.{at}.mlp.gate.weight", (config["num_experts"], width)
        for expert in range(config["num_experts"]):
            for name, shape in (("gate", (inner, width)), ("up", (inner, width)), ("down", (width, inner))):
                yield f"model.layers.{at}.mlp.experts.{expert}.{name}_proj.weight", shape


def _hybrid(model: Model) -> Iterator[tuple[str, Shape]]:
    """Layers of gated delta networks, and of attention whose queries bring a gate along."""
    config, width, inner = model.config, model.config["hidden_size"], model.config["intermediate_size"]
    keys = config["linear_num_key_heads"] * config["linear_key_head_dim"]
    heads = config["linear_num_value_heads"]
    values = heads * config["linear_value_head_dim"]
    linear: dict[str, Shape] = {
        "A_log": (heads,),
        "dt_bias": (heads,),
        "conv1d.weight": (2 * keys + values, 1, config["linear_conv_kernel_dim"]),
        "in_proj_qkv.weight": (2 * keys + values, width),
        "in_proj_z.weight": (values, width),
        "in_proj_a.weight": (heads, width),
        "in_proj_b.weight": (heads, width),
        "norm.weight": (config["linear_value_head_dim"],),
        "out_proj.weight": (width, values),
    }
    for name, shape in _around(model):
        yield name, shape
    for at, kind in enumerate(config["layer_types"]):
        for name, _, shape in folder.attention(model.dense, "qwen3"):
            if not name.startswith("self_attn"):
                yield f"model.layers.{at}.{name}", shape
            elif kind == "full_attention":
                yield f"model.layers.{at}.{name}", (shape[0] * 2, width) if "q_proj" in name else shape
        if kind == "linear_attention":
            for name, shape in linear.items():
                yield f"model.layers.{at}.linear_attn.{name}", shape
        for name, shape in (("gate", (inner, width)), ("up", (inner, width)), ("down", (width, inner))):
            yield f"model.layers.{at}.mlp.{name}_proj.weight", shape


def _around(model: Model) -> Iterator[tuple[str, Shape]]:
    """What comes before and after the layers."""
    yield "model.embed_tokens.weight", (model.config["vocab_size"], model.config["hidden_size"])
    yield "model.norm.weight", (model.config["hidden_size"],)
    if not model.config.get("tie_word_embeddings"):
        yield "lm_head.weight", (model.config["vocab_size"], model.config["hidden_size"])


_FAMILIES = {
    "Qwen2ForCausalLM": _dense,
    "Qwen3ForCausalLM": _dense,
    "Qwen3MoeForCausalLM": _mixture,
    "Qwen3_5ForCausalLM": _hybrid,
}
