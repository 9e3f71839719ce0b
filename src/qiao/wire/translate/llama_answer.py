"""llama-server's stream back to the hub's chunks: its own additions removed, the Qwen API's rules kept.

Counts come with every event (`timings_per_token`, `prompt_progress`), so usage is exact also where Qiao ends the
answer: at a stop text, at `max_tokens` of an answer that followed a thought, or before an unwanted second tool call.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from qiao.errors import EngineFailed, ProtocolBroken
from qiao.wire import chunks, sse
from qiao.wire.chunks import Choice, Chunk, ChunkWriter, ToolDelta, ToolFunction, given
from qiao.wire.translate.llama import Ask
from qiao.wire.translate.llama_call import ForcedCall
from qiao.wire.usage import Usage

T = TypeVar("T")


class _Timings(msgspec.Struct):
    predicted_n: int = 0


class _Progress(msgspec.Struct):
    total: int = 0
    cache: int = 0
    processed: int = 0  # of the total, those from the cache included


class _Event(Chunk):
    """A chunk with what llama-server adds to it."""

    timings: _Timings | None = None


class _Token(msgspec.Struct):
    """A token's probability; reading leaves out llama-server's token id."""

    token: str
    bytes: list[int] | None
    logprob: float | None
    top_logprobs: list[_Token] = []


class _Logprobs(msgspec.Struct):
    content: list[_Token]


class _Fault(msgspec.Struct):
    message: str = ""


@dataclass(slots=True)
class _Stream:
    """One choice as far as it has come; counts in tokens."""

    made: int = 0
    thought: int = 0
    before: int | None = None  # made before the answer began
    held: str = ""  # text that may be the beginning of a stop text
    tools: int = 0
    forced: ForcedCall | None = None
    finish: str = ""


class Answer:
    """One answer in the making: feed it the engine's frames until it is `finished`."""

    def __init__(self, ask: Ask, call_id: str, model: str, created: int) -> None:
        self.finished = False
        self.progress = ""  # how far the prompt has been read: "512/2048"
        self._ask = ask
        self._call_id = call_id
        self._writer = ChunkWriter(call_id, model, created, thinking=ask.thinking)
        self._streams = {at: _Stream() for at in range(ask.choices)}
        self._last = 0  # the choice that finished last: llama-server's usage events carry no index
        self._input = self._cached = 0

    @property
    def usage(self) -> Usage:
        """The counts so far."""
        streams = self._streams.values()
        return Usage(
            input=self._input,
            output=sum(stream.made for stream in streams),
            cached=self._cached,
            reasoning=sum(stream.thought for stream in streams) if self._ask.could_think else None,
        )

    def feed(self, frame: bytes) -> bytes:
        """One event in, the client's bytes for it out; EngineFailed when the event says so."""
        data = sse.data(frame)
        if data is None or self.finished:
            return b""
        if data == b"[DONE]":
            return self._end()
        chunk = _decode(data, _Event)
        if given(chunk.error):
            raise EngineFailed(f"The local model failed: {_decode(chunk.error, _Fault).message}")
        self._count(chunk)
        if self._ask.running_usage:
            self._writer.running = self.usage
        out = b"".join([self._choice(choice) for choice in chunk.choices or ()])
        if all(stream.finish == "cut" for stream in self._streams.values()):
            out += self._end()
        return out

    def _count(self, chunk: _Event) -> None:
        if given(chunk.prompt_progress):
            progress = _decode(chunk.prompt_progress, _Progress)
            self._input, self._cached = progress.total, progress.cache
            self.progress = f"{progress.processed}/{progress.total}"
        if (counts := chunk.counts) is not None:
            self._input, self._cached = counts.input, counts.cached
            if (last := self._streams.get(self._last)) is not None and last.finish != "cut":
                last.made = counts.output
        for choice in chunk.choices or ():
            stream = self._streams.setdefault(choice.index, _Stream())
            if chunk.timings is not None and not stream.finish:
                stream.made = max(stream.made, chunk.timings.predicted_n)

    def _choice(self, choice: Choice) -> bytes:
        stream, delta, at = self._streams[choice.index], choice.added, choice.index
        if stream.finish:
            return b""
        out = b""
        if delta.thought:
            stream.thought = stream.made
            out += self._writer.thought(delta.thought, at)
        if (delta.content or delta.tool_calls) and stream.before is None:
            stream.before = max(stream.made - 1, 0)
        if delta.content:
            out += self._text(stream, delta.content, at, _logprobs(choice.logprobs))
        for tool in delta.tool_calls or ():
            out += self._tool(stream, tool, at)
        if choice.finish_reason and not stream.finish:
            self._last = at
            out += self._finish(stream, choice.finish_reason, at)
        limit = self._ask.limit
        if limit is not None and stream.before is not None and stream.made - stream.before >= limit:
            out += self._cut(stream, "length", at)
        return out

    def _text(self, stream: _Stream, text: str, at: int, logprobs: Any) -> bytes:
        if self._ask.forced:
            return self._forced(stream, text, at)
        stream.held += text
        found = [place for stop in self._ask.stop if (place := stream.held.find(stop)) >= 0]
        if found:
            text, stream.held = stream.held[: min(found)], ""
            return (self._writer.text(text, at, logprobs) if text else b"") + self._cut(stream, "stop", at)
        free = len(stream.held) - _overlap(stream.held, self._ask.stop)
        text, stream.held = stream.held[:free], stream.held[free:]
        return self._writer.text(text, at, logprobs) if text else b""

    def _forced(self, stream: _Stream, text: str, at: int) -> bytes:
        """A piece of the JSON that stands for a tool call."""
        call = stream.forced = stream.forced or ForcedCall()
        piece = call.feed(text)
        out = b""
        if call.name is not None and not stream.tools:
            stream.tools = 1
            out = self._writer.tool(0, self._id(stream, at), call.name, "", at)
        return out + (self._writer.arguments(0, piece, at) if piece else b"")

    def _tool(self, stream: _Stream, tool: ToolDelta, at: int) -> bytes:
        function = tool.function or ToolFunction()
        if not function.name:
            return self._writer.arguments(max(stream.tools - 1, 0), function.arguments or "", at)
        if stream.tools and not self._ask.parallel:
            return self._cut(stream, "tool_calls", at)
        stream.tools += 1
        return self._writer.tool(stream.tools - 1, self._id(stream, at), function.name, function.arguments or "", at)

    def _finish(self, stream: _Stream, reason: str, at: int) -> bytes:
        """The engine's own end of a choice, with what was held back."""
        stream.finish = reason
        text, stream.held = stream.held, ""
        if stream.forced is not None:
            text = stream.forced.held  # cut by max_tokens: there is no call to make
            if stream.tools and reason == "stop":
                reason = "tool_calls"
        return (self._writer.text(text, at) if text else b"") + self._writer.finish(reason, at)

    def _cut(self, stream: _Stream, reason: str, at: int) -> bytes:
        """Qiao's end of a choice; what the engine still makes of it is not wanted."""
        if stream.finish:
            return b""
        out = self._finish(stream, reason, at)
        stream.finish = "cut"
        return out

    def _end(self) -> bytes:
        if not all(stream.finish for stream in self._streams.values()):
            raise ProtocolBroken("The local model's answer ended without a reason.")
        self.finished = True
        return (self._writer.usage(self.usage) if self._ask.include_usage else b"") + chunks.DONE

    def _id(self, stream: _Stream, at: int) -> str:
        """A tool call's id: `call_` and 24 hex digits, the same for the same place in the same call."""
        place = f"{self._call_id} {at} {stream.tools}".encode()
        return "call_" + hashlib.sha256(place).hexdigest()[:24]


def _decode(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise ProtocolBroken("The local model sent an event that cannot be read.") from error


def _overlap(text: str, stops: tuple[str, ...]) -> int:
    """How many characters at the end of the text begin one of the stop texts."""
    longest = max(map(len, stops), default=0)
    for size in range(min(longest - 1, len(text)), 0, -1):
        if any(stop.startswith(text[-size:]) for stop in stops):
            return size
    return 0


def _logprobs(raw: msgspec.Raw) -> _Logprobs | None:
    """The token probabilities without llama-server's token ids."""
    return _decode(raw, _Logprobs) if given(raw) else None
