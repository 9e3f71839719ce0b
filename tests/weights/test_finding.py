"""A reference means a path or a name; what it cannot mean is said with what is near."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qiao.weights import finding, naming
from qiao.weights.header import BadWeights
from qiao.weights.places import Places
from tests.weights import making
from tests.weights.making import hub, ollama


@pytest.mark.parametrize(
    ("text", "owner", "model", "quantisation"),
    [
        ("qwen3-4b", "", "qwen3-4b", ""),
        ("qwen3:4b", "", "qwen3-4b", ""),
        ("qwen3:4b-q8_0", "", "qwen3-4b", "q8_0"),
        ("qwen3-4b:Q8_0", "", "qwen3-4b", "q8_0"),
        ("qwen3:latest", "", "qwen3", ""),
        ("Qwen/Qwen3-4B-GGUF", "qwen", "qwen3-4b", ""),
        ("Qwen/Qwen3-4B-GGUF:Q4_K_M", "qwen", "qwen3-4b", "q4_k_m"),
        ("Qwen3-4B-Q4_K_M.gguf", "", "qwen3-4b", "q4_k_m"),
        ("qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf", "", "qwen2.5-7b-instruct", "q4_k_m"),
        ("Qwen3-4B-UD-Q4_K_XL.gguf", "", "qwen3-4b", "ud_q4_k_xl"),
        ("Qwen3-4B.BF16.gguf", "", "qwen3-4b", "bf16"),
        ("hf.co/Qwen/Qwen3-4B-GGUF:latest", "qwen", "qwen3-4b", ""),
        ("Qwen3 30B A3B", "", "qwen3-30b-a3b", ""),
    ],
)
def test_a_name_is_taken_apart(text: str, owner: str, model: str, quantisation: str) -> None:
    assert naming.parse(text) == naming.Name(owner, model, quantisation)


@pytest.mark.parametrize(
    "reference",
    ["qwen3-4b", "qwen3:4b", "Qwen/Qwen3-4B-GGUF", "qwen3-4b:q4_k_m", "Qwen/Qwen3-4B-GGUF:Q4_K_M", "Qwen3-4B-Q4_K_M"],
)
def test_one_model_has_many_names(places: Places, reference: str) -> None:
    path = hub(places, "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf")
    hub(places, "Qwen/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q8_0.gguf")
    assert finding.resolve(reference, places).path == path


def test_ollamas_models_are_found_by_ollamas_names(places: Places) -> None:
    blob = ollama(places, "qwen3", "4b-instruct-2507-q8_0")
    assert finding.resolve("qwen3:4b-instruct-2507-q8_0", places).path == blob
    assert finding.resolve("qwen3-4b-instruct-2507", places).path == blob
    assert finding.resolve("qwen3:4b", places).path == blob


def test_the_quantisation_asked_for_is_taken_and_else_the_largest_that_fits(places: Places) -> None:
    small = hub(places, "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf")
    large = hub(places, "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q8_0.gguf", facts={"rope.dimension_sections": [0] * 99})
    assert finding.resolve("qwen3-4b:q4_k_m", places).path == small
    assert finding.resolve("qwen3-4b", places).path == large
    with pytest.raises(BadWeights, match="no model 'qwen3-4b:q2_k'"):
        finding.resolve("qwen3-4b:q2_k", places)


def test_the_own_store_comes_before_the_others(places: Places) -> None:
    hub(places, "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q8_0.gguf")
    own = making.model(places.own / "Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf", name="other")
    assert finding.resolve("qwen3-4b", places).path == own


def test_a_name_that_means_several_is_refused_with_their_names(places: Places) -> None:
    hub(places, "Qwen/Qwen3-4B-Instruct-2507-GGUF", "Qwen3-4B-Instruct-2507-Q4_K_M.gguf")
    hub(places, "Qwen/Qwen3-4B-Thinking-2507-GGUF", "Qwen3-4B-Thinking-2507-Q4_K_M.gguf")
    with pytest.raises(BadWeights, match="may be qwen3-4b-instruct-2507, qwen3-4b-thinking-2507: name") as error:
        finding.resolve("qwen3-4b", places)
    assert "请指定其中一个" in error.value.chinese


def test_a_name_of_nothing_is_refused_with_what_is_near_and_how_to_get_it(places: Places) -> None:
    with pytest.raises(BadWeights, match=r"`qiao pull qwen3-8b` gets it\.") as error:
        finding.resolve("qwen3-8b", places)
    assert "Near it" not in str(error.value)
    hub(places, "Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf")
    with pytest.raises(BadWeights, match="Near it are: qwen3-4b"):
        finding.resolve("qwen3-8b", places)


def test_a_path_is_a_file_or_a_folder_with_one_model(places: Places, tmp_path: Path) -> None:
    path = making.model(tmp_path / "models/a.gguf")
    (tmp_path / "models/mmproj-a.gguf").write_bytes(b"GGUF")
    assert finding.resolve(str(path), places).path == path
    assert finding.resolve(str(path.parent), places).path == path
    assert finding.resolve("none.gguf", places).path == Path("none.gguf")
    making.model(tmp_path / "models/b.gguf")
    with pytest.raises(BadWeights, match=r"holds several models: name one of a\.gguf, b\.gguf"):
        finding.resolve(str(path.parent), places)


def test_any_shard_may_be_named_and_a_missing_one_is_said(places: Places, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        making.model(tmp_path / f"m-{number:05}-of-00003.gguf")
    third = tmp_path / "m-00003-of-00003.gguf"
    assert finding.read(finding.resolve(str(third), places)).path.name == "m-00001-of-00003.gguf"
    (tmp_path / "m-00002-of-00003.gguf").unlink()
    with pytest.raises(BadWeights, match=r"one of 3 files, and m-00002-of-00003\.gguf is not beside it"):
        finding.read(finding.resolve(str(third), places))


def test_a_damaged_shard_is_named(places: Places, tmp_path: Path) -> None:
    making.model(tmp_path / "m-00001-of-00002.gguf")
    second = tmp_path / "m-00002-of-00002.gguf"
    second.write_bytes(b"<html>")
    with pytest.raises(BadWeights, match=r"m-00002-of-00002\.gguf is not a GGUF file but a web page"):
        finding.read(finding.resolve(str(tmp_path / "m-00001-of-00002.gguf"), places))


def test_a_folder_without_a_model_is_refused(places: Places, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadWeights, match=r"empty holds no \.gguf file"):
        finding.resolve(str(tmp_path / "empty"), places)


def test_safetensors_that_were_translated_once_are_not_again(places: Places, tmp_path: Path) -> None:
    folder = tmp_path / "Qwen3-0.6B"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3"}))
    (folder / "model.safetensors").write_bytes(b"weights")
    place = finding.translation(folder, places.own)
    making.model(place)
    assert finding.resolve(str(folder), places).path == place
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert finding.translation(folder, places.own) != place
