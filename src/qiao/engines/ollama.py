"""Ollama through its native API, so that context length and thinking are what was asked for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec

from qiao.clock import Clock
from qiao.engines import vectors
from qiao.engines.client import Client, Upstream, drained
from qiao.engines.connection import Response
from qiao.engines.engine import Health, Reply, Traits
from qiao.engines.http import PROBE, Poster
from qiao.errors import ProtocolBroken, QiaoError
from qiao.wire import chunks, openai, sse
from qiao.wire.call import Call
from qiao.wire.chunks import Assembler, ChunkWriter
from qiao.wire.document import UNREADABLE
from qiao.wire.translate import ollama

CONTEXT = 8192  # tokens; Ollama's own default of 4,096 cuts prompts without a word


class Ollama:
    """An Ollama server (Engine)."""

    def __init__(
        self,
        name: str,
        upstream: Upstream,
        client: Client,
        *,
        clock: Clock,
        context: int | None = None,
    ) -> None:
        self.name = name
        self._upstream = upstream
        self._root = replace(upstream.url, path=upstream.url.path.removesuffix("/v1"))
        self._client = client
        self._clock = clock
        self._context = context or CONTEXT
        self.traits = Traits(any_model=True, checks="types", tasks=frozenset({"chat", "embedding"}))

    async def open(self, call: Call) -> Reply:
        """POST /api/chat, always as a stream; an error status is returned in OpenAI mode's envelope.

        Embeddings are asked in OpenAI mode, without `dimensions`: not every version sees to them.
        """
        if call.task != "chat":
            poster = Poster(self._client, self._upstream, self._root.under("/v1"), call.id)
            return await vectors.answer(call, poster.post)
        ollama.check_length(call.document, self._context)
        body = ollama.request(call.document, thinking=call.thinking, context=self._context)
        headers = [*self._upstream.headers, ("content-type", "application/json")]
        url = self._root.under("/api/chat")
        response = await self._client.open(url, "POST", headers, body, limits=self._upstream.limits)
        if response.status != 200:
            return _refused(response.status, await drained(response))
        created = int(self._clock.time())
        if call.stream:
            events = self._events(response, call, created)
            return Reply(200, {"content-type": openai.EVENTS}, events, response.close)
        return Reply(200, {"content-type": openai.JSON}, self._whole(response, call, created), response.close)

    async def models(self) -> list[str]:
        """The names of GET /api/tags; empty when the server does not answer."""
        with contextlib.suppress(QiaoError, *UNREADABLE):
            response = await self._get("/api/tags")
            body = await drained(response)
            if response.status == 200:
                return [row.name for row in msgspec.json.decode(body, type=_Tags).models]
        return []

    async def health(self) -> Health:
        """Whether the server answers."""
        try:
            response = await self._get("/api/version")
        except QiaoError:
            return Health(False, f"{self.name}: no answer from Ollama: start it with `ollama serve`")
        response.close()
        return Health(True)

    async def close(self) -> None:
        """Nothing of its own: the client is shared."""

    async def _get(self, path: str) -> Response:
        return await self._client.open(self._root.under(path), "GET", self._upstream.headers, limits=PROBE)

    async def _events(self, response: Response, call: Call, created: int) -> AsyncIterator[bytes]:
        thinking = bool(call.thinking)
        lines = ollama.Lines(ChunkWriter(call.id, call.model, created, thinking=thinking), thinking=thinking)
        async for piece in response.chunks():
            if out := lines.feed(piece):
                yield out
        if out := lines.end():
            yield out

    async def _whole(self, response: Response, call: Call, created: int) -> AsyncIterator[bytes]:
        assembler = Assembler()
        async for events in self._events(response, call, created):
            for frame in sse.split(events):
                data = sse.data(frame)
                if data and data != b"[DONE]":
                    assembler.add(chunks.read(data))
        if not assembler.complete:
            raise ProtocolBroken("The engine's answer is not complete.")
        yield assembler.completion(call.id, call.model, created)


class _Tag(msgspec.Struct):
    name: str


class _Tags(msgspec.Struct):
    models: list[_Tag] = []


def _refused(status: int, body: bytes) -> Reply:
    """Ollama's `{"error": "…"}` as an error of OpenAI mode."""
    said: Any = None
    with contextlib.suppress(*UNREADABLE):
        said = msgspec.json.decode(body, type=dict[str, Any]).get("error")
    code = "model_not_found" if status == 404 else "invalid_parameter_error" if status < 500 else "internal_error"
    inner = {"message": str(said or "The engine refused the request."), "type": "invalid_request_error"}
    return Reply.whole(status, openai.JSON, msgspec.json.encode({"error": inner | {"param": None, "code": code}}))
