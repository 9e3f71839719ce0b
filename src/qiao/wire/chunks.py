"""The hub's stream: read the chunks of any OpenAI-compatible engine, write them as the Qwen API does."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from qiao.errors import ProtocolBroken
from qiao.wire import usage as wire_usage
from qiao.wire.document import UNREADABLE
from qiao.wire.usage import Usage

DONE = b"data: [DONE]\n\n"
MAX_TOOL_CALLS = 1024  # of one answer
ABSENT = msgspec.Raw(b"null")  # msgspec does not decode a union with Raw, so null stands for what is not there


def given(raw: msgspec.Raw) -> bool:
    """Whether a field was there and not null."""
    return raw is not ABSENT and bytes(raw) != b"null"


class ToolFunction(msgspec.Struct, omit_defaults=True):
    """A piece of a called function: its name once, its arguments bit by bit."""

    name: str | None = None
    arguments: str | None = None


class ToolDelta(msgspec.Struct):
    """A piece of a tool call."""

    index: int | None = None
    id: str | None = None
    function: ToolFunction | None = None


class Delta(msgspec.Struct):
    """What one chunk adds; also reads the whole `message` of an answer that was not streamed."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None  # vLLM's newer spelling
    tool_calls: list[ToolDelta] | None = None
    audio: msgspec.Raw = ABSENT

    @property
    def thought(self) -> str:
        return self.reasoning_content or self.reasoning or ""


class Choice(msgspec.Struct):
    """One of the answers in a chunk, or in a whole completion."""

    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = ABSENT

    @property
    def added(self) -> Delta:
        return self.delta or self.message or Delta()


class Chunk(msgspec.Struct):
    """One event of an OpenAI stream, or a whole completion."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] | None = None
    usage: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT
    prompt_progress: msgspec.Raw = ABSENT  # llama-server's, while it reads the prompt

    @property
    def counts(self) -> Usage | None:
        return wire_usage.read(self.usage) if given(self.usage) else None


_chunk = msgspec.json.Decoder(Chunk)
# One half of an escaped surrogate pair without the other.
_half = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


def read(data: bytes) -> Chunk:
    """One event's JSON; ProtocolBroken when it is not a chunk. What is no Unicode in it becomes U+FFFD."""
    try:
        return _chunk.decode(data)
    except UNREADABLE:
        mended = _half.sub(r"\\ufffd", data.decode("utf-8", "replace"))
    try:
        return _chunk.decode(mended.encode())
    except UNREADABLE as error:
        raise ProtocolBroken("The engine sent an event that is not a chat completion chunk.") from error


