"""What a hub holds: the GGUF files of a repository with their sizes and digests, from Hugging Face or ModelScope.

Sources: huggingface.co/docs/hub/api (`/api/models/<repository>/tree/main`, pages by the Link header, `lfs.oid`);
modelscope's `hub/api.py` (`/api/v1/models/<repository>/repo/files`, `Sha256`) and `file_download.py`.
"""

from __future__ import annotations

import http.client
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any, cast
from urllib.parse import quote, urljoin, urlsplit

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
WAIT = 30.0  # seconds without a byte
_LISTING = 16 * 2**20  # bytes of a page of a listing
_PAGES = 100
_NAME = re.compile(r"\w[^\\/:\x00-\x1f]*\.gguf", re.IGNORECASE)  # what can be a file's name everywhere
_NEXT = re.compile(r'<([^>]+)>;\s*rel="next"')


class NotPulled(Exception):
    """What could not be fetched and what to do, in one sentence each, in English and in Chinese."""

    def __init__(self, message: str, chinese: str, status: int = 0) -> None:
        super().__init__(message)
        self.chinese = chinese
        self.status = status  # of the answer; 0 without one


@dataclass(frozen=True, slots=True)
class Remote:
    """A file of a repository. `digest` is its SHA-256, empty where the hub does not tell."""

    name: str
    size: int  # bytes
    digest: str
    url: str


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub, its root address and what is shown to it."""

    kind: str  # huggingface or modelscope
    root: str
    token: str = field(default="", repr=False)
    trust: ssl.SSLContext | None = None

    def files(self, repository: str) -> list[Remote]:
        """The GGUF files of a repository; NotPulled when it cannot be listed."""
        listed = self._hugging_face(repository) if self.kind == "huggingface" else self._modelscope(repository)
        try:
            return [remote for remote in listed if _NAME.fullmatch(remote.name)]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise NotPulled(
                f"{self.root} sent no list of files: is it the address of a hub?",
                f"{self.root} 没有返回文件列表：它是模型社区的地址吗？",
            ) from error

    def open(self, url: str, begin: int = 0) -> http.client.HTTPResponse:
        """Ask for a file from a byte on; NotPulled for a refusal, OSError for a connection that broke."""
        if urlsplit(url).scheme not in {"http", "https"}:
            raise NotPulled(f"{url} is not an address like https://huggingface.co.", f"{url} 不是网址。")
        plain = {"user-agent": "qiao", "accept-encoding": "identity"}
        request = urllib.request.Request(url, headers=plain)  # noqa: S310 - the scheme was checked
        if begin:
            request.add_header("range", f"bytes={begin}-")
        if self.token:
            request.add_unredirected_header("authorization", f"Bearer {self.token}")
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=self.trust), _Redirects())
        try:
            return opener.open(request, timeout=WAIT)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error.code, url) from error
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error

    def _hugging_face(self, repository: str) -> Iterator[Remote]:
        url: str | None = f"{self.root}/api/models/{repository}/tree/main?recursive=true"
        for _ in range(_PAGES):
            if url is None:
                return
            rows, link = self._json(url)
            for row in rows:
                if row["type"] == "file":
                    large: dict[str, Any] = row.get("lfs") or {}
                    address = f"{self.root}/{repository}/resolve/main/{quote(row['path'])}"
                    yield Remote(_name(row["path"]), int(row["size"]), _digest(large.get("oid")), address)
            match = _NEXT.search(link)
            url = urljoin(url, match[1]) if match else None
            if url and urlsplit(url).netloc != urlsplit(self.root).netloc:
                raise ValueError("the next page lies elsewhere")

    def _modelscope(self, repository: str) -> Iterator[Remote]:
        base = f"{self.root}/api/v1/models/{repository}/repo"
        found, _ = self._json(f"{base}/files?Revision=master&Recursive=true")
        if found["Data"] is None:  # some refusals come with a status of 200
            raise self._refused(404, self.root)
        for row in found["Data"]["Files"]:
            if row["Type"] != "tree":
                address = f"{base}?Revision=master&FilePath={quote(row['Path'], safe='')}"
                yield Remote(_name(row["Path"]), int(row["Size"]), _digest(row.get("Sha256")), address)

    def _json(self, url: str) -> tuple[Any, str]:
        """A page of a listing and its Link header."""
        try:
            with self.open(url) as answer:
                return json.loads(answer.read(_LISTING)), answer.headers.get("link", "")
        except (OSError, http.client.HTTPException) as error:
            raise unreachable(self.root, error) from error

    def _refused(self, status: int, url: str) -> NotPulled:
        host = urlsplit(url).netloc
        variable = "HF_TOKEN" if self.kind == "huggingface" else "MODELSCOPE_API_TOKEN"
        if status in {401, 403}:
            return NotPulled(
                f"{host} does not give this to everybody ({status}): check the name, accept the model's terms there, "
                f"and set {variable}.",
                f"{host} 不向所有人提供它（{status}）：请核对名称，在网站上同意模型的条款，并设置 {variable}。",
                status,
            )
        if status == 404:
            return NotPulled(
                f"{host} has no such repository or file (404): check the name, or try --from the other hub.",
                f"{host} 上没有这个仓库或文件（404）：请核对名称，或用 --from 换一个社区。",
                status,
            )
        return NotPulled(
            f"{host} answered {status}: try again later, or --from the other hub.",
            f"{host} 返回 {status}：请稍后再试，或用 --from 换一个社区。",
            status,
        )


def unreachable(root: str, error: BaseException) -> NotPulled:
    """A hub that gives no answer."""
    reason = getattr(error, "reason", error)
    why = getattr(reason, "strerror", None) or reason
    host = urlsplit(root).netloc or root
    return NotPulled(
        f"No connection to {host} ({why}): check the network and proxy, or try --from the other hub. "
        "Without a network: fetch the file on another machine and run `qiao models import FILE`.",
        f"连接不上 {host}（{why}）：请检查网络和代理，或用 --from 换一个社区。"
        "没有网络时，可在另一台机器上下载文件，再运行 `qiao models import 文件`。",
    )


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to a host for content, which is not shown the token; never from TLS to plain text."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        here, there = urlsplit(req.full_url), urlsplit(newurl)
        if there.scheme not in {"https", here.scheme}:
            raise urllib.error.URLError(f"redirected from {here.scheme} to {there.scheme}")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        token = req.unredirected_hdrs.get("Authorization")
        if request is not None and token and here.netloc == there.netloc:
            request.add_unredirected_header("Authorization", token)
        return request


def _name(path: object) -> str:
    """The last part of a path in a repository: files are kept side by side."""
    return PurePosixPath(cast(str, path)).name


def _digest(value: object) -> str:
    text = str(value or "").lower().removeprefix("sha256:")
    return text if re.fullmatch(r"[0-9a-f]{64}", text) else ""
