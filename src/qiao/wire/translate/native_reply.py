"""The hub's answer to native DashScope: incremental or cumulative events, or one JSON body (reference §3.5-§3.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from qiao.errors import ProtocolBroken, QiaoError, StreamBroken
from qiao.wire import chunks, dashscope, openai, sse
from qiao.wire.call import Path
from qiao.wire.chunks import ABSENT, Assembler, Choice, Chunk, ToolDelta, ToolFunction, given
from qiao.wire.translate.native_call import Options
from qiao.wire.usage import Usage


class NativeReply:
    """An engine's OpenAI answer, streamed or whole, to a native client (a Passage).

    The last event carries both the finish reason and the exact counts, so it waits for the engine's usage or [DONE].
    The counts before it are the engine's running ones, or estimates: `prompt_estimate`, and one token a chunk.
    A cumulative event grows with its answer; the official asynchronous client reads lines of up to 128 KiB.
    """

    def __init__(
        self, call_id: str, path: Path, options: Options, *, streamed: bool, thinking: bool, prompt_estimate: int
    ) -> None:
        shape = _Shape(
            call_id,
            text=options.result_format == "text" and path == "text",  # the other path always answers in messages
            lists=path == "multimodal",
            cumulative=not options.incremental_output,
            indexed=options.n > 1,
            thinking=thinking,
        )
        self._counts = _Counts(prompt_estimate)
        self._streamed = streamed
        self._writer = _Events(shape, self._counts) if streamed else _Body(shape, self._counts)
        self._splitter = sse.Splitter()
        self._whole: list[bytes] | None = None  # the pieces of an answer that the engine did not stream
        self._begun = False
        self._broken: ProtocolBroken | None = None
        self._closed = False  # what follows does not belong to the answer
        self.content_type = dashscope.EVENTS if streamed else dashscope.JSON
        self.answer_id: str | None = call_id
        self.error: QiaoError | None = None
        self.finished = False

    @property
    def usage(self) -> Usage | None:
        """The engine's own counts."""
        return self._counts.exact

    def feed(self, chunk: bytes) -> bytes:
        if self._broken is not None:
            raise self._broken
        if not self._begun:
            self._begin(chunk)
        if self._whole is not None:
            self._whole.append(chunk)
            return b""
        written: list[bytes] = []
        try:
            written.extend(self._event(frame) for frame in self._splitter.frames(chunk))
        except ProtocolBroken as error:
            if not any(written):
                raise
            self._broken = error  # the events before it are delivered first
        return b"".join(written)

    def end(self) -> bytes:
        if self._broken is not None:
            raise self._broken
        out = b"" if self._whole is None else self._take_whole(b"".join(self._whole))
        if self.error is not None and not self._streamed:
            raise self.error
        if self._streamed and self._closed:
            return out
        if not self.finished:
            raise StreamBroken("The engine's stream ended before its answer was complete.")
        return out + self._writer.last()

    def fail(self, error: QiaoError) -> bytes:
        return self._writer.error(error)

    def _begin(self, chunk: bytes) -> None:
        start = chunk.lstrip()[:1]
        self._begun = bool(start)
        if start == b"{":
            self._whole = []
        elif start == b"<":
            raise ProtocolBroken("The engine answered with a web page.")

    def _event(self, frame: bytes) -> bytes:
        data = sse.data(frame)
        if data is None or self._closed:
            return b""
        if data == b"[DONE]":
            return self._close()
        chunk = chunks.read(data)
        if given(chunk.error) or (not chunk.choices and not given(chunk.usage)):
            self.error = openai.error_in(data)
            if self.error is not None:
                self._closed = True
                return self._writer.error(self.error) if self._streamed else b""
        self._counts.add(chunk)
        out = self._writer.take(chunk)
        self.finished = self._writer.complete
        if self.finished and not chunk.choices and given(chunk.usage):
            return out + self._close()
        return out

    def _close(self) -> bytes:
        """The engine's answer is complete; a body that is not streamed is written at the end."""
        if not self._writer.begun:
            raise ProtocolBroken("The engine's answer has no choices.")
        self.finished = self._closed = True
        return self._writer.last() if self._streamed else b""

    def _take_whole(self, body: bytes) -> bytes:
        chunk = chunks.read(body)
        if not chunk.choices:
            raise openai.error_in(body) or ProtocolBroken("The engine's answer is not a chat completion.")
        self._counts.exact = chunk.counts
        self.finished = True
        return self._writer.take(chunk)


