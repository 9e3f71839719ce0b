"""The pages of docs/reference, made from what the code knows of itself."""

from __future__ import annotations

import contextlib
import io
import os
import tomllib
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from qiao.cli import commands, simulate, text
from qiao.cli.options import COMMANDS
from qiao.config import EngineRow, HistoryRow, PriceRow, RouteRow, Settings, TierRow
from qiao.engines import regions
from qiao.gate import prices
from qiao.gate.catalog import Catalog
from qiao.telemetry import Metrics
from qiao.wire.model import Currency, Model, Tier
from tools.docs import chinese, doors
from tools.docs.table import table

ROOT = Path(__file__).parents[2]
Language = text.Language
Say = Callable[[str], str]

_WIDTH = "100"
_TABLES: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("Engines", "`[[engines]]`, one table for each engine, takes the place of `engine`.", EngineRow),
    ("Routes", "`[[routes]]`, one table for each route; the first whose pattern fits is taken.", RouteRow),
    ("History", "`history` of a route.", HistoryRow),
    ("Prices", "`[[prices.models]]`, one table for each price of your own.", PriceRow),
    ("Tiers", "In `tiers` of a price: one row for each length of the input.", TierRow),
)


def pages(untranslated: set[str] | None = None) -> dict[str, str]:
    """Path from the root and text of every page; what has no Chinese yet stays English and is put into the set."""
    missing: set[str] = set() if untranslated is None else untranslated
    made = {
        "settings": settings_page,
        "command-line": command_page,
        "http": doors.page,
        "metrics": metrics_page,
        "faults": faults_page,
        "models": models_page,
    }
    written: dict[str, str] = {}
    for language in text.LANGUAGES:
        suffix, twin = (".zh-CN", "") if language == "zh" else ("", ".zh-CN")
        text.speak(language)
        for name, make in made.items():
            other = "English" if language == "zh" else "中文"
            say = _said_in_chinese(missing) if language == "zh" else str
            head = f"[{other}]({name}{twin}.md) · {say('Written by `make docs` from the code.')}"
            title, *rest = make(say)
            written[f"docs/reference/{name}{suffix}.md"] = "\n\n".join([f"# {title}", head, *rest]) + "\n"
    return written


def _said_in_chinese(missing: set[str]) -> Say:
    def say(sentence: str) -> str:
        if sentence not in chinese.TEXT:
            missing.add(sentence)
        return chinese.TEXT.get(sentence, sentence)

    return say


def settings_page(say: Say) -> Iterator[str]:
    """Every setting, from `qiao.config`."""
    yield say("Settings")
    yield say(
        "Order: command line, environment, `qiao.toml` (or `--config FILE`), default. `make serve` also reads `.env`."
    )
    head = [say("In qiao.toml"), say("In the environment"), say("Default"), say("Meaning")]
    rows: list[list[str]] = []
    tables: list[str] = []
    for name, field in Settings.model_fields.items():
        row = field.annotation
        if isinstance(row, type) and issubclass(row, BaseModel):
            inner = row.model_fields.items()
            cells = [_setting(key, f"QIAO_{name}__{key}".upper(), each, say) for key, each in inner]
            tables += [f"## `[{name}]`", table(head, cells)]
        else:
            rows.append(_setting(name, f"QIAO_{name}".upper(), field, say))
    yield table(head, rows)
    yield from tables
    for title, about, row in _TABLES:
        yield f"## {say(title)}"
        yield say(about)
        columns = [say("In qiao.toml"), say("Default"), say("Meaning")]
        cells = ((f"`{key}`", _default(each, say), _meaning(each, say)) for key, each in row.model_fields.items())
        yield table(columns, cells)

    yield f"## {say('Regions')}"
    yield say("A key is valid in one region. With a workspace its own host is used instead of the shared one.")
    columns = [say("Region"), say("Other names"), say("Place"), say("Shared host")]
    yield table(columns, [_region(region, say) for region in regions.REGIONS.values()])


def _region(region: regions.Region, say: Say) -> list[str]:
    others = ", ".join(f"`{alias}`" for alias, name in regions.ALIASES.items() if name == region.name) or "–"
    place = region.label_zh if text.language() == "zh" else region.label_en
    return [f"`{region.name}`", others, place, f"`{region.host}`" if region.host else say("none: set a workspace")]


def _setting(name: str, variable: str, field: FieldInfo, say: Say) -> list[str]:
    variables = f"`DASHSCOPE_API_KEY`, `{variable}`" if name == "api_key" else f"`{variable}`"
    return [f"`{name}`", variables, _default(field, say), _meaning(field, say)]


def _default(field: FieldInfo, say: Say) -> str:
    if field.default is PydanticUndefined:
        return say("required")
    if field.default is None or field.default in ([], {}):
        return "–"
    value = field.default
    return f"`{str(value).lower() if isinstance(value, bool) else f'{value:g}' if isinstance(value, float) else value}`"


def _meaning(field: FieldInfo, say: Say) -> str:
    choices = _choices(field.annotation)
    listed = f" ({', '.join(f'`{choice}`' for choice in choices)})" if choices else ""
    return say(field.description or "") + listed


def _choices(annotation: Any) -> list[str]:
    """The values of a Literal, also of an optional one."""
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [choice for part in get_args(annotation) if part is not NoneType for choice in _choices(part)]


