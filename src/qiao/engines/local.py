"""Weights on this machine: one engine process per model, asked over a Unix socket.

The built-in demo model needs nothing; any GGUF file takes its place. A call is translated (`wire/translate/llama`),
always asked for as a stream, and held until its first token has come: a process that dies before is a failed attempt,
which the exchange repeats, and the client never hears of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import msgspec

from qiao.engines.child import Child, Settings
from qiao.engines.client import Client, Url
from qiao.engines.connection import Limits, Response
from qiao.engines.engine import Health, Reply, Traits
from qiao.errors import (
    EngineBusy,
    EngineFailed,
    EngineReset,
    EngineUnavailable,
    InputTooLong,
    InvalidParameter,
    QiaoError,
    StreamBroken,
)
from qiao.weights import header
from qiao.wire import chunks, sse
from qiao.wire.call import Call
from qiao.wire.model import Model, Sampling
from qiao.wire.translate import llama
from qiao.wire.translate.llama_answer import Answer

NOTICE = "built-in demo model, not Qwen"
BLIND = f"{NOTICE}; it was asked without the pictures, which it cannot see"
CUT = f"{NOTICE}; the prompt is longer than its window, it was asked the last question alone"
DEFAULT_CONTEXT = 8192  # tokens of a call; more is a setting, because it costs memory at once
PATIENCE = 10.0  # seconds that a call waits for the model to be loaded
# A call may wait for its turn and then for a long prompt; between two tokens little time passes.
LIMITS = Limits(head=600.0, idle=120.0)
_JSON = [("content-type", "application/json")]


@dataclass(frozen=True, slots=True)
class Tuning:
    """How the engine process is run; None leaves it to the machine or the model."""

    context: int | None = None  # tokens
    threads: int | None = None
    parallel: int | None = None  # calls at once; each takes the memory of its whole context
    waiting: int = 32  # calls that may wait for a turn
    batch: int = 64
    binary: str | None = None
    projector: Path | None = None  # where it does not lie beside the model


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
        self.traits = Traits(checks="ranges", attempts=2, usage_in_frames=True, notice=NOTICE if path is None else "")
        self._built_in = path is None
        self._path = path or Path(str(files("qiao").joinpath("data", "demo.gguf")))
        self._client = client
        self._runtime = runtime
        self._find = find
        self._tuning = tuning or Tuning()
        self._parallel = self._tuning.parallel or (4 if path is None else 2)
        self._weights: header.Weights | None = None
        self._loaded: llama.Loaded | None = None
        self._child: Child | None = None
        self._reason = "The local model has not been started."
        self._running = 0

    async def start(self) -> None:
        """Read the weights' header and begin to load them; returns before they are loaded."""
        if self._child is None:
            try:
                self._weights = header.read(self._path)
                if self._tuning.projector:
                    self._weights = replace(self._weights, projector=self._tuning.projector)
            except header.BadWeights as error:
                self._reason = str(error)
                return
            self._loaded = llama.Loaded.of(
                self._weights.control,
                sees=self._weights.projector is not None,
                sampling=Sampling(temperature=0.0) if self._built_in else None,
            )
            self._child = Child(self._settings(self._weights), self._runtime)
        self._child.start()

    def names(self) -> list[str]:
        """The one name that is served beside the Qwen names: the built-in model's, or the weights' own."""
        return [] if self._weights is None else [self._weights.slug]

    async def models(self) -> list[str]:
        """The same, for whoever asks every engine."""
        return self.names()

    async def health(self) -> Health:
        """Ready when the weights are loaded; otherwise why not."""
        if self._child is None:
            return Health(False, self._reason)
        return Health(self._child.state == "ready", self._child.reason)

    async def close(self) -> None:
        """End the process."""
        if self._child is not None:
            await self._child.close()

    async def open(self, call: Call) -> Reply:
        """Ask the model; the reply comes with its first token, or whole when the call does not stream.

        The built-in model sees no pictures, and an agent's first prompt is longer than its window: it is asked without
        them, or the last question alone, and the reply's notice says so. A model of the user's own gets all or a 400.
        """
        if not self._built_in:
            return await self._open(call)
        told = llama.only_text(call)
        try:
            reply = await self._open(told or call)
        except InputTooLong:
            shorter = llama.last_question(told or call)
            if shorter is None:
                raise
            return replace(await self._open(shorter), notice=CUT)
        return replace(reply, notice=BLIND) if told else reply

    async def _open(self, call: Call) -> Reply:
        if self._child is None:
            await self.start()
        if self._child is None or self._loaded is None:
            raise EngineUnavailable(self._reason)
        ask = llama.ask(call, self._find(call.model), self._loaded)
        if self._running >= self._parallel + self._tuning.waiting:
            raise EngineBusy("The local model has too many calls waiting.", retry_after=2.0)
        created = int(time.time())
        answer = Answer(ask, call.id, call.model, created)
        flow = _Flow(answer, self._count)
        try:
            await self._child.ready(PATIENCE)
            url = Url.unix(self._child.socket, "/v1/chat/completions")
            # llama-server closes the connection after a stream although it says otherwise.
            flow.response = await self._client.open(url, "POST", _JSON, ask.body, limits=LIMITS, reuse=False)
            if flow.response.status != 200:
                raise _refusal(flow.response.status, await flow.response.all(2**20))
            if call.stream:
                await flow.begin()
                return Reply(200, {"content-type": "text/event-stream;charset=UTF-8"}, flow.body(), flow.close)
            body = await _whole(flow, call, created)
        except (StreamBroken, EngineReset, EngineUnavailable) as error:
            flow.close()
            await self._child.noticed()
            if isinstance(error, StreamBroken):  # nothing has reached the client: it may be tried again
                raise EngineReset("The local model's process ended before it answered.") from error
            raise
        except BaseException:
            flow.close()
            raise
        flow.close()
        return Reply.whole(200, "application/json", body)

    def _settings(self, weights: header.Weights) -> Settings:
        tuning = self._tuning
        context = tuning.context or min(weights.context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)
        return Settings(
            weights=str(weights.path.absolute()),  # not what it links to: shards are found by the name
            projector=str(weights.projector) if weights.projector else None,
            context=context,
            parallel=self._parallel,
            batch=tuning.batch,
            threads=tuning.threads or max(physical_cores() - 1, 1),
            cache_mib=16 if self._built_in else 1024,
            binary=tuning.binary,
        )

    def _count(self, change: int) -> None:
        self._running += change


