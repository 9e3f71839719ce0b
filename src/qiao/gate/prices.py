"""What a call costs, in whole billionths of a yuan (reference §5.1; sound: the Qwen-Omni page of Model Studio)."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from qiao.gate.catalog import Catalog, tier
from qiao.wire.model import Currency, Model, Scope, Tier
from qiao.wire.usage import Usage

NANO = 10**9
# Percent of the input price: a hit of the implicit cache, a hit of the explicit one, and writing to the explicit one.
IMPLICIT_HIT = 20
EXPLICIT_HIT = 10
EXPLICIT_WRITE = 125
_BATCH = 50
_MICRO = 10**6
_SIGNS: dict[Currency, str] = {"CNY": "¥", "USD": "$"}


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs somewhere: tiers in billionths of the currency per token."""

    tiers: tuple[Tier, ...]
    currency: Currency = "CNY"


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A price that the operator sets for the names of a pattern, from a day on."""

    pattern: str
    price: Price
    since: date = date.min


class Part(NamedTuple):
    """So many tokens (or searches) at one rate in billionths of the currency, and the percent of it that is paid."""

    number: int
    rate: int
    percent: int = 100
    currency: Currency = "CNY"
    searches: bool = False


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost in billionths of a yuan, and what it is made of."""

    nano: int
    parts: tuple[Part, ...] = ()
    batch: bool = False
    dollar: Decimal = Decimal(0)  # yuan
    more: bool = False  # there is a fee beside it that nobody here knows

    @property
    def formula(self) -> str:
        """The sum as a person would write it; prices are per million tokens or thousand searches."""
        terms = " + ".join(_term(part) for part in self.parts if not part.searches) or "0"
        if self.batch:
            terms = f"({terms}) × {_BATCH}%"
        terms += "".join(f" + {_term(part)}" for part in self.parts if part.searches)
        rate = f", $1 = ¥{self.dollar}" if any(part.currency == "USD" for part in self.parts) else ""
        return f"{terms} {'<' if self.more else '='} {yuan(self.nano)}{rate}"


class PriceBook:
    """The catalogue's prices, and the operator's own, which come first: of a name the newest that holds."""

    def __init__(self, catalog: Catalog, own: Sequence[OwnPrice] = (), dollar: Decimal | None = None) -> None:
        self._searches = catalog.searches
        self._own = sorted(own, key=lambda row: row.since, reverse=True)
        self.dollar = catalog.dollar if dollar is None else dollar

    @classmethod
    def of(cls, catalog: Catalog, settings: Mapping[str, Any]) -> PriceBook:
        """The catalogue's book with `[prices]` of the settings; ValueError for a price finer than a billionth."""
        own = [
            OwnPrice(
                row["model"],
                Price(tuple(Tier(**tier(prices)) for prices in row["tiers"]), row["currency"]),
                date.fromisoformat(row["since"]) if row["since"] else date.min,
            )
            for row in settings["models"]
        ]
        dollar = settings["dollar"]
        return cls(catalog, own, None if dollar is None else Decimal(str(dollar)))

    def price(self, model: Model, scope: Scope | None = "mainland", on: date = date.max) -> Price | None:
        """The price that holds on a day; None where none is known."""
        for row in self._own:
            if row.since <= on and fnmatch.fnmatchcase(model.name, row.pattern):
                return row.price
        if scope in {"mainland", "global"} and model.tiers:
            return Price(model.tiers)
        return Price(model.intl, "USD") if scope in {"intl", "global"} and model.intl else None

    def cost(
        self,
        model: Model,
        usage: Usage,
        *,
        thought: bool,
        scope: Scope | None = "mainland",
        batch: bool = False,
        on: date = date.max,
    ) -> Cost | None:
        """What `usage` costs, rounded half up once; None where the model has no known price.

        `thought` says whether the model did think, not whether it was asked to: without a thought the plain price
        holds.
        """
        price = self.price(model, scope, on)
        tier = (
            next((tier for tier in price.tiers if tier.up_to is None or usage.input <= tier.up_to), None)
            if price
            else None
        )
        if price is None or tier is None:
            return None
        parts = [*_input(usage, tier, batch), *_output(usage, tier, thought)]
        paid = [part._replace(currency=price.currency) for part in parts if part.number]
        fee = self._searches.get(usage.search_strategy, {}).get("mainland" if scope == "mainland" else "intl")
        if usage.searches and fee is not None:
            paid.append(Part(usage.searches, fee, currency="USD", searches=True))
        nano = _sum(paid, self.dollar, batch)
        return Cost(nano, tuple(paid), batch, self.dollar, more=bool(usage.searches) and fee is None)


def yuan(nano: int, currency: Currency = "CNY") -> str:
    """An amount of billionths for display, exact, with at least two decimals."""
    whole, rest = divmod(abs(nano), NANO)
    decimals = f"{rest:09}".rstrip("0").ljust(2, "0")
    return f"{'-' if nano < 0 else ''}{_SIGNS[currency]}{whole}.{decimals}"


def _input(usage: Usage, tier: Tier, batch: bool) -> list[Part]:
    """The input by what it is and what the cache did with it; a batch has its own discount and none for the cache."""
    images = min((usage.images or 0) + usage.films, usage.input) if tier.image is not None else 0
    audio = min(usage.audio, usage.input - images) if tier.audio is not None else 0
    text = usage.input - images - audio
    media = [Part(images, tier.image or 0), Part(audio, tier.audio or 0)]
    if batch:
        return [Part(text, tier.input), *media]
    cached = min(usage.cached, text)
    written = min(usage.cache_written, text - cached)
    if usage.cache_explicit:
        hit = Part(cached, tier.input, EXPLICIT_HIT)
    else:
        hit = Part(cached, tier.input, IMPLICIT_HIT) if tier.cached is None else Part(cached, tier.cached)
    return [Part(text - cached - written, tier.input), hit, Part(written, tier.input, EXPLICIT_WRITE), *media]


def _output(usage: Usage, tier: Tier, thought: bool) -> list[Part]:
    if tier.output_audio is not None and usage.output_audio:
        return [Part(min(usage.output_audio, usage.output), tier.output_audio)]
    if tier.output_mixed is not None and (usage.images or usage.films or usage.audio):
        return [Part(usage.output, tier.output_mixed)]
    return [Part(usage.output, tier.output_thinking if thought and tier.output_thinking is not None else tier.output)]


def _sum(parts: Sequence[Part], dollar: Decimal, batch: bool) -> int:
    """Billionths of a yuan; a search is never half price."""
    rates = {"CNY": _MICRO, "USD": int(dollar * _MICRO)}
    exact = sum(
        part.number * part.rate * part.percent * rates[part.currency] * (_BATCH if batch and not part.searches else 100)
        for part in parts
    )
    divisor = 100 * 100 * _MICRO
    return (exact + divisor // 2) // divisor


def _term(part: Part) -> str:
    if part.searches:
        return f"{part.number} × {yuan(part.rate * 1000, part.currency)}/K"
    percent = "" if part.percent == 100 else f" × {part.percent}%"
    return f"{part.number} × {yuan(part.rate * _MICRO, part.currency)}/M{percent}"
