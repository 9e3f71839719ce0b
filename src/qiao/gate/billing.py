"""Which engines bill, by whose prices, and what becomes of a model whose price nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from functools import lru_cache
from typing import Literal

from qiao.clock import Clock
from qiao.errors import UnpricedModel
from qiao.gate.catalog import Catalog
from qiao.gate.prices import Cost, PriceBook
from qiao.gate.routes import Route
from qiao.wire.model import Scope
from qiao.wire.usage import Usage

Unknown = Literal["refuse", "free"]
DAY = 86_400  # seconds


class Billing:
    """The cost of calls by engine; engines that are not in `scopes` cost nothing."""

    def __init__(
        self,
        catalog: Catalog,
        book: PriceBook,
        scopes: Mapping[str, Scope | None],
        clock: Clock,
        *,
        unknown: Unknown | None = None,
    ) -> None:
        self._catalog = catalog
        self._book = book
        self._scopes = scopes
        self._clock = clock
        self._unknown: Unknown | None = unknown
        self._priced = lru_cache(1024)(self._has_price)

    def cost(self, engine: str | None, model: str, usage: Usage | None) -> Cost | None:
        """What a call of a model on an engine costs now; None for an engine of one's own, and where nobody knows."""
        if usage is None or engine is None or engine not in self._scopes:
            return None
        row, scope, on = self._catalog.find(model), self._scopes[engine], self._today()
        spent = self._book.cost(row, usage, thought=bool(usage.reasoning), scope=scope, on=on)
        return Cost(0) if spent is None and self._unknown == "free" else spent

    def allowed(self, route: Route) -> Route:
        """The route without the engines that would bill an unknown price, where that is refused; else UnpricedModel."""
        if self._unknown != "refuse" or not self._scopes:
            return route
        today = self._today()
        kept = tuple(t for t in route.targets if t.engine not in self._scopes or self._priced(t.engine, t.model, today))
        if not kept:
            raise UnpricedModel(route.model.name)
        return replace(route, targets=kept)

    def _has_price(self, engine: str, model: str, on: date) -> bool:
        return self._book.price(self._catalog.find(model), self._scopes[engine], on) is not None

    def _today(self) -> date:
        return date.fromordinal(date(1970, 1, 1).toordinal() + int(self._clock.time()) // DAY)
