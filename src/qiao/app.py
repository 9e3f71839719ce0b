"""The composition root: the only file that names concrete classes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from qiao import telemetry
from qiao.api.admin import Admin
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
from qiao.api.vectors import Vectors
from qiao.clock import Clock, SystemClock
from qiao.config import ConfigError, Settings, loopback
from qiao.engines import regions
from qiao.engines.client import Client
from qiao.engines.dashscope import Cloud
from qiao.engines.discovered import Discovered
from qiao.engines.engine import Engine
from qiao.engines.http import Http
from qiao.engines.local import Local
from qiao.engines.ollama import Ollama
from qiao.exchange.attempts import Attempts
from qiao.exchange.balance import Balance
from qiao.exchange.exchange import Exchange
from qiao.exchange.meter import Meter
from qiao.exchange.probes import Probes
from qiao.exchange.states import States
from qiao.fleet import muster, rows
from qiao.gate.billing import Billing
from qiao.gate.catalog import Catalog
from qiao.gate.history import Keep
from qiao.gate.keys import Keys
from qiao.gate.prices import PriceBook
from qiao.gate.routes import Place as RoutePlace
from qiao.gate.routes import Routes, Scope, Target
from qiao.telemetry import EngineGauges
from qiao.weights.choosing import Choice

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
    further: Sequence[str] = ()  # models that answer to their own names only


@dataclass
class App:
    """A server put together, to be started and closed."""

    front: Front
    engines: Sequence[Engine]
    drain: Drain
    client: Client
    meter: Meter
    probes: Probes
    settings: Settings
    local: list[Local] = field(default_factory=list[Local])
    models: Mapping[str, Choice] = field(default_factory=dict[str, Choice])

    async def start(self) -> None:
        """Start what runs beside the server; returns at once, /readyz tells when it is ready."""
        self.probes.start(self.settings.timeouts.probe)
        for engine in self.local:
            await engine.start()

    async def close(self) -> None:
        """Free everything."""
        await self.probes.close()
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
    fleet = muster(settings, client, catalog, clock)
    engines = fleet.engines
    by_name = {engine.name: engine for engine in engines}
    scopes = [_scope(engine) for engine in engines]
    billing = _billing(settings, catalog, clock)
    keeps = {row.model: Keep(row.history.rounds, row.history.tokens) for row in settings.routes if row.history}
    patterns = _patterns(settings)
    routes = Routes(catalog, scopes, patterns, settings.aliases, keeps)
    drain = Drain()
    metrics = telemetry.Metrics()
    metrics.active = lambda: drain.count
    calls = telemetry.CallLog(sys.stderr.buffer if settings.log_calls else None)
    meter = Meter(metrics, calls, billing, clock)
    balance = Balance(fleet.kinds, _shared(patterns))
    attempts = Attempts(by_name, balance, clock)
    states = States(balance, attempts, clock)
    metrics.standing = lambda: [EngineGauges(s.name, s.state, s.running, s.outstanding_tokens) for s in states.all()]
    probed = [e for e in engines if balance.standings[e.name].shares and isinstance(e, Http | Discovered | Ollama)]
    exchange = Exchange(routes, billing, attempts, clock, meter.settle)
    shelter = Shelter(_sizes(settings), drain)
    cloud = next((engine for engine in engines if isinstance(engine, Cloud)), None)
    chat = Chat(exchange, clock, keep_alive=timeouts.keep_alive)
    doors = _doors(
        chat,
        Listings(engines, routes, catalog),
        Passing(cloud, clock, meter.passed),
        Operations(engines, balance, drain, metrics, clock),
        Vectors(chat, clock),
        plain=all(isinstance(engine, Cloud) for engine in engines) and not settings.routes and not settings.aliases,
    )
    admin = settings.admin_key.get_secret_value().strip() if settings.admin_key else ""
    doors += _admin_doors(Admin(Keys([admin] if admin else []), states))
    hosts = frozenset(name.lower() for name in (*LOOPBACK_NAMES, settings.host, *settings.allowed_hosts))
    keys = Keys(key.get_secret_value() for key in settings.keys)
    front = Front(doors, keys, shelter, Cors(settings.cors_origins), hosts)
    local = [engine for engine in engines if isinstance(engine, Local)]
    metrics.waiting = lambda: {engine.name: engine.waiting for engine in local}
    probes = Probes(probed, balance, attempts, clock)
    return App(front, engines, drain, client, meter, probes, settings, local, fleet.models)


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
            lazy = [engine for engine in app.local if engine.lazy]
            names = [engine.name for engine in app.engines if engine not in lazy]
            further = [engine.names()[0] for engine in lazy]
            on_ready(Started(url, names, "; ".join(notices), len(settings.keys), app.models, further))

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


def _doors(
    chat: Chat, listings: Listings, passing: Passing, operations: Operations, vectors: Vectors, *, plain: bool
) -> list[Door]:
    """All paths (reference §1.2); the hot ones first. With nothing but the cloud, listings are the cloud's own."""
    doors: list[Door] = []
    for prefix in ("/compatible-mode/v1", "/v1"):
        doors.append(Door(f"{prefix}/chat/completions", chat.openai))
        doors.append(Door(f"{prefix}/embeddings", vectors.embedding))
        if not plain:
            doors.append(Door(f"{prefix}/models", listings.models, ("GET",)))
            doors.append(Door(f"{prefix}/models/{{name:path}}", listings.model, ("GET",)))
    services = "/api/v1/services"
    doors.append(Door(f"{services}/aigc/text-generation/generation", chat.text))
    doors.append(Door(f"{services}/aigc/multimodal-generation/generation", chat.multimodal))
    doors.append(Door(f"{services}/embeddings/text-embedding/text-embedding", vectors.embedding))
    doors += [
        Door(path, vectors.rerank)
        for path in (
            "/compatible-api/v1/reranks",
            "/v1/reranks",
            "/v1/rerank",
            f"{services}/rerank/text-rerank/text-rerank",
        )
    ]
    if not plain:
        doors.append(Door("/api/v1/models", listings.native, ("GET",)))
        doors.append(Door("/api/v1/tokenizer", listings.tokenizer))
    doors.append(Door("/healthz", operations.healthz, ("GET", "HEAD"), needs_key=False))
    doors.append(Door("/readyz", operations.readyz, ("GET", "HEAD"), needs_key=False))
    doors.append(Door("/metrics", operations.metrics, ("GET",)))
    for prefix in ("/compatible-mode", "/v1", "/api", "/api-task", "/compatible-api", "/apps"):
        doors.append(Door(f"{prefix}/{{rest:path}}", passing, ANY_METHOD))
    return doors


