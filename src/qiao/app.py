"""The composition root: the only file that names concrete classes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import SecretStr

from qiao import telemetry
from qiao.api.chat import Chat
from qiao.api.cors import Cors
from qiao.api.drain import Drain
from qiao.api.front import Door, Front
from qiao.api.listings import Listings
from qiao.api.operations import Operations
from qiao.api.passing import Passing
from qiao.api.server import Limits as ServerLimits
from qiao.api.server import Server
from qiao.api.shelter import Shelter, SizeLimits
from qiao.clock import Clock, SystemClock
from qiao.config import ConfigError, EngineRow, Settings, loopback
from qiao.engines import regions
from qiao.engines.client import Client, Upstream, Url
from qiao.engines.connection import Limits
from qiao.engines.dashscope import Cloud, Place
from qiao.engines.discovered import Discovered
from qiao.engines.engine import Engine
from qiao.engines.http import Http
from qiao.engines.local import Local, Tuning
from qiao.engines.ollama import Ollama
from qiao.engines.simulator import Pace, Simulator
from qiao.exchange.attempts import Attempts
from qiao.exchange.exchange import Exchange
from qiao.exchange.meter import Meter
from qiao.gate.catalog import Catalog
from qiao.gate.keys import Keys
from qiao.gate.routes import Routes, Scope, Target
from qiao.secret import Secret
from qiao.weights import choosing
from qiao.weights.choosing import Choice
from qiao.weights.header import BadWeights

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
ANY_METHOD = ("GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class Started:
    """What runs: told once the port is open."""

    url: str
    engines: list[str]
    notice: str
    keys: int
    models: Mapping[str, Choice]  # by the engine's name


@dataclass
class App:
    """A server put together, to be started and closed."""

    front: Front
    engines: Sequence[Engine]
    drain: Drain
    client: Client
    meter: Meter
    settings: Settings
    local: list[Local] = field(default_factory=list[Local])
    models: Mapping[str, Choice] = field(default_factory=dict[str, Choice])

    async def start(self) -> None:
        """Start what runs beside the server; returns at once, /readyz tells when it is ready."""
        for engine in self.local:
            await engine.start()

    async def close(self) -> None:
        """Free everything."""
        for engine in self.engines:
            await engine.close()
        await self.client.close()
        self.meter.flush()


def build(settings: Settings, *, clock: Clock | None = None) -> App:
    """Put the parts together; ConfigError for what only shows here."""
    clock = clock or SystemClock()
    timeouts = settings.timeouts
    ca_file = str(settings.ca_file) if settings.ca_file else None
    client = Client(connect=timeouts.connect, idle=timeouts.idle, ca_file=ca_file)
    catalog = Catalog.load()
    rows = _rows(settings)
    models = {row.name: _model(row, settings) for row in rows if row.kind == "local"}
    engines = [
        _local(row, settings, models[row.name], client, catalog)
        if row.kind == "local"
        else _engine(row, settings, client, catalog, clock)
        for row in rows
    ]
    by_name = {engine.name: engine for engine in engines}
    scopes = [_scope(engine) for engine in engines]
    routes = Routes(catalog, scopes, _patterns(settings), settings.aliases)
    drain = Drain()
    metrics = telemetry.Metrics()
    metrics.active = lambda: drain.count
    paid = frozenset(engine.name for engine in engines if isinstance(engine, Cloud))
    calls = telemetry.CallLog(sys.stderr.buffer if settings.log_calls else None)
    meter = Meter(metrics, calls, catalog, clock, paid)
    exchange = Exchange(routes, Attempts(by_name, clock), clock, meter.settle)
    shelter = Shelter(_sizes(settings), drain)
    cloud = next((engine for engine in engines if isinstance(engine, Cloud)), None)
    doors = _doors(
        Chat(exchange, clock, keep_alive=timeouts.keep_alive),
        Listings(engines, routes, catalog),
        Passing(cloud, clock, meter.passed),
        Operations(engines, drain, metrics, clock),
        plain=all(isinstance(engine, Cloud) for engine in engines) and not settings.routes and not settings.aliases,
    )
    hosts = frozenset(name.lower() for name in (*LOOPBACK_NAMES, settings.host, *settings.allowed_hosts))
    keys = Keys(key.get_secret_value() for key in settings.keys)
    front = Front(doors, keys, shelter, Cors(settings.cors_origins), hosts)
    local = [engine for engine in engines if isinstance(engine, Local)]
    return App(front, engines, drain, client, meter, settings, local, models)


def serve(settings: Settings, on_ready: Callable[[Started], None] | None = None) -> int:
    """Run the server until it is told to stop; the exit status."""
    telemetry.configure(settings.log_level)
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run(_serve(settings, on_ready))
    return asyncio.run(_serve(settings, on_ready))


async def _serve(settings: Settings, on_ready: Callable[[Started], None] | None) -> int:
    app = build(settings)

    def started(url: str) -> None:
        if on_ready is not None:
            notices = [engine.traits.notice for engine in app.engines if engine.traits.notice]
            names = [engine.name for engine in app.engines]
            on_ready(Started(url, names, "; ".join(notices), len(settings.keys), app.models))

    await app.start()
    # What is here now stays: the collector need not look at it again, and calls leave it little to do.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        limits = ServerLimits(connections=settings.limits.connections, body=settings.timeouts.body)
        server = Server(app.front, host=settings.host, port=settings.port, limits=limits, drain=app.drain)
        pre_stop = settings.timeouts.pre_stop
        if pre_stop is None:
            pre_stop = 0.0 if loopback(settings.host) else 3.0
        return await server.run(window=settings.timeouts.drain, on_started=started, pre_stop=pre_stop)
    finally:
        await app.close()


def _doors(chat: Chat, listings: Listings, passing: Passing, operations: Operations, *, plain: bool) -> list[Door]:
    """All paths (reference §1.2); the hot ones first. With nothing but the cloud, listings are the cloud's own."""
    doors: list[Door] = []
    for prefix in ("/compatible-mode/v1", "/v1"):
        doors.append(Door(f"{prefix}/chat/completions", chat.openai))
        if not plain:
            doors.append(Door(f"{prefix}/models", listings.models, ("GET",)))
            doors.append(Door(f"{prefix}/models/{{name:path}}", listings.model, ("GET",)))
    services = "/api/v1/services/aigc"
    doors.append(Door(f"{services}/text-generation/generation", chat.text))
    doors.append(Door(f"{services}/multimodal-generation/generation", chat.multimodal))
    if not plain:
        doors.append(Door("/api/v1/models", listings.native, ("GET",)))
        doors.append(Door("/api/v1/tokenizer", listings.tokenizer))
    doors.append(Door("/healthz", operations.healthz, ("GET", "HEAD"), needs_key=False))
    doors.append(Door("/readyz", operations.readyz, ("GET", "HEAD"), needs_key=False))
    doors.append(Door("/metrics", operations.metrics, ("GET",)))
    for prefix in ("/compatible-mode", "/v1", "/api", "/api-task", "/compatible-api", "/apps"):
        doors.append(Door(f"{prefix}/{{rest:path}}", passing, ANY_METHOD))
    return doors


