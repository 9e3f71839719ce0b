"""An http engine that finds out which server it is, from the first GET /models that answers."""

from __future__ import annotations

from qiao.clock import Clock
from qiao.engines.client import Client, Upstream
from qiao.engines.engine import Engine, Health, Reply, Traits
from qiao.engines.http import OWNERS, Http, listed
from qiao.engines.ollama import Ollama
from qiao.wire.call import Call


class Discovered:
    """A plain http engine until its server has named itself (Engine)."""

    def __init__(
        self, name: str, upstream: Upstream, client: Client, *, clock: Clock, context: int | None = None
    ) -> None:
        self.name = name
        self._upstream = upstream
        self._client = client
        self._clock = clock
        self._context = context
        self._engine: Engine = Http(name, upstream, client)
        self._found = False

    @property
    def traits(self) -> Traits:
        return self._engine.traits

    async def open(self, call: Call) -> Reply:
        """As the engine found; a server that did not answer is asked again next time."""
        await self._find()
        return await self._engine.open(call)

    async def models(self) -> list[str]:
        """The names that the server lists."""
        await self._find()
        return await self._engine.models()

    async def health(self) -> Health:
        """Whether the server answers."""
        return await self._engine.health()

    async def close(self) -> None:
        """Close the engine found."""
        await self._engine.close()

    async def _find(self) -> None:
        if self._found:
            return
        url = self._upstream.url
        rows = await listed(self._client, self._upstream, url if url.path else url.under("/v1"))
        if rows is None:
            return
        self._found = True
        kind = OWNERS.get(str(rows[0].get("owned_by", "")), "openai") if rows else "openai"
        if kind == "ollama":
            self._engine = Ollama(self.name, self._upstream, self._client, clock=self._clock, context=self._context)
        else:
            self._engine = Http(self.name, self._upstream, self._client, kind=kind)
