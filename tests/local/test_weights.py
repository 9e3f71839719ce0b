"""What a GGUF file's header says, and one clear sentence for every file that is not a model."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from qiao.weights import header
from qiao.weights.header import BadWeights

DEMO = Path(header.__file__).parents[1] / "data" / "demo.gguf"
DATA = DEMO.read_bytes()


def test_the_built_in_model_says_what_it_is() -> None:
    facts = header.read(DEMO)
    assert (facts.architecture, facts.name, facts.slug, facts.context) == ("qwen3", "qiao-demo", "qiao-demo", 4096)
    assert {"<|im_start|>", "<|im_end|>", "<|fim_prefix|>"} <= set(facts.control)
    assert "<think>" not in facts.control
    assert facts.size == len(DATA)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + bytes(100), "is not a GGUF file."),
        (b"GGUF" + struct.pack("<I", 1) + DATA[8:], "GGUF of version 1; versions 2 and 3 can be read."),
        (DATA[:3000], "is truncated: it ends inside its header."),
        (DATA[:10], "is truncated: it ends inside its header."),
        (DATA[: len(DATA) // 2], "is truncated: its weights are not all there."),
        (DATA[:8] + struct.pack("<QQ", 1, 2**62) + DATA[24:], "GGUF|truncated"),
        (
            DATA.replace(b"\x05" + bytes(7) + b"qwen3", b"\x04" + bytes(7) + b"clip", 1) + bytes(32),
            "is a projector for images",
        ),
    ],
)
def test_a_file_that_is_not_a_model_is_refused_in_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises(BadWeights, match=words) as error:
        header.read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_every_cut_of_the_header_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    for size in [*range(1, 200, 7), *range(1000, 400_000, 39_999)]:
        path.write_bytes(DATA[:size])
        with pytest.raises(BadWeights):
            header.read(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="does not exist"):
        header.read(tmp_path / "none.gguf")
    with pytest.raises(BadWeights, match="is a folder: name the"):
        header.read(tmp_path)


def test_a_projector_beside_the_model_is_found(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(DATA)
    assert header.read(tmp_path / "model.gguf").projector is None
    (tmp_path / "mmproj-f16.gguf").write_bytes(b"GGUF")
    assert header.read(tmp_path / "model.gguf").projector == tmp_path / "mmproj-f16.gguf"
