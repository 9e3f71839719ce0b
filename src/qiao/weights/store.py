"""Qiao's own store: `<home>/models/<owner>/<repository>/` with a model's files, and `index.json` with their digests."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, cast

from qiao.weights import header
from qiao.weights.download import digest_of
from qiao.weights.header import BadWeights

INDEX = "index.json"
IMPORTED = "imported"  # the owner of files that were given by hand
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


def bring(path: Path, own: Path) -> Path:
    """Put a model's files into the store, by a link where the disk is the same; the first file's place there.

    BadWeights for what is no model. A file whose content the store has already stays where it is.
    """
    weights = header.read(path)
    digests = read_index(own)
    digest = digest_of(weights.path)
    if (known := own / digests.get(digest, "")).is_file():
        return known
    folder = own / IMPORTED / _SHARD.sub("", weights.path.stem)
    folder.mkdir(parents=True, exist_ok=True)
    for file in (*weights.files, *filter(None, [weights.projector])):
        _place(file, folder / file.name)
    remember(own, {digest: folder / weights.path.name})
    return folder / weights.path.name


def remove(path: Path, own: Path) -> list[Path]:
    """Delete a model's files from the store; the projector with the last model beside it. BadWeights for others' files.

    What was linked from elsewhere stays there.
    """
    path = Path(os.path.normpath(path.absolute()))
    if not path.is_relative_to(own):
        raise BadWeights(
            f"{path} does not lie in Qiao's own store ({own}): delete it with the program that put it there.",
            f"{path} 不在 Qiao 自己的目录（{own}）里：请用放置它的程序删除。",
        )
    gone = [file for file in header.shards_named(path) or (path,) if file.exists()]
    others = [file for file in path.parent.glob("*.gguf") if file not in gone and not file.name.startswith("mmproj")]
    if not others:
        gone += sorted(path.parent.glob("mmproj*.gguf"))
    for file in gone:
        file.unlink()
    kept = {digest: own / name for digest, name in read_index(own).items() if own / name not in gone}
    _write_index(own, kept)
    for folder in (path.parent, path.parent.parent):
        with contextlib.suppress(OSError):  # it holds other things
            folder.rmdir()
    return gone


def remember(own: Path, digests: dict[str, Path]) -> None:
    """Note the digests of files in the store."""
    before = {digest: own / name for digest, name in read_index(own).items()}
    _write_index(own, {digest: path for digest, path in before.items() if path not in digests.values()} | digests)


def read_index(own: Path) -> dict[str, str]:
    """Digest and place of each file that the index has; nothing for an index that cannot be read."""
    try:
        found: Any = json.loads((own / INDEX).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    rows = cast(dict[str, Any], found) if isinstance(found, dict) else {}
    return {digest: name for digest, name in rows.items() if isinstance(name, str) and name}


def _write_index(own: Path, digests: dict[str, Path]) -> None:
    rows = {digest: path.relative_to(own).as_posix() for digest, path in sorted(digests.items())}
    draft = own / f"{INDEX}.{os.getpid()}"
    draft.write_text(json.dumps(rows, indent=1), "utf-8")
    draft.replace(own / INDEX)


def _place(source: Path, target: Path) -> None:
    """A hard link, or a copy where that cannot be; in place only when whole."""
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        try:
            os.link(source.resolve(), draft)
        except OSError:
            shutil.copyfile(source, draft)
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BadWeights(
            f"{target} cannot be written: {error.strerror}.", f"{target} 无法写入：{error.strerror}。"
        ) from error
