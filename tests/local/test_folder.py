"""A folder of safetensors becomes a GGUF file, and every broken folder one clear sentence."""

from __future__ import annotations

import contextlib
import json
import shutil
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qiao.weights import folder, header, shards
from qiao.weights.gguf_file import Kind, encode
from qiao.weights.header import BadWeights
from tools.random_model import numbers
from tools.random_model.shapes import MODELS
from tools.random_model.writing import SEED, write_folder

Edit = Callable[[Path], object]
DENSE = ("tiny-qwen2.5", "tiny-qwen3")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folders of random models, made once; not to be changed."""

    @cache
    def source(name: str, parts: int = 1) -> Path:
        place = tmp_path_factory.mktemp("sources") / name
        write_folder(name, place, shards=parts)
        return place

    return source


@pytest.fixture
def copy(sources: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """A folder to change."""

    def copied(name: str = "tiny-qwen3", parts: int = 1) -> Path:
        return shutil.copytree(sources(name, parts), tmp_path / "model", dirs_exist_ok=True)

    return copied


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Facts and tensors as the gguf package, which is not ours, reads them."""
    reader = gguf.GGUFReader(path)
    facts = {key: field.contents() for key, field in reader.fields.items()}
    return facts, {tensor.name: tensor for tensor in reader.tensors}


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """A safetensors file's header and data."""
    data = path.read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def rewrite(path: Path, head: bytes, data: bytes) -> None:
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


