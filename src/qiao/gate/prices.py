"""What a call costs, in whole nano-yuan (reference §5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from qiao.wire.model import Model, Tier
from qiao.wire.usage import Usage

NANO = 10**9
# Percent of the input price: a hit of the implicit cache, a hit of the explicit one, and writing to the explicit one.
IMPLICIT_HIT = 20
EXPLICIT_HIT = 10
EXPLICIT_WRITE = 125
_BATCH = 50


class Part(NamedTuple):
    """Tokens at one rate: nano-yuan per token, and the percent of it that is paid."""

    tokens: int
    rate: int
    percent: int = 100


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost in nano-yuan, and what it is made of."""

    nano: int
    parts: tuple[Part, ...]
    batch: bool = False

    @property
    def formula(self) -> str:
        """The sum as a person would write it; prices are per million tokens."""
        terms = " + ".join(_term(part) for part in self.parts) or "0"
        if self.batch:
            terms = f"({terms}) × {_BATCH}%"
        return f"{terms} = {yuan(self.nano)}"


def cost(model: Model, usage: Usage, *, thought: bool, batch: bool = False) -> Cost | None:
    """What `usage` costs by the price book, rounded half up once; None where the model has no known price.

    `thought` says whether the model did think, not whether it was asked to: without a thought the plain price holds.
    """
    tier = _tier(model, usage.input)
    if tier is None:
        return None
    output_rate = tier.output_thinking if thought and tier.output_thinking is not None else tier.output
    paid = [*_input_parts(usage, tier.input, batch), Part(usage.output, output_rate)]
    parts = tuple(part for part in paid if part.tokens)
    hundredths = sum(part.tokens * part.rate * part.percent for part in parts)
    divisor = 100 * 100 // _BATCH if batch else 100
    return Cost((hundredths + divisor // 2) // divisor, parts, batch)


def yuan(nano: int) -> str:
    """An amount of nano-yuan for display, exact, with at least two decimals."""
    whole, rest = divmod(abs(nano), NANO)
    decimals = f"{rest:09}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}¥{whole}.{decimals}"


def _tier(model: Model, input_tokens: int) -> Tier | None:
    """The one rate of the whole request, by all of its input."""
    return next((tier for tier in model.tiers if tier.up_to is None or input_tokens <= tier.up_to), None)


def _input_parts(usage: Usage, rate: int, batch: bool) -> list[Part]:
    """The input by what the cache did with it; a batch has its own discount and none for the cache."""
    if batch:
        return [Part(usage.input, rate)]
    cached = min(usage.cached, usage.input)
    written = min(usage.cache_written, usage.input - cached)
    hit = EXPLICIT_HIT if usage.cache_explicit else IMPLICIT_HIT
    return [Part(usage.input - cached - written, rate), Part(cached, rate, hit), Part(written, rate, EXPLICIT_WRITE)]


def _term(part: Part) -> str:
    percent = "" if part.percent == 100 else f" × {part.percent}%"
    return f"{part.tokens} × {yuan(part.rate * 10**6)}/M{percent}"
