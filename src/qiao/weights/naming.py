"""Names of models as people write them: `qwen3-4b`, `Qwen/Qwen3-4B-GGUF:Q8_0` and `qwen3:4b` are one model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_QUANTISATION = re.compile(r"[-:._]((?:ud-)?(?:i?q\d\w*|tq\d_\d)|bf16|fp?16|fp?32|mxfp4\w*|nvfp4)$", re.IGNORECASE)
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True, slots=True)
class Name:
    """A name taken apart; all in lower case, words joined by `-`, quantisation with `_`."""

    owner: str
    model: str
    quantisation: str


def parse(text: str) -> Name:
    """Take a reference, a store's name or a file's stem apart."""
    owner, _, rest = text.strip().lower().rpartition("/")
    rest, quantisation = split(_SHARD.sub("", rest.removesuffix(".gguf")))
    rest = rest.removesuffix(":latest").removesuffix("-gguf")
    return Name(owner.rpartition("/")[2], re.sub(r"[:_ ]+", "-", rest), quantisation)


def split(text: str) -> tuple[str, str]:
    """A name, and the quantisation at its end (`q4_k_m`), empty when there is none."""
    match = _QUANTISATION.search(text)
    if match is None:
        return text, ""
    return text[: match.start()].removesuffix("-gguf"), match[1].lower().replace("-", "_").replace("fp", "f")


def quantisation(path: Path) -> str:
    """What a file's name says of its quantisation: Q4_K_M, or nothing."""
    return parse(path.name).quantisation.upper()