class _Flow:
    """One running answer: the engine's events in, the client's bytes out, the engine freed once."""

    def __init__(self, answer: Answer, count: Callable[[int], None]) -> None:
        self.response: Response | None = None
        self._answer = answer
        self._count: Callable[[int], None] | None = count
        self._splitter = sse.Splitter()
        self._first = b""
        count(1)

    async def begin(self) -> None:
        """Wait for the first bytes that the client gets."""
        while not self._first:
            self._first = await self.more()

    async def body(self) -> AsyncIterator[bytes]:
        """The answer; StreamBroken when the engine breaks off."""
        try:
            yield self._first
            while not self._answer.finished:
                if piece := await self.more():
                    yield piece
        finally:
            self.close()

    async def more(self) -> bytes:
        """What the next read of the engine's answer gives; b"" also when it gives nothing for the client."""
        assert self.response is not None
        chunk = await self.response.read()
        if not chunk:
            raise StreamBroken("The local model's answer broke off.")
        return b"".join([self._answer.feed(frame) for frame in self._splitter.frames(chunk)])

    @property
    def finished(self) -> bool:
        return self._answer.finished

    def close(self) -> None:
        """Let go of the engine; may be called again."""
        if self.response is not None:
            self.response.close()
        if self._count is not None:
            self._count(-1)
            self._count = None


async def _whole(flow: _Flow, call: Call, created: int) -> bytes:
    """The answer that is not streamed: a stream of one, collected."""
    assembler = chunks.Assembler()
    while not flow.finished:
        for frame in sse.split(await flow.more()):
            if (data := sse.data(frame)) and data != b"[DONE]":
                assembler.add(chunks.read(data))
    return assembler.completion(call.id, call.model, created)


class _Refused(msgspec.Struct):
    message: str = ""
    type: str = ""
    n_ctx: int = 0


class _Refusal(msgspec.Struct):
    error: _Refused


def _refusal(status: int, body: bytes) -> QiaoError:
    """The engine's error in the reference's words where it has some."""
    try:
        refused = msgspec.json.decode(body, type=_Refusal).error
    except msgspec.DecodeError:
        refused = _Refused(f"It answered {status}.")
    if refused.type == "exceed_context_size_error":
        return InputTooLong(refused.n_ctx)
    if 400 <= status < 500:
        return InvalidParameter(refused.message)
    if status == 503:
        return EngineUnavailable("The local model is loading.", retry_after=5.0)
    return EngineFailed(f"The local model failed: {refused.message}")


def physical_cores() -> int:
    """The cores that this process may use, hyper-threads counted once."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    siblings = [Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list") for core in usable]
    return len({path.read_text() if path.exists() else str(path) for path in siblings})