def _admin_doors(admin: Admin) -> list[Door]:
    """They need another key than the client's, which the door looks at itself."""
    return [
        Door("/admin/engines", admin.engines, ("GET",), needs_key=False),
        Door("/admin/engines/{name}/drain", admin.drain, needs_key=False),
        Door("/admin/engines/{name}/resume", admin.resume, needs_key=False),
    ]


def _billing(settings: Settings, catalog: Catalog, clock: Clock) -> Billing:
    """Cloud engines bill, by their region's prices."""
    try:
        book = PriceBook.of(catalog, settings.prices.model_dump(mode="json"))
    except ValueError as error:
        raise ConfigError(f"prices: {error}", f"prices：{error}") from None
    clouds = [row for row in rows(settings) if row.kind == "cloud"]
    places = {row.name: regions.find(row.region or settings.region) for row in clouds}
    return Billing(
        catalog, book, {name: region.scope for name, region in places.items()}, clock, unknown=settings.prices.unknown
    )


def _scope(engine: Engine) -> Scope:
    if isinstance(engine, Local):
        # One that waits for its own name does not answer in the place of the chosen one.
        tasks = engine.traits.tasks - ({"chat"} if engine.lazy else set())
        return Scope(engine.name, any_model=False, own=engine.names, tasks=tasks)
    return Scope(engine.name, engine.traits.any_model, tasks=engine.traits.tasks)


def _patterns(settings: Settings) -> Mapping[str, Sequence[RoutePlace]]:
    """The configured routes: `name` or `name=MODEL` per engine; an empty model keeps the asked name."""
    return {
        row.model: [
            tuple(Target(name, model) for name, _, model in (engine.partition("=") for engine in place))
            for place in row.places
        ]
        for row in (settings.routes if settings.engine is None else [])
    }


def _shared(patterns: Mapping[str, Sequence[RoutePlace]]) -> set[str]:
    """The engines that share the load of a route with others."""
    return {target.engine for places in patterns.values() for place in places if len(place) > 1 for target in place}


def _sizes(settings: Settings) -> SizeLimits:
    limits = settings.limits
    return SizeLimits(
        body=limits.body_mib * 2**20, body_base64=limits.body_base64_mib * 2**20, buffered=limits.buffered_mib * 2**20
    )
