"""Qiao's own store takes files by a link, knows them by their digest, and gives up only what is its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from qiao.weights import download, finding, store
from qiao.weights.header import BadWeights
from qiao.weights.places import Places
from tests.weights import making
from tests.weights.making import hub


def test_a_file_is_linked_and_found_by_its_name(places: Places, tmp_path: Path) -> None:
    path = making.model(tmp_path / "given/Qwen3-4B-Q4_K_M.gguf")
    placed = store.bring(path, places.own)
    assert placed.samefile(path)
    assert finding.resolve("qwen3-4b:q4_k_m", places).path == placed
    assert store.read_index(places.own) == {download.digest_of(path): "imported/Qwen3-4B-Q4_K_M/Qwen3-4B-Q4_K_M.gguf"}


def test_shards_and_projector_come_along(places: Places, tmp_path: Path) -> None:
    for number in (1, 2):
        making.model(tmp_path / f"given/m-{number:05}-of-00002.gguf")
    (tmp_path / "given/mmproj-m.gguf").write_bytes(b"GGUF")
    placed = store.bring(tmp_path / "given/m-00002-of-00002.gguf", places.own)
    names = sorted(path.name for path in placed.parent.iterdir())
    assert names == ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf", "mmproj-m.gguf"]
    assert placed.name == "m-00001-of-00002.gguf"


def test_a_link_is_followed_to_the_file(places: Places) -> None:
    link = hub(places, "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf")
    assert not store.bring(link, places.own).is_symlink()


def test_the_same_content_is_not_kept_twice(places: Places, tmp_path: Path) -> None:
    first = store.bring(making.model(tmp_path / "a.gguf"), places.own)
    assert store.bring(making.model(tmp_path / "b.gguf"), places.own) == first


def test_what_is_no_model_is_not_taken(places: Places, tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>")
    with pytest.raises(BadWeights, match="a web page"):
        store.bring(tmp_path / "page.gguf", places.own)
    assert not places.own.exists()


def test_a_model_is_removed_with_its_projector_and_the_given_file_stays(places: Places, tmp_path: Path) -> None:
    path = making.model(tmp_path / "given/m.gguf")
    (tmp_path / "given/mmproj-m.gguf").write_bytes(b"GGUF")
    placed = store.bring(path, places.own)
    gone = store.remove(placed, places.own)
    assert [file.name for file in gone] == ["m.gguf", "mmproj-m.gguf"]
    assert path.exists()
    assert store.read_index(places.own) == {}
    assert not (places.own / "imported").exists()


def test_a_model_whose_shards_are_not_all_there_can_be_removed(places: Places) -> None:
    first = making.model(places.own / "a/b/m-00001-of-00002.gguf")
    assert store.remove(first, places.own) == [first]


def test_a_file_that_takes_the_place_of_another_is_the_one_known(places: Places, tmp_path: Path) -> None:
    old = making.model(tmp_path / "old/m.gguf")
    new = making.model(tmp_path / "new/m.gguf", name="other")
    for path in (old, new):
        store.bring(path, places.own)
    assert list(store.read_index(places.own)) == [download.digest_of(new)]
    assert store.bring(old, places.own).samefile(old)


def test_the_projector_stays_for_the_other_model_beside_it(places: Places) -> None:
    folder = places.own / "Qwen/Qwen3-VL-GGUF"
    one, other = making.model(folder / "m-Q4_K_M.gguf"), making.model(folder / "m-Q8_0.gguf")
    (folder / "mmproj-m.gguf").write_bytes(b"GGUF")
    assert store.remove(one, places.own) == [one]
    assert other.exists()


def test_models_of_other_programs_are_not_deleted(places: Places) -> None:
    path = hub(places, "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf")
    with pytest.raises(BadWeights, match="does not lie in Qiao's own store"):
        store.remove(path, places.own)
    with pytest.raises(BadWeights, match="does not lie in Qiao's own store"):
        store.remove(places.own / ".." / "x.gguf", places.own)
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"a": 1}', b"\xff"])
def test_an_index_that_is_none_is_written_anew(places: Places, tmp_path: Path, content: bytes) -> None:
    places.own.mkdir()
    (places.own / store.INDEX).write_bytes(content)
    store.bring(making.model(tmp_path / "a.gguf"), places.own)
    assert len(store.read_index(places.own)) == 1
