"""List the models in the folders of each program that keeps some. What cannot be read there is passed over."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from qiao.weights.places import Places

Store = Literal["path", "Qiao", "Hugging Face", "ModelScope", "Ollama", "LM Studio", "llama.cpp"]
_DEPTH = 5  # folders below a store's own; deeper there are no models, but links in a circle
_MANIFEST = 2**20  # bytes; a manifest has about a thousand
_MODEL = re.compile(r"(?!mmproj)(?!.*-(?!00001)\d{5}-of-\d{5}\.gguf$).+\.gguf", re.IGNORECASE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_FLAT = re.compile(r"([^_]+)_(.+?-GGUF)_(.+)", re.IGNORECASE)
_LAYER = "application/vnd.ollama.image."


@dataclass(frozen=True, slots=True)
class Found:
    """A model on this machine: its file, or the first of its shards; a folder for weights in safetensors."""

    path: Path
    name: str  # as its store calls it: Qwen/Qwen3-4B-GGUF, qwen3:4b
    store: Store
    projector: Path | None = None  # where the store keeps it apart from the model


def everything(places: Places) -> Iterator[Found]:
    """Every GGUF file that may be a model, store by store; a file that several have is listed for the first."""
    seen: set[tuple[int, int]] = set()
    for found in _everything(places):
        try:
            status = found.path.stat()
        except OSError:
            continue
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            yield found


def _everything(places: Places) -> Iterator[Found]:
    yield from _repositories(places.own, "Qiao")
    for folder, name in _snapshots(places.hugging_face):
        yield from (Found(path, name, "Hugging Face") for path in files(folder))
    yield from _repositories(places.modelscope, "ModelScope")
    for root in places.ollama:
        yield from _ollama(root)
    for root in places.lm_studio:
        yield from _repositories(root, "LM Studio")
    for path in files(places.llama_cpp):
        match = _FLAT.fullmatch(path.name)
        yield Found(path, f"{match[1]}/{match[2]}" if match else path.stem, "llama.cpp")


def folders(places: Places) -> Iterator[Found]:
    """Weights in safetensors, in the caches of the two hubs."""
    for folder, name in _snapshots(places.hugging_face):
        yield from _safetensors(folder, name, "Hugging Face")
    for folder in _subfolders(places.modelscope, 4):
        yield from _safetensors(folder, _repository(folder.relative_to(places.modelscope)), "ModelScope")


def files(root: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """GGUF files under a folder, by name; of a model in shards the first, and no projectors."""
    for entry in _entries(root):
        if _is_folder(entry):
            if depth:
                yield from files(Path(entry.path), depth - 1)
        elif _MODEL.fullmatch(entry.name):
            yield Path(entry.path)


def _repositories(root: Path, store: Store) -> Iterator[Found]:
    for path in files(root):
        yield Found(path, _repository(path.relative_to(root).parent) or path.stem, store)


def _repository(folder: Path) -> str:
    """`owner/name` of a folder in a store: ModelScope puts `hub` and `models` before it, and ___ for a dot."""
    parts = list(folder.parts)
    while parts and parts[0] in {"hub", "models"}:
        del parts[0]
    if parts and parts[0].startswith("models--"):
        return parts[0].removeprefix("models--").replace("--", "/")
    return "/".join(parts[:2]).replace("___", ".")


def _snapshots(root: Path) -> Iterator[tuple[Path, str]]:
    """The newest version of each model in a cache of Hugging Face, and its name."""
    for entry in _entries(root):
        if entry.name.startswith("models--") and _is_folder(entry):
            versions = [Path(version.path) for version in _entries(Path(entry.path, "snapshots"))]
            if versions:
                yield max(versions, key=_changed), _repository(Path(entry.name))


def _safetensors(folder: Path, name: str, store: Store) -> Iterator[Found]:
    if (folder / "config.json").is_file() and any(entry.name.endswith(".safetensors") for entry in _entries(folder)):
        yield Found(folder, name, store)


def _subfolders(root: Path, depth: int) -> Iterator[Path]:
    for entry in _entries(root):
        if _is_folder(entry):
            yield Path(entry.path)
            if depth:
                yield from _subfolders(Path(entry.path), depth - 1)


def _ollama(root: Path) -> Iterator[Found]:
    """Models by their manifests: `manifests/<host>/<owner>/<name>/<tag>` lists layers that lie in `blobs`."""
    manifests = root / "manifests"
    for folder in _subfolders(manifests, 2):
        for entry in _entries(folder):
            path = Path(entry.path)
            parts = path.relative_to(manifests).parts
            if len(parts) == 4 and not _is_folder(entry) and (layers := _layers(path)):
                _, owner, name, tag = parts
                called = f"{name}:{tag}" if owner == "library" else f"{owner}/{name}:{tag}"
                blobs = {kind: root / "blobs" / digest.replace(":", "-") for kind, digest in layers}
                if "model" in blobs:
                    yield Found(blobs["model"], called, "Ollama", blobs.get("projector"))


def _layers(path: Path) -> list[tuple[str, str]]:
    """Kind and digest of each layer that a manifest names; none for what is not a manifest."""
    try:
        with path.open("rb") as file:
            manifest: Any = json.loads(file.read(_MANIFEST))
    except (OSError, ValueError, RecursionError):
        return []
    rows: Any = cast(dict[str, Any], manifest).get("layers") if isinstance(manifest, dict) else None
    found: list[tuple[str, str]] = []
    for row in cast(list[Any], rows) if isinstance(rows, list) else []:
        layer = cast(dict[str, Any], row) if isinstance(row, dict) else {}
        kind, digest = str(layer.get("mediaType")), str(layer.get("digest"))
        if kind.startswith(_LAYER) and _DIGEST.fullmatch(digest):
            found.append((kind.removeprefix(_LAYER), digest))
    return found


def _entries(folder: Path) -> Iterable[os.DirEntry[str]]:
    """What a folder holds, by name; nothing of one that is not there or may not be read, and no hidden things."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except (OSError, ValueError):
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
