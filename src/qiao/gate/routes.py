"""Which engines may serve a model name, in order."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from qiao.errors import UnknownModel
from qiao.gate.catalog import Catalog
from qiao.gate.history import Keep
from qiao.wire.model import Model

MAX_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Target:
    """An engine and the name that the model has there."""

    engine: str
    model: str


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model name goes: its catalogue row and the engines to try in order."""

    model: Model
    targets: tuple[Target, ...]
    keep: Keep | None = None  # of long conversations


@dataclass(frozen=True, slots=True)
class Scope:
    """What an engine answers where no route names it: any name, or the Qwen names and its own."""

    engine: str
    any_model: bool
    own: Callable[[], Collection[str]] = tuple  # asked anew for a name not yet resolved


class Routes:
    """Resolves model names by alias, then by pattern in the order given, then by what each engine answers."""

    def __init__(
        self,
        catalog: Catalog,
        scopes: Sequence[Scope],
        patterns: Mapping[str, Sequence[Target]] | None = None,
        aliases: Mapping[str, str] | None = None,
        keeps: Mapping[str, Keep] | None = None,
    ) -> None:
        self._catalog = catalog
        self._scopes = scopes
        self._patterns = patterns or {}
        self._aliases = aliases or {}
        self._keeps = keeps or {}
        self._known: dict[str, Route] = {}

    def find(self, name: str) -> Route:
        """The route of a model name; UnknownModel when no engine serves it."""
        route = self._known.get(name)
        if route is None:
            route = self._resolve(name)
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            self._known[name] = route
        return route

    def names(self) -> list[str]:
        """The names that configuration adds: aliases and routes without wildcards."""
        exact = [pattern for pattern in self._patterns if not set("*?[") & set(pattern)]
        return [*self._aliases, *exact]

    def _resolve(self, asked: str) -> Route:
        name = self._aliases.get(asked, asked)
        model = self._catalog.find(name.partition("!")[0])  # what follows a "!" rehearses a fault
        for pattern, targets in self._patterns.items():
            if fnmatch.fnmatchcase(name, pattern):
                named = tuple(Target(t.engine, t.model or name) for t in targets)
                return Route(model, named, self._keeps.get(pattern))
        targets = tuple(Target(scope.engine, name) for scope in self._scopes if self._serves(scope, model, name))
        if not targets:
            raise UnknownModel(param=asked)
        return Route(model, targets)

    def _serves(self, scope: Scope, model: Model, name: str) -> bool:
        chats = model.kind in {"chat", "demo"}
        return scope.any_model or name in scope.own() or (chats and self._catalog.is_qwen(name))
