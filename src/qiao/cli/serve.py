"""`qiao serve`: run the server."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qiao.cli import help as help_page
from qiao.cli import text
from qiao.cli.options import Serve
from qiao.cli.text import say, told
from qiao.cli.trouble import Trouble

if TYPE_CHECKING:
    from qiao.app import Started
    from qiao.config import Settings
    from qiao.weights.choosing import Choice


def run(options: Serve) -> int:
    """Serve until told to stop."""
    overrides = asdict(options)
    return start(overrides.pop("config"), overrides)


def start(config: Path | None, overrides: dict[str, Any]) -> int:
    """Read the settings and serve; the exit code. Trouble 2 for settings that cannot be used."""
    from qiao import app
    from qiao.config import ConfigError, Settings

    try:
        settings = Settings.load(config, overrides)
        return app.serve(settings, lambda started: print(banner(started, settings), flush=True))
    except ConfigError as error:
        raise Trouble(say("config.wrong", why=told(error)), 2) from None
    except OSError as error:
        raise Trouble(say("serve.not_started", why=error.strerror or error)) from error


def banner(started: Started, settings: Settings) -> str:
    """What is running, what answers, what to paste, and what to try next."""
    root = started.url.rstrip("/")
    answering = "; ".join(_engine(name, settings, started) for name in started.engines)
    keys = say("serve.keys", count=started.keys) if started.keys else say("serve.no_keys")
    where = "" if settings.port == 8000 and "127.0.0.1" in root else f" --url {root}"
    rows = [
        (say("serve.answers"), answering),
        *([(say("serve.further"), ", ".join(map(text.clean, started.further)))] if started.further else []),
        ("OpenAI base_url:", f"{root}/compatible-mode/v1"),
        ("DashScope:", f"{root}/api/v1"),
        (say("serve.key"), keys),
    ]
    lines = [f"  {name}{' ' * (18 - help_page.cells(name))}{value}" for name, value in rows]
    trial = say("serve.next", command=f'qiao ask{where} "{say("serve.question")}"')
    return "\n".join([say("serve.listening", url=root), "", *lines, "", trial, say("serve.stop")])


def _engine(name: str, settings: Settings, started: Started) -> str:
    """One engine, said plainly."""
    row = next((row for row in settings.engines if row.name == name), None)
    kind = row.kind if row else name
    if kind == "cloud":
        return say("serve.cloud", region=_region(row, settings))
    if kind == "local":
        return model(started.models[name])
    if kind == "simulator":
        return say("notice.simulator")
    return say("serve.http", name=name, url=(row and row.url) or settings.engine_url)


def model(choice: Choice) -> str:
    """The model that answers on this machine, and why it does."""
    return text.clean(_model(choice))


def _model(choice: Choice) -> str:
    found, weights = choice.found, choice.weights
    free = f"{choice.free / 2**30:.1f}"
    if found is None:
        large = choice.too_large
        size = large and f"{large.size / 2**30:.1f}"
        why = say("serve.too_large", name=large.name, size=size, free=free) if large else ""
        return say("notice.demo") + why
    if weights is None:
        return say("serve.local", name=found.path.name if found.store == "path" else f"{found.name}, {found.store}")
    return say(
        "serve.chosen",
        name=weights.name,
        store=found.store,
        size=f"{weights.size / 2**30:.1f}",
        context=f"{choice.context:,}",
        free=free,
    )


def _region(row: Any, settings: Settings) -> str:
    from qiao.engines import regions

    if (root := (row and row.url) or (None if row and row.region else settings.cloud_url)) is not None:
        return root
    region = regions.find((row and row.region) or settings.region)
    return region.label_zh if text.language() == "zh" else region.label_en
