"""The cloud: Model Studio by region. Both protocols are relayed as they are, under the cloud's own key."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import msgspec

from qiao.engines.client import Client, Upstream, Url, drained
from qiao.engines.connection import Limits, Response
from qiao.engines.engine import Health, Reply, Traits
from qiao.engines.regions import REGIONS, Region
from qiao.errors import KeyRefused, QiaoError
from qiao.wire import dashscope, openai
from qiao.wire.call import TASKS, Call, Protocol, Task
from qiao.wire.document import UNREADABLE

# Request headers of the native protocol and its SDKs that are part of the API (reference §1.4).
FORWARDED = frozenset(
    {
        "accept",
        "content-type",
        "x-dashscope-sse",
        "x-dashscope-async",
        "x-dashscope-workspace",
        "x-dashscope-datainspection",
        "x-dashscope-ossresourceresolve",
        "x-dashscope-plugin",
        "x-dashscope-encryptionkey",
        "x-dashscope-session-cache",
        "x-dashscope-sdk-client",
        "x-dashscope-sdk-session-id",
        "anthropic-version",
        "anthropic-beta",
        "range",
        "user-agent",
    }
)
PROBE = Limits(head=3.0, idle=3.0, total=4.0)
_NATIVE = {
    "text": "/api/v1/services/aigc/text-generation/generation",
    "multimodal": "/api/v1/services/aigc/multimodal-generation/generation",
}
_PATHS: dict[tuple[Protocol, Task], str] = {
    ("openai", "chat"): "/compatible-mode/v1/chat/completions",
    ("openai", "embedding"): "/compatible-mode/v1/embeddings",
    ("openai", "rerank"): "/compatible-api/v1/reranks",
    ("dashscope", "embedding"): "/api/v1/services/embeddings/text-embedding/text-embedding",
    ("dashscope", "rerank"): "/api/v1/services/rerank/text-rerank/text-rerank",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of the cloud it is: a region, or an address of the operator's own (`region` None)."""

    region: Region | None
    workspace: str | None = None

    @property
    def said(self) -> str:
        """How a message to a caller names it; an operator's own address stays out of it."""
        return f"region {self.region.name}" if self.region else "the configured cloud address"


class Cloud:
    """Model Studio in one region (Engine)."""

    def __init__(
        self, name: str, upstream: Upstream, place: Place, client: Client, *, known: Callable[[str], bool]
    ) -> None:
        self.name = name
        self._upstream = upstream
        self._place = place
        self._client = client
        self._known = known
        self._elsewhere: str | None = None  # the region where the key works, once looked up
        self._looked = False
        self.traits = Traits(
            protocols=frozenset({"openai", "dashscope"}), checks="none", any_model=True, tasks=frozenset(TASKS)
        )

    async def open(self, call: Call) -> Reply:
        """The call on its own protocol's path."""
        path = _PATHS.get((call.protocol, call.task)) or _NATIVE[call.path or "text"]
        headers = {"content-type": "application/json"} | dict(call.headers)
        response = await self.forward("POST", path, headers, call.document.encode())
        if response.status in {401, 403, 404}:
            return await self._explained(call, response)
        return Reply(response.status, response.headers, response.chunks(), response.close)

    async def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | AsyncIterator[bytes] = b""
    ) -> Response:
        """One request to a path under the root, with the allow-listed headers and the cloud's key."""
        sent = [(name, value) for name, value in headers.items() if name in FORWARDED or name == "content-length"]
        if isinstance(body, bytes):
            sent = [(name, value) for name, value in sent if name != "content-length"]
        sent += self._upstream.headers
        if self._place.workspace and "x-dashscope-workspace" not in headers:
            sent.append(("x-dashscope-workspace", self._place.workspace))
        url = self._upstream.url.under(path)
        return await self._client.open(url, method, sent, body, limits=self._upstream.limits)

    async def models(self) -> list[str]:
        """The names that the region lists for this key; empty when it does not answer."""
        with contextlib.suppress(QiaoError, *UNREADABLE):
            response = await self.forward("GET", "/compatible-mode/v1/models", {})
            body = await drained(response, 4 * 2**20)
            if response.status == 200:
                return [row.id for row in msgspec.json.decode(body, type=_Listing).data]
        return []

    async def health(self) -> Health:
        """Whether the region accepts the key; never a completion."""
        try:
            status = await self._status(self._upstream.url)
        except QiaoError:
            return Health(False, f"{self.name}: the cloud cannot be reached")
        return Health(status != 401, f"{self.name}: the cloud refused the key")

    async def close(self) -> None:
        """Nothing of its own: the client is shared."""

    async def _explained(self, call: Call, response: Response) -> Reply:
        """A refusal, with what the region has to do with it said in the message where it may have to."""
        body = self._upstream.masked(await drained(response))
        module = openai if call.protocol == "openai" else dashscope
        error = module.classify(response.status, response.headers, body, 0.0)
        if isinstance(error, KeyRefused):
            said = error.message or "Incorrect API key provided."
            raise KeyRefused(f"{said} [Qiao: {await self._key_hint()}]", status=response.status)
        if response.status == 404 and self._known(call.model.partition("!")[0]):
            hint = f"[Qiao: {self._place.said} does not offer {call.model} to this key; models differ by region.]"
            body = body.replace(_escaped(error.message), _escaped(f"{error.message} {hint}"), 1)
        return Reply.whole(response.status, response.content_type, body)

    async def _key_hint(self) -> str:
        """Tell a wrong region from a wrong key: ask the other regions once, if this is one of the cloud's own."""
        if self._place.region is None:
            return f"{self._place.said} refused the cloud key; keys are valid in one region only"
        if not self._looked:
            self._looked = True
            for region in REGIONS.values():
                if region.host is not None and region is not self._place.region:
                    with contextlib.suppress(QiaoError):
                        if await self._status(Url.parse(region.root())) != 401:
                            self._elsewhere = region.name
                            break
        if self._elsewhere:
            return f"the key is of another region: it works in {self._elsewhere}, set QIAO_REGION={self._elsewhere}"
        return f"{self._place.said} refused the cloud key, and so do the other regions: check DASHSCOPE_API_KEY"

    async def _status(self, root: Url) -> int:
        url = root.under("/compatible-mode/v1/models")
        response = await self._client.open(url, "GET", self._upstream.headers, limits=PROBE)
        response.close()
        return response.status


class _Row(msgspec.Struct):
    id: str


class _Listing(msgspec.Struct):
    data: list[_Row] = []


def _escaped(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]