def command_page(say: Say) -> Iterator[str]:
    """The help of every command, as it prints it."""
    yield say("The command line")
    yield say("Exit codes: 0 it worked, 1 it failed, 2 the command line or a setting is wrong, 130 interrupted.")
    for name in ("", *COMMANDS):
        yield f"## `{f'qiao {name}'.strip()}`"
        yield f"```text\n{_help(name)}\n```"


def _help(name: str) -> str:
    before, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), _WIDTH
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            commands.run([name, "--help"] if name else ["--help"])
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return printed.getvalue().strip()


def metrics_page(say: Say) -> Iterator[str]:
    """Every metric of GET /metrics, and the fields of the call log."""
    yield say("Metrics and the call log")
    yield say(
        "`GET /metrics` needs a client key where there are any. "
        "No label holds a model name or anything else that a caller writes."
    )
    rows: list[list[str]] = []
    for metric in Metrics().collect():
        name = metric.name + ("_total" if metric.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in _labels(metric)) or "–"
        rows.append([f"`{name}`", metric.type, labels, say(metric.documentation)])
    yield table([say("Metric"), say("Type"), say("Labels"), say("Meaning")], rows)
    yield f"## {say('Outcomes')}"
    yield table([say("Outcome"), say("Meaning")], [[f"`{name}`", say(about)] for name, about in doors.OUTCOMES.items()])
    yield f"## {say('The call log')}"
    yield say(
        "One JSON line per call on standard error. What is not known is left out; no prompt, key or header is in it."
    )
    yield table([say("Field"), say("Meaning")], [[f"`{name}`", say(about)] for name, about in doors.LOG_FIELDS.items()])


def _labels(metric: object) -> tuple[str, ...]:
    return vars(metric).get("_labelnames", ())


def faults_page(say: Say) -> Iterator[str]:
    """The faults of the simulator."""
    yield say("Faults of the simulator")
    yield text.say("simulate.how")
    yield table(
        [say("Model name"), say("What happens")],
        [[f"`qwen-plus!{fault}`", text.say(f"fault.{fault.partition(';')[0]}")] for fault in simulate.FAULTS],
    )


def models_page(say: Say) -> Iterator[str]:
    """The catalogue: limits and list prices."""
    book = tomllib.loads(resources.files("qiao").joinpath("data", "models.toml").read_text("utf-8"))
    catalog = Catalog.load()
    models = [catalog.find(name) for name in book["models"]]
    yield say("Models")
    yield say(
        "Lengths in tokens; list prices per million tokens: in yuan in Beijing, in US dollars in Singapore. "
        "– is not known to the sources."
    )
    yield f"{say('Dated')} {catalog.dated}. {say('Source')}: {book['source']}."
    yield say("Names with a date, `-latest` or `-preview` behind them have the row of the name without it.")
    yield f"## {say('Chat')}"
    priced = ("Price in", "Price out", "Singapore in", "Singapore out")
    head = [say(cell) for cell in ("Model", "Thinks", "Context", "Input", "Output", *priced)]
    chats = [model for model in models if model.kind == "chat"]
    yield table(head, [_chat_row(model, say) for model in chats])
    yield f"## {say('Embedding and rerank')}"
    others = [model for model in models if model.kind in {"embedding", "rerank"}]
    cells = ("Model", "Kind", "Input of one row", "Rows", "Dimensions", "Price in", "Singapore in")
    head = [say(cell) for cell in cells]
    yield table(head, [_other_row(model, say) for model in others])


_THINKS = {"never": "no", "off": "when asked", "on": "unless told not to", "only": "always"}


def _chat_row(model: Model, say: Say) -> list[str]:
    lengths = map(_count, (model.context, model.max_input, model.max_output))
    return [f"`{model.name}`", say(_THINKS[model.thinking]), *lengths, *_prices(model, say)]


def _prices(model: Model, say: Say) -> Iterator[str]:
    """Beijing's input and output, Singapore's input and output; a line for each tier."""
    books: tuple[tuple[tuple[Tier, ...], Currency], ...] = ((model.tiers, "CNY"), (model.intl, "USD"))
    for tiers, currency in books:
        rows = [_price(tier, currency, say) for tier in tiers] or [("–", "–")]
        yield from ("<br>".join(column) for column in zip(*rows, strict=True))


def _price(tier: Tier, currency: Currency, say: Say) -> tuple[str, str]:
    up_to = f" ≤ {_count(tier.up_to)}" if tier.up_to else ""
    into = {"cached": tier.cached, "images": tier.image, "sound": tier.audio}
    out = {"thinking": tier.output_thinking, "mixed": tier.output_mixed, "sound": tier.output_audio}

    def said(plain: int, others: dict[str, int | None]) -> str:
        listed = [f"{say(name)} {_amount(rate, currency)}" for name, rate in others.items() if rate is not None]
        return _amount(plain, currency) + (f" ({', '.join(listed)})" if listed else "")

    return said(tier.input, into) + up_to, said(tier.output, out)


def _other_row(model: Model, say: Say) -> list[str]:
    dimensions = ", ".join(map(str, model.dimensions)) or "–"
    limits = [_count(model.max_input), _count(model.max_rows)]
    beijing, _, singapore, _ = _prices(model, say)
    return [f"`{model.name}`", say(model.kind), *limits, dimensions, beijing, singapore]


def _count(tokens: int | None) -> str:
    return f"{tokens:,}" if tokens else "–"


def _amount(nano_per_token: int, currency: Currency) -> str:
    return prices.yuan(nano_per_token * 10**6, currency)
