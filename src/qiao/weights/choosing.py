"""Choose the model that answers: the one that was named, else the largest Qwen chat model that fits into memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from qiao.weights import finding, header, memory, stores
from qiao.weights.header import BadWeights, Weights
from qiao.weights.places import Places
from qiao.weights.stores import Found

DEMO = "demo"  # the reference that means the built-in model
PARALLEL = 2  # calls that run at once, each with its own context
# Free memory in GiB and the context that is taken there (tokens): a longer one is of use only to a larger model.
CONTEXTS = ((48, 32_768), (12, 16_384), (4, 8192), (0, 4096))
# Models that go on with a text and know no conversation; and a copy of the built-in one.
_NO_CHAT = re.compile(r"\bbase\b|\bqiao-demo\b")


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and of what: without `found` the built-in model. Sizes in bytes, `context` in tokens."""

    free: int = 0
    found: Found | None = None
    weights: Weights | None = None  # of a model that was chosen, not named
    context: int | None = None
    too_large: Weights | None = None  # the smallest one that does not fit, when none does


def pick(reference: str | None, places: Places) -> Choice:
    """The model of a reference, or the choice without one; BadWeights when the reference means nothing here."""
    if reference is None:
        return choose(places)
    if reference == DEMO:
        return Choice()
    found = finding.resolve(reference, places)
    try:
        context = context_for(finding.glance(found), memory.available())
    except BadWeights:  # the engine says why
        context = None
    return Choice(found=found, context=context)


def choose(places: Places, free: int | None = None) -> Choice:
    """The largest that fits; none when there is no Qwen model for chats, or none that fits."""
    free = memory.available() if free is None else free
    models = sorted(chats(places), key=lambda pair: pair[1].size, reverse=True)
    for found, weights in models:
        if context := context_for(weights, free):
            return Choice(free, found, weights, context)
    return Choice(free, too_large=models[-1][1] if models else None)


def chats(places: Places) -> Iterator[tuple[Found, Weights]]:
    """The Qwen models for chats on this machine; files that cannot be used are passed over."""
    for found, weights in models(places):
        real = not _NO_CHAT.search(f"{weights.name} {found.name}".lower())
        if weights.architecture in header.QWEN and weights.role == "chat" and real:
            yield found, weights


def models(places: Places) -> Iterator[tuple[Found, Weights]]:
    """Every model on this machine with its facts at a glance: what could be served beside the chosen one."""
    for found in stores.everything(places):
        try:
            yield found, finding.glance(found)
        except BadWeights:
            continue


def context_for(weights: Weights, free: int) -> int | None:
    """The context of a model in so much memory, None when it does not fit with 4,096 tokens or its own, if less."""
    wanted = next(tokens for gib, tokens in CONTEXTS if free >= gib * 2**30)
    fitting = memory.fitting_context(weights, parallel=PARALLEL, free=free)
    least = min(CONTEXTS[-1][1], weights.context or memory.LEAST)
    return min(wanted, fitting) if fitting is not None and fitting >= least else None
