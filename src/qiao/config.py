"""Settings: the only reader of the environment and of qiao.toml.

Order: command line, environment (`QIAO_…`, and `DASHSCOPE_API_KEY`), qiao.toml, defaults.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import AliasChoices, BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from qiao.weights.places import Places

Kind = Literal["cloud", "http", "ollama", "local", "simulator", "vllm", "sglang", "llama-server", "lmstudio", "openai"]


class ConfigError(Exception):
    """The settings cannot be used; the message names the setting and says what to do, in English and in Chinese."""

    def __init__(self, message: str, chinese: str) -> None:
        super().__init__(message)
        self.chinese = chinese


class _Mistake(ValueError):
    """What a validator finds, in both languages."""

    def __init__(self, message: str, chinese: str) -> None:
        super().__init__(message)
        self.chinese = chinese


# Pydantic's own findings by their type.
_CHINESE = {
    "int_parsing": "应为整数",
    "int_type": "应为整数",
    "float_parsing": "应为数字",
    "float_type": "应为数字",
    "bool_parsing": "应为 true 或 false",
    "greater_than": "应大于 {gt}",
    "greater_than_equal": "应不小于 {ge}",
    "less_than_equal": "应不大于 {le}",
    "literal_error": "应为 {expected} 之一",
    "extra_forbidden": "没有这一项设置",
    "missing": "缺少这一项",
    "string_type": "应为文字",
    "string_pattern_mismatch": "只能用字母、数字、点、下划线和连字符，最多 40 个",
    "list_type": "应为列表",
    "dict_type": "应为表",
    "too_short": "不能为空",
}


class _Strict(BaseModel):
    model_config = {"extra": "forbid"}


class EngineRow(_Strict):
    """One `[[engines]]` row: what answers calls."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,40}$", description="The name that routes and headers use")
    kind: Kind = Field(description="What it is; http finds out by itself which server it is")
    url: str | None = Field(None, description="Address of an http engine, or a root address of the cloud")
    key: SecretStr | None = Field(None, description="Key of the engine")
    region: str | None = Field(None, description="Region of the cloud")
    workspace: str | None = Field(None, description="Workspace of the cloud")
    model: str | None = Field(None, description="Model of a local engine: a GGUF file, a folder, a name, or demo")
    context: int | None = Field(None, ge=256, description="Context length of a local or Ollama engine in tokens")
    role: Literal["chat", "embedding", "rerank"] | None = Field(
        None, description="What a local engine is for; without it what its weights are made for"
    )
    threads: int | None = Field(
        None, ge=1, description="Threads of a local engine; without it the processor's cores but one"
    )
    parallel: int | None = Field(
        None, ge=1, le=64, description="Calls that a local engine answers at once, each with the memory of its context"
    )
    idle: float | None = Field(None, ge=0, description="Minutes as in `QIAO_IDLE`, for this engine")


class HistoryRow(_Strict):
    """What of a long conversation a route sends on."""

    rounds: int | None = Field(None, ge=1, description="The last rounds: a question and what followed it")
    tokens: int | None = Field(None, ge=1, description="What fits so many tokens, newest first")


class RouteRow(_Strict):
    """One `[[routes]]` row: a model name or pattern and the engines to try, in order."""

    model: str = Field(description="A model name; * and ? are wildcards")
    engines: list[str | list[str]] = Field(
        min_length=1,
        description="Engine names, or name=MODEL to ask for another model there; those of a list inside share the load",
    )
    history: HistoryRow | None = Field(
        None, description="What of a long conversation is sent on: rounds, tokens, or both; all of it if left out"
    )

    @field_validator("engines", mode="before")
    @classmethod
    def _groups(cls, value: Any) -> Any:
        _check_places(value)
        return value

    @property
    def places(self) -> list[list[str]]:
        """The places in their order, each with the engines that share it."""
        return [place if isinstance(place, list) else [place] for place in self.engines]


def _check_places(places: Any) -> None:
    for place in cast("list[Any]", places) if isinstance(places, list) else []:
        group = cast("list[Any]", place if isinstance(place, list) else [place])
        if not group or not all(isinstance(name, str) for name in group):
            raise _Mistake(
                'write engine names, and a list of names for those that share a load: [["gpu-1", "gpu-2"], "cloud"]',
                '请写引擎名，分担负载的几个引擎写成一个列表：[["gpu-1", "gpu-2"], "cloud"]',
            )
        names = [name.partition("=")[0] for name in group]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise _Mistake(f"{twice!r} is in one group twice", f"{twice!r} 在同一组里出现了两次")


