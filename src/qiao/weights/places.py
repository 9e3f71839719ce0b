"""Where on this machine models may lie, in the order in which they are looked for.

Sources: the hub's "Local cache" page for Hugging Face; modelscope's `file_utils.py`; Ollama's FAQ; LM Studio's "Import
models"; llama.cpp's `fs_get_cache_directory`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """The folders of each store; they need not exist."""

    own: Path
    hugging_face: Path
    modelscope: Path
    ollama: tuple[Path, ...]
    lm_studio: tuple[Path, ...]
    llama_cpp: Path

    @classmethod
    def of(cls, environment: Mapping[str, str], user: Path, own: Path) -> Places:
        """The folders for an environment and a user's home; `own` is where Qiao keeps what it is given."""

        def given(name: str, *otherwise: str | Path) -> Path:
            value = environment.get(name)
            return Path(value).expanduser() if value else user.joinpath(*otherwise)

        caches = given("XDG_CACHE_HOME", ".cache")
        if sys.platform == "darwin":
            caches = user / "Library" / "Caches"
        if sys.platform == "win32":
            caches = given("LOCALAPPDATA", "AppData", "Local")
        hugging_face = given("HF_HOME", given("XDG_CACHE_HOME", ".cache"), "huggingface") / "hub"
        everybody = () if "OLLAMA_MODELS" in environment else (Path("/usr/share/ollama/.ollama/models"),)
        return cls(
            own=own,
            hugging_face=given("HF_HUB_CACHE", hugging_face),
            modelscope=given("MODELSCOPE_CACHE", ".cache", "modelscope"),
            ollama=(given("OLLAMA_MODELS", ".ollama", "models"), *everybody),
            lm_studio=(user / ".lmstudio" / "models", user / ".cache" / "lm-studio" / "models"),
            llama_cpp=given("LLAMA_CACHE", caches, "llama.cpp"),
        )
