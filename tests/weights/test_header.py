"""What a header tells, and one clear sentence for every file that is not a model."""

from __future__ import annotations

import contextlib
import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qiao.weights import gguf, header
from qiao.weights.header import BadWeights
from tests.weights import making


def test_a_header_tells_what_the_model_is(tmp_path: Path) -> None:
    path = making.model(tmp_path / "a.gguf", "qwen3moe", {"expert_count": 128, "pooling_type": 0})
    weights = header.read(path)
    assert (weights.layers, weights.embedding, weights.kv_heads) == (4, 64, (2, 2, 2, 2))
    assert (weights.key_length, weights.value_length, weights.experts) == (16, 16, 128)
    assert (weights.parameters, weights.quantisation, weights.role) == (2 * 64, "Q4_K_M", "chat")
    assert (weights.control, weights.template) == (("<|im_end|>",), "{{ messages }}")
    assert weights.files == (path,)


def test_a_glance_tells_what_stands_before_the_vocabulary(tmp_path: Path) -> None:
    path = making.model(tmp_path / "a.gguf")
    glance, whole = header.glance(path), header.read(path)
    assert (glance.name, glance.kv_heads, glance.context) == (whole.name, whole.kv_heads, whole.context)
    assert (glance.template, glance.control, glance.parameters) == ("", (), 0)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("data.pkl", b"x")
    return buffer.getvalue()


MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}'


@pytest.mark.parametrize(
    ("data", "english", "chinese"),
    [
        (b"", "is empty.", "是空文件"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "`git lfs pull`", "指针"),
        (b"<!DOCTYPE html><html><head><title>404", "a web page: the download went wrong", "网页"),
        (b"\n<html>", "a web page", "网页"),
        (MANIFEST, "a manifest: name the model", "清单"),
        (struct.pack("<Q", 60) + b'{"__metadata__":{"format":"pt"}}', "safetensors: name the folder", "文件夹"),
        (zipped(), "a PyTorch or ZIP file", "ZIP"),
        (b"\x80\x02}q\x00.", "a PyTorch or ZIP file", "PyTorch"),
        (b"lmgg" + bytes(40), "of GGML, which came before GGUF", "GGML"),
        (b"nothing known", "is not a GGUF file.", "不是 GGUF 文件"),
        (b"GGUF" + struct.pack("<I", 9), "GGUF of version 9", "第 9 版"),
        (b"GGUF" + struct.pack(">I", 3), "written for a big-endian machine", "大端"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "holds no weights", "没有权重"),
        (b"GGUF\x03", "ends inside its header", "文件头没有结束"),
    ],
)
def test_what_is_not_a_model_is_called_by_its_name(tmp_path: Path, data: bytes, english: str, chinese: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    with pytest.raises(BadWeights) as error:
        header.read(path)
    assert english in str(error.value)
    assert chinese in error.value.chinese
    assert "\n" not in str(error.value)


def test_a_shard_that_lost_its_name_is_said(tmp_path: Path) -> None:
    path = making.model(tmp_path / "part.gguf", facts={"split.count": 3})
    with pytest.raises(BadWeights, match="one shard of a model: give it its name back"):
        header.read(path)


def test_an_adapter_and_an_empty_shard_are_said(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"an adapter \(LoRA\), not a model"):
        header.read(making.model(tmp_path / "lora.gguf", facts={"general.type": "adapter"}))
    making.model(tmp_path / "m-00001-of-00002.gguf")
    (tmp_path / "m-00002-of-00002.gguf").touch()
    with pytest.raises(BadWeights, match=r"m-00002-of-00002\.gguf is empty"):
        header.read(tmp_path / "m-00001-of-00002.gguf")


def test_every_cut_of_a_file_is_noticed(tmp_path: Path) -> None:
    data = making.model(tmp_path / "a.gguf").read_bytes()
    end = len(data.rstrip(b"\0"))  # the weights are zeros
    for size in {*range(1, end, 97), *range(end, len(data), 101), len(data) - 1}:
        (tmp_path / "cut.gguf").write_bytes(data[:size])
        with pytest.raises(BadWeights):
            header.read(tmp_path / "cut.gguf")


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    for begin in (b"", b"GGUF\x03\0\0\0", b"GGUF\x03\0\0\0" + struct.pack("<QQ", 1, 2)):
        for glance in (True, False):
            with contextlib.suppress(gguf.Damaged):
                gguf.parse(begin + data, glance=glance)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 1500), data=st.binary(min_size=1, max_size=16))
def test_a_damaged_header_is_read_or_refused_in_one_sentence(tmp_path: Path, at: int, data: bytes) -> None:
    good = tmp_path / "good.gguf"
    if not good.exists():
        making.model(good)
    whole = good.read_bytes()
    path = tmp_path / "damaged.gguf"
    path.write_bytes(whole[:at] + data + whole[at + len(data) :])
    refused: list[BadWeights] = []
    for look in (header.read, header.glance):
        try:
            look(path)
        except BadWeights as error:
            refused.append(error)
    assert all(str(error).startswith(str(path)) and error.chinese != str(error) for error in refused)