class TimeoutRow(_Strict):
    """`[timeouts]`, in seconds."""

    connect: float = Field(3.0, gt=0, description="To connect to an engine")
    first_byte: float = Field(60.0, gt=0, description="To the first byte of an answer")
    idle: float = Field(60.0, gt=0, description="Between two reads of an answer")
    total: float = Field(3600.0, gt=0, description="For a whole answer")
    keep_alive: float = Field(10.0, gt=0, description="Silence after which a stream gets a comment")
    drain: float = Field(60.0, ge=0, description="For streams to end after SIGTERM")
    pre_stop: float | None = Field(
        None, ge=0, description="To keep the port open after SIGTERM, for load balancers; 0 on loopback, else 3"
    )
    body: float = Field(60.0, gt=0, description="For a request body to arrive")
    probe: float = Field(5.0, gt=0, description="Between two looks at the health of an engine that shares its load")


class TierRow(_Strict):
    """One tier of an own price, per million tokens."""

    up_to: int | None = Field(None, ge=1, description="Input tokens of a request up to which it holds")
    input: float = Field(ge=0, description="Input")
    output: float = Field(ge=0, description="Output")
    output_thinking: float | None = Field(None, ge=0, description="Output of an answer that thought")
    cached: float | None = Field(None, ge=0, description="Input found in the implicit cache; 20 % of input if left out")
    image: float | None = Field(None, ge=0, description="Images and films in the input")
    audio: float | None = Field(None, ge=0, description="Sound in the input")
    output_mixed: float | None = Field(None, ge=0, description="Text that answers more than text")
    output_audio: float | None = Field(None, ge=0, description="Sound in the output, whose text is then free")


class PriceRow(_Strict):
    """One `[[prices.models]]` row: a price of your own."""

    model: str = Field(description="A model name; * and ? are wildcards")
    since: date | None = Field(None, description="The first day on which it holds; of several the newest counts")
    currency: Literal["CNY", "USD"] = Field("CNY", description="Currency")
    tiers: list[TierRow] = Field(min_length=1, description="Prices per million tokens by the length of the input")

    @field_validator("tiers", mode="after")
    @classmethod
    def _ascending(cls, tiers: list[TierRow]) -> list[TierRow]:
        ends = [tier.up_to for tier in tiers]
        bounds = [end for end in ends[:-1] if end is not None]
        if ends[-1] is not None or len(bounds) != len(ends) - 1 or bounds != sorted(set(bounds)):
            raise _Mistake(
                "tiers need an ascending up_to each, but for the last one, which has none",
                "各档都要有递增的 up_to，最后一档没有",
            )
        return tiers


class PricesRow(_Strict):
    """`[prices]`."""

    dollar: float | None = Field(None, gt=0, description="Yuan per US dollar; the catalogue's rate if left out")
    unknown: Literal["refuse", "free"] | None = Field(
        None,
        description="What becomes of a cloud model without a known price; left out, it is served, its cost unknown",
    )
    models: list[PriceRow] = Field([], description="Your own prices, before the catalogue's")


class LimitRow(_Strict):
    """`[limits]`."""

    body_mib: int = Field(16, ge=1, description="Largest request body without Base64 data, in MiB")
    body_base64_mib: int = Field(64, ge=1, description="Largest request body with Base64 data, in MiB")
    buffered_mib: int = Field(256, ge=1, description="All request bodies held at once, in MiB")
    connections: int = Field(12_000, ge=1, description="Open connections")