@dataclass(frozen=True, slots=True)
class _Shape:
    """How the answer looks."""

    call_id: str
    text: bool  # `output.text` in the place of messages
    lists: bool  # content is a list of parts
    cumulative: bool
    indexed: bool  # more than one choice
    thinking: bool


class _Counts:
    """The token counts as far as they are known."""

    __slots__ = ("_output", "_prompt", "_thoughts", "exact")

    def __init__(self, prompt_estimate: int) -> None:
        self.exact: Usage | None = None
        self._prompt = prompt_estimate
        self._output = 0
        self._thoughts = 0

    def add(self, chunk: Chunk) -> None:
        """Take in the engine's counts, or count the chunk itself."""
        self.exact = chunk.counts or self.exact
        for choice in chunk.choices or ():
            delta = choice.added
            if delta.thought:
                self._thoughts += 1
            if delta.thought or delta.content or delta.tool_calls:
                self._output += 1

    def encode(self, shape: _Shape) -> bytes:
        """The `usage` object, now."""
        usage = self.exact or Usage(self._prompt, self._output, reasoning=self._thoughts, estimated=True)
        if usage.reasoning is None and self._thoughts:
            usage = msgspec.structs.replace(usage, reasoning=min(self._thoughts, usage.output))
        return msgspec.json.encode(dashscope.usage_object(usage, thinking=shape.thinking))


class _Body:
    """Writes the answer as one JSON body."""

    def __init__(self, shape: _Shape, counts: _Counts) -> None:
        self._shape = shape
        self._counts = counts
        self._assembler = Assembler()
        self.begun = False

    @property
    def complete(self) -> bool:
        return self._assembler.complete

    def take(self, chunk: Chunk) -> bytes:
        self.begun = self.begun or bool(chunk.choices)
        self._assembler.add(chunk)
        return b""

    def last(self) -> bytes:
        """The whole body."""
        choices = self._assembler.choices()
        output: dict[str, Any] = {"choices": [self._choice(choice) for choice in choices]}
        if self._shape.text:
            first = choices[0]
            output = {"finish_reason": first["finish_reason"] or "stop", "text": first["message"]["content"]}
        return b'{"output":%s,"usage":%s,"request_id":%s}' % (
            msgspec.json.encode(output),
            self._counts.encode(self._shape),
            msgspec.json.encode(self._shape.call_id),
        )

    def error(self, error: QiaoError) -> bytes:
        return dashscope.envelope(error, self._shape.call_id)

    def _choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        message = choice["message"]
        if self._shape.lists:
            message["content"] = [{"text": message["content"]}] if message["content"] else []
        if self._shape.thinking:
            message.setdefault("reasoning_content", "")
        out = {"finish_reason": choice["finish_reason"] or "stop", "message": message}
        if self._shape.indexed:
            out["index"] = choice["index"]
        if choice["logprobs"] is not None:
            out["logprobs"] = choice["logprobs"]
        return out


class _Answer:
    """One choice: what its next event shows, its texts as the inside of JSON strings."""

    __slots__ = ("called", "finish", "index", "text", "thinks", "thought", "tools")

    def __init__(self, index: int, *, thinks: bool) -> None:
        self.index = index
        self.text = bytearray()
        self.thought = bytearray()
        self.tools: list[dict[str, Any]] = []
        self.called = 0  # tool calls begun
        self.thinks = thinks
        self.finish: str | None = None

    def call(self, delta: ToolDelta) -> None:
        """Add one delta of a tool call: id and name once, then an empty id and no name (reference §3.7)."""
        function = delta.function or ToolFunction()
        at = delta.index if delta.index is not None else max(self.called - (0 if delta.id else 1), 0)
        shown: dict[str, Any] = {"index": at, "id": "", "type": "function", "function": {}}
        if at >= self.called:
            self.called = at + 1
            shown["id"] = delta.id or ""
            shown["function"]["name"] = function.name or ""
        shown["function"]["arguments"] = function.arguments or ""
        self.tools.append(shown)


