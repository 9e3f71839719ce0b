"""Weights on this machine as an engine: one process per model and role, asked over a Unix socket.

The built-in demo model needs nothing; any GGUF file takes its place. A call is translated (`wire/translate/llama`),
waits for its turn and for the process (`resident`), is always asked for as a stream, and held until its first token has
come: a process that dies before is a failed attempt, which the exchange repeats, and the client never hears of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from qiao.engines import vectors
from qiao.engines.client import Client
from qiao.engines.engine import Health, Reply, Traits
from qiao.engines.flow import Flow
from qiao.engines.resident import Resident, Tuning
from qiao.errors import EngineUnavailable, InputTooLong, InvalidParameter, StreamBroken
from qiao.weights.header import Weights
from qiao.wire.call import Call
from qiao.wire.model import Model, Sampling
from qiao.wire.translate import llama
from qiao.wire.translate.llama_answer import Answer

NOTICE = "built-in demo model, not Qwen"
BLIND = f"{NOTICE}; it was asked without the pictures, which it cannot see"
CUT = f"{NOTICE}; the prompt is longer than its window, it was asked the last question alone"


class Local:
    """The engine for weights on this machine."""

    def __init__(
        self,
        path: Path | None,
        *,
        client: Client,
        runtime: Path,
        find: Callable[[str], Model],
        name: str = "local",
        tuning: Tuning | None = None,
    ) -> None:
        self.name = name
        self._find = find
        self._resident = Resident(path, name, client, runtime, tuning or Tuning())
        self.traits = Traits(
            checks="ranges",
            attempts=2,
            usage_in_frames=True,
            notice=NOTICE if path is None else "",
            tasks=frozenset({self._resident.role}),
        )
        self._loaded: llama.Loaded | None = None

    async def start(self) -> None:
        """Begin to load the weights, but for a lazy model; returns before they are loaded."""
        if not self._resident.lazy:
            await self._resident.start()

    def names(self) -> list[str]:
        """What is served beside the Qwen names: the weights' own name, and the one that they were found by."""
        weights = self._resident.weights
        return list(dict.fromkeys([*self._resident.found_as, *([] if weights is None else [weights.slug])]))

    async def models(self) -> list[str]:
        """The same, for whoever asks every engine."""
        return self.names()

    async def health(self) -> Health:
        """Ready when the weights are loaded, or will be with the next call; otherwise why not."""
        return self._resident.health()

    async def close(self) -> None:
        """End the process."""
        await self._resident.close()

    @property
    def lazy(self) -> bool:
        """Whether it is loaded with its first call only."""
        return self._resident.lazy

    @property
    def waiting(self) -> int:
        """Calls that wait for a turn."""
        return self._resident.turns.waiting

    async def open(self, call: Call) -> Reply:
        """Ask the model; the reply comes with its first token, or whole when the call does not stream.

        The built-in model sees no pictures, and an agent's first prompt is longer than its window: it is asked without
        them, or the last question alone, and the reply's notice says so. A model of the user's own gets all or a 400.
        """
        resident = self._resident
        if resident.child is None:
            await resident.start()
        if resident.weights is None:
            raise EngineUnavailable(resident.reason)
        if call.task not in self.traits.tasks:
            raise InvalidParameter(f"The model {call.model} is for {resident.role} calls here, not for {call.task}.")
        if call.task != "chat":
            return await self._vectors(call)
        loaded = self._known(resident.weights)
        if not resident.built_in:
            return await self._chat(call, loaded)
        told = llama.only_text(call)
        try:
            reply = await self._chat(told or call, loaded)
        except InputTooLong:
            shorter = llama.last_question(told or call)
            if shorter is None:
                raise
            return replace(await self._chat(shorter, loaded), notice=CUT)
        return replace(reply, notice=BLIND) if told else reply

    async def _chat(self, call: Call, loaded: llama.Loaded) -> Reply:
        ask = llama.ask(call, self._find(call.model), loaded)
        if ask.choices > (most := self._resident.turns.at_once):
            raise InvalidParameter(f"Range of n should be [1, {most}]", param="n")
        created = int(time.time())
        flow = Flow(call, Answer(ask, call.id, call.model, created), await self._resident.turn(call, ask.choices))
        try:
            await flow.take(await self._resident.post(call, "/v1/chat/completions", ask.body))
            if call.stream:
                await flow.begin()
                return Reply(200, {"content-type": "text/event-stream;charset=UTF-8"}, flow.body(), flow.close)
            body = await flow.whole(created)
        except StreamBroken as error:
            flow.close()
            raise await self._resident.broken() from error
        except BaseException:
            flow.close()
            raise
        flow.close()
        return Reply.whole(200, "application/json", body)

    async def _vectors(self, call: Call) -> Reply:
        """Embeddings or ranks, whole."""
        resident = self._resident
        turn = await resident.turn(call)
        try:
            reply = await vectors.answer(call, lambda path, body: resident.post(call, path, body))
            with closing(reply):
                body = b"".join([piece async for piece in reply.body])
        except StreamBroken as error:
            raise await resident.broken() from error
        finally:
            turn.end()
        return replace(Reply.whole(reply.status, reply.content_type, body), notice=reply.notice)

    def _known(self, weights: Weights) -> llama.Loaded:
        """What the translator must know of the weights; their sampling is that of their own name's catalogue row."""
        if self._loaded is None:
            row = self._row(weights.slug)
            sampling, thinking = (row.sampling, row.sampling_thinking) if row else (None, None)
            if self._resident.built_in:
                sampling, thinking = Sampling(temperature=0.0), None
            sees = weights.projector is not None
            self._loaded = llama.Loaded.of(weights.control, sees=sees, sampling=sampling, sampling_thinking=thinking)
        return self._loaded

    def _row(self, slug: str) -> Model | None:
        """The catalogue's row for the weights' name, without what converters put behind it: qwen3-4b-q4_k_m."""
        while slug and not self._find(slug).known:
            slug = slug.rpartition("-")[0]
        return self._find(slug) if slug else None
