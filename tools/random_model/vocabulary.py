"""Qwen's tokenizer as Hugging Face files, rebuilt from the ranks in the package's data, whole or its first ranks only.

A rank's token is the merge of two tokens of lower ranks, so any first part of the ranks is a vocabulary of its own.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

from qiao.wire.tokens import WORDS

TEMPLATE = Path(__file__).parents[1] / "demo_model" / "chatml.jinja"
SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"),
    *("<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
ADDED = (
    *SPECIAL,
    *("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>"),
    *("<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"),
)


def write(folder: Path, ranks: int) -> None:
    """tokenizer.json, tokenizer_config.json and the chat template."""
    tokens = _tokens(ranks)
    letters = _letters()

    def spelled(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    pairs = [_pair(token, tokens) for token in tokens if len(token) > 1]
    added = [{"id": ranks + at, "content": text, "special": text in SPECIAL, **_EXACT} for at, text in enumerate(ADDED)]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", **_BYTES},
            ],
        },
        "post_processor": {"type": "ByteLevel", **_BYTES},
        "decoder": {"type": "ByteLevel", **_BYTES},
        "model": {
            **{"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": ""},
            **{"end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False},
            "vocab": {spelled(token): rank for token, rank in tokens.items()},
            "merges": [[spelled(left), spelled(right)] for left, right in pairs],
        },
    }
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_bos_token": False,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {str(one["id"]): {k: v for k, v in one.items() if k != "id"} for one in added},
        "chat_template": TEMPLATE.read_text("utf-8"),
    }
    for name, value in (("tokenizer.json", tokenizer), ("tokenizer_config.json", settings)):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False), "utf-8")


_EXACT = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
_BYTES: dict[str, Any] = {"add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def _tokens(ranks: int) -> dict[bytes, int]:
    packed = files("qiao").joinpath("data", "qwen.tiktoken.gz").read_bytes()
    lines = (line.split() for line in gzip.decompress(packed).splitlines()[:ranks])
    return {base64.b64decode(token): int(rank) for token, rank in lines}


def _letters() -> dict[int, str]:
    """A printable letter for each byte, as byte-level tokenizers write them since GPT-2."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + at) for at, byte in enumerate(others)}


def _pair(token: bytes, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes]:
    """The two tokens whose merge makes this one: its bytes are merged by lower ranks until two parts are left."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        merged = [ranks.get(left + right, len(ranks)) for left, right in pairwise(parts)]
        at = merged.index(min(merged))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]
