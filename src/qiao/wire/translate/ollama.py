"""The hub to Ollama's native `/api/chat` and back; its `/v1` silently drops `num_ctx` and `think`.

Source: Ollama's API documentation (generate a chat completion). Requests are one JSON object, answers one per line.
"""

from __future__ import annotations

import uuid
from typing import Any, cast

import msgspec

from qiao.errors import EngineFailed, InputTooLong, InvalidParameter, ProtocolBroken, StreamBroken
from qiao.wire import tokens
from qiao.wire.chunks import DONE, ChunkWriter
from qiao.wire.document import UNREADABLE, Document
from qiao.wire.usage import Usage

# Hub name → name under `options`.
_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repeat_penalty",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "stop": "stop",
}
_SPECIAL = frozenset(
    {
        "model",
        "messages",
        "tools",
        "tool_choice",
        "response_format",
        "stream",
        "stream_options",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "enable_thinking",
        "options",
        "parallel_tool_calls",
    }
)


def request(document: Document, *, thinking: bool | None, context: int) -> bytes:
    """The body of `/api/chat`. InvalidParameter for what Ollama cannot do, so that nothing is dropped in silence."""
    if (document.get("n", int) or 1) > 1:
        raise InvalidParameter("Range of n should be [1, 1]: this engine answers once.", param="n")
    options: dict[str, Any] = {"num_ctx": context}
    for name, theirs in _OPTIONS.items():
        if (value := document.get(name)) is not None:
            options[theirs] = [value] if theirs == "stop" and isinstance(value, str) else value
    if (most := document.get("max_completion_tokens", int) or document.get("max_tokens", int)) is not None:
        options["num_predict"] = most
    given = document.get("options")
    body: dict[str, Any] = {
        "model": document.get("model"),
        "messages": [_message(message) for message in document.get("messages", list[dict[str, Any]]) or []],
        "stream": True,
        "options": options | (given if isinstance(given, dict) else {}),
    }
    if thinking is not None:
        body["think"] = thinking
    if (form := document.get("response_format", dict[str, Any])) is not None and form.get("type") != "text":
        described = form.get("json_schema")
        schema = cast("dict[str, Any]", described).get("schema") if isinstance(described, dict) else None
        body["format"] = schema if form.get("type") == "json_schema" and schema else "json"
    body |= _tools(document)
    carried = {name: msgspec.Raw(document.raw(name) or b"null") for name in document.names() if name not in _SPECIAL}
    return msgspec.json.encode({name: raw for name, raw in carried.items() if name not in _OPTIONS} | body)


def check_length(document: Document, context: int) -> None:
    """Refuse what Ollama would cut off in silence, with the text that clients read the limit from."""
    text = (document.raw("messages") or b"").decode("utf-8", "replace")
    if tokens.estimate(text) * 2 > context and tokens.count(text) > context:
        raise InputTooLong(context)


def _tools(document: Document) -> dict[str, Any]:
    tools = document.get("tools", list[dict[str, Any]]) or []
    choice = document.get("tool_choice")
    if choice == "none":
        return {}
    if isinstance(choice, dict):
        name = cast("dict[str, Any]", choice).get("function", {}).get("name")
        tools = [tool for tool in tools if tool.get("function", {}).get("name") == name]
    return {"tools": tools} if tools else {}


def _message(message: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"role": "system" if message.get("role") == "developer" else message.get("role")}
    content = message.get("content")
    if isinstance(content, list):
        parts = cast("list[dict[str, Any]]", content)
        out["content"] = "".join(str(part.get("text", "")) for part in parts)
        if images := [_image(part) for part in parts if part.get("type") == "image_url"]:
            out["images"] = images
        if any(part.get("type") not in {"text", "image_url"} for part in parts):
            raise InvalidParameter("This engine takes text and images only.")
    else:
        out["content"] = content or ""
    calls: list[dict[str, Any]] | None = message.get("tool_calls")
    if calls:
        out["tool_calls"] = [_call(call) for call in calls]
    if thought := message.get("reasoning_content"):
        out["thinking"] = thought
    if message.get("role") == "tool":
        out["tool_call_id"] = message.get("tool_call_id")
    return out


def _image(part: dict[str, Any]) -> str:
    image: dict[str, Any] = part.get("image_url") or {}
    url = str(image.get("url", ""))
    head, _, data = url.partition(";base64,")
    if not head.startswith("data:") or not data:
        raise InvalidParameter("The provided URL does not appear to be valid. This engine takes images as data: URLs.")
    return data


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function: dict[str, Any] = call.get("function") or {}
    try:
        arguments = msgspec.json.decode(function.get("arguments") or "{}")
    except UNREADABLE as error:
        raise InvalidParameter(
            'The "function.arguments" parameter of the code model must be in JSON format.'
        ) from error
    return {"id": call.get("id"), "function": {"name": function.get("name"), "arguments": arguments}}


class _Function(msgspec.Struct):
    name: str = ""
    arguments: Any = None


class _Call(msgspec.Struct):
    function: _Function = msgspec.field(default_factory=_Function)


class _Message(msgspec.Struct):
    content: str = ""
    thinking: str = ""
    tool_calls: list[_Call] | None = None


class _Line(msgspec.Struct):
    message: _Message | None = None
    done: bool = False
    done_reason: str = "stop"
    prompt_eval_count: int = 0
    eval_count: int = 0
    error: str | None = None


_line = msgspec.json.Decoder(_Line)


class Lines:
    """Feed it Ollama's bytes; it returns the hub's chunks."""

    def __init__(self, writer: ChunkWriter, *, thinking: bool) -> None:
        self._writer = writer
        self._thinking = thinking
        self._tail = b""
        self._calls = 0
        self._thought = 0
        self._done = False

    def feed(self, chunk: bytes) -> bytes:
        """Chunks for the whole lines so far; EngineFailed for Ollama's own error, ProtocolBroken for anything odd."""
        *lines, self._tail = (self._tail + chunk).split(b"\n")
        return b"".join([self._read(line) for line in lines if line.strip()])

    def end(self) -> bytes:
        """The rest at a clean end; StreamBroken when the last line has not come."""
        out = self._read(self._tail) if self._tail.strip() else b""
        if not self._done:
            raise StreamBroken("The engine's stream ended before its answer was complete.")
        return out

    def _read(self, line: bytes) -> bytes:
        try:
            read = _line.decode(line)
        except UNREADABLE as error:
            raise ProtocolBroken("The engine sent a line that is not its protocol.") from error
        if read.error is not None:
            raise EngineFailed(read.error[:500])
        message, out = read.message or _Message(), b""
        if message.thinking:
            self._thought += 1
            out += self._writer.thought(message.thinking)
        if message.content:
            out += self._writer.text(message.content)
        for call in message.tool_calls or ():
            arguments = msgspec.json.encode(call.function.arguments or {}).decode()
            out += self._writer.tool(self._calls, f"call_{uuid.uuid4().hex[:24]}", call.function.name, arguments)
            self._calls += 1
        return out + self._end(read) if read.done else out

    def _end(self, read: _Line) -> bytes:
        self._done = True
        reason = "tool_calls" if self._calls else "length" if read.done_reason == "length" else "stop"
        # Ollama does not count thought apart; its chunks hold one token each.
        reasoning = min(self._thought, read.eval_count) if self._thinking else None
        usage = Usage(input=read.prompt_eval_count, output=read.eval_count, reasoning=reasoning)
        return self._writer.finish(reason) + self._writer.usage(usage) + DONE
