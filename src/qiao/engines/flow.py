"""One running answer of an engine process: its events in, the client's bytes out, its turn ended once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from qiao.engines.connection import Response
from qiao.engines.turns import Turn
from qiao.errors import (
    EngineFailed,
    EngineOccupied,
    InputTooLong,
    InvalidParameter,
    QiaoError,
    StreamBroken,
)
from qiao.wire import chunks, sse
from qiao.wire.call import Call
from qiao.wire.translate.llama_answer import Answer


class Flow:
    """Reads the engine's answer to one call; `close` may be called at any time and frees the engine now."""

    def __init__(self, call: Call, answer: Answer, turn: Turn) -> None:
        self._call = call
        self._answer = answer
        self._turn = turn
        self._response: Response | None = None
        self._splitter = sse.Splitter()
        self._first = b""

    async def take(self, response: Response) -> None:
        """The engine's response; raises what a status other than 200 means."""
        self._response = response
        if response.status != 200:
            raise refusal(response.status, await response.all(2**20))

    async def begin(self) -> None:
        """Wait for the first bytes that the client gets."""
        told = ""
        while not self._first:
            self._first = await self._more()
            if self._call.progress is not None and not self._first and self._answer.progress != told:
                told = self._answer.progress
                self._call.progress(told)

    async def body(self) -> AsyncIterator[bytes]:
        """The answer; StreamBroken when the engine breaks off."""
        try:
            yield self._first
            while not self._answer.finished:
                if piece := await self._more():
                    yield piece
        finally:
            self.close()

    async def whole(self, created: int) -> bytes:
        """The answer that is not streamed: a stream of one, collected."""
        assembler = chunks.Assembler()
        while not self._answer.finished:
            for frame in sse.split(await self._more()):
                if (data := sse.data(frame)) and data != b"[DONE]":
                    assembler.add(chunks.read(data))
        return assembler.completion(self._call.id, self._call.model, created)

    def close(self) -> None:
        """Let go of the engine; may be called again."""
        if self._response is not None:
            self._response.close()
        self._turn.end()

    async def _more(self) -> bytes:
        """What the next read of the engine's answer gives; b"" also when it gives nothing for the client."""
        assert self._response is not None
        chunk = await self._response.read()
        if not chunk:
            raise StreamBroken("The local model's answer broke off.")
        return b"".join([self._answer.feed(frame) for frame in self._splitter.frames(chunk)])


class _Refused(msgspec.Struct):
    message: str = ""
    type: str = ""
    n_ctx: int = 0


class _Refusal(msgspec.Struct):
    error: _Refused


def refusal(status: int, body: bytes) -> QiaoError:
    """The engine's error in the reference's words where it has some."""
    try:
        refused = msgspec.json.decode(body, type=_Refusal).error
    except msgspec.DecodeError:
        refused = _Refused(f"It answered {status}.")
    if refused.type == "exceed_context_size_error":
        return InputTooLong(refused.n_ctx)
    if 400 <= status < 500:
        return InvalidParameter(refused.message.rpartition("Automatic parser generation failed: ")[2])
    if status == 503:
        return EngineOccupied("The local model is loading.", retry_after=5.0)
    return EngineFailed(f"The local model failed: {refused.message}")
