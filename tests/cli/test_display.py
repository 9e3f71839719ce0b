"""What of a growing Markdown text is finished."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao.cli.display import settled


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        ("one", ""),
        ("one\n\n", ""),
        ("one\n\ntwo", ""),
        ("one\n\ntwo\n", "one\n\n"),
        ("one\n\ntwo\n\nthree\n", "one\n\ntwo\n\n"),
        ("```\na\n\nb\n", ""),
        ("```\na\n\nb\n```\n\nend\n", "```\na\n\nb\n```\n\n"),
        ("~~~\n```\n\nx\n~~~\n\nend\n", "~~~\n```\n\nx\n~~~\n\n"),
        ("````\n```\n\nx\n", ""),
        ("1. a\n\n2. b\n", ""),
        ("- a\n\n  more of a\n", ""),
        ("- a\n\nend\n", "- a\n\n"),
        ("text\n\n```\ncode\n", "text\n\n"),
    ],
)
def test_blocks_are_finished_when_the_next_has_begun(text: str, finished: str) -> None:
    assert text[: settled(text)] == finished


@given(st.lists(st.sampled_from(["a\n", "\n", "```\n", "- x\n", "  y\n", "# h\n", "1. z\n", "~~~\n"]), max_size=20))
def test_what_is_finished_stays_finished(lines: list[str]) -> None:
    text = "".join(lines)
    ends = [settled(text[:length]) for length in range(len(text) + 1)]
    assert ends == sorted(ends)