class _Events:
    """Writes the answer as events. An incremental event shows what came since the last one, a cumulative one all."""

    def __init__(self, shape: _Shape, counts: _Counts) -> None:
        self._shape = shape
        self._counts = counts
        self._answers: dict[int, _Answer] = {}
        self._number = 0
        self._request = msgspec.json.encode(shape.call_id)

    @property
    def begun(self) -> bool:
        return bool(self._answers)

    @property
    def complete(self) -> bool:
        return self.begun and all(answer.finish for answer in self._answers.values())

    def take(self, chunk: Chunk) -> bytes:
        return b"".join([self._take(choice) for choice in chunk.choices or ()])

    def last(self) -> bytes:
        """The event with the finish reason, for each choice."""
        return b"".join([self._finish(answer) for answer in self._answers.values()])

    def error(self, error: QiaoError) -> bytes:
        self._number += 1
        return dashscope.error_frame(error, self._shape.call_id, self._number)

    def _take(self, choice: Choice) -> bytes:
        answer = self._answers.get(choice.index)
        if answer is None:
            answer = self._answers[choice.index] = _Answer(choice.index, thinks=self._shape.thinking)
        delta = choice.added
        answer.finish = choice.finish_reason or answer.finish
        out = b""
        if delta.thought and not self._shape.text:
            answer.thinks = True
            answer.thought += _inside(delta.thought)
            out = self._event(answer)
        if not (delta.content or delta.tool_calls or given(choice.logprobs) or given(delta.audio)):
            return out
        answer.text += _inside(delta.content or "")
        for tool in delta.tool_calls or ():
            if self._shape.cumulative:
                chunks.add_tool(answer.tools, tool)
            else:
                answer.call(tool)
        return out + self._event(answer, logprobs=choice.logprobs, audio=delta.audio)

    def _finish(self, answer: _Answer) -> bytes:
        reason = answer.finish or "stop"
        if reason == "tool_calls" and answer.called:  # gateways want tool_calls beside this reason
            answer.call(ToolDelta(index=answer.called - 1))
        return self._event(answer, finish=reason)

    def _event(
        self,
        answer: _Answer,
        *,
        logprobs: msgspec.Raw = ABSENT,
        audio: msgspec.Raw = ABSENT,
        finish: str = "null",
    ) -> bytes:
        if self._shape.text:
            if answer.index:
                return b""
            output = b'"finish_reason":%s,"text":"%s"' % (msgspec.json.encode(finish), answer.text)
        else:
            output = b'"choices":[{"message":%s%s,"finish_reason":%s}]' % (
                self._message(answer),
                b',"logprobs":%s' % bytes(logprobs) if given(logprobs) else b"",
                msgspec.json.encode(finish),
            )
        if given(audio):
            output += b',"audio":%s' % bytes(audio)
        if not self._shape.cumulative:
            answer.text.clear()
            answer.thought.clear()
            answer.tools.clear()
        self._number += 1
        data = b'{"output":{%s},"usage":%s,"request_id":%s}' % (output, self._counts.encode(self._shape), self._request)
        return dashscope.frame(self._number, data)

    def _message(self, answer: _Answer) -> bytes:
        """The message, and the index where it is told: beside tool calls, and of several choices."""
        content = b'"%s"' % answer.text
        if self._shape.lists:
            content = b'[{"text":%s}]' % content if answer.text else b"[]"
        return b'{"content":%s%s%s,"role":"assistant"}%s' % (
            content,
            b',"reasoning_content":"%s"' % answer.thought if answer.thinks else b"",
            b',"tool_calls":%s' % msgspec.json.encode(answer.tools) if answer.tools else b"",
            b',"index":%d' % answer.index if self._shape.indexed or answer.tools else b"",
        )


def _inside(text: str) -> bytes:
    """A text as the inside of a JSON string; such pieces can be joined."""
    return msgspec.json.encode(text)[1:-1]