def _rows(settings: Settings) -> list[EngineRow]:
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


def _local(row: EngineRow, settings: Settings, model: Choice, client: Client, catalog: Catalog) -> Local:
    found = model.found
    context = row.context or settings.context or model.context
    projector = found.projector if found else None
    return Local(
        found.path if found else None,
        client=client,
        runtime=settings.home / "run",
        find=catalog.find,
        name=row.name,
        tuning=Tuning(context=context, binary=settings.engine_binary, projector=projector),
    )


def _scope(engine: Engine) -> Scope:
    if isinstance(engine, Local):
        return Scope(engine.name, any_model=False, own=engine.names)
    return Scope(engine.name, engine.traits.any_model)


def _patterns(settings: Settings) -> Mapping[str, Sequence[Target]]:
    """The configured routes: `name` or `name=MODEL` per engine; an empty model keeps the asked name."""
    return {
        row.model: [Target(name, model) for name, _, model in (engine.partition("=") for engine in row.engines)]
        for row in settings.routes
    }


def _secret(value: SecretStr | None) -> Secret | None:
    """A key for a request header; ValueError for what no header can hold, such as a pasted line break or ellipsis."""
    key = value.get_secret_value().strip() if value else ""
    if not key.isascii() or not key.isprintable():
        raise ValueError("the key holds characters that no key has: copy it again")
    return Secret(key) if key else None


def _sizes(settings: Settings) -> SizeLimits:
    limits = settings.limits
    return SizeLimits(
        body=limits.body_mib * 2**20, body_base64=limits.body_base64_mib * 2**20, buffered=limits.buffered_mib * 2**20
    )
