"""Fetch one file of a hub: on from where a try before ended, checked by size and SHA-256, in place only when whole."""

from __future__ import annotations

import hashlib
import http.client
import importlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from qiao.weights.hub import Hub, NotPulled, Remote, unreachable

SPARE = 64 * 2**20  # bytes of the disk that are left free
TRIES = 5  # without a byte between them
_PIECE = 2**20
Progress = Callable[[int], None]  # told the bytes that are there


def fetch(hub: Hub, remote: Remote, target: Path, progress: Progress, pause: float = 1.0) -> None:
    """Put a file in its place; NotPulled when that fails, with what has come kept in `<target>.part`.

    `pause` is in seconds, before the second try; it doubles.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as file:
            _lock(file, part)
            if file.tell() > remote.size:
                _empty(file)
            room(target.parent, remote.size - file.tell())
            _fill(hub, remote, file, progress, pause)
            file.flush()
            os.fsync(file.fileno())
            _check(remote, part, file)
        part.replace(target)
    except OSError as error:
        raise _not_written(part, error) from error


def room(folder: Path, size: int) -> None:
    """NotPulled when a disk has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if size + SPARE > free:
        raise NotPulled(
            f"{folder} has {free / 2**30:.1f} GiB free and {size / 2**30:.1f} GiB are needed: make room, or set "
            "QIAO_HOME to another disk.",
            f"{folder} 剩余 {free / 2**30:.1f} GiB，需要 {size / 2**30:.1f} GiB：请腾出空间，"
            "或把 QIAO_HOME 设到另一块磁盘。",
        )


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fill(hub: Hub, remote: Remote, file: IO[bytes], progress: Progress, pause: float) -> None:
    """Read until all is there; every break is another try, as long as tries bring something."""
    left = TRIES
    while (begin := file.seek(0, os.SEEK_END)) < remote.size:
        progress(begin)
        why: BaseException | None = None
        try:
            _read(hub, remote, file, progress)
        except _NetworkError as error:
            why = error.__cause__
        if file.seek(0, os.SEEK_END) > begin:
            left = TRIES
        elif (left := left - 1) == 0:
            raise why if isinstance(why, NotPulled) else unreachable(remote.url, why or ConnectionError("no answer"))
        else:
            time.sleep(pause * 2 ** (TRIES - left - 1))
    progress(remote.size)


class _NetworkError(Exception):
    """The network's fault, not the disk's."""


def _read(hub: Hub, remote: Remote, file: IO[bytes], progress: Progress) -> None:
    """One answer, to its end or its break."""
    begin = file.tell()
    try:
        answer = hub.open(remote.url, begin)
    except NotPulled as error:
        if error.status not in {408, 416, 429, 500, 502, 503, 504}:
            raise
        if error.status == 416:
            _empty(file)
        raise _NetworkError from error
    except OSError as error:
        raise _NetworkError from error
    with answer:
        ranged = answer.status == 206 and answer.headers.get("content-range", "").startswith(f"bytes {begin}-")
        if begin and not ranged:
            _empty(file)  # a server that knows no ranges begins again
        while True:
            try:
                piece = answer.read(_PIECE)
            except (OSError, http.client.HTTPException) as error:
                raise _NetworkError from error
            if not piece:
                return
            file.write(piece)
            progress(file.tell())
            if file.tell() > remote.size:
                return


def _check(remote: Remote, part: Path, file: IO[bytes]) -> None:
    """What came must be what the hub lists; else it is thrown away."""
    whole = file.tell() == remote.size and (not remote.digest or digest_of(part) == remote.digest)
    if not whole:
        _empty(file)
        raise NotPulled(
            f"{remote.name} did not arrive as the hub has it (SHA-256 or size): run the command again.",
            f"{remote.name} 与社区上的不一致（SHA-256 或大小）：请重新运行命令。",
        )


def _empty(file: IO[bytes]) -> None:
    file.truncate(0)
    file.seek(0)


def _lock(file: IO[bytes], part: Path) -> None:
    """One process at a time; the system lets go of the lock when the process ends, however it ends."""
    try:
        if sys.platform == "win32":
            locks = importlib.import_module("msvcrt")
            file.seek(2**62)
            locks.locking(file.fileno(), locks.LK_NBLCK, 1)
            file.seek(0, os.SEEK_END)
        else:
            locks = importlib.import_module("fcntl")
            locks.flock(file, locks.LOCK_EX | locks.LOCK_NB)
    except OSError as error:
        raise NotPulled(
            f"{part.name} is being fetched by another process: wait for it.",
            f"另一个进程正在下载 {part.name}：请等它完成。",
        ) from error


def _not_written(part: Path, error: OSError) -> NotPulled:
    why = error.strerror or error
    return NotPulled(
        f"{part} cannot be written ({why}): make room or set QIAO_HOME to another folder, and run the command again.",
        f"{part} 无法写入（{why}）：请腾出空间或把 QIAO_HOME 设到别处，再运行一次命令。",
    )
