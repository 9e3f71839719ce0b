"""Every flag of an engine in our pages is one that the engine's documentation has."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.pages import ROOT, blocks

PROGRAMS: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("flags.toml").read_text("utf-8"))
PAGES = [*(ROOT / "docs" / "operate").glob("*.md"), *(ROOT / "docs" / "guides").glob("engines*.md")]
# What a page may name in its text beside the engines' flags: Qiao's own.
OURS = {"--engine-url", "--config"}
_INLINE = re.compile(r"`([^`\n]+)`")
_FLAG = re.compile(r"--[a-z][a-z0-9-]+|OLLAMA_[A-Z_]+")


def commands(page: Path) -> Iterator[list[str]]:
    """The commands that start an engine, from blocks of `shell` and from inline code, in words."""
    starts = tuple(program["command"][0] for program in PROGRAMS.values())
    shown = [block.code.replace("\\\n", " ") for block in blocks(page) if block.language == "shell"]
    lines = chain.from_iterable(code.splitlines() for code in shown)
    inline = (code for code in _INLINE.findall(page.read_text("utf-8")) if code.split()[0] in starts)
    yield from (shlex.split(line) for line in chain(lines, inline))


def faults(words: list[str]) -> list[str]:
    """What is wrong with a command: its program, a flag, or the value of one."""
    variables = [word.partition("=")[0] for word in words if re.match(r"[A-Z_]+=", word)]
    words = words[len(variables) :]
    program = next((p for p in PROGRAMS.values() if words[: len(p["command"])] == p["command"]), None)
    if program is None:
        return [f"{words[0]} is not an engine"]
    rest = words[len(program["command"]) :]
    named = [*variables, *(word for word in rest if word.startswith("-"))]
    wrong = [f"{program['command'][0]} has no {name}" for name in named if name not in program["flags"]]
    for flag, value in pairwise(rest):
        known = program.get("values", {}).get(flag)
        if known is not None and value not in known:
            wrong.append(f"{flag} has no value {value}")
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_has_only_flags_that_its_engine_documents(page: Path) -> None:
    found = list(commands(page))
    assert len(found) >= 4
    assert [fault for words in found for fault in faults(words)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_flag_in_the_text_of_a_page_is_one_of_some_engine(page: Path) -> None:
    known = OURS | {flag for program in PROGRAMS.values() for flag in program["flags"]}
    named = {flag for code in _INLINE.findall(page.read_text("utf-8")) for flag in _FLAG.findall(code)}
    assert named - known == set()


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("vllm serve m --enable-auto-tool-choise", "vllm has no --enable-auto-tool-choise"),
        ("vllm serve m --tool-call-parser qwen", "--tool-call-parser has no value qwen"),
        ("llama-server -m x --ctx 5", "llama-server has no --ctx"),
        ("OLLAMA_PARALLEL=4 ollama serve", "ollama has no OLLAMA_PARALLEL"),
        ("tgi --model x", "tgi is not an engine"),
    ],
)
def test_a_flag_that_is_misspelt_is_found(command: str, fault: str) -> None:
    assert faults(shlex.split(command)) == [fault]
