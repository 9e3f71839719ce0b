"""How much memory a model takes, and how much there is in a container."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qiao.weights import header, memory
from qiao.weights.header import Weights
from tests.weights import making

# Qwen3-0.6B (source: its config.json): 28 layers, 8 key-value heads of 128.
SMALL = Weights(
    path=Path("qwen3-0.6b.gguf"),
    size=400_000_000,
    version=3,
    architecture="qwen3",
    name="Qwen3 0.6B",
    context=40960,
    kv_heads=(8,) * 28,
    key_length=128,
    value_length=128,
)


def test_a_token_of_qwen3_0_6b_takes_112_kib() -> None:
    assert memory.kv_bytes(SMALL, 1) == 112 * 1024
    assert memory.kv_bytes(SMALL, 8192) == 896 * 2**20


def test_memory_is_the_file_the_cache_of_all_calls_and_the_process() -> None:
    assert memory.needed(SMALL, context=4096, parallel=2) == SMALL.size + 896 * 2**20 + 400 * 2**20


def test_the_context_is_the_longest_that_fits() -> None:
    free = memory.needed(SMALL, context=8192, parallel=2)
    assert memory.fitting_context(SMALL, parallel=2, free=free) == 8192
    assert memory.fitting_context(SMALL, parallel=2, free=free - 1) == 8192 - memory.STEP
    assert memory.fitting_context(SMALL, parallel=2, free=2**40) == SMALL.context
    assert memory.fitting_context(SMALL, parallel=2, free=SMALL.size) is None
    assert memory.fitting_context(SMALL, parallel=1, free=memory.needed(SMALL, context=512, parallel=1)) is None


def test_a_model_with_a_short_window_fits_with_the_window_it_has() -> None:
    short = replace(SMALL, context=512)
    assert memory.fitting_context(short, parallel=1, free=2**34) == 512


def test_a_hybrid_model_keeps_a_cache_in_every_fourth_layer(tmp_path: Path) -> None:
    facts = {"block_count": 8, "ssm.inner_size": 64, "ssm.state_size": 16, "ssm.group_count": 2, "ssm.conv_kernel": 4}
    weights = header.glance(making.model(tmp_path / "a.gguf", "qwen35", facts))
    assert weights.kv_heads == (0, 0, 0, 2, 0, 0, 0, 2)
    assert memory.kv_bytes(weights, 100) == 2 * (2 * 2) * (16 + 16) * 100
    state = 6 * 4 * (64 * 16 + 3 * (64 + 2 * 2 * 16))
    assert weights.state == state
    assert memory.needed(weights, context=0, parallel=3) == weights.size + 3 * state + memory.OVERHEAD


@pytest.mark.parametrize(
    ("facts", "heads"),
    [
        ({"full_attention_interval": 2}, (0, 2, 0, 2)),
        ({"attention.recurrent_layers": [True, False, False, True]}, (0, 2, 2, 0)),
        ({"attention.head_count_kv": [0, 1, 2, 3]}, (0, 0, 0, 3)),
        ({"block_count": 5, "nextn_predict_layers": 1}, (0, 0, 0, 2, 2)),
    ],
)
def test_a_file_says_which_layers_keep_a_cache(tmp_path: Path, facts: dict[str, Any], heads: tuple[int, ...]) -> None:
    assert header.glance(making.model(tmp_path / "a.gguf", "qwen35moe", facts)).kv_heads == heads


def test_lengths_that_are_not_given_follow_from_the_embedding(tmp_path: Path) -> None:
    facts = {"attention.key_length": 0, "attention.value_length": 0}
    weights = header.glance(making.model(tmp_path / "a.gguf", facts=facts))
    assert (weights.key_length, weights.value_length) == (16, 16)


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("groups", "files", "free"),
    [
        ("", {}, 8000 * 1024),
        ("0::/\n", {"memory.max": "max\n", "memory.current": "7\n"}, 8000 * 1024),
        (
            "0::/a/b\n",
            {"a/memory.max": "5000000\n", "a/memory.current": "3000000\n", "a/memory.stat": "inactive_file 1000000\n"},
            3000000,
        ),
        (
            "4:cpu,memory:/a\n0::/\n",
            {"memory/a/memory.limit_in_bytes": "2000000", "memory/a/memory.usage_in_bytes": "2500000"},
            0,
        ),
        ("what is this\n1:memory\n", {}, 8000 * 1024),
    ],
)
def test_a_container_has_what_its_limit_leaves(tmp_path: Path, groups: str, files: dict[str, str], free: int) -> None:
    meminfo = "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n"
    _write(tmp_path / "proc", {"meminfo": meminfo, "self/cgroup": groups})
    _write(tmp_path / "cgroup", files)
    assert memory.available(tmp_path / "proc", tmp_path / "cgroup") == free


def test_this_machine_has_memory() -> None:
    assert memory.available() > 0
