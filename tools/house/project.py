"""The house rules about the project as a whole: each function returns what is wrong with what it is given."""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Iterable
from pathlib import Path

from uv import find_uv_bin

MOST_LINES_OF_ARCHITECTURE = 150

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) ", re.MULTILINE)
_PATH = re.compile(r"`([\w.-]+/[\w./-]*|[\w.-]+\.(?:py|toml|md|lock|sh))`")
_MEDIA_TYPE = re.compile(r"(text|application|image|audio|video|multipart)/")
_SETTING = re.compile(r"\bQIAO_[A-Z][A-Z0-9_]*[A-Z0-9]\b")
# Written so that this line does not find itself.
_PLACES = re.compile(
    r"(?<![\w.~}/#-])/(?:roo[t]|hom[e]|User[s]|wor[k]|mn[t])/\w[\w./-]*|pythonhoste[d]\.org|registry\.npmj[s]\.org"
)


def files(root: Path) -> list[Path]:
    """What git tracks, or would track, that is there."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
    return [path for name in sorted(set(names)) if name and (path := root / name).is_file()]


def lock_faults(root: Path) -> list[str]:
    """Whether uv.lock still says what pyproject.toml asks for."""
    check = [find_uv_bin(), "lock", "--check", "--offline", "--no-python-downloads"]
    done = subprocess.run(check, cwd=root, check=False, capture_output=True, text=True)
    return [] if done.returncode == 0 else [f"uv.lock: {done.stderr.strip()}"]


def translation_faults(one: str, other: str) -> list[str]:
    """Whether two languages of a page have the same headings, by level."""
    ours, theirs = _levels(one), _levels(other)
    return [] if ours == theirs else [f"the headings differ: levels {ours} and {theirs}"]


def architecture_faults(root: Path, text: str) -> list[str]:
    """Whether the page is short, and every path that it names is there, from the root or from src/qiao."""
    lines = len(text.splitlines())
    wrong = [f"{lines} lines, {MOST_LINES_OF_ARCHITECTURE} at most"] if lines > MOST_LINES_OF_ARCHITECTURE else []
    for path in dict.fromkeys(_PATH.findall(text)):
        if not _MEDIA_TYPE.match(path) and not any((base / path).exists() for base in (root, root / "src" / "qiao")):
            wrong.append(f"{path} does not exist")
    return wrong


def changelog_faults(text: str) -> list[str]:
    """Whether there is a place for what is not released yet."""
    return [] if re.search(r"^## \[?Unreleased\]?", text, re.MULTILINE) else ["there is no section Unreleased"]


def undocumented(settings: Iterable[str], page: str) -> list[str]:
    """The settings that the page does not name."""
    named = set(_SETTING.findall(page))
    return [setting for setting in settings if setting not in named]


def unknown_settings(settings: Iterable[str], text: str) -> list[str]:
    """Names in the text that look like settings and are none."""
    return sorted(set(_SETTING.findall(text)) - set(settings))


def place_faults(text: str) -> list[str]:
    """Folders of one machine and hosts of packages, which nobody else has."""
    return [
        f"{number}: {found[0]}" for number, line in enumerate(text.splitlines(), 1) for found in _PLACES.finditer(line)
    ]


def wheel_faults(wheel: Path, package: Path) -> list[str]:
    """Whether the wheel holds the files of the package, its licence, its notice and its command, and nothing else."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    about = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
    entries = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE", "licenses/NOTICE")
    wanted = {f"{about}/{entry}" for entry in entries}
    wanted |= {
        path.relative_to(package.parent).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return [f"{name} is missing" for name in sorted(wanted - names)] + [
        f"{name} does not belong there" for name in sorted(names - wanted)
    ]


def _levels(page: str) -> list[int]:
    return [len(marks) for marks in _HEADING.findall(_FENCE.sub("", page))]
