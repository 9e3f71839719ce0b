"""Where a command's questions go: an address, and the key that may be shown to it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from qiao.cli.options import Where
from qiao.cli.text import say
from qiao.cli.trouble import Trouble
from qiao.engines import regions

DOOR = "/compatible-mode/v1"
_DOORS = (DOOR, "/api/v1")


@dataclass(frozen=True, slots=True)
class Place:
    """An OpenAI-compatible address without a slash at its end (`http://127.0.0.1:8000/compatible-mode/v1`)."""

    base: str
    kind: Literal["qiao", "cloud", "other"]
    key: str | None = field(default=None, repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.base).netloc


def home() -> Path:
    """The folder for all state (QIAO_HOME)."""
    return Path(os.environ.get("QIAO_HOME") or "~/.qiao").expanduser().absolute()


def find(where: Where) -> Place:
    """The place by --url, --region, QIAO_URL, a Qiao that runs here, or the cloud if there is a key; else Trouble."""
    if where.url:
        return _at(where.url, where)
    if where.region is None:
        if url := os.environ.get("QIAO_URL"):
            return _at(url, where)
        if (here := running()) is not None:
            return Place(here + DOOR, "qiao", where.key or _client_key(here))
    if where.key or cloud_key():
        return Place(cloud_root(where.region) + DOOR, "cloud", where.key or cloud_key())
    raise Trouble(say("place.no_key" if where.region else "place.nothing"))


def server(url: str | None) -> str:
    """The root address of a Qiao: the given one, QIAO_URL, or the one that runs here; else Trouble."""
    found = url or os.environ.get("QIAO_URL") or running()
    if found is None or is_cloud(found):
        raise Trouble(say("place.no_server"))
    return _at(found, Where()).base.removesuffix(DOOR)


def running() -> str | None:
    """The address of a Qiao on this machine (QIAO_PORT, else 8000), or None."""
    from qiao.cli.remote import is_qiao

    root = f"http://127.0.0.1:{os.environ.get('QIAO_PORT') or 8000}"
    return root if is_qiao(root) else None


def cloud_key() -> str | None:
    """The cloud's key in the environment."""
    return os.environ.get("DASHSCOPE_API_KEY", "").strip() or None


def cloud_root(region: str | None = None) -> str:
    """The cloud's root address: of the region asked, else QIAO_CLOUD_URL, else QIAO_REGION's."""
    own = os.environ.get("QIAO_CLOUD_URL")
    if own and region is None:
        return own.rstrip("/")
    try:
        found = regions.find(region or os.environ.get("QIAO_REGION") or "cn-beijing")
        return found.root(os.environ.get("QIAO_WORKSPACE") or None)
    except ValueError as error:
        raise Trouble(say("place.region", names=", ".join(regions.REGIONS), error=error), 2) from None


def is_cloud(url: str) -> bool:
    """Whether the cloud's key may be sent there: the cloud's own hosts over TLS, or the configured cloud address."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    own = os.environ.get("QIAO_CLOUD_URL")
    if own and urlsplit(own)[:2] == parts[:2]:
        return True
    return parts.scheme == "https" and (
        any(region.host == host for region in regions.REGIONS.values()) or host.endswith(".maas.aliyuncs.com")
    )


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _at(url: str, where: Where) -> Place:
    if "://" not in url:
        url = f"http://{url}"
    parts = urlsplit(url.rstrip("/"))
    try:
        usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or True)
    except ValueError:
        usable = False
    if not usable:
        raise Trouble(say("place.url", url=url), 2)
    base = f"{parts.scheme}://{parts.netloc}{parts.path}"
    if parts.path in {"", *_DOORS}:
        base = f"{parts.scheme}://{parts.netloc}{DOOR}"
    if is_cloud(url):
        return Place(base, "cloud", where.key or cloud_key())
    return Place(base, "other", where.key or _client_key(url))


def _client_key(url: str) -> str | None:
    """The key that a client shows to Qiao; the server's own list is for this machine only."""
    key = os.environ.get("QIAO_KEY")
    if not key and is_loopback(url):
        key = next((key.strip() for key in os.environ.get("QIAO_KEYS", "").split(",") if key.strip()), None)
    return key or None
