"""Relay an opened answer to the client, and settle the call in one place, whatever happens."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Literal

import msgspec

from qiao.clock import Clock
from qiao.errors import Defect, QiaoError
from qiao.exchange.attempts import Opened
from qiao.gate.billing import Billing
from qiao.gate.prices import Cost
from qiao.wire.call import Call
from qiao.wire.usage import Usage

# complete: the answer ended as it should · refused: nothing was answered · broken: the engine failed after the first
# byte · gone: the client left · cut: this server stopped
Outcome = Literal["complete", "refused", "broken", "gone", "cut"]


class Settlement(msgspec.Struct, frozen=True):
    """The last word on a call."""

    call: Call
    outcome: Outcome
    status: int
    engine: str | None = None
    served: str | None = None  # the engine's name for the model
    usage: Usage | None = None
    error: QiaoError | None = None
    answer_id: str | None = None  # the id that the client saw, where it is not the call's
    attempts: int = 0
    ttft: float | None = None  # seconds from the request to the first byte of the answer
    duration: float = 0.0


Settle = Callable[[Settlement], None]


class Relay:
    """An answer on its way: iterate `stream` once; `fail` renders an error as the answer's last bytes."""

    def __init__(self, call: Call, opened: Opened, clock: Clock, settle: Settle, billing: Billing) -> None:
        self._call = call
        self._opened = opened
        self._clock = clock
        self._settle = settle
        self._billing = billing
        self._ttft = clock.monotonic() - call.received
        self._outcome: Outcome = "gone"
        self._error: QiaoError | None = None

    @property
    def content_type(self) -> str:
        return self._opened.content_type

    @property
    def streamed(self) -> bool:
        return "text/event-stream" in self.content_type

    @property
    def opened(self) -> Opened:
        return self._opened

    @property
    def left_out(self) -> int:
        """The messages of the conversation that the engine did not get."""
        return self._call.left_out

    @property
    def cost(self) -> Cost | None:
        """What the answer costs as far as its usage is known; None where it costs nothing or nobody knows."""
        opened = self._opened
        return self._billing.cost(opened.engine.name, opened.model, opened.passage.usage)

    @property
    def guarded(self) -> bool:
        return self._opened.reply.guarded

    @property
    def answer_id(self) -> str:
        """The id in the body's bytes, which x-request-id repeats."""
        return self._opened.passage.answer_id or self._call.id

    async def stream(self) -> AsyncGenerator[bytes]:
        """The answer's bytes. An engine's failure after the first byte becomes the last frame."""
        opened = self._opened
        passage = opened.passage
        try:
            yield opened.first
            if not opened.ended:
                async for chunk in opened.reply.body:
                    if out := passage.feed(chunk):
                        yield out
                if tail := passage.end():
                    yield tail
            self._outcome = "broken" if passage.error else "complete"
            self._error = passage.error
        except QiaoError as error:
            if not self.guarded:
                raise
            yield self.fail(error)
        except Exception as defect:
            yield self.fail(Defect())
            raise Defect("relay") from defect
        finally:
            self._end()

    def fail(self, error: QiaoError, outcome: Outcome = "broken") -> bytes:
        """The last bytes of an answer that cannot go on, in the client's protocol."""
        self._outcome, self._error = outcome, error
        return self._opened.passage.fail(error)

    def _end(self) -> None:
        """The one place where a call that was answered is settled; no await, so a cancellation cannot skip it."""
        opened = self._opened
        if self._outcome == "gone" and opened.passage.finished:
            self._outcome = "complete"  # the client left after the last byte of the answer
        opened.reply.close()
        self._settle(
            Settlement(
                call=self._call,
                outcome=self._outcome,
                status=opened.reply.status,
                engine=opened.engine.name,
                served=opened.model,
                usage=opened.passage.usage,
                error=self._error,
                answer_id=self.answer_id,
                attempts=opened.attempts,
                ttft=self._ttft,
                duration=self._clock.monotonic() - self._call.received,
            )
        )
