"""Without a name the largest Qwen model for chats that fits into memory answers, and the banner says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from qiao.cli.serve import model as said
from qiao.weights import choosing, header, memory
from qiao.weights.header import BadWeights
from qiao.weights.places import Places
from tests.weights import making
from tests.weights.making import hub, ollama

PLENTY = 2**36


def enlarge(path: Path, gib: float) -> Path:
    """Make a file look as large as a real model's; the disk holds none of it."""
    with path.open("r+b") as file:
        file.truncate(int(gib * 2**30))
    return path


def test_the_largest_model_that_fits_is_chosen(places: Places) -> None:
    large = enlarge(hub(places, "Qwen/Qwen3-14B-GGUF", "Qwen3-14B-Q4_K_M.gguf", name="Qwen3 14B"), 9)
    small = enlarge(hub(places, "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf", name="Qwen3 4B"), 2.5)
    chosen = choosing.choose(places, 16 * 2**30)
    assert chosen.found is not None
    assert (chosen.found.path, chosen.context) == (large, 16_384)
    chosen = choosing.choose(places, 6 * 2**30)
    assert chosen.found is not None
    assert (chosen.found.path, chosen.context) == (small, 8192)
    text = said(chosen)
    assert text.startswith("Qwen3 4B from Hugging Face, 2.5 GiB, context 8,192: the largest Qwen model here")
    assert "6.0 GiB of free memory" in text


def test_what_is_too_large_is_said_beside_the_built_in_model(places: Places) -> None:
    enlarge(ollama(places, "qwen3", "4b", name="Qwen3 4B"), 2.5)
    chosen = choosing.choose(places, 2 * 2**30)
    assert chosen.found is None
    assert "built-in demo model, not Qwen" in said(chosen)
    assert "Qwen3 4B (2.5 GiB) is here, but does not fit into 2.0 GiB of free memory" in said(chosen)


@pytest.mark.parametrize(
    ("architecture", "name", "facts"),
    [
        ("llama", "Llama 3", {}),
        ("qwen3", "Qwen3 Embedding 4B", {"pooling_type": 3}),
        ("qwen3", "Qwen3 Embedding 4B", {}),
        ("qwen3", "Qwen3 Reranker 4B", {"pooling_type": 4}),
        ("qwen3", "Qwen3 4B Base", {}),
        ("qwen3", "qiao-demo", {}),
    ],
)
def test_what_is_no_qwen_model_for_chats_is_not_chosen(
    places: Places, architecture: str, name: str, facts: dict[str, int]
) -> None:
    path = making.model(places.own / "a/b/model.gguf", architecture, facts, name=name)
    assert choosing.choose(places, PLENTY) == choosing.Choice(PLENTY)
    assert [found.path for found, _ in choosing.models(places)] == [path]
    picked = choosing.pick(str(path), places).found
    assert picked is not None
    assert picked.path == path


@pytest.mark.parametrize("architecture", sorted(header.QWEN))
def test_every_qwen_architecture_can_be_chosen(places: Places, architecture: str) -> None:
    path = making.model(places.own / "a/b/model.gguf", architecture)
    chosen = choosing.choose(places, PLENTY).found
    assert chosen is not None
    assert chosen.path == path


def test_damaged_files_are_passed_over(places: Places) -> None:
    good = making.model(places.own / "a/b/good.gguf")
    (places.own / "a/b/bad.gguf").write_bytes(b"GGUF" + bytes(1000))
    (places.own / "a/b/half-00001-of-00002.gguf").write_bytes(good.read_bytes())
    assert [found.path for found, _ in choosing.models(places)] == [good]


def test_the_models_here_tell_what_they_are_for(places: Places) -> None:
    making.model(places.own / "a/chat/m.gguf", name="Qwen3 4B")
    making.model(places.own / "a/embedding/m.gguf", facts={"pooling_type": 3}, name="Qwen3 Embedding")
    making.model(places.own / "a/rerank/m.gguf", facts={"pooling_type": 4}, name="Qwen3 Reranker")
    roles = {found.name: weights.role for found, weights in choosing.models(places)}
    assert roles == {"a/chat": "chat", "a/embedding": "embedding", "a/rerank": "rerank"}


def test_a_hundred_models_are_looked_through_by_their_beginnings(places: Places) -> None:
    data = making.model(places.own / "a/b/0.gguf").read_bytes()
    vocabulary = data.index(b"tokenizer.ggml.tokens")
    for number in range(1, 100):
        path = places.own / f"a/b/{number}.gguf"
        path.write_bytes(data[: vocabulary + 40])  # were more than the beginning read, it would be cut short
    assert len(list(choosing.models(places))) == 100


def test_demo_is_the_built_in_model_whatever_else_is_here(places: Places) -> None:
    making.model(places.own / "a/b/demo.gguf")
    assert choosing.pick("demo", places) == choosing.Choice()
    with pytest.raises(BadWeights, match="no model 'qwen9'"):
        choosing.pick("qwen9", places)


def test_a_context_is_taken_by_memory_and_never_longer_than_the_models_own(places: Places) -> None:
    weights = header.glance(making.model(places.own / "m.gguf", facts={"context_length": 2048}))
    enough = memory.needed(weights, context=2048, parallel=choosing.PARALLEL)
    assert choosing.context_for(weights, PLENTY) == 2048
    assert choosing.context_for(weights, enough) == 2048
    assert choosing.context_for(weights, enough - 1) is None