def entry(name: str, **fields: Any) -> Edit:
    """Changes what the header says of a tensor."""

    def change(place: Path) -> None:
        head, data = header_of(place / "model.safetensors")
        head[name] |= fields
        rewrite(place / "model.safetensors", json.dumps(head).encode(), data)

    return change


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("kind", Kind)
def test_another_reader_finds_every_weight_in_its_place(
    name: str, kind: Kind, sources: Callable[..., Path], tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    folder.translate(sources(name), tmp_path / "out.gguf", kind, lambda done, whole: told.append((done, whole)))
    facts, tensors = read(tmp_path / "out.gguf")
    assert told[-1][0] <= told[-1][1] == sum(-(-tensor.n_bytes // 32) * 32 for tensor in tensors.values())
    model = MODELS[name]
    architecture = folder.ARCHITECTURES[model.architecture]
    parts = folder.dense(model.dense, architecture)
    assert set(tensors) == {part.target for part in parts}
    for part in parts:
        values = numbers.draw(SEED, part.source, part.shape)
        type_ = gguf.GGMLQuantizationType[kind.name] if len(part.shape) > 1 else gguf.GGMLQuantizationType.F32
        assert tensors[part.target].tensor_type == type_
        assert tensors[part.target].data.tobytes() == gguf.quantize(values, type_).tobytes(), part.target
    assert facts["general.architecture"] == architecture
    assert facts["general.name"] == name
    assert facts[f"{architecture}.rope.freq_base"] == 1000000.0
    assert facts[f"{architecture}.attention.key_length"] == folder.head_size(model.dense)
    assert facts["tokenizer.ggml.eos_token_id"] == facts["tokenizer.ggml.tokens"].index("<|im_end|>") == 1002
    assert facts["tokenizer.ggml.token_type"][1000:1027] == [3] * 14 + [4] * 12 + [5]
    assert "enable_thinking" in facts["tokenizer.chat_template"]
    assert header.read(tmp_path / "out.gguf").slug == name


def test_eight_bits_are_rounded_as_ggml_rounds_them() -> None:
    rows = np.random.default_rng(1).normal(size=(64, 96)).astype(np.float32)
    rows[0], rows[1, :32] = 0, np.arange(32) - 15.5
    assert encode(rows, Kind.Q8_0) == gguf.quantize(rows, gguf.GGMLQuantizationType.Q8_0).tobytes()


def test_a_large_tensor_is_read_in_pieces(
    sources: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.translate(sources("tiny-qwen3"), tmp_path / "whole.gguf")
    monkeypatch.setattr(shards, "PIECE", 1000)
    folder.translate(sources("tiny-qwen3"), tmp_path / "pieces.gguf")
    assert (tmp_path / "pieces.gguf").read_bytes() == (tmp_path / "whole.gguf").read_bytes()


def test_rows_that_blocks_do_not_fill_get_sixteen_bits() -> None:
    assert folder.stored_kind((64, 48), Kind.Q8_0) is Kind.F16
    assert folder.stored_kind((48, 64), Kind.Q8_0) is Kind.Q8_0


def test_what_the_files_beside_the_weights_say_is_kept(copy: Callable[..., Path], tmp_path: Path) -> None:
    place = copy()
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}
    edit(place / "config.json", rope_scaling=scaling)
    edit(place / "tokenizer_config.json", eos_token={"content": "<|endoftext|>"}, add_bos_token=True)
    (place / "chat_template.jinja").write_text("{{ messages }}")
    folder.translate(place, tmp_path / "out.gguf")
    facts, _ = read(tmp_path / "out.gguf")
    assert facts["qwen3.rope.scaling.type"] == "yarn"
    assert facts["qwen3.rope.scaling.original_context_length"] == 1024
    assert facts["tokenizer.chat_template"] == "{{ messages }}"
    assert facts["tokenizer.ggml.eos_token_id"] == 1000
    assert facts["tokenizer.ggml.add_bos_token"] is True


def test_a_model_in_the_cache_of_hugging_face_has_its_own_name(copy: Callable[..., Path], tmp_path: Path) -> None:
    place = tmp_path / "models--Qwen--Qwen3-0.6B" / "snapshots" / "c1899de2"
    shutil.copytree(copy(), place)
    folder.translate(place, tmp_path / "out.gguf")
    assert header.read(tmp_path / "out.gguf").name == "Qwen3-0.6B"


BROKEN: dict[str, tuple[Edit, str]] = {
    "no config": (lambda place: (place / "config.json").unlink(), r"config\.json does not exist"),
    "no JSON": (lambda place: (place / "config.json").write_text("{'a'"), r"config\.json is not JSON"),
    "deep JSON": (lambda place: (place / "config.json").write_text("[" * 10**6), r"config\.json is not"),
    "llama": (lambda place: edit(place / "config.json", architectures=["LlamaForCausalLM"]), "LlamaForCausalLM; only"),
    "no name": (lambda place: edit(place / "config.json", architectures=[]), "no known kind.*official GGUF"),
    "no width": (lambda place: edit(place / "config.json", hidden_size=0), r"hidden_size"),
    "a crowd": (lambda place: edit(place / "config.json", vocab_size=10**12), r"vocab_size"),
    "AWQ": (lambda place: edit(place / "config.json", quantization_config={"bits": 4}), "variant.*official GGUF"),
    "rope": (lambda place: edit(place / "config.json", rope_scaling={"type": "longrope"}), "rope scaling 'longrope'"),
    "half a rope": (lambda place: edit(place / "config.json", rope_scaling={"type": "yarn"}), "rope scaling 'yarn'"),
    "no tokenizer": (lambda place: (place / "tokenizer.json").unlink(), r"tokenizer\.json does not exist"),
    "other words": (
        lambda place: edit(place / "tokenizer.json", pre_tokenizer={"type": "Whitespace"}),
        "not a tokenizer of Qwen's kind",
    ),
    "too many words": (lambda place: edit(place / "config.json", vocab_size=1000), "for which the model has no place"),
    "no weights": (lambda place: (place / "model.safetensors").unlink(), r"model\.safetensors is missing"),
    "no header": (lambda place: (place / "model.safetensors").write_bytes(b"\0" * 7), "is not a .safetensors file"),
    "a bomb": (
        lambda place: rewrite(place / "model.safetensors", b'{"a":' + b"[" * 10**6, b""),
        "is not a .safetensors file",
    ),
    "cut off": (
        lambda place: (place / "model.safetensors").write_bytes((place / "model.safetensors").read_bytes()[:-9]),
        "is truncated: .* is not all there",
    ),
    "cut header": (
        lambda place: (place / "model.safetensors").write_bytes((place / "model.safetensors").read_bytes()[:99]),
        "or is truncated",
    ),
    "another shape": (
        lambda place: edit(place / "config.json", intermediate_size=64),
        "holds model.layers.0.mlp.gate_proj.weight as 128×64, which should be 64×64",
    ),
    "a layer more": (
        lambda place: edit(place / "config.json", num_hidden_layers=3),
        r"lacks the tensor model\.layers\.2",
    ),
    "a layer less": (lambda place: edit(place / "config.json", num_hidden_layers=1), "does not have: use the official"),
    "eight bits": (entry("model.norm.weight", dtype="F8_E4M3"), "holds model.norm.weight as 'F8_E4M3'"),
    "a lie": (entry("model.norm.weight", shape=[2**40, 2**40]), "another size than its shape says"),
    "two lines": (
        lambda place: rewrite(
            place / "model.safetensors", b'{"a\\nb":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)
        ),
        "holds a tensor without a proper name",
    ),
    "nothing": (entry("model.norm.weight", shape=[]), "another size than its shape says"),
    "below zero": (entry("model.norm.weight", data_offsets=[-128, 0]), "another size than its shape says"),
    "far away": (entry("model.norm.weight", data_offsets=[2**60, 2**60 + 128]), "is truncated: model.norm.weight"),
    "no numbers": (
        lambda place: rewrite_data(place / "model.safetensors", b"\xff\xff"),
        "is damaged: .* holds values that are no weights",
    ),
}


def rewrite_data(path: Path, beginning: bytes) -> None:
    head, data = header_of(path)
    rewrite(path, json.dumps(head).encode(), beginning + data[len(beginning) :])


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_folder_is_refused_in_one_sentence_and_nothing_is_left(
    case: str, copy: Callable[..., Path], tmp_path: Path
) -> None:
    change, words = BROKEN[case]
    place = copy()
    change(place)
    (tmp_path / "out.gguf").write_bytes(b"what was there before")
    with pytest.raises(BadWeights, match=words) as error:
        folder.translate(place, tmp_path / "out.gguf")
    assert str(error.value).startswith(str(place))
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)
    assert (tmp_path / "out.gguf").read_bytes() == b"what was there before"
    assert {path.name for path in tmp_path.iterdir()} == {"model", "out.gguf"}


@pytest.mark.parametrize("name", ["tiny-qwen3-moe", "tiny-qwen3.5"])
def test_other_families_are_sent_to_the_official_file(name: str, sources: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="only dense Qwen2 and Qwen3 can be read so: use the official GGUF"):
        folder.translate(sources(name), tmp_path / "out.gguf")


@pytest.mark.parametrize("outside", ["../model.safetensors", "/etc/passwd", "model.bin", ""])
def test_an_index_names_files_of_its_own_folder_only(outside: str, copy: Callable[..., Path], tmp_path: Path) -> None:
    place = copy(parts=2)
    index = json.loads((place / shards.INDEX).read_text())
    index["weight_map"]["model.norm.weight"] = outside
    (place / shards.INDEX).write_text(json.dumps(index))
    with pytest.raises(BadWeights, match=r"not a \.safetensors file of its folder"):
        folder.translate(place, tmp_path / "out.gguf")


def test_a_shard_that_is_missing_or_lacks_a_tensor_is_named(copy: Callable[..., Path], tmp_path: Path) -> None:
    place = copy(parts=2)
    second = place / "model-00002-of-00002.safetensors"
    shutil.copy(place / "model-00001-of-00002.safetensors", second)
    with pytest.raises(BadWeights, match=r"00002\.safetensors lacks model\."):
        folder.translate(place, tmp_path / "out.gguf")
    second.unlink()
    with pytest.raises(BadWeights, match=r"model-00002-of-00002\.safetensors is missing"):
        folder.translate(place, tmp_path / "out.gguf")


def test_a_place_that_cannot_be_written_is_named(sources: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"out\.gguf cannot be written: No such file"):
        folder.translate(sources("tiny-qwen3"), tmp_path / "nowhere" / "out.gguf")


TRIES = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@TRIES
@given(data=st.binary(max_size=200))
def test_no_bytes_are_taken_for_weights(data: bytes, copy: Callable[..., Path], tmp_path: Path) -> None:
    place = copy()
    (place / "model.safetensors").write_bytes(data)
    with pytest.raises(BadWeights):
        folder.translate(place, tmp_path / "out.gguf")


@TRIES
@given(field=st.sampled_from(["dtype", "shape", "data_offsets"]), value=ANYTHING | st.lists(st.integers(-9, 2**62)))
def test_nothing_that_a_header_says_is_believed(
    field: str, value: Any, copy: Callable[..., Path], tmp_path: Path
) -> None:
    place = copy()
    entry("model.norm.weight", **{field: value})(place)
    with pytest.raises(BadWeights):
        folder.translate(place, tmp_path / "out.gguf")


@TRIES
@given(
    file=st.sampled_from(["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"]),
    data=st.data(),
)
def test_whatever_stands_in_the_files_beside_it_is_translated_or_refused(
    file: str, data: st.DataObject, copy: Callable[..., Path], tmp_path: Path
) -> None:
    place = copy()
    known = json.loads((place / file).read_text())
    value = data.draw(st.dictionaries(st.sampled_from(sorted(known)), ANYTHING, min_size=1))
    edit(place / file, **value)
    with contextlib.suppress(BadWeights):
        folder.translate(place, tmp_path / "out.gguf")
        header.read(tmp_path / "out.gguf")
