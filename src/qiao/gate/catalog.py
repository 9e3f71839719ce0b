"""The model catalogue: which models there are, and what each is, does and costs. Its file explains its own keys."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from typing import Any

import msgspec

from qiao.wire.model import Model

Table = dict[str, Any]

MAX_REMEMBERED = 1024
# A longer name is nobody's; it is not worth a search, nor a place among the remembered.
MAX_NAME = 128
_QWEN = ("qwen", "qwq", "qvq")
_SUFFIX = re.compile(r"-(\d{4}-\d{2}-\d{2}|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|latest|preview|us|ja)\Z")
_FIELDS = {field.name for field in fields(Model)}


class Catalog:
    """The models of one catalogue file, by any name that the cloud knows them under."""

    def __init__(self, text: str) -> None:
        """Read a catalogue in TOML; ValueError for a name given twice, an unknown key or a price that is not whole."""
        book = tomllib.loads(text)
        self.dated: date = book["dated"]
        self.dollar = Decimal(str(book["dollar"]))  # yuan
        self.searches: dict[str, dict[str, int]] = {  # billionths of a dollar per search, by strategy and scope
            strategy: {scope: int(Decimal(str(fee)) * 10**6) for scope, fee in fees.items()}
            for strategy, fees in book["searches"].items()
        }
        self._names: dict[str, Model] = {}
        for name, table in _resolved(book):
            self._add(name, table, book["source"])
        self._chat = [name for name, row in self._names.items() if row.kind == "chat"]
        retired: list[str] = book["retired"]
        self._retired = frozenset(retired)
        self._retired_families = tuple(name.removesuffix("*") for name in retired if name.endswith("*"))
        self._derived = lru_cache(MAX_REMEMBERED)(self._derive)

    @classmethod
    def load(cls) -> Catalog:
        """The catalogue that comes with Qiao."""
        return cls(resources.files("qiao").joinpath("data", "models.toml").read_text("utf-8"))

    def find(self, name: str) -> Model:
        """The row of a name, alias or snapshot, under the name asked; not `known` where the catalogue has none."""
        row = self._names.get(name)
        if row is not None:
            return row
        return self._derived(name) if len(name) <= MAX_NAME else Model(name, known=False)

    def is_qwen(self, name: str) -> bool:
        """Whether the cloud may serve the name: it is in the catalogue, or of a Qwen family and not retired."""
        return self.find(name).known or (name.startswith(_QWEN) and not self.retired(name))

    def retired(self, name: str) -> bool:
        """Whether only older documents give the name."""
        gone = name in self._retired or name.startswith(self._retired_families)
        return gone and not self.find(name).known

    def names(self) -> list[str]:
        """Every chat model with its listed snapshots and aliases, in the order of the file."""
        return list(self._chat)

    def _add(self, name: str, table: Table, source: str) -> None:
        snapshots = [f"{name}-{snapshot}" for snapshot in table.pop("snapshots", ())]
        aliases: list[str] = table.pop("aliases", [])
        row = _model({"name": name, "source": source, **table})
        for other in [name, *snapshots, *aliases]:
            if other in self._names:
                raise ValueError(f"{other} is twice in the catalogue")
            self._names[other] = row if other == name else replace(row, name=other)

    def _derive(self, name: str) -> Model:
        """The row that a name has without its last suffixes."""
        base, suffixes = name, set[str]()
        while suffix := _SUFFIX.search(base):
            base = base[: suffix.start()]
            suffixes.add(suffix[1])
            row = self._names.get(base)
            if row is not None:
                # Builds for one region have no price of Beijing.
                tiers = () if suffixes & {"us", "ja"} else row.tiers
                return replace(row, name=name, tiers=tiers, intl=() if "ja" in suffixes else row.intl)
        return Model(name, known=False)


def _resolved(book: Table) -> Iterator[tuple[str, Table]]:
    """The models' tables, each over what it is like."""
    parents: dict[str, Table] = {}
    for group in ("families", "models"):
        for name, own in book[group].items():
            parent = parents[own.pop("like")] if "like" in own else {}
            abilities = [*own.get("abilities", parent.get("abilities", [])), *own.pop("more", [])]
            table: Table = {**parent, **own, "abilities": abilities}
            parents[name] = {key: value for key, value in table.items() if key not in {"aliases", "snapshots"}}
            if group == "models":
                yield name, table


def _model(table: Table) -> Model:
    table |= table.pop("limits", {})
    unknown = table.keys() - _FIELDS
    if unknown:
        raise ValueError(f"{table['name']} has unknown keys: {', '.join(sorted(unknown))}")
    for prices in ("tiers", "intl"):
        table[prices] = [tier(row) for row in table.get(prices, ())]
    return msgspec.convert(table, Model)


def tier(table: Table) -> Table:
    """A tier's prices per million tokens as billionths per token; ValueError for one that is not whole in them."""
    given = {key: price for key, price in table.items() if price is not None}
    return {"up_to": None, **{key: price if key == "up_to" else _nano(price) for key, price in given.items()}}


def _nano(price: float) -> int:
    """Billionths per token of a price per million tokens; the shortest decimals of a float are those written."""
    exact = Decimal(str(price)) * 1000
    if exact != exact.to_integral_value():
        raise ValueError(f"{price} per million tokens is not whole in billionths per token")
    return int(exact)
