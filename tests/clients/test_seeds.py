"""The programs that the first users learn from, with only address and key changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import programs, roster

SEEDS = sorted((Path(__file__).parent / "seeds").iterdir())
FAST = [seed for seed in SEEDS if seed.suffix in {".py", ".sh"}]
NODE = [seed for seed in SEEDS if seed.suffix == ".mjs"]


# The built-in model sees no pictures.
RUNS = [(seed, engine) for seed in FAST for engine in roster.ENGINES]


@pytest.mark.parametrize(("seed", "engine"), RUNS, ids=[f"{seed.name}-{engine}" for seed, engine in RUNS])
def test_sample_runs(seed: Path, engine: str, servers):
    programs.run(seed, servers.origin(engine))


@pytest.mark.clients
@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", roster.ENGINES)
@pytest.mark.parametrize("seed", NODE, ids=lambda seed: seed.name)
def test_node_sample_runs(seed: Path, engine: str, servers):
    programs.run(seed, servers.origin(engine), "node")
