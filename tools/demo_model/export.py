"""Write the demo model as GGUF: `python tools/demo_model/export.py WEIGHTS_DIR OUT.gguf [--type q8_0]`.

WEIGHTS_DIR holds config.json, tokenizer.json and model-f16.safetensors (the layout of README.md). The chat template is
chatml.jinja beside this file. Key and tensor names are those of the GGUF architecture `qwen3` in llama.cpp.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors import numpy as safetensors

TEMPLATE = Path(__file__).with_name("chatml.jinja")
NAME = "qiao-demo"
ABOUT = "Built-in demo model of Qiao: Qwen3 architecture, trained from scratch on synthetic text. It is not Qwen."
TYPES = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
# A layer's tensors: the name in the safetensors file and the name in GGUF.
LAYER = {
    "input_layernorm": "attn_norm",
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "q_norm": "attn_q_norm",
    "k_norm": "attn_k_norm",
    "o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def export(weights: Path, out: Path, kind: str) -> None:
    """Read the trained weights and write one self-contained GGUF file."""
    config: dict[str, Any] = json.loads((weights / "config.json").read_text())
    quantization, file_type = TYPES[kind]
    writer = gguf.GGUFWriter(out, "qwen3")
    writer.add_name(NAME)
    writer.add_description(ABOUT)
    writer.add_license("apache-2.0")
    writer.add_file_type(file_type)
    _shape(writer, config)
    _vocabulary(writer, json.loads((weights / "tokenizer.json").read_text()), config["vocab_size"])
    writer.add_chat_template(TEMPLATE.read_text())
    tensors: dict[str, Any] = safetensors.load_file(weights / "model-f16.safetensors")
    for source, target in _names(config["num_hidden_layers"]):
        _tensor(writer, target, tensors[source].astype(np.float32), quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _shape(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])


def _vocabulary(writer: gguf.GGUFWriter, tokenizer: dict[str, Any], size: int) -> None:
    tokens = [f"[PAD{at}]" for at in range(size)]
    types = [gguf.TokenType.UNUSED] * size
    for token, at in tokenizer["model"]["vocab"].items():
        tokens[at], types[at] = token, gguf.TokenType.NORMAL
    for added in tokenizer["added_tokens"]:
        at = added["id"]
        tokens[at] = added["content"]
        types[at] = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)


def _names(layers: int) -> list[tuple[str, str]]:
    names = [("embed.weight", "token_embd.weight"), ("norm.weight", "output_norm.weight")]
    for at in range(layers):
        names += [(f"layers.{at}.{a}.weight", f"blk.{at}.{b}.weight") for a, b in LAYER.items()]
    return names


def _tensor(
    writer: gguf.GGUFWriter, name: str, values: NDArray[np.float32], quantization: gguf.GGMLQuantizationType
) -> None:
    if values.ndim == 1:  # norms stay exact
        writer.add_tensor(name, values)
    else:
        writer.add_tensor(name, gguf.quantize(values, quantization), raw_dtype=quantization)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write the demo model as GGUF.")
    parser.add_argument("weights", type=Path, help="folder with config.json, tokenizer.json, model-f16.safetensors")
    parser.add_argument("out", type=Path, help="the GGUF file to write")
    parser.add_argument("--type", choices=TYPES, default="q8_0")
    options = parser.parse_args()
    export(options.weights, options.out, options.type)
    data = options.out.read_bytes()
    print(f"{options.out}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
