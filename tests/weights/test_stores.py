"""Models are found in the folders of every program that keeps some, and broken folders are passed over."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qiao.weights import choosing, finding, stores
from qiao.weights.header import BadWeights
from qiao.weights.places import Places
from tests.weights import making
from tests.weights.making import hub, ollama


def listed(places: Places) -> list[tuple[str, str]]:
    return [(found.store, found.name) for found in stores.everything(places)]


def test_every_store_is_looked_into_in_order(places: Places, tmp_path: Path) -> None:
    making.model(places.own / "Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf")
    hub(places, "Qwen/Qwen3-8B-GGUF", "Qwen3-8B-Q4_K_M.gguf")
    making.model(places.modelscope / "hub/models/Qwen/Qwen3-0___6B-GGUF/Qwen3-0.6B-Q8_0.gguf")
    making.model(places.modelscope / "models/Qwen/Qwen3-1___7B-GGUF/Qwen3-1.7B-Q8_0.gguf")
    ollama(places, "qwen3", "4b")
    making.model(tmp_path / ".lmstudio/models/lmstudio-community/Qwen3-14B-GGUF/Qwen3-14B-Q4_K_M.gguf")
    making.model(tmp_path / ".cache/llama.cpp/ggml-org_Qwen3-32B-GGUF_Qwen3-32B-Q4_K_M.gguf")
    assert listed(places) == [
        ("Qiao", "Qwen/Qwen3-4B-GGUF"),
        ("Hugging Face", "Qwen/Qwen3-8B-GGUF"),
        ("ModelScope", "Qwen/Qwen3-0.6B-GGUF"),
        ("ModelScope", "Qwen/Qwen3-1.7B-GGUF"),
        ("Ollama", "qwen3:4b"),
        ("LM Studio", "lmstudio-community/Qwen3-14B-GGUF"),
        ("llama.cpp", "ggml-org/Qwen3-32B-GGUF"),
    ]


def test_the_stores_own_variables_move_them(tmp_path: Path) -> None:
    variables = {"HF_HOME": "/a", "MODELSCOPE_CACHE": "/b", "OLLAMA_MODELS": "/c", "LLAMA_CACHE": "/d"}
    moved = Places.of(variables, tmp_path, tmp_path)
    assert (moved.hugging_face, moved.modelscope) == (Path("/a/hub"), Path("/b"))
    assert (moved.ollama, moved.llama_cpp) == ((Path("/c"),), Path("/d"))
    assert Places.of({"HF_HUB_CACHE": "/e", "HF_HOME": "/a"}, tmp_path, tmp_path).hugging_face == Path("/e")
    assert Path("/usr/share/ollama/.ollama/models") in Places.of({}, tmp_path, tmp_path).ollama


def test_shards_are_one_model_and_projectors_none(places: Places) -> None:
    folder = places.own / "Qwen/Qwen3-VL-GGUF"
    for number in (1, 2):
        making.model(folder / f"Qwen3-VL-Q4_K_M-{number:05}-of-00002.gguf")
    (folder / "mmproj-F16.gguf").write_bytes(b"GGUF")
    [found] = stores.everything(places)
    weights = finding.read(found)
    assert [path.name[-19:] for path in weights.shards] == ["-00001-of-00002.gguf"[1:], "-00002-of-00002.gguf"[1:]]
    assert weights.size == sum(path.stat().st_size for path in weights.shards)
    assert weights.projector == folder / "mmproj-F16.gguf"


def test_only_the_newest_version_in_the_cache_of_hugging_face_counts(places: Places) -> None:
    old = hub(places, "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf", "old")
    new = hub(places, "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf", "new")
    os.utime(old.parent, (1, 1))
    assert [found.path for found in stores.everything(places)] == [new]


def test_ollamas_projector_lies_apart(places: Places) -> None:
    ollama(places, "qwen2.5vl", "3b", projector=True)
    [found] = stores.everything(places)
    assert finding.read(found).projector == places.ollama[0] / "blobs" / f"sha256-{'f' * 64}"


def test_what_only_ollamas_engine_reads_is_said(places: Places) -> None:
    ollama(places, "qwen2.5vl", "3b", architecture="qwen25vl", facts={"vision.block_count": 32})
    [found] = stores.everything(places)
    with pytest.raises(BadWeights, match="only Ollama's own engine reads: `qiao pull` gets both"):
        finding.read(found)
    assert list(choosing.models(places)) == []


def test_links_to_nowhere_and_in_a_circle_and_closed_folders_are_passed_over(places: Places) -> None:
    folder = places.own / "Qwen" / "Qwen3-4B-GGUF"
    making.model(folder / "Qwen3-4B-Q4_K_M.gguf")
    (folder / "gone.gguf").symlink_to(folder / "nothing")
    (folder / "self.gguf").symlink_to(folder / "self.gguf")
    (folder / "again").symlink_to(places.own)
    (places.hugging_face / "models--a--b").mkdir(parents=True)
    (places.hugging_face / "models--c--d").write_text("a file where a folder should be")
    (places.ollama[0]).parent.mkdir(parents=True, exist_ok=True)
    (places.ollama[0]).symlink_to(places.own)
    closed = places.own / "closed"
    closed.mkdir(mode=0)
    try:
        assert listed(places) == [("Qiao", "Qwen/Qwen3-4B-GGUF")]
    finally:
        closed.chmod(0o700)


_layer = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": st.one_of(st.just("application/vnd.ollama.image.model"), st.text(max_size=9), st.integers()),
        "digest": st.one_of(st.just("sha256:" + "0" * 64), st.just("sha256:../../etc/passwd"), st.text(max_size=9)),
    },
)
_manifest = st.one_of(
    st.binary(max_size=60),
    st.one_of(
        st.lists(st.one_of(_layer, st.none(), st.text(max_size=3)), max_size=3),
        st.fixed_dictionaries({"layers": st.one_of(st.lists(_layer, max_size=3), st.text(max_size=3), st.none())}),
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(manifest=_manifest)
def test_no_manifest_makes_the_search_fail_or_leave_the_store(places: Places, manifest: bytes) -> None:
    path = places.ollama[0] / "manifests/registry.ollama.ai/library/qwen3/4b"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(manifest)
    blob = places.ollama[0] / "blobs" / f"sha256-{0:064x}"
    if not blob.exists():
        making.model(blob)
    assert {found.path for found in stores.everything(places)} <= {blob}
