"""The chat doors of both protocols: parse, call the exchange, relay."""

from __future__ import annotations

from qiao.api.visit import Visit
from qiao.clock import Clock
from qiao.errors import InvalidParameter, MalformedBody
from qiao.exchange.exchange import Exchange
from qiao.wire import dashscope
from qiao.wire.call import Call, Path, Task
from qiao.wire.document import Document

_NO_MODEL = "you must provide a model parameter."


class Chat:
    """Answers chat calls through the exchange."""

    def __init__(self, exchange: Exchange, clock: Clock, *, keep_alive: float) -> None:
        self._exchange = exchange
        self._clock = clock
        self._keep_alive = keep_alive

    async def openai(self, visit: Visit) -> None:
        """POST chat/completions: `stream` in the body decides."""
        received = self._clock.monotonic()
        document = Document.parse(await visit.body())
        visit.streamed = document.get("stream", bool) is True
        await self.answer(visit, self.call(visit, document, None, received))

    async def text(self, visit: Visit) -> None:
        """POST text-generation/generation."""
        await self._native(visit, "text")

    async def multimodal(self, visit: Visit) -> None:
        """POST multimodal-generation/generation."""
        await self._native(visit, "multimodal")

    async def _native(self, visit: Visit, path: Path) -> None:
        received = self._clock.monotonic()
        document = Document.parse(await visit.body())
        visit.streamed = dashscope.streams(visit.headers)
        await self.answer(visit, self.call(visit, document, path, received))

    def call(self, visit: Visit, document: Document, path: Path | None, received: float, task: Task = "chat") -> Call:
        """The call that a body stands for; MalformedBody or InvalidParameter when its model is no name."""
        model = document.get("model")
        if model is None or model == "":
            raise MalformedBody(_NO_MODEL)
        if not isinstance(model, str) or len(model) > 200 or not model.isprintable():
            raise InvalidParameter("Input should be a valid string: model", param="model")
        return Call(
            id=visit.id,
            protocol=visit.protocol,
            path=path,
            model=model,
            document=document,
            stream=visit.streamed,
            received=received,
            principal=visit.principal,
            task=task,
            headers=visit.headers,
        )

    async def answer(self, visit: Visit, call: Call) -> None:
        """Ask the exchange and relay what it answers, until the end, the client's leaving or the server's stop."""
        with visit.attend() as attendance:
            if call.stream:
                attendance.keep_alive(visit.keep_alive, self._keep_alive)
                call = call.with_(progress=visit.progress(attendance))
            relay = await self._exchange.answer(call)
            await visit.relay(relay, attendance)
        if attendance.ended == "cut":
            await visit.cut(attendance.last)
