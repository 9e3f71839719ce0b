"""Models answer from where others keep them: behind links, in shards, in blobs without a file name of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest

from qiao.engines.local import Local
from qiao.weights import choosing, header
from qiao.weights.places import Places
from tests.local.conftest import answer
from tests.weights.making import ollama

DEMO = Path(header.__file__).parents[1] / "data" / "demo.gguf"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.of({"OLLAMA_MODELS": str(tmp_path / "ollama")}, tmp_path, tmp_path / "own")


def split(folder: Path) -> list[Path]:
    """The built-in model in two files, as llama.cpp's own tools split one."""
    folder.mkdir(parents=True)
    reader = gguf.GGUFReader(DEMO)
    writer = gguf.GGUFWriter(folder / "tiny-Q8_0.gguf", "qwen3", split_max_tensors=40)
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != gguf.Keys.General.ARCHITECTURE:
            kind = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=kind)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(folder.iterdir())


def cache_shards(folder: Path) -> None:
    """Links to blobs, as huggingface_hub makes them."""
    for number, shard in enumerate(split(folder / "blobs")):
        blob = shard.rename(folder / "blobs" / f"{number}abc")
        link = folder / "snapshots" / "a1" / shard.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))


async def answers(local: Local) -> bool:
    """Whether the engine of some weights starts and says something."""
    try:
        await local.start()
        return bool((await answer(local, "Hello", max_tokens=8))["message"]["content"])
    finally:
        await local.close()


@pytest.mark.anyio
async def test_a_model_in_shards_answers_from_the_cache_of_hugging_face(
    engine: Callable[..., Local], places: Places
) -> None:
    cache_shards(places.hugging_face / "models--someone--Tiny-GGUF")
    found = choosing.pick("tiny", places).found
    assert found is not None
    whole, parts = header.read(DEMO), header.read(found.path)
    assert (parts.parameters, len(parts.shards)) == (whole.parameters, 2)
    assert await answers(engine(found.path))


@pytest.mark.anyio
async def test_a_model_answers_from_ollamas_blobs(engine: Callable[..., Local], places: Places) -> None:
    shutil.copyfile(DEMO, ollama(places, "qwen3", "0.6b"))
    found = choosing.pick("qwen3:0.6b", places).found
    assert found is not None
    assert found.path.suffix == ""
    assert await answers(engine(found.path))
