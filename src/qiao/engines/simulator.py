"""The simulator: an engine without a model that answers as the cloud would, for demos, tests, faults and load."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import zip_longest
from typing import Any, Protocol

import msgspec

from qiao.clock import SYSTEM_CLOCK, Clock
from qiao.engines import faults, likeness, script, speech
from qiao.engines.engine import Health, Reply, Traits
from qiao.engines.faults import base_model
from qiao.engines.script import Ask
from qiao.engines.speech import Piece
from qiao.errors import QiaoError
from qiao.wire import chunks, openai, sse, tokens, vectors
from qiao.wire.call import TASKS, Call, Task
from qiao.wire.check_messages import Message
from qiao.wire.chunks import Assembler, ChunkWriter
from qiao.wire.model import Model
from qiao.wire.usage import Usage

NOTICE = "simulator: answers are rehearsed, no model runs"
CACHE_FROM = 256  # tokens; shorter prefixes are not cached (reference §2.7)
_CACHE_SIZE = 10_000  # prefixes remembered
_AROUND, _TURN, _TAGS = 5, 3, 2  # tokens: of the template around a message, before the answer, around a thought
# Tokens of one picture, frame, film or sound: made up, for nothing is fetched or measured.
_MEDIA = {"image_url": 256, "video": 128, "video_url": 2_048, "input_audio": 128}
_DIMENSIONS, _MOST_DIMENSIONS = 1024, 4096  # of a vector: where nobody says, and at most
_OTHERS = ("的", " the", "，", ",", "是", " a")
# Their streams repeat the text so far in OpenAI mode too (reference §2.6.3).
_CUMULATIVE = frozenset({"qwen-mt-plus", "qwen-mt-turbo"})


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast it speaks: seconds to the first token, then tokens per second; zeros mean at once."""

    ttft: float = 0.0
    rate: float = 0.0


class Catalogue(Protocol):
    """The models that the simulator plays, as the gate's catalogue knows them."""

    def find(self, name: str) -> Model: ...

    def names(self, task: Task = "chat") -> list[str]: ...


