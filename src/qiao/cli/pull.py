"""`qiao pull`: fetch a model from a hub into Qiao's own store."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from qiao.cli import remote, screen, text
from qiao.cli.options import Pull
from qiao.cli.text import clean, say, told
from qiao.cli.trouble import Trouble
from qiao.config import ConfigError, Settings
from qiao.weights import download, header, memory, pulling, store
from qiao.weights.header import BadWeights
from qiao.weights.hub import Hub, NotPulled, Remote


def run(options: Pull) -> int:
    """Fetch what the name means; what a broken try has left is gone on with."""
    try:
        own = Settings.load().places().own
    except ConfigError as error:
        raise Trouble(say("config.wrong", why=told(error)), 2) from None
    try:
        wanted = pulling.wanted(options.name)
        hub = _hub(options.source or ("modelscope" if text.language() == "zh" else "huggingface"))
        free = memory.available() - memory.OVERHEAD
        plan = pulling.plan(hub.files(wanted.repository), wanted.quantisation, wanted.repository, free)
        if plan.instead_of:
            print(say("pull.smaller", wanted=plan.instead_of.upper(), taken=plan.quantisation.upper()))
        elif plan.size > free:
            print(say("pull.too_large", size=_gib(plan.size), free=_gib(free)))
        first = _fetch(hub, plan, own / wanted.repository, own)
        header.read(first)
    except (NotPulled, BadWeights) as error:
        raise Trouble(told(error)) from None
    except OSError as error:
        raise Trouble(say("models.not_written", why=error)) from None
    except KeyboardInterrupt:
        text.complain(say("pull.stopped", name=options.name))
        raise
    print(say("pull.done", path=first, name=options.name))
    return 0


def _hub(kind: str) -> Hub:
    """The hub's address and token by the variables that its own programs read."""
    if kind == "huggingface":
        root, token = os.environ.get("HF_ENDPOINT") or "https://huggingface.co", os.environ.get("HF_TOKEN")
    else:
        root = os.environ.get("MODELSCOPE_DOMAIN") or "www.modelscope.cn"
        token = os.environ.get("MODELSCOPE_API_TOKEN")
    root = root if "://" in root else f"https://{root}"
    return Hub(kind, root.rstrip("/"), (token or "").strip(), remote.trust())


def _fetch(hub: Hub, plan: pulling.Plan, folder: Path, own: Path) -> Path:
    """Every file of the plan; the first one's place."""
    left = [file for file in plan.files if not _is_there(folder / file.name, file)]
    folder.mkdir(parents=True, exist_ok=True)
    download.room(folder, sum(file.size - _begun(folder / file.name) for file in left))
    names = ", ".join(file.name for file in plan.files)
    print(clean(say("pull.plan", root=hub.root, names=names, size=_gib(plan.size))))
    # The model's first file comes last: it is found when all others are there.
    for file in reversed(left):
        with _progress(file) as progress:
            download.fetch(hub, file, folder / file.name, progress)
        if file.digest:
            store.remember(own, {file.digest: folder / file.name})
    return folder / plan.files[0].name


@contextmanager
def _progress(file: Remote) -> Generator[Callable[[int], None]]:
    """What is told the bytes that are there; a bar on a terminal, nothing in a pipe."""
    console = screen.console()
    if console is None:
        yield lambda _: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
        task = bars.add_task(clean(file.name), total=file.size)
        yield lambda done: bars.update(task, completed=done)


def _is_there(path: Path, file: Remote) -> bool:
    return path.is_file() and path.stat().st_size == file.size


def _begun(path: Path) -> int:
    """The bytes that a broken try has left."""
    part = path.with_name(path.name + ".part")
    return part.stat().st_size if part.is_file() else 0


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
