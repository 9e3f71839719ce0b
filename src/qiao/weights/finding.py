"""Find the model that a reference means: a path, or a name in one of the stores. Nothing is fetched."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import structlog

from qiao.weights import header, memory, naming, stores
from qiao.weights.header import BadWeights
from qiao.weights.naming import Name
from qiao.weights.places import Places
from qiao.weights.stores import Found

log = structlog.get_logger("qiao.weights")
TRANSLATED = "translated"  # in the own store: what was made of safetensors


def resolve(reference: str, places: Places) -> Found:
    """The model of a reference, the first hit of: path, own store, the stores of others. BadWeights when there is none.

    A folder of safetensors is translated once, which takes seconds to minutes.
    """
    path = Path(reference).expanduser()
    if path.is_dir():
        return _in_folder(Found(path, path.name, "path"), places)
    if path.exists() or reference.lower().endswith(".gguf") or reference.startswith((".", "/", "~")):
        return Found(path, path.stem, "path")
    name = naming.parse(reference)
    found = list(stores.everything(places))
    if matches := _matches(name, found):
        return _best(matches)
    for folder in stores.folders(places):
        if naming.parse(folder.name).model == name.model:
            return _in_folder(folder, places)
    raise _unknown(reference, found)


def read(found: Found) -> header.Weights:
    """The facts of a model that was found; BadWeights for one that cannot be used."""
    return _projected(header.read(found.path), found)


def glance(found: Found) -> header.Weights:
    """The same in a millisecond, without template, control and parameters."""
    return _projected(header.glance(found.path), found)


def _projected(weights: header.Weights, found: Found) -> header.Weights:
    return replace(weights, projector=found.projector) if found.projector else weights


def names(found: Found) -> list[Name]:
    """What a model may be called: by its store and by its file."""
    own = naming.parse(found.name)
    file = naming.parse(found.path.name)
    return [replace(own, quantisation=own.quantisation or file.quantisation), replace(file, owner=own.owner)]


def _matches(wanted: Name, found: Iterable[Found]) -> list[Found]:
    """The models of exactly this name, else those whose name has it as a part; BadWeights when that is ambiguous."""
    able = [
        (name, each)
        for each in found
        for name in names(each)
        if wanted.owner in {"", name.owner} and wanted.quantisation in {"", name.quantisation}
    ]
    if exact := [each for name, each in able if name.model == wanted.model]:
        return exact
    part = [(name.model, each) for name, each in able if wanted.model and f"-{wanted.model}-" in f"-{name.model}-"]
    models = sorted({naming.parse(each.name).model for _, each in part})
    if len(models) > 1:
        listed = ", ".join(models[:8])
        raise BadWeights(
            f"{wanted.model} may be {listed}: name one of them.", f"{wanted.model} 可能是 {listed}：请指定其中一个。"
        )
    return [each for _, each in part]


def _best(matches: list[Found]) -> Found:
    """Of the first store that has the model, the largest file that fits into memory, else the smallest."""
    first = sorted((each for each in matches if each.store == matches[0].store), key=_size)
    free = memory.available() - memory.OVERHEAD
    fitting = [each for each in first if _size(each) < free]
    return fitting[-1] if fitting else first[0]


def _size(found: Found) -> int:
    try:
        return sum(path.stat().st_size for path in header.shards(found.path) or (found.path,))
    except (OSError, BadWeights):
        return 0


def _unknown(reference: str, found: list[Found]) -> BadWeights:
    known = sorted({naming.parse(each.name).model for each in found})
    near = difflib.get_close_matches(naming.parse(reference).model, known, 3, 0.5) or known[:3]
    listed = ", ".join(near)
    english = f"Near it are: {listed}. " if near else ""
    chinese = f"相近的有：{listed}。" if near else ""
    return BadWeights(
        f"There is no model {reference!r} on this machine. {english}`qiao pull {reference}` gets it.",
        f"这台机器上没有模型 {reference!r}。{chinese}`qiao pull {reference}` 可以下载。",
    )


def _in_folder(folder: Found, places: Places) -> Found:
    """The one model of a folder."""
    here = sorted(stores.files(folder.path, 0))
    if len(here) > 1:
        listed = ", ".join(path.name for path in here[:5])
        raise BadWeights(
            f"{folder.path} holds several models: name one of {listed}.",
            f"{folder.path} 里有多个模型：请指定其中一个：{listed}。",
        )
    if here:
        return replace(folder, path=here[0])
    if not any(folder.path.glob("*.safetensors")):
        raise BadWeights(f"{folder.path} holds no .gguf file.", f"{folder.path} 里没有 .gguf 文件。")
    return replace(folder, path=_translated(folder.path, places.own))


def _translated(folder: Path, own: Path) -> Path:
    """The GGUF file made of a folder of safetensors, which goes for dense Qwen2 and Qwen3 models only."""
    out = translation(folder, own)
    if not out.exists():
        from qiao.weights.folder import translate  # for this alone: it needs numpy

        out.parent.mkdir(parents=True, exist_ok=True)
        log.warning("weights_translated", folder=str(folder), file=str(out), note="once, it takes a while")
        translate(folder, out)
    return out


def translation(folder: Path, own: Path) -> Path:
    """Where a folder's translation lies; another place when its files change."""
    parts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.safetensors"))]
    digest = hashlib.sha256(json.dumps([str(folder.resolve()), parts]).encode()).hexdigest()[:8]
    return own / TRANSLATED / f"{folder.name}-{digest}" / f"{folder.name}.gguf"
