"""How like two texts are, without a model: they are, as far as they share words, and Chinese characters and pairs."""

from __future__ import annotations

import math
import re
from collections import Counter
from hashlib import blake2b
from itertools import pairwise

_chinese = re.compile(r"[\u3400-\u9fff]+")
_word = re.compile(r"[^\W_]+")
_STEM = 4  # letters that words of one stem share
_SHORT, _CHARACTER = 0.3, 0.5  # what a word of fewer letters, or one character, is worth
_SPREAD = 4  # places of a vector that one feature takes


def features(text: str) -> dict[str, float]:
    """What a text holds, with its weight."""
    found: Counter[str] = Counter()
    weights: dict[str, float] = {}
    text = text.lower()
    for run in _chinese.findall(text):
        weights |= dict.fromkeys(run, _CHARACTER)
        found.update(run)
        found.update(a + b for a, b in pairwise(run))
    for word in _word.findall(_chinese.sub(" ", text)):
        stem = word[:_STEM]
        if len(word) < _STEM:
            weights[stem] = _SHORT
        found.update({word, f"{stem}-"})
    return {feature: math.sqrt(count) * weights.get(feature, 1.0) for feature, count in found.items()}


def vector(text: str, size: int) -> list[float]:
    """A vector of length 1; those of texts that share features point the same way."""
    numbers = [0.0] * size
    for feature, weight in features(text).items():
        digest = blake2b(feature.encode("utf-8", "replace"), digest_size=4 * _SPREAD).digest()
        for at in range(_SPREAD):
            place = int.from_bytes(digest[4 * at : 4 * at + 4], "little")
            numbers[(place >> 1) % size] += weight if place & 1 else -weight
    length = math.sqrt(sum(number * number for number in numbers))
    if length == 0.0:  # a text without a word, or whose words cancel out
        return [1.0, *numbers[1:]]
    return [round(number / length, 8) for number in numbers]


def relevance(query: str, document: str) -> float:
    """From 0 to 1: how much of the query the document holds, and how like they are on the whole."""
    asked, held = features(query), features(document)
    shared = asked.keys() & held.keys()
    product = sum(asked[feature] * held[feature] for feature in shared)
    lengths = math.hypot(*asked.values()) * math.hypot(*held.values())
    whole = sum(asked.values())
    if not shared or not lengths:
        return 0.0
    return min(1.0, round((sum(asked[feature] for feature in shared) / whole + product / lengths) / 2, 6))
