"""The doctor's checks, in the order in which one rests on the other: settings, key, network, models, weights, port."""

from __future__ import annotations

import errno
import http.client
import importlib
import ipaddress
import os
import re
import socket
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

from qiao.cli import remote, text
from qiao.cli.finding import Finding, nothing, well, wrong
from qiao.cli.place import DOOR, Place
from qiao.cli.remote import Refusal, Unreachable
from qiao.cli.text import say, told
from qiao.cli.trouble import Trouble
from qiao.config import ConfigError, Settings
from qiao.engines import regions
from qiao.weights import choosing, finding
from qiao.weights.choosing import Choice
from qiao.weights.header import BadWeights
from qiao.weights.places import Places

_placeholder = re.compile(r"your|xxx|\*\*|<|>|密钥|替换", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the checks need of the settings."""

    engine: str  # what will answer: cloud, http, local, simulator, or rows for a configuration of several
    chosen: bool  # whether somebody chose it
    key: str | None
    region: str
    workspace: str | None
    cloud_url: str | None
    engine_url: str | None
    engine_key: str | None
    host: str
    port: int
    model: str | None
    places: Places
    engine_binary: str | None

    @property
    def uses_cloud(self) -> bool:
        return self.engine == "cloud" or (self.engine == "rows" and self.key is not None)

    def root(self) -> str:
        """The cloud's root address; ValueError for a region without one."""
        return self.cloud_url or regions.find(self.region).root(self.workspace)


def all_checks(config: Path | None, overrides: dict[str, Any], models: Sequence[str]) -> Iterator[Finding]:
    """Every finding, as it is found."""
    try:
        settings = Settings.load(config, overrides)
        yield well("config", say("doctor.config_well", home=settings.home))
    except ConfigError as error:
        yield wrong("config", told(error), say("doctor.config_fix"))
        settings = _without_checks(overrides)
    facts = _facts(settings)
    key = check_key(facts)
    yield key
    listed: list[str] | None = None
    if facts.uses_cloud and facts.key:
        network = check_network(facts)
        yield network
        if network.status == "ok" and key.status == "ok":
            answer, listed = check_cloud(facts)
            yield answer
    else:
        yield nothing("network", say("doctor.network_unused"))
    if facts.engine_url:
        answer, listed = check_engine(facts.engine_url, facts.engine_key)
        yield answer
    if facts.engine == "rows":
        yield from check_rows(settings)
    yield from (check_model(name, listed) for name in models)
    yield check_weights(facts)
    yield check_port(facts.host, facts.port)


def _without_checks(overrides: dict[str, Any]) -> Settings:
    """Settings that could not be read: the key of the environment, what was given, and defaults."""
    known = {name: value for name, value in overrides.items() if value is not None}
    settings = Settings.model_construct(**known)
    settings.api_key = None
    return settings


def _facts(settings: Settings) -> Facts:
    key = settings.api_key.get_secret_value() if settings.api_key else os.environ.get("DASHSCOPE_API_KEY")
    rows = "rows" if settings.engines and not settings.engine else None
    found = "http" if settings.engine_url else "cloud" if key else "local"
    return Facts(
        engine=settings.engine or rows or found,
        chosen=bool(settings.engine or rows or settings.engine_url or settings.model),
        key=key or None,
        region=settings.region,
        workspace=settings.workspace,
        cloud_url=settings.cloud_url.rstrip("/") if settings.cloud_url else None,
        engine_url=settings.engine_url,
        engine_key=settings.engine_key.get_secret_value() if settings.engine_key else None,
        host=settings.host,
        port=settings.port,
        model=settings.model,
        places=settings.places(),
        engine_binary=settings.engine_binary,
    )


def check_key(facts: Facts) -> Finding:
    """Whether there is a cloud key, and whether it can be one."""
    if facts.key is None:
        if facts.chosen and not facts.uses_cloud:
            return nothing("key", say("doctor.key_unused", engine=facts.engine))
        return wrong("key", say("doctor.key_missing"), say("doctor.key_missing_fix"))
    fault = malformed(facts.key)
    if fault is not None:
        return wrong("key", say(f"doctor.key_{fault}"), say("doctor.key_fix"))
    return well("key", say("doctor.key_well", shown=f"sk-…{facts.key[-4:]}"))


def malformed(key: str) -> str | None:
    """How a key is not one: spaces, quotes, bearer, placeholder, letters, prefix or short; None for a good form."""
    faults = (
        ("bearer", key.strip().lower().startswith("bearer ")),
        ("quotes", key.strip()[:1] in set("\"'“”‘’`")),
        ("spaces", any(character.isspace() for character in key)),
        ("placeholder", _placeholder.search(key) is not None),
        ("letters", not key.isascii() or not key.isprintable()),
        ("prefix", not key.startswith("sk-")),
        ("short", len(key) < 16),
    )
    return next((name for name, found in faults if found), None)


def check_network(facts: Facts) -> Finding:
    """Whether the cloud's host can be reached: its name, a connection, TLS."""
    try:
        root = facts.root()
    except ValueError as error:
        return wrong("network", str(error), say("doctor.region_fix", names=", ".join(regions.REGIONS)))
    proxy = remote.proxy_for(root)
    through = say("doctor.through_proxy", proxy=f"{proxy[0]}:{proxy[1]}") if proxy else ""
    connection = remote.connect(root, 8.0)
    try:
        connection.connect()
    except (OSError, http.client.HTTPException) as error:
        stage = remote.stage_of(error)
        hint = say("doctor.proxy_fix") if proxy else say(f"doctor.network_{stage}_fix")
        return wrong("network", Unreachable(stage, root, error).sentence + through, hint)
    finally:
        connection.close()
    return well("network", say("doctor.network_well", host=root) + through)


def check_cloud(facts: Facts) -> tuple[Finding, list[str] | None]:
    """Whether the key works in its region, and the models there."""
    root = facts.root()
    try:
        names = [row["id"] for row in remote.models(Place(root + DOOR, "cloud", facts.key))]
    except Refusal as refusal:
        if refusal.status != 401 or facts.cloud_url is not None:
            return wrong("cloud", refusal.sentence, say("doctor.cloud_fix")), None
        others = {region.name: f"https://{region.host}" for region in regions.REGIONS.values() if region.host}
        others.pop(regions.find(facts.region).name, None)
        return check_elsewhere(facts.key or "", others), None
    except Trouble as trouble:
        return wrong("cloud", trouble.sentence, say("doctor.cloud_fix")), None
    return well("cloud", say("doctor.cloud_well", count=len(names), place=_region(facts))), names


def check_elsewhere(key: str, roots: Mapping[str, str]) -> Finding:
    """A key that its region refused: does another one know it? Only hosts of the cloud are asked."""
    for name, root in roots.items():
        try:
            remote.models(Place(root + DOOR, "cloud", key), wait=8.0)
        except Trouble:
            continue
        return wrong("cloud", say("doctor.wrong_region", region=name), say("doctor.wrong_region_fix", region=name))
    return wrong("cloud", say("doctor.wrong_key"), say("doctor.wrong_key_fix"))


def check_engine(url: str, key: str | None, said: str = "") -> tuple[Finding, list[str] | None]:
    """Whether an http engine answers, and its models; `said` comes before what is found."""
    url = url.rstrip("/")
    base = url if url.count("/") > 2 else f"{url}/v1"
    try:
        names = [row["id"] for row in remote.models(Place(base, "other", key), wait=8.0)]
    except Trouble as trouble:
        return wrong("engine", said + trouble.sentence, say("doctor.row_fix" if said else "doctor.engine_fix")), None
    return well("engine", said + say("doctor.engine_well", url=base, names=", ".join(names[:5]))), names


def check_rows(settings: Settings) -> Iterator[Finding]:
    """Whether each http engine of the configuration answers, and has the models that the routes ask it for."""
    listed: dict[str, list[str]] = {}
    for row in settings.engines:
        if row.kind in {"cloud", "local", "simulator"}:
            continue
        if not (url := row.url or settings.engine_url):
            yield wrong("engine", say("doctor.row_no_url", name=row.name), say("doctor.row_fix"))
            continue
        key = row.key or settings.engine_key
        answer, names = check_engine(url, key.get_secret_value() if key else None, f"{row.name}: ")
        yield answer
        listed |= {} if names is None else {row.name: names}
    for route in settings.routes:
        for engine in chain.from_iterable(route.places):
            name, _, model = engine.partition("=")
            model = model or route.model
            known = listed.get(name)
            if known is not None and not set("*?[") & set(model) and not {model, f"{model}:latest"} & set(known):
                said = say("doctor.row_lacks", name=name, model=model, names=", ".join(known[:5]))
                yield wrong("engine", said, say("doctor.row_lacks_fix", name=name))


def check_model(name: str, listed: list[str] | None) -> Finding:
    """Whether a model name exists: in the server's list, or else in the catalogue."""
    from difflib import get_close_matches

    from qiao.gate.catalog import Catalog

    catalog = Catalog.load()
    if name in (listed or ()) or (listed is None and catalog.find(name).known):
        return well("model", say("doctor.model_well", name=name))
    close = get_close_matches(name, listed or catalog.names(), 3)
    if listed is None and catalog.retired(name):
        return wrong("model", say("doctor.model_retired", name=name), say("doctor.model_fix"))
    fix = say("doctor.model_close", names=", ".join(close)) if close else say("doctor.model_fix")
    return wrong("model", say("doctor.model_unknown", name=name), fix)


def check_weights(facts: Facts) -> Finding:
    """Whether the model file is there and is one, and whether something can run it."""
    if facts.model is None and facts.engine != "local":
        return nothing("weights", say("doctor.weights_unused"))
    if facts.engine_binary is None and find_spec("xllamacpp") is None:
        return wrong("weights", say("doctor.no_local_engine"), say("doctor.no_local_engine_fix"))
    if facts.engine_binary is None and (why := _unloadable()):
        return wrong("weights", say("doctor.engine_broken", why=why), say("doctor.engine_broken_fix"))
    try:
        return _usable(choosing.pick(facts.model, facts.places))
    except BadWeights as error:
        return wrong("weights", told(error), say("doctor.weights_fix"))


def _usable(choice: Choice) -> Finding:
    """What the model's header says; BadWeights when it cannot be used."""
    if choice.found is None:
        return well("weights", say("doctor.weights_demo"))
    found = finding.read(choice.found)
    said = say("doctor.weights_well", name=found.name, gib=f"{found.size / 2**30:.3g}", context=found.context)
    return well("weights", said)


def _unloadable() -> str | None:
    """Why the embedded engine does not load here, such as a system without libgomp."""
    try:
        importlib.import_module("xllamacpp")
    except ImportError as error:
        return str(error)
    return None


def check_port(host: str, port: int) -> Finding:
    """Whether the port is free, and who has it if not."""
    name = f"{host}:{port}"
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            return wrong("port", say("doctor.port_refused", at=name, why=error.strerror), say("doctor.port_fix"))
        root = f"http://{_reachable(host)}:{port}"
        if remote.is_qiao(root):
            return well("port", say("doctor.port_qiao", root=root))
        return wrong("port", say("doctor.port_taken", at=name) + _who(root), say("doctor.port_fix"))
    return well("port", say("doctor.port_free", at=name))


def _reachable(host: str) -> str:
    """A host as an address names it; the one for all interfaces is reached on this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return "127.0.0.1"
    return f"[{host}]" if address.version == 6 else host


def _who(root: str) -> str:
    """What the program there says of itself."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(root, timeout=1.0) as answer:
            server = answer.headers.get("server")
    except (OSError, http.client.HTTPException) as error:
        headers = getattr(error, "headers", None)
        server = headers.get("server") if headers else None
    return say("doctor.port_who", server=text.clean(server)) if server else ""


def _region(facts: Facts) -> str:
    if facts.cloud_url is not None:
        return facts.cloud_url
    region = regions.find(facts.region)
    return region.label_zh if text.language() == "zh" else region.label_en
