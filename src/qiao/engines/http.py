"""Any OpenAI-compatible server by URL. What differs between them is a row of quirks, not code.

Sources: vLLM, SGLang, llama.cpp and LM Studio name themselves in `owned_by` of GET /models; the first three switch
thinking by `chat_template_kwargs.enable_thinking`; newer versions of vLLM spell `reasoning_content` as `reasoning` and
offer `continuous_usage_stats` (vLLM documentation, reasoning outputs). LM Studio has no reranking.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from qiao.engines import vectors
from qiao.engines.client import Client, Upstream, Url, drained
from qiao.engines.connection import Limits, Response
from qiao.engines.engine import Health, Reply, Traits
from qiao.engines.vectors import ALL, LLAMA, Manners
from qiao.errors import QiaoError
from qiao.wire import openai
from qiao.wire.call import TASKS, Call, Task
from qiao.wire.document import UNREADABLE, Document


@dataclass(frozen=True, slots=True)
class Quirks:
    """How one kind of server differs from the reference."""

    template_thinking: bool = False  # enable_thinking travels in chat_template_kwargs
    usage_in_frames: bool = False
    rename: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    tasks: frozenset[Task] = frozenset(TASKS)
    manners: Manners = ALL


_REASONING = {b'"reasoning":': b'"reasoning_content":'}
KINDS: dict[str, Quirks] = {
    "openai": Quirks(),
    "vllm": Quirks(template_thinking=True, usage_in_frames=True, rename=_REASONING, manners=Manners(instructs=False)),
    "sglang": Quirks(template_thinking=True),
    "llama-server": Quirks(template_thinking=True, manners=LLAMA),
    "lmstudio": Quirks(rename=_REASONING, tasks=frozenset({"chat", "embedding"}), manners=LLAMA),
}
OWNERS = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llama-server",
    "organization_owner": "lmstudio",
    "library": "ollama",
}
PROBE = Limits(head=3.0, idle=3.0, total=5.0)


class Http:
    """An engine over HTTP that speaks OpenAI mode (Engine)."""

    def __init__(self, name: str, upstream: Upstream, client: Client, *, kind: str = "openai") -> None:
        self.name = name
        self._upstream = upstream
        self._url = upstream.url if upstream.url.path else upstream.url.under("/v1")
        self._client = client
        self._quirks = KINDS[kind]
        self.traits = Traits(any_model=True, usage_in_frames=self._quirks.usage_in_frames, tasks=self._quirks.tasks)

    async def open(self, call: Call) -> Reply:
        """POST to the task's path, bytes as they are but for what the server's kind spells differently."""
        poster = Poster(self._client, self._upstream, self._url, call.id)
        if call.task != "chat":
            return await vectors.answer(call, poster.post, self._quirks.manners)
        response = await poster.post("/v1/chat/completions", self._spelled(call).encode())
        return Reply(response.status, response.headers, response.chunks(), response.close, rename=self._quirks.rename)

    async def models(self) -> list[str]:
        """The names that the server lists; empty when it does not answer."""
        rows = await listed(self._client, self._upstream, self._url)
        return [str(row["id"]) for row in rows or () if row.get("id")]

    async def health(self) -> Health:
        """Whether the server answers at all; never a completion."""
        url = self._url.under("/models")
        try:
            response = await self._client.open(url, "GET", self._upstream.headers, limits=PROBE)
        except QiaoError:
            return Health(False, f"{self.name}: no answer from the engine")
        response.close()
        return Health(response.status < 500, f"{self.name}: the engine answers {response.status}")

    async def close(self) -> None:
        """Nothing of its own: the client is shared."""

    def _spelled(self, call: Call) -> Document:
        document = call.document
        if self._quirks.template_thinking and call.thinking is not None:
            kwargs = document.object("chat_template_kwargs") or Document.build()
            if "enable_thinking" not in kwargs:
                kwargs = kwargs.with_(enable_thinking=call.thinking)
            document = document.without("enable_thinking").with_(chat_template_kwargs=kwargs)
        return document


@dataclass(frozen=True, slots=True)
class Poster:
    """Posts JSON for one call to a server of OpenAI mode, whose `/v1` lies at `url`."""

    client: Client
    upstream: Upstream
    url: Url
    call_id: str

    async def post(self, path: str, body: bytes) -> Response:
        """The response to a body sent to a path under `/v1`; what a refused key is told is raised, without the key."""
        headers = [*self.upstream.headers, ("content-type", "application/json"), ("x-request-id", self.call_id)]
        url = self.url.under(path.removeprefix("/v1"))
        response = await self.client.open(url, "POST", headers, body, limits=self.upstream.limits)
        if response.status in {401, 403}:
            said = self.upstream.masked(await drained(response))
            raise openai.classify(response.status, response.headers, said, 0.0)
        return response


class _Listing(msgspec.Struct):
    data: list[dict[str, Any]] = []


async def listed(client: Client, upstream: Upstream, url: Url) -> list[dict[str, Any]] | None:
    """The rows of GET /models; None when the server does not list any."""
    with contextlib.suppress(QiaoError, *UNREADABLE):
        response = await client.open(url.under("/models"), "GET", upstream.headers, limits=PROBE)
        body = await drained(response)
        if response.status == 200:
            return msgspec.json.decode(body, type=_Listing).data
    return None
