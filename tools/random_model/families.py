"""The families whose folders the product does not translate, as GGUF: Qwen3-MoE and the hybrid Qwen3.5.

Names and layouts are those that llama.cpp reads for its architectures `qwen3moe` and `qwen35`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiao.weights import folder, shards, vocabulary
from qiao.weights.gguf_file import Fact, Kind, Tensor
from tools.random_model.shapes import Model

Values = NDArray[np.float32]
Read = Callable[[str], Values]

_HYBRID_NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    **{f"self_attn.{letter}_proj.weight": f"attn_{letter}.weight" for letter in "qkv"},
    **{f"self_attn.{letter}_norm.weight": f"attn_{letter}_norm.weight" for letter in "qk"},
    "self_attn.o_proj.weight": "attn_output.weight",
    **{f"mlp.{name}_proj.weight": f"ffn_{name}.weight" for name in ("gate", "up", "down")},
    "linear_attn.A_log": "ssm_a",
    "linear_attn.dt_bias": "ssm_dt.bias",
    "linear_attn.conv1d.weight": "ssm_conv1d.weight",
    "linear_attn.in_proj_qkv.weight": "attn_qkv.weight",
    "linear_attn.in_proj_z.weight": "attn_gate.weight",
    "linear_attn.in_proj_a.weight": "ssm_alpha.weight",
    "linear_attn.in_proj_b.weight": "ssm_beta.weight",
    "linear_attn.norm.weight": "ssm_norm.weight",
    "linear_attn.out_proj.weight": "ssm_out.weight",
}


def plan(model: Model, source: Path, kind: Kind) -> tuple[dict[str, Fact], list[Tensor]]:
    """The facts and the tensors of the file to write."""
    stored = shards.read(source)

    def read(name: str) -> Values:
        return np.concatenate(list(stored[name].pieces())).reshape(stored[name].shape)

    architecture, extra, tensors = {
        "Qwen3MoeForCausalLM": ("qwen3moe", _mixture_facts, _mixture),
        "Qwen3_5ForCausalLM": ("qwen35", _hybrid_facts, _hybrid),
    }[model.architecture]
    shape = folder.shape_facts(model.dense, source) | extra(model.config)
    facts: dict[str, Fact] = {
        "general.architecture": architecture,
        "general.name": model.name,
        "general.file_type": kind.file_type,
        "general.quantization_version": 2,
        **{f"{architecture}.{key}": value for key, value in shape.items()},
        **vocabulary.facts(source, model.config["vocab_size"]),
    }
    return facts, [_tensor(name, values, kind) for name, values in tensors(model, read)]


def _tensor(name: str, values: Values, kind: Kind) -> Tensor:
    """What steers rather than carries is kept exact: the choice of experts, convolutions."""
    exact = "ffn_gate_inp" in name or "conv1d" in name
    chosen = Kind.F32 if exact else folder.stored_kind(values.shape, kind)
    return Tensor(name, values.shape, chosen, lambda: [values])


def _mixture_facts(config: dict[str, Any]) -> dict[str, Fact]:
    return {
        "expert_count": config["num_experts"],
        "expert_used_count": config["num_experts_per_tok"],
        "expert_feed_forward_length": config["moe_intermediate_size"],
    }


def _mixture(model: Model, read: Read) -> Iterator[tuple[str, Values]]:
    """The experts of a layer are one tensor."""
    yield from _around(model, read, offset=0)
    for at in range(model.config["num_hidden_layers"]):
        layer, block = f"model.layers.{at}", f"blk.{at}"
        for name, target, _ in folder.attention(model.dense, "qwen3"):
            yield f"{block}.{target}", read(f"{layer}.{name}")
        yield f"{block}.ffn_gate_inp.weight", read(f"{layer}.mlp.gate.weight")
        for name in ("gate", "up", "down"):
            experts = range(model.config["num_experts"])
            each = [read(f"{layer}.mlp.experts.{expert}.{name}_proj.weight") for expert in experts]
            yield f"{block}.ffn_{name}_exps.weight", np.stack(each)


def _hybrid_facts(config: dict[str, Any]) -> dict[str, Fact]:
    rope = config["rope_parameters"]
    return {
        "full_attention_interval": 4,
        "ssm.conv_kernel": config["linear_conv_kernel_dim"],
        "ssm.state_size": config["linear_key_head_dim"],
        "ssm.group_count": config["linear_num_key_heads"],
        "ssm.time_step_rank": config["linear_num_value_heads"],
        "ssm.inner_size": config["linear_num_value_heads"] * config["linear_value_head_dim"],
        "rope.dimension_count": int(config["head_dim"] * rope["partial_rotary_factor"]),
        "rope.dimension_sections": [*rope["mrope_section"], 0],
    }


def _hybrid(model: Model, read: Read) -> Iterator[tuple[str, Values]]:
    yield from _around(model, read, offset=1)
    for name in model.tensors():
        _, _, rest = name.partition("model.layers.")
        if rest:
            at, _, inner = rest.partition(".")
            yield f"blk.{at}.{_HYBRID_NAMES[inner]}", _hybrid_values(inner, read(name), model.config)


def _hybrid_values(name: str, values: Values, config: dict[str, Any]) -> Values:
    """Norms are stored less one but that of the delta network, decays as logarithms, value heads by their key head."""
    if name.endswith("norm.weight") and not name.startswith("linear_attn"):
        return values + 1
    keys, size = config["linear_num_key_heads"], config["linear_value_head_dim"]
    before = 2 * keys * config["linear_key_head_dim"]  # rows of queries and keys in front of the values

    def spread(rows: Values, length: int) -> Values:
        """Value heads from (key head, its value heads) to (value head, key heads): llama.cpp repeats keys so."""
        grouped = rows.reshape(keys, -1, length, *rows.shape[1:])
        return np.ascontiguousarray(grouped.swapaxes(0, 1)).reshape(rows.shape)

    match name.removeprefix("linear_attn."):
        case "A_log":
            return spread(-np.exp(values), 1)
        case "dt_bias" | "in_proj_a.weight" | "in_proj_b.weight":
            return spread(values, 1)
        case "in_proj_z.weight":
            return spread(values, size)
        case "in_proj_qkv.weight" | "conv1d.weight":
            rows = values.reshape(len(values), -1)
            return np.concatenate([rows[:before], spread(rows[before:], size)])
        case "out_proj.weight":
            return np.ascontiguousarray(spread(np.ascontiguousarray(values.T), size).T)
        case _:
            return values


def _around(model: Model, read: Read, *, offset: int) -> Iterator[tuple[str, Values]]:
    """What comes before and after the layers."""
    yield "token_embd.weight", read("model.embed_tokens.weight")
    yield "output_norm.weight", read("model.norm.weight") + offset
    if not model.config.get("tie_word_embeddings"):
        yield "output.weight", read("lm_head.weight")
