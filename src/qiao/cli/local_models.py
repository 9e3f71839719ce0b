"""`qiao models --local`, `import` and `remove`: the models that lie on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qiao.cli.options import Models
from qiao.cli.text import clean, say, told
from qiao.cli.trouble import Trouble
from qiao.config import ConfigError, Settings
from qiao.weights import choosing, finding, memory, naming, store
from qiao.weights.header import BadWeights, Weights
from qiao.weights.places import Places
from qiao.weights.stores import Found

_CONTEXTS = (4096, 8192, 32_768)  # tokens at which the memory is told, beside the model's own


def run(options: Models) -> int:
    """List the models here, or do what the words say."""
    try:
        own = Settings.load().places()
    except ConfigError as error:
        raise Trouble(say("config.wrong", why=told(error)), 2) from None
    match options.words:
        case ["import", file, *files]:
            return _import([file, *files], own)
        case ["remove", name]:
            return _remove(name, own)
        case []:
            return _list(own, as_json=options.json)
        case _:
            raise Trouble(say("models.words_wrong"), 2)


def _import(files: list[str], places: Places) -> int:
    for file in files:
        try:
            placed = store.bring(Path(file).expanduser(), places.own)
        except BadWeights as error:
            raise Trouble(told(error)) from None
        except OSError as error:
            raise Trouble(say("models.not_written", why=error)) from None
        print(say("models.imported", path=placed, name=naming.parse(placed.name).model))
    return 0


def _remove(name: str, places: Places) -> int:
    try:
        gone = store.remove(finding.resolve(name, places).path, places.own)
    except BadWeights as error:
        raise Trouble(told(error)) from None
    except OSError as error:
        raise Trouble(say("models.not_removed", why=error)) from None
    for file in gone:
        print(say("models.removed", path=file))
    return 0


def _list(places: Places, *, as_json: bool) -> int:
    free = memory.available()
    default = choosing.choose(places, free).found
    rows: list[dict[str, Any]] = []
    for found, weights in choosing.models(places):
        rows.append(_row(found, weights, free) | {"default": found == default})
    if as_json:
        print(json.dumps({"free": free, "models": rows}, ensure_ascii=False, indent=2))
        return 0
    if not rows:
        print(say("models.none_here"))
    for row in rows:
        _print(row)
    print(say("models.free", free=_gib(free)))
    return 0


def _row(found: Found, glance: Weights, free: int) -> dict[str, Any]:
    """The facts of a model. Sizes in bytes, contexts in tokens."""
    try:
        weights, problem = finding.read(found), ""
    except BadWeights as error:
        weights, problem = glance, told(error)
    contexts = sorted({min(tokens, weights.context) for tokens in (*_CONTEXTS, weights.context)})
    context = choosing.context_for(weights, free)
    return {
        "name": found.name,
        "store": found.store,
        "path": str(found.path),
        "architecture": weights.architecture,
        "role": weights.role,
        "parameters": weights.parameters,
        "quantisation": weights.quantisation or naming.quantisation(found.path),
        "size": weights.size,
        "context": weights.context,
        "memory": {
            str(tokens): memory.needed(weights, context=tokens, parallel=choosing.PARALLEL) for tokens in contexts
        },
        "fits": context is not None,
        "sees": weights.projector is not None,
        "problem": problem,
    }


def _print(row: dict[str, Any]) -> None:
    facts = [
        row["architecture"],
        _count(row["parameters"]),
        row["quantisation"],
        say("models.size", gib=_gib(row["size"])),
        say("models.window", context=f"{row['context']:,}"),
        "" if row["role"] == "chat" else say(f"models.{row['role']}"),
        say("models.sees") if row["sees"] else "",
    ]
    needs = ", ".join(f"{int(tokens):,}: {_gib(size)}" for tokens, size in row["memory"].items())
    fits = say("models.default" if row["default"] else "models.fits" if row["fits"] else "models.fits_not")
    lines = [
        f"{row['name']}  ({row['store']})  {fits}",
        f"  {', '.join(filter(None, facts))}",
        f"  {say('models.memory', needs=needs)}",
        f"  {row['path']}",
        f"  {row['problem']}" if row["problem"] else "",
    ]
    print(clean("\n".join(filter(None, lines))))


def _count(parameters: int) -> str:
    return f"{parameters / 10**9:.1f}B" if parameters >= 10**9 else f"{parameters / 10**6:.1f}M" if parameters else ""


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
