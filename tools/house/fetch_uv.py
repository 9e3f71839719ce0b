"""Puts the uv that uv.lock names into the environment that runs this file: by pip, or where there is none, alone."""

from __future__ import annotations

import hashlib
import io
import platform
import re
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import zipfile
from importlib import metadata, util
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[2] / "uv.lock"


def locked_uv() -> dict[str, Any]:
    """The entry of uv in uv.lock: `version` and `wheels`, each with `url` and `hash`."""
    lock = tomllib.loads(LOCK.read_text("utf-8"))
    return next(package for package in lock["package"] if package["name"] == "uv")


def find_wheel(wheels: list[dict[str, Any]], system: str, machine: str) -> dict[str, Any]:
    """The wheel whose tags name the system and the processor (`manylinux`, `x86_64`); SystemExit without one."""
    for wheel in wheels:
        if re.search(rf"[-.]{system}_\w+_{machine}\b", wheel["url"]):
            return wheel
    sys.exit(f"qiao: 没有适用于本机的 uv，请先自行安装 pip · there is no uv for {system} {machine}: install pip first")


def this_system() -> str:
    """How the tags of a wheel call the system, and on Linux its C library."""
    if platform.system() != "Linux":
        return {"Darwin": "macosx"}.get(platform.system(), platform.system())
    return "manylinux" if platform.libc_ver()[0] == "glibc" else "musllinux"


def download(wheel: dict[str, Any]) -> zipfile.ZipFile:
    """The wheel's content, checked against its hash in the lock."""
    with urllib.request.urlopen(wheel["url"], timeout=60) as answer:
        content = answer.read()
    if "sha256:" + hashlib.sha256(content).hexdigest() != wheel["hash"]:
        sys.exit(f"qiao: 下载内容与 uv.lock 不符 · the download is not what uv.lock says: {wheel['url']}")
    return zipfile.ZipFile(io.BytesIO(content))


def unpack(archive: zipfile.ZipFile) -> None:
    """Lay the wheel out as pip would: programs among the programs, the package last, because it tells of success."""
    for name in archive.namelist():
        if "/scripts/" in name:
            program = Path(sysconfig.get_path("scripts"), Path(name).name)
            program.write_bytes(archive.read(name))
            program.chmod(0o755)
    archive.extractall(sysconfig.get_path("purelib"), [name for name in archive.namelist() if "/scripts/" not in name])


def installed() -> str | None:
    """The version of the uv that is there and whole, if any."""
    try:
        version = metadata.version("uv")
    except metadata.PackageNotFoundError:
        return None
    return version if Path(sysconfig.get_path("scripts"), "uv").exists() else None


def main() -> None:
    """Install uv unless the right one is there."""
    uv = locked_uv()
    if installed() == uv["version"]:
        return
    if util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--force-reinstall"]
        subprocess.run([*pip, f"uv=={uv['version']}"], check=True)
    else:
        unpack(download(find_wheel(uv["wheels"], this_system(), platform.machine())))


if __name__ == "__main__":
    main()
