"""What each command takes. A field is an option; its help is the sentence `<command>.<field>` or `option.<field>`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Argument, Option

MODEL = "qwen-plus"
VISION_MODEL = "qwen3-vl-plus"
Source = Literal["modelscope", "huggingface"]
Engine = Literal["cloud", "http", "local", "simulator"]


@dataclass(frozen=True, kw_only=True)
class Where:
    """Of every command that asks a server."""

    url: Annotated[str | None, Option("--url", metavar="URL")] = None
    key: Annotated[str | None, Option("--key", metavar="KEY")] = None
    region: Annotated[str | None, Option("--region", metavar="REGION")] = None


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Of the server."""

    host: Annotated[str | None, Option("--host", metavar="ADDRESS")] = None
    port: Annotated[int | None, Option("--port", "-p", metavar="PORT")] = None
    config: Annotated[Path | None, Option("--config", "-c", metavar="FILE")] = None
    engine: Annotated[Engine | None, Option("--engine", "-e")] = None
    region: Annotated[str | None, Option("--region", metavar="REGION")] = None
    cloud_url: Annotated[str | None, Option("--cloud-url", metavar="ROOT")] = None
    engine_url: Annotated[str | None, Option("--engine-url", metavar="URL")] = None
    engine_key: Annotated[str | None, Option("--engine-key", metavar="KEY")] = None
    model: Annotated[str | None, Option("--model", "-m", metavar="MODEL")] = None


@dataclass(frozen=True, kw_only=True)
class Chat(Where):
    """Of a conversation."""

    model: Annotated[str, Option("--model", "-m", metavar="NAME")] = MODEL
    system: Annotated[str | None, Option("--system", "-s", metavar="TEXT")] = None
    think: Annotated[bool | None, Option("--think/--no-think")] = None
    load: Annotated[Path | None, Option("--load", metavar="FILE")] = None


@dataclass(frozen=True, kw_only=True)
class Ask(Where):
    """Of one question."""

    prompt: Annotated[list[str], Argument(metavar="PROMPT")] = field(default_factory=list[str])
    model: Annotated[str | None, Option("--model", "-m", metavar="NAME")] = None
    system: Annotated[str | None, Option("--system", "-s", metavar="TEXT")] = None
    image: Annotated[list[str], Option("--image", "-i", metavar="FILE|URL")] = field(default_factory=list[str])
    think: Annotated[bool | None, Option("--think/--no-think")] = None
    stream: Annotated[bool, Option("--stream/--no-stream")] = True
    json: Annotated[bool, Option("--json")] = False


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of what a question would cost."""

    prompt: Annotated[list[str], Argument(metavar="PROMPT")] = field(default_factory=list[str])
    model: Annotated[str, Option("--model", "-m", metavar="NAME")] = MODEL
    output: Annotated[int | None, Option("--output", "-o", metavar="TOKENS", min=0)] = None
    think: Annotated[bool | None, Option("--think/--no-think")] = None
    config: Annotated[Path | None, Option("--config", "-c", metavar="FILE")] = None
    region: Annotated[str | None, Option("--region", metavar="REGION")] = None
    json: Annotated[bool, Option("--json")] = False


@dataclass(frozen=True, kw_only=True)
class Models(Where):
    """Of the list of models."""

    words: Annotated[list[str], Argument(metavar="import FILE…|remove NAME")] = field(default_factory=list[str])
    local: Annotated[bool, Option("--local")] = False
    json: Annotated[bool, Option("--json")] = False


@dataclass(frozen=True, kw_only=True)
class Engines:
    """Of the engines of a server."""

    action: Annotated[Literal["drain", "resume"] | None, Argument(metavar="drain|resume")] = None
    name: Annotated[str | None, Argument(metavar="NAME")] = None
    url: Annotated[str | None, Option("--url", metavar="URL")] = None
    key: Annotated[str | None, Option("--key", metavar="KEY")] = None
    json: Annotated[bool, Option("--json")] = False


@dataclass(frozen=True, kw_only=True)
class Pull:
    """Of a download."""

    name: Annotated[str, Argument(metavar="NAME")]
    source: Annotated[Source | None, Option("--from")] = None


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Of the checks."""

    config: Annotated[Path | None, Option("--config", "-c", metavar="FILE")] = None
    engine: Annotated[Engine | None, Option("--engine", "-e")] = None
    region: Annotated[str | None, Option("--region", metavar="REGION")] = None
    cloud_url: Annotated[str | None, Option("--cloud-url", metavar="ROOT")] = None
    engine_url: Annotated[str | None, Option("--engine-url", metavar="URL")] = None
    host: Annotated[str | None, Option("--host", metavar="ADDRESS")] = None
    port: Annotated[int | None, Option("--port", "-p", metavar="PORT")] = None
    model: Annotated[list[str], Option("--model", "-m", metavar="NAME")] = field(default_factory=list[str])
    weights: Annotated[str | None, Option("--weights", metavar="MODEL")] = None
    json: Annotated[bool, Option("--json")] = False


@dataclass(frozen=True, kw_only=True)
class Simulate:
    """Of the server that rehearses."""

    host: Annotated[str | None, Option("--host", metavar="ADDRESS")] = None
    port: Annotated[int | None, Option("--port", "-p", metavar="PORT")] = None
    ttft: Annotated[float | None, Option("--ttft", metavar="SECONDS", min=0)] = None
    rate: Annotated[float | None, Option("--rate", metavar="TOKENS", min=0)] = None
    faults: Annotated[bool, Option("--faults")] = False


COMMANDS: dict[str, type[Any]] = {
    "serve": Serve,
    "chat": Chat,
    "ask": Ask,
    "models": Models,
    "pull": Pull,
    "engines": Engines,
    "cost": Cost,
    "doctor": Doctor,
    "simulate": Simulate,
}
