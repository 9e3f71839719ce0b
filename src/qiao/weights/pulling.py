"""Decide what to fetch of a repository: one quantisation with all its shards, and the projector that goes with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from qiao.weights import naming
from qiao.weights.hub import REPOSITORY, NotPulled, Remote

DEFAULT = "q4_k_m"
# In place of the default where a repository has none of it: what is nearest in size.
_NEXT = ("q4_k_s", "q4_0", "iq4_xs", "q4_1", "q5_k_m", "q5_k_s", "q5_0", "q6_k", "q3_k_m", "q8_0", "f16", "bf16", "f32")
_PROJECTORS = ("f16", "bf16", "q8_0", "f32", "")
_SHARD = re.compile(r"-\d{5}-of-\d{5}(?=\.gguf$)", re.IGNORECASE)

# Short names and the repositories of Qwen that hold the model in GGUF; each was seen in use by others, with its files.
# There are official files of these only: none of Qwen3.5, and of the two smallest Qwen3 in Q8_0 alone.
REPOSITORIES = {
    "qwen3-0.6b": "Qwen/Qwen3-0.6B-GGUF",
    "qwen3-1.7b": "Qwen/Qwen3-1.7B-GGUF",
    "qwen3-4b": "Qwen/Qwen3-4B-GGUF",
    "qwen3-8b": "Qwen/Qwen3-8B-GGUF",
    "qwen3-14b": "Qwen/Qwen3-14B-GGUF",
    "qwen3-32b": "Qwen/Qwen3-32B-GGUF",
    "qwen3-30b-a3b": "Qwen/Qwen3-30B-A3B-GGUF",
    "qwen3-vl-2b": "Qwen/Qwen3-VL-2B-Instruct-GGUF",
    "qwen3-vl-4b": "Qwen/Qwen3-VL-4B-Instruct-GGUF",
    "qwen2.5-7b": "Qwen/Qwen2.5-7B-Instruct-GGUF",
    "qwen3-embedding-0.6b": "Qwen/Qwen3-Embedding-0.6B-GGUF",
    "qwen3-embedding-4b": "Qwen/Qwen3-Embedding-4B-GGUF",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a name asks for."""

    repository: str
    quantisation: str  # q4_k_m; empty for the default


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to fetch, the model's own first; `instead_of` names the quantisation that does not fit into memory."""

    quantisation: str
    files: tuple[Remote, ...]
    instead_of: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(remote.size for remote in self.files)


def wanted(name: str) -> Wanted:
    """The repository of a name, NotPulled for one that is neither short name nor repository."""
    plain, quantisation = naming.split(name.strip())
    plain, colon, tag = plain.partition(":") if "/" in plain else (plain.lower().replace(":", "-"), "", "")
    repository = REPOSITORIES.get(plain, plain)
    if colon or not REPOSITORY.fullmatch(repository):
        unknown = f":{tag}" if colon else repository
        listed = ", ".join(REPOSITORIES)
        raise NotPulled(
            f"{unknown} is not known: use a short name ({listed}) or OWNER/REPOSITORY, with :Q8_0 for a quantisation.",
            f"不认识 {unknown}：请用短名（{listed}）或 所有者/仓库，要指定量化则加 :Q8_0。",
        )
    return Wanted(repository, quantisation)


def plan(files: list[Remote], quantisation: str, repository: str, free: int) -> Plan:
    """What to fetch; NotPulled when the repository has no such files.

    Where nothing was asked for and the default does not fit into `free` bytes, the largest that does is taken, if any.
    """
    models: dict[str, list[Remote]] = {}
    for remote in sorted(files, key=lambda remote: remote.name):
        if not remote.name.lower().startswith("mmproj"):
            models.setdefault(naming.quantisation(Path(remote.name)).lower(), []).append(remote)
    order = [quantisation] if quantisation else [DEFAULT, *_NEXT, *models]
    found = next((kind for kind in order if kind in models), None)
    if found is None:
        there = ", ".join(kind.upper() for kind in models if kind) or "-"
        raise NotPulled(
            f"{repository} has no {quantisation.upper() or 'GGUF file'}; it has: {there}.",
            f"{repository} 里没有 {quantisation.upper() or 'GGUF 文件'}；有：{there}。",
        )
    sizes = {kind: sum(remote.size for remote in models[kind]) for kind in models}
    fitting = [kind for kind in models if sizes[kind] < free]
    if not quantisation and found not in fitting and fitting:
        smaller = max(fitting, key=lambda kind: sizes[kind])
        return Plan(smaller, (*_one(models[smaller], repository), *_projector(files)), found)
    return Plan(found, (*_one(models[found], repository), *_projector(files)))


def _one(files: list[Remote], repository: str) -> list[Remote]:
    """The shards of one model, of a repository that may hold several."""
    stems = sorted({_SHARD.sub("", remote.name) for remote in files})
    if len(stems) > 1:
        listed = ", ".join(stems[:5])
        raise NotPulled(
            f"{repository} holds several models ({listed}): fetch one by hand and run `qiao models import FILE`.",
            f"{repository} 里有多个模型（{listed}）：请自行下载其中一个，再运行 `qiao models import 文件`。",
        )
    return [remote for remote in files if not _SHARD.search(remote.name)] or files


def _projector(files: list[Remote]) -> list[Remote]:
    """One of the projectors, 16 bits if there is a choice."""
    found = {
        naming.quantisation(Path(remote.name)).lower(): remote
        for remote in files
        if remote.name.lower().startswith("mmproj")
    }
    return [found[kind] for kind in (*_PROJECTORS, *found) if kind in found][:1]