def usage_object(usage: Usage) -> dict[str, Any]:
    """The `usage` of OpenAI mode."""
    out: dict[str, Any] = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }
    if usage.images is not None:
        out["prompt_tokens_details"]["image_tokens"] = usage.images
    if usage.reasoning is not None:
        text = max(usage.output - usage.reasoning, 0)
        out["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning, "text_tokens": text}
    return out


class ChunkWriter:
    """Writes one answer as chunks in the reference's form: role once, null for the idle side, id and name once.

    With `thinking` every delta carries both `content` and `reasoning_content`. `running` puts the counts so far
    into every chunk (stream_options.continuous_usage_stats).
    """

    def __init__(self, call_id: str, model: str, created: int, *, thinking: bool = False) -> None:
        self._tail = b',"created":%d,"system_fingerprint":null,"model":%s,"id":"chatcmpl-%s"}\n\n' % (
            created,
            msgspec.json.encode(model),
            call_id.encode(),
        )
        self._thinking = thinking
        self._started: set[int] = set()
        self.running: Usage | None = None

    def text(self, text: str, index: int = 0, logprobs: Any = None) -> bytes:
        """A piece of the answer."""
        idle = {"reasoning_content": None} if self._thinking else {}
        return self._delta({"content": text, **idle}, index, logprobs=logprobs)

    def thought(self, text: str, index: int = 0) -> bytes:
        """A piece of the chain of thought."""
        return self._delta({"content": None, "reasoning_content": text}, index)

    def tool(self, at: int, call: str, name: str, arguments: str = "", index: int = 0) -> bytes:
        """The first delta of a tool call: its id and name, and what is known of the arguments."""
        function = {"name": name, "arguments": arguments}
        return self._tool({"index": at, "id": call, "type": "function", "function": function}, index)

    def arguments(self, at: int, fragment: str, index: int = 0) -> bytes:
        """A later delta of a tool call: an empty id and no name."""
        return self._tool({"index": at, "id": "", "type": "function", "function": {"arguments": fragment}}, index)

    def finish(self, reason: str, index: int = 0) -> bytes:
        """The last chunk of a choice."""
        idle = {"reasoning_content": None} if self._thinking else {}
        return self._delta({"content": "", **idle}, index, finish=reason)

    def usage(self, usage: Usage) -> bytes:
        """The extra chunk that `include_usage` asks for."""
        return self._event(b'{"choices":[],', usage)

    def _tool(self, tool: dict[str, Any], index: int) -> bytes:
        idle = {"reasoning_content": None} if self._thinking else {}
        return self._delta({"content": "", **idle, "tool_calls": [tool]}, index)

    def _delta(self, delta: dict[str, Any], index: int, *, finish: str | None = None, logprobs: Any = None) -> bytes:
        opening = b""
        if index not in self._started:
            self._started.add(index)
            first: dict[str, Any] = {"content": "", "role": "assistant"}
            if self._thinking:
                first = {"content": None, "role": "assistant", "reasoning_content": ""}
            opening = self._choice({"delta": first, "index": index, "logprobs": None, "finish_reason": None})
        return opening + self._choice({"finish_reason": finish, "delta": delta, "index": index, "logprobs": logprobs})

    def _choice(self, choice: dict[str, Any]) -> bytes:
        return self._event(b'{"choices":[%s],' % msgspec.json.encode(choice), self.running)

    def _event(self, head: bytes, usage: Usage | None) -> bytes:
        counts = b"null" if usage is None else msgspec.json.encode(usage_object(usage))
        return b'data: %s"object":"chat.completion.chunk","usage":%s%s' % (head, counts, self._tail)


class _Answer:
    """One choice as it has come so far."""

    __slots__ = ("finish", "logprobs", "reasoning", "text", "tools")

    def __init__(self) -> None:
        self.text: list[str] = []
        self.reasoning: list[str] | None = None
        self.tools: list[dict[str, Any]] = []
        self.logprobs: list[msgspec.Raw] = []
        self.finish: str | None = None

    def add(self, choice: Choice) -> None:
        delta = choice.added
        if delta.content:
            self.text.append(delta.content)
        if delta.reasoning_content is not None or delta.reasoning is not None:
            self.reasoning = [*(self.reasoning or []), delta.thought]
        for tool in delta.tool_calls or ():
            add_tool(self.tools, tool)
        if given(choice.logprobs):
            self.logprobs.append(choice.logprobs)
        self.finish = choice.finish_reason or self.finish


def add_tool(tools: list[dict[str, Any]], delta: ToolDelta) -> None:
    """Add one delta to the list of whole tool calls, in the reference's key order."""
    at = delta.index if delta.index is not None else max(len(tools) - (0 if delta.id else 1), 0)
    if not 0 <= at < MAX_TOOL_CALLS:
        raise ProtocolBroken(f"The engine sent a tool call with the index {at}.")
    while len(tools) <= at:
        tools.append({"function": {"arguments": "", "name": ""}, "id": "", "index": len(tools), "type": "function"})
    tool, function = tools[at], delta.function or ToolFunction()
    tool["id"] = tool["id"] or delta.id or ""
    tool["function"]["name"] = tool["function"]["name"] or function.name or ""
    tool["function"]["arguments"] += function.arguments or ""


class Assembler:
    """Collects a stream into the answer that was not streamed."""

    def __init__(self) -> None:
        self._answers: dict[int, _Answer] = {}
        self.usage: Usage | None = None

    def add(self, chunk: Chunk) -> None:
        """Take in one chunk."""
        for choice in chunk.choices or ():
            self._answers.setdefault(choice.index, _Answer()).add(choice)
        self.usage = chunk.counts or self.usage

    @property
    def complete(self) -> bool:
        """Whether every choice has finished."""
        return bool(self._answers) and all(answer.finish for answer in self._answers.values())

    def choices(self) -> list[dict[str, Any]]:
        """The choices with `message`, in OpenAI mode's order of keys."""
        return [_choice(index, answer) for index, answer in sorted(self._answers.items())]

    def completion(self, call_id: str, model: str, created: int) -> bytes:
        """The whole `chat.completion`."""
        return msgspec.json.encode(
            {
                "choices": self.choices(),
                "object": "chat.completion",
                "usage": usage_object(self.usage or Usage()),
                "created": created,
                "system_fingerprint": None,
                "model": model,
                "id": f"chatcmpl-{call_id}",
            }
        )


def _choice(index: int, answer: _Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.text)}
    if answer.reasoning is not None:
        message["reasoning_content"] = "".join(answer.reasoning)
    if answer.tools:
        message["tool_calls"] = answer.tools
    return {
        "message": message,
        "finish_reason": answer.finish,
        "index": index,
        "logprobs": _logprobs(answer.logprobs),
    }


def _logprobs(parts: list[msgspec.Raw]) -> dict[str, Any] | None:
    if not parts:
        return None
    content: list[Any] = []
    for part in parts:
        content += msgspec.json.decode(part).get("content") or []
    return {"content": content}