class Simulator:
    """Answers chat calls of OpenAI mode from a script, or with the fault that the call asks for.

    With `rehearsal` a fault reaches the client as it is; without, the exchange treats it like any engine's fault.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        name: str = "simulator",
        pace: Pace = Pace(),
        clock: Clock = SYSTEM_CLOCK,
        seed: int = 0,
        rehearsal: bool = True,
    ) -> None:
        self.name = name
        self.traits = Traits(
            checks="cloud",
            attempts=1,
            usage_in_frames=True,
            rehearsal=rehearsal,
            notice=NOTICE,
            tasks=frozenset(TASKS),
        )
        self._catalogue = catalogue
        self._pace = pace
        self._clock = clock
        self._seed = seed
        self._rehearsal = rehearsal
        self._tries = faults.Tries()
        self._cache = PrefixCache()

    async def open(self, call: Call) -> Reply:
        """Answer a call; what is wrong with its shape or its fault is a reply of status 400."""
        try:
            fault = faults.asked(call)
            return self._refused(fault, call) or self._answered(fault, call)
        except QiaoError as error:
            return _error(error, call)

    async def models(self) -> list[str]:
        """The names that it plays."""
        return [name for task in TASKS for name in self._catalogue.names(task)]

    async def health(self) -> Health:
        """Always ready."""
        return Health(ready=True)

    async def close(self) -> None:
        """Nothing is held open."""

    def _refused(self, fault: faults.Fault | None, call: Call) -> Reply | None:
        if fault is None:
            return None
        error = faults.refusal(fault, call)
        if error is not None and (fault.kind not in faults.ONCE or self._tries.first(fault, call)):
            return replace(_error(error, call), guarded=not self._rehearsal)
        if fault.kind == "html":
            headers = {"content-type": "text/html; charset=utf-8"}
            return Reply(200, headers, _once(faults.PAGE), _nothing, guarded=not self._rehearsal)
        return None

    def _answered(self, fault: faults.Fault | None, call: Call) -> Reply:
        model = self._catalogue.find(base_model(call.model))
        if call.task == "embedding":
            body = self._vectors(call, vectors.embedding(call.document), model)
        elif call.task == "rerank":
            body = self._ranks(call, vectors.ranking(call.document))
        else:
            ask = script.read(call, model, self._seed)
            body = self._stream(call, ask) if call.stream else self._whole(call, ask)
        headers = {"content-type": openai.EVENTS if call.stream else openai.JSON}
        if fault is None or fault.kind in faults.ONCE:
            return Reply(200, headers, body, _nothing)
        spoilt = faults.spoil(fault, body, call, self._clock.sleep)
        return Reply(200, headers, spoilt, _nothing, guarded=not self._rehearsal)

    async def _vectors(self, call: Call, asked: vectors.Embedding, model: Model) -> AsyncGenerator[bytes]:
        sizes = model.dimensions or (_DIMENSIONS,)
        size = sizes[0] if len(sizes) == 1 and model.known else asked.dimensions or sizes[0]

        def made() -> bytes:
            rows = [likeness.vector(text, min(size, _MOST_DIMENSIONS)) for text in asked.texts]
            shown = [vectors.packed(row) for row in rows] if asked.base64 else rows
            return vectors.embedding_answer(call.id, call.model, shown, sum(map(tokens.count, asked.texts)))

        await self._wait(self._pace.ttft)
        yield await asyncio.to_thread(made)  # many long texts would hold everybody else up

    async def _ranks(self, call: Call, asked: vectors.Ranking) -> AsyncGenerator[bytes]:
        def made() -> bytes:
            scores = [likeness.relevance(asked.query, text) for text in asked.documents]
            # As the cloud counts: the query once for every document (reference §2.14).
            counted = tokens.count(asked.query) * len(scores) + sum(map(tokens.count, asked.documents))
            return vectors.ranking_answer(call.id, call.model, asked, scores, counted)

        await self._wait(self._pace.ttft)
        yield await asyncio.to_thread(made)

    async def _whole(self, call: Call, ask: Ask) -> AsyncGenerator[bytes]:
        assembler = Assembler()
        created = int(self._clock.time())
        counted = call.with_(document=call.document.with_(stream_options={"include_usage": True}))
        async for frame in self._stream(counted, ask, cumulative=False):
            for event in sse.split(frame):
                data = sse.data(event)
                if data is not None and data != b"[DONE]":
                    assembler.add(chunks.read(data))
        yield assembler.completion(call.id, call.model, created)

    async def _stream(self, call: Call, ask: Ask, *, cumulative: bool = True) -> AsyncGenerator[bytes]:
        options: dict[str, Any] = call.document.get("stream_options") or {}
        writer = ChunkWriter(call.id, call.model, int(self._clock.time()), thinking=ask.thinks)
        usage = self._asked_usage(call, ask)
        writing = _Writing(writer, ask, cumulative=cumulative and call.path is None)
        running = options.get("continuous_usage_stats") is True
        await self._wait(self._pace.ttft)
        for piece in _interleaved([speech.pieces(ask, choice) for choice in range(ask.values.get("n", 1))]):
            if self._pace.rate and piece.tokens:
                await self._wait(piece.tokens / self._pace.rate)
            usage = _added(usage, piece)
            writer.running = usage if running else None
            yield writing.chunk(piece)
        if options.get("include_usage") is True:
            yield writer.usage(usage)
        yield chunks.DONE

    async def _wait(self, seconds: float) -> None:
        if seconds > 0:
            await self._clock.sleep(seconds)

    def _asked_usage(self, call: Call, ask: Ask) -> Usage:
        """The counts before the first token of the answer."""
        tools = call.document.raw("tools") or b""
        sizes = [_message_tokens(message) for message in ask.messages]
        sizes[0] += tokens.count(tools.decode())
        images = sum(_media_tokens(message, "image_url", "video") for message in ask.messages)
        cached = self._cache.seen(b"\0".join((call.principal.id.encode(), ask.model.name.encode(), tools)), ask, sizes)
        return Usage(
            input=sum(sizes) + _TURN,
            output=_TAGS if ask.thinks and not ask.silenced else 0,
            cached=cached,
            reasoning=0 if ask.thinks else None,
            images=images or None,
        )


class PrefixCache:
    """Which beginnings of conversations have been read before, as the cloud's implicit cache knows them."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()

    def seen(self, head: bytes, ask: Ask, sizes: list[int]) -> int:
        """The tokens of the longest known beginning; remembers this conversation. `head` keeps callers apart."""
        digest = blake2b(head, digest_size=16)
        total = cached = 0
        for message, size in zip(ask.messages, sizes, strict=True):
            digest.update(msgspec.json.encode((message.role, message.content, message.tool_calls)))
            total += size
            if total < CACHE_FROM:
                continue
            mark = digest.digest()
            if mark in self._seen:
                cached = total
            self._seen[mark] = None
            self._seen.move_to_end(mark)
        while len(self._seen) > _CACHE_SIZE:
            self._seen.popitem(last=False)
        return cached


