"""The doors of embeddings and reranking: they parse, and ask the exchange as a chat does."""

from __future__ import annotations

from qiao.api.chat import Chat
from qiao.api.visit import Visit
from qiao.clock import Clock
from qiao.wire.call import Task
from qiao.wire.document import Document


class Vectors:
    """Answers embeddings and rerank calls of both protocols."""

    def __init__(self, chat: Chat, clock: Clock) -> None:
        self._chat = chat
        self._clock = clock

    async def embedding(self, visit: Visit) -> None:
        """The vectors of texts, where an engine has such a model."""
        await self._answer(visit, "embedding")

    async def rerank(self, visit: Visit) -> None:
        """Documents in the order of their relevance to a query, where an engine has such a model."""
        await self._answer(visit, "rerank")

    async def _answer(self, visit: Visit, task: Task) -> None:
        received = self._clock.monotonic()
        document = Document.parse(await visit.body())
        await self._chat.answer(visit, self._chat.call(visit, document, None, received, task))