class Settings(BaseSettings):
    """Everything that can be set. Each field is `QIAO_<NAME>` in the environment and `<name>` in qiao.toml."""

    model_config = SettingsConfigDict(
        env_prefix="QIAO_", env_nested_delimiter="__", extra="forbid", populate_by_name=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on; others than loopback need client keys")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    home: Path = Field(Path("~/.qiao"), description="Folder for all state")
    keys: Annotated[list[SecretStr], NoDecode] = Field([], description="Client keys, separated by commas")
    admin_key: SecretStr | None = Field(None, description="Key of the admin paths; without it they are off")
    cors_origins: Annotated[list[str], NoDecode] = Field(
        [], description="Web origins that browsers may call from, separated by commas, or *"
    )
    allowed_hosts: Annotated[list[str], NoDecode] = Field(
        [], description="Further Host names to answer to, separated by commas"
    )
    engine: Literal["cloud", "http", "local", "simulator"] | None = Field(
        None, description="What answers; without it the cloud if there is a key, else the local model"
    )
    api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("api_key", "DASHSCOPE_API_KEY", "QIAO_API_KEY"),
        description="The cloud's key (DASHSCOPE_API_KEY); it stays on the server",
    )
    region: str = Field("cn-beijing", description="Region of the cloud key")
    workspace: str | None = Field(None, description="Workspace of the cloud key")
    cloud_url: str | None = Field(None, description="Root address to use instead of the region's")
    engine_url: str | None = Field(None, description="Address of the http engine")
    engine_key: SecretStr | None = Field(None, description="Key of the http engine")
    model: str | None = Field(
        None,
        description="Model of the local engine: a GGUF file, a folder, a name, or demo for the built-in one; "
        "without it the largest Qwen model on this machine that fits into memory",
    )
    context: int | None = Field(None, ge=256, description="Context length of the local engine in tokens")
    idle: float | None = Field(
        None,
        ge=0,
        description="Minutes without a call after which a local model gives its memory back until the next one; "
        "0 is never; without it never for a model that was loaded at the start, else 15",
    )
    engine_binary: str | None = Field(None, description="A llama-server to use in place of the built-in engine")
    simulator_ttft: float = Field(0.0, ge=0, description="Seconds to the simulator's first token")
    simulator_rate: float = Field(0.0, ge=0, description="The simulator's tokens per second; 0 is at once")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged")
    log_calls: bool = Field(True, description="One line per call on standard error")
    ca_file: Path | None = Field(None, description="Certificates to trust instead of the system's")
    engines: list[EngineRow] = Field([], description="Engines by name, in place of `engine`")
    routes: list[RouteRow] = Field([], description="Which engines answer which models")
    aliases: dict[str, str] = Field({}, description="Further names for models")
    timeouts: TimeoutRow = Field(
        default_factory=lambda: TimeoutRow.model_validate({}), description="Time limits in seconds"
    )
    prices: PricesRow = Field(default_factory=lambda: PricesRow.model_validate({}), description="Prices of your own")
    limits: LimitRow = Field(default_factory=lambda: LimitRow.model_validate({}), description="Size limits")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @classmethod
    def load(cls, path: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
        """Read all sources; ConfigError in one sentence for anything wrong."""
        given = {name: value for name, value in (overrides or {}).items() if value is not None}
        if path is not None and not path.is_file():
            raise ConfigError(f"config: there is no file {path}", f"config：没有 {path} 这个文件")

        class Loaded(cls):
            model_config = SettingsConfigDict(toml_file=path or Path("qiao.toml"))

        try:
            settings = Loaded(**given)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            found = path or "qiao.toml"
            raise ConfigError(f"config: {found}: {error}", f"config：{found} 无法读取：{error}") from None
        except ValidationError as error:
            raise _said(error) from None
        return settings

    def places(self) -> Places:
        """Where on this machine models may lie; the stores' own variables of the environment count."""
        return Places.of(os.environ, Path.home(), self.home / "models")

    @field_validator("keys", "cors_origins", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("home", mode="after")
    @classmethod
    def _home(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("cors_origins", mode="after")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            scheme, _, rest = origin.partition("://")
            if origin != "*" and (not scheme or not rest or "/" in rest or "*" in rest):
                raise _Mistake(
                    f"{origin!r} is not an origin like https://app.example.com (no path, no wildcard)",
                    f"{origin!r} 不是 https://app.example.com 这样的来源（不带路径，不用通配符）",
                )
        return value

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if not self.keys and not loopback(self.host):
            raise _Mistake(
                f"listening on {self.host} without client keys would let anybody in: "
                "set QIAO_KEYS, or stay on 127.0.0.1",
                f"在 {self.host} 上监听而没有客户端密钥，任何人都能调用：请设置 QIAO_KEYS，或只用 127.0.0.1",
            )
        admin = self.admin_key.get_secret_value().strip() if self.admin_key else ""
        if admin and any(admin == key.get_secret_value().strip() for key in self.keys):
            raise _Mistake(
                "admin_key: it is a client key too; take a key of its own",
                "admin_key：它同时是客户端密钥，请另设一把",
            )
        if self.engine == "http" and not self.engine_url:
            raise _Mistake(
                "the http engine needs an address: set --engine-url or QIAO_ENGINE_URL",
                "http 引擎需要地址：请用 --engine-url 或 QIAO_ENGINE_URL 指定",
            )
        if self.engine == "cloud" and not self.api_key:
            raise _Mistake(
                "the cloud engine needs a key: set DASHSCOPE_API_KEY", "云端引擎需要密钥：请设置 DASHSCOPE_API_KEY"
            )
        names = [row.name for row in self.engines]
        for route in self.routes:
            for engine in chain.from_iterable(route.places):
                if engine.partition("=")[0] not in names:
                    raise _Mistake(
                        f"routes: {route.model!r} names the engine {engine!r}, which is not in engines",
                        f"routes：{route.model!r} 用到了引擎 {engine!r}，而 engines 里没有它",
                    )
        if len(set(names)) != len(names):
            raise _Mistake("engines: two rows have the same name", "engines：有两行同名")
        return self


def _said(error: ValidationError) -> ConfigError:
    """The first finding, with the setting's name."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    context = first.get("ctx", {})
    message = first["msg"].removeprefix("Value error, ")
    cause = context.get("error")
    known = _CHINESE.get(first["type"])
    chinese = cause.chinese if isinstance(cause, _Mistake) else known.format(**context) if known else message
    return ConfigError(f"{where}: {message}" if where else message, f"{where}：{chinese}" if where else chinese)


def loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