class _Writing:
    """Writes pieces as chunks of the canonical stream."""

    def __init__(self, writer: ChunkWriter, ask: Ask, *, cumulative: bool) -> None:
        self._writer = writer
        self._top = int(ask.values.get("top_logprobs", 0)) if ask.values.get("logprobs") is True else None
        self._so_far: dict[int, str] | None = {} if cumulative and ask.model.name in _CUMULATIVE else None

    def chunk(self, piece: Piece) -> bytes:
        if piece.kind == "thought":
            return self._writer.thought(piece.text, piece.index)
        if piece.kind == "tool":
            return self._writer.tool(piece.at, *piece.call, index=piece.index)
        if piece.kind == "arguments":
            return self._writer.arguments(piece.at, piece.text, piece.index)
        if piece.kind == "finish":
            return self._writer.finish(piece.text, piece.index)
        text = piece.text
        if self._so_far is not None:
            text = self._so_far[piece.index] = self._so_far.get(piece.index, "") + text
        return self._writer.text(text, piece.index, None if self._top is None else _logprobs(piece.text, self._top))


def _logprobs(token: str, top: int) -> dict[str, Any]:
    """Made-up probabilities in the reference's form (§2.8): the token said first, then ever less likely ones."""
    others = [other for other in _OTHERS if other != token]
    ranked = [_logprob(text, -0.05 - 2.5 * rank) for rank, text in enumerate([token, *others][:top])]
    return {"content": [{**_logprob(token, -0.05), "top_logprobs": ranked}]}


def _logprob(token: str, value: float) -> dict[str, Any]:
    return {"token": token, "bytes": list(token.encode()), "logprob": value}


def _interleaved(choices: list[list[Piece]]) -> Iterator[Piece]:
    for row in zip_longest(*choices):
        yield from (piece for piece in row if piece is not None)


def _added(usage: Usage, piece: Piece) -> Usage:
    reasoning = usage.reasoning
    if piece.kind == "thought" and reasoning is not None:
        reasoning += piece.tokens
    return msgspec.structs.replace(usage, output=usage.output + piece.tokens, reasoning=reasoning)


def _message_tokens(message: Message) -> int:
    calls = "".join(call["function"]["name"] + call["function"]["arguments"] for call in message.calls)
    return _AROUND + tokens.count(message.text + calls) + _media_tokens(message, *_MEDIA)


def _media_tokens(message: Message, *kinds: str) -> int:
    sizes = [_MEDIA[part["type"]] * _amount(part) for part in message.parts if part["type"] in kinds]
    return sum(sizes)


def _amount(part: dict[str, Any]) -> int:
    return len(part["video"]) if part["type"] == "video" else 1


def _error(error: QiaoError, call: Call) -> Reply:
    rendered, headers = faults.render(error, call)
    return Reply(rendered.status, headers, _once(rendered.body), _nothing)


async def _once(body: bytes) -> AsyncGenerator[bytes]:
    if body:
        yield body


def _nothing() -> None:
    """There is no connection to close: the body stops with its iterator."""
