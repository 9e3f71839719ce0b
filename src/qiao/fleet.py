"""The engines that the settings ask for; with `app` the only place that names concrete classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from qiao.clock import Clock
from qiao.config import ConfigError, EngineRow, Settings
from qiao.engines import regions
from qiao.engines.client import Client, Upstream, Url
from qiao.engines.connection import Limits
from qiao.engines.dashscope import Cloud, Place
from qiao.engines.discovered import Discovered
from qiao.engines.engine import Engine
from qiao.engines.http import Http
from qiao.engines.local import Local
from qiao.engines.ollama import Ollama
from qiao.engines.resident import Tuning
from qiao.engines.residents import Residents
from qiao.engines.simulator import Pace, Simulator
from qiao.gate.catalog import Catalog
from qiao.secret import Secret
from qiao.weights import choosing
from qiao.weights.choosing import Choice
from qiao.weights.header import BadWeights


@dataclass(frozen=True, slots=True)
class Fleet:
    """The engines in their order, and by their names what kind each is and which model a local one has."""

    engines: Sequence[Engine]
    kinds: Mapping[str, str]
    models: Mapping[str, Choice]


@dataclass(frozen=True, slots=True)
class _Shared:
    """What local engines have in common."""

    client: Client
    catalog: Catalog
    residents: Residents


def muster(settings: Settings, client: Client, catalog: Catalog, clock: Clock) -> Fleet:
    """Make the engines; ConfigError for what only shows here."""
    shared = _Shared(client, catalog, Residents())
    engines: list[Engine] = []
    kinds: dict[str, str] = {}
    models: dict[str, Choice] = {}
    for row in rows(settings):
        kinds[row.name] = row.kind
        if row.kind == "local":
            models[row.name] = _model(row, settings)
            engines.append(_local(row, settings, models[row.name], shared, lazy=False))
        else:
            engines.append(_engine(row, settings, client, catalog, clock))
    if kinds == {"local": "local"}:
        for name, choice in _others(settings, models["local"]).items():
            row = EngineRow.model_validate({"name": f"local-{name}"[:40], "kind": "local"})
            kinds[row.name] = row.kind
            engines.append(_local(row, settings, choice, shared, lazy=True))
    return Fleet(engines, kinds, models)


def rows(settings: Settings) -> list[EngineRow]:
    """The engines asked for: rows of the configuration, one by `engine`, or by what is there."""
    if settings.engines and settings.engine is None:
        return settings.engines
    kind = settings.engine or ("http" if settings.engine_url else "cloud" if settings.api_key else "local")
    return [EngineRow.model_validate({"name": kind, "kind": kind})]


def _engine(row: EngineRow, settings: Settings, client: Client, catalog: Catalog, clock: Clock) -> Engine:
    timeouts = settings.timeouts
    limits = Limits(head=timeouts.first_byte, idle=timeouts.idle, total=timeouts.total)
    try:
        if row.kind == "cloud":
            key = _secret(row.key or settings.api_key)
            if key is None:
                raise _wrong(
                    row, "the cloud needs a key: set DASHSCOPE_API_KEY", "云端需要密钥：请设置 DASHSCOPE_API_KEY"
                )
            place, root = _place(row, settings)
            upstream = Upstream(Url.parse(root), key, limits)
            return Cloud(row.name, upstream, place, client, known=lambda name: catalog.find(name).known)
        if row.kind == "simulator":
            pace = Pace(settings.simulator_ttft, settings.simulator_rate)
            return Simulator(catalog, name=row.name, pace=pace)
        address = row.url or settings.engine_url
        if not address:
            raise _wrong(row, "set url to the engine's address", "请用 url 写上引擎的地址")
        upstream = Upstream(Url.parse(address), _secret(row.key or settings.engine_key), limits)
        if row.kind == "http":
            return Discovered(row.name, upstream, client, clock=clock, context=row.context)
        if row.kind == "ollama":
            return Ollama(row.name, upstream, client, clock=clock, context=row.context)
        return Http(row.name, upstream, client, kind=row.kind)
    except ValueError as error:
        raise _wrong(row, str(error), str(error)) from None


def _wrong(row: EngineRow, message: str, chinese: str) -> ConfigError:
    return ConfigError(f"engines: {row.name}: {message}", f"engines：{row.name}：{chinese}")


def _place(row: EngineRow, settings: Settings) -> tuple[Place, str]:
    """Where a cloud engine lives: at its own address, at the one in place of the region's, or at the region's."""
    root = row.url or (None if row.region else settings.cloud_url)
    workspace = row.workspace or settings.workspace
    if root:
        return Place(None, workspace), root
    region = regions.find(row.region or settings.region)
    return Place(region, workspace), region.root(workspace)


def _model(row: EngineRow, settings: Settings) -> Choice:
    """The model of a local engine; ConfigError for a name that none here has."""
    try:
        return choosing.pick(row.model or settings.model, settings.places())
    except BadWeights as error:
        raise ConfigError(f"model: {error}", f"model：{error.chinese}") from None


def _others(settings: Settings, chosen: Choice) -> dict[str, Choice]:
    """Further models on this machine by the names of their engines: each is loaded when it is asked by its own name."""
    if settings.engines or settings.model == choosing.DEMO:
        return {}
    others: dict[str, Choice] = {}
    for found, weights in choosing.models(settings.places()):
        name = weights.slug[:40]
        if name not in others and (chosen.found is None or found.path != chosen.found.path):
            others[name] = Choice(found=found, weights=weights)
    return others


def _local(row: EngineRow, settings: Settings, model: Choice, shared: _Shared, *, lazy: bool) -> Local:
    found, weights = model.found, model.weights
    idle = settings.idle if row.idle is None else row.idle
    tuning = Tuning(
        role=row.role or (weights.role if weights else None),
        context=row.context or settings.context,
        suggested=model.context,
        threads=row.threads,
        parallel=row.parallel,
        binary=settings.engine_binary,
        projector=found.projector if found else None,
        lazy=lazy,
        names=(weights.slug, found.name) if found and weights else (),
        idle=None if idle is None else idle * 60,
        residents=shared.residents,
    )
    return Local(
        found.path if found else None,
        client=shared.client,
        runtime=settings.home / "run",
        find=shared.catalog.find,
        name=row.name,
        tuning=tuning,
    )


def _secret(value: SecretStr | None) -> Secret | None:
    """A key for a request header; ValueError for what no header can hold, such as a pasted line break or ellipsis."""
    key = value.get_secret_value().strip() if value else ""
    if not key.isascii() or not key.isprintable():
        raise ValueError("the key holds characters that no key has: copy it again")
    return Secret(key) if key else None
