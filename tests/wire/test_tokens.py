"""Exact counts with the Qwen vocabulary."""

from __future__ import annotations

import unicodedata

from dashscope import get_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from qiao.wire import tokens

OFFICIAL = get_tokenizer("qwen-turbo")


def test_the_references_example_comes_out() -> None:
    assert tokens.encode("代码改变世界") == [46100, 101933, 99489]
    assert tokens.pieces("代码改变世界") == ["代码", "改变", "世界"]
    assert tokens.count("代码改变世界") == 3


@given(st.text())
@settings(deadline=None)
def test_any_text_is_cut_like_the_official_tokenizer_cuts_it(text: str) -> None:
    assert tokens.encode(text) == OFFICIAL.encode(text, allowed_special=set())


def test_special_tokens_in_a_text_are_only_text() -> None:
    ids = tokens.encode("<|im_start|>user<|endoftext|>")
    assert max(ids) < 151_643
    assert "".join(tokens.pieces("<|im_start|>user")) == "<|im_start|>user"


def test_no_text_is_no_token() -> None:
    assert tokens.encode("") == []
    assert tokens.count("") == 0


def test_a_token_that_ends_inside_a_character_is_shown_as_such() -> None:
    assert "\ufffd" in "".join(tokens.pieces("𪚥"))


def test_composed_and_decomposed_letters_count_the_same() -> None:
    assert tokens.encode(unicodedata.normalize("NFD", "é")) == tokens.encode("é")


def test_long_texts_are_counted_in_parts_without_a_difference() -> None:
    line = "第一行 with words, 12 numbers\n"
    once = tokens.count(line * 100)
    assert tokens.count(line * 10_000) == once * 100
    for letter in ("a", " ", "中", "!", "\n"):
        assert tokens.count(letter * 300_000) > 0


def test_a_rough_count_is_of_the_right_size() -> None:
    for text in ("量子计算是利用量子力学规律进行计算的方式。" * 20, "Quantum computing uses quantum mechanics. " * 20):
        exact = tokens.count(text)
        assert exact / 2 < tokens.estimate(text) < exact * 3
        assert tokens.estimate(len(text.encode())) == tokens.estimate(text)
    assert tokens.estimate("") == 1
