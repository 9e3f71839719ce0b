"""The guides of docs/clients: their code blocks are files here, and the files run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.clients import programs, roster

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "clients"
GUIDES = sorted((HERE / "guides").iterdir())
# The environment of each guide; the others share the development environment. curl is the machine's.
ENVIRONMENTS = {
    "curl": "main",
    "openai-node": "node",
    "chattongyi": "langchain",
    "chatopenai": "langchain",
    "chatqwen": "langchain",
    "llamaindex": "llamaindex",
    "agentscope": "agents",
    "qwen-agent": "agents",
    "llm": "langchain",
    "qwen-code": "node",
}


@pytest.mark.parametrize("language", ["", ".zh-CN"], ids=["en", "zh"])
@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_guide_prints_the_program_that_is_run(guide: Path, language: str):
    page = (DOCS / f"{guide.stem}{language}.md").read_text("utf-8")
    blocks = re.findall(r"^```(?:python|javascript|bash)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert blocks == [guide.read_text("utf-8")]


def test_every_page_has_its_twin_and_its_program():
    pages = {page.name.split(".")[0] for page in DOCS.glob("*.md")} - {"README"}
    assert pages == {guide.stem for guide in GUIDES}


@pytest.mark.parametrize("engine", roster.ENGINES)
@pytest.mark.parametrize("guide", [guide for guide in GUIDES if guide.stem not in ENVIRONMENTS], ids=lambda g: g.stem)
def test_guide_runs(guide: Path, engine: str, servers):
    programs.run(guide, servers.origin(engine))


@pytest.mark.clients
@pytest.mark.timeout(900)
@pytest.mark.parametrize("engine", roster.ENGINES)
@pytest.mark.parametrize("guide", [guide for guide in GUIDES if guide.stem in ENVIRONMENTS], ids=lambda g: g.stem)
def test_guide_runs_in_its_environment(guide: Path, engine: str, servers):
    programs.run(guide, servers.origin(engine), ENVIRONMENTS[guide.stem])
