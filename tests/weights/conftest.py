"""Folders of all stores, empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from qiao.weights.places import Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.of({"OLLAMA_MODELS": str(tmp_path / "ollama")}, tmp_path, tmp_path / "own")
