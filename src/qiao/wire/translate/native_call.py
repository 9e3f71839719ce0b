"""A native DashScope request to the hub's chat document (reference §3.2-§3.4).

`parameters` move to the top level, `input` becomes `messages`, content of one-key parts becomes typed parts. Whatever
is not named here is carried, and what needs no change keeps its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from qiao.errors import InvalidParameter
from qiao.wire.call import Path
from qiao.wire.document import Document
from qiao.wire.model import Model

# What shapes the native answer, and the stream's switch, which is a header here; the hub has its own for both.
_NATIVE_ONLY = ("result_format", "incremental_output", "stream", "stream_options")
_INPUT = ("messages", "prompt", "history")
_UNEXPECTED = "The provided messages input is invalid. The error info is [Unexpected item type in content]"
_EMPTY = "Role must be user or assistant and Content length must be greater than 0"

Part = dict[str, Any]


def to_hub(document: Document, path: Path) -> Document:
    """The chat document that asks for the same; InvalidParameter with the reference's texts.

    On the text path, and in tool messages, content of plain texts alone becomes one string: such models read strings.
    """
    given = document.object("input")
    if given is None:
        raise InvalidParameter("Field required: input", param="input")
    parameters = document.object("parameters") or Document.build()
    return (
        given.without(*_INPUT)
        .merged(parameters.without(*_NATIVE_ONLY, "messages", "model"))
        .merged(document.without("input", "parameters", *_NATIVE_ONLY))
        .with_(messages=_messages(given, path))
    )


@dataclass(frozen=True, slots=True)
class Options:
    """How the native answer is to look, and how many choices it has."""

    result_format: Literal["text", "message"] = "message"
    incremental_output: bool = True
    n: int = 1


def options(document: Document, model: Model, *, streamed: bool, thinking: bool) -> Options:
    """The options of a native request: what it says, else what thinking needs, else the model's default."""
    parameters = document.object("parameters") or Document.build()
    n = _value(parameters, "n", int, "a valid integer") or 1
    shape = _value(parameters, "result_format", Literal["text", "message"], "'text' or 'message'")
    incremental = _value(parameters, "incremental_output", bool, "a valid boolean")
    if streamed and incremental is False:
        if model.cumulative_refused:
            _refuse("The incremental_output parameter of this model cannot be set to False.", "incremental_output")
        if thinking:
            _refuse(
                'The incremental_output parameter must be "true" when enable_thinking is true', "incremental_output"
            )
    if thinking and shape == "text":
        _refuse('The result_format parameter must be "message" when enable_thinking is true', "result_format")
    # Text format has room for one choice only.
    shape = shape or ("message" if thinking or n > 1 else model.result_format)
    if shape == "text" and parameters.get("tools"):
        _refuse("When 'tools' are provided, 'result_format' must be 'message'.", "result_format")
    if incremental is None:
        incremental = thinking or model.incremental_output
    return Options(shape, incremental, n)


def _value(parameters: Document, name: str, kind: Any, expected: str) -> Any:
    try:
        return parameters.get(name, kind)
    except InvalidParameter as error:
        raise InvalidParameter(f"Input should be {expected}: parameters.{name}", param=name) from error


def _refuse(text: str, name: str) -> None:
    raise InvalidParameter(text, param=name)


def _messages(given: Document, path: Path) -> list[Any]:
    prompt = _typed(given.raw("prompt"), str, "a valid string", "input.prompt")
    messages = _typed(given.raw("messages"), list[msgspec.Raw], "a valid list", "input.messages")
    if messages is None and prompt is None:
        raise InvalidParameter('Either "prompt" or "messages" must exist and cannot both be none')
    if messages and prompt is not None:
        raise InvalidParameter('Only one of the parameters "prompt" and "messages" can be present')
    if not messages and (messages is not None or not prompt):
        raise InvalidParameter(_EMPTY)
    if messages:
        return [_message(raw, at, path) for at, raw in enumerate(messages)]
    turns: list[_Turn] = _typed(given.raw("history"), list[_Turn], "a valid list", "input.history") or []
    talk = [(role, text) for turn in turns for role, text in (("user", turn.user), ("assistant", turn.bot))]
    return [{"role": role, "content": text} for role, text in [*talk, ("user", prompt)] if text is not None]


class _Turn(msgspec.Struct):
    """One turn of the old `history`."""

    user: str | None = None
    bot: str | None = None


def _typed(raw: bytes | msgspec.Raw | None, kind: Any, expected: str, where: str) -> Any:
    """The decoded value, None when it is absent or null."""
    if raw is None or bytes(raw) == b"null":
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidParameter(f"Input should be {expected}: {where}", param=where) from error


def _message(raw: msgspec.Raw, at: int, path: Path) -> Any:
    """One message; its own bytes unless its content is a list that the hub spells otherwise."""
    where = f"input.messages.{at}"
    fields: dict[str, msgspec.Raw] | None = _typed(raw, dict[str, msgspec.Raw], "a valid dictionary", where)
    if fields is None:
        raise InvalidParameter(f"Input should be a valid dictionary: {where}", param=where)
    content = fields.get("content")
    if content is None or _kind(content) != "[":
        return raw
    items: list[msgspec.Raw] = _typed(content, list[msgspec.Raw], "a valid list", f"{where}.content")
    parts = [part for item in items for part in _parts(item)]
    if path == "text" or bytes(fields.get("role", b"")) == b'"tool"':
        texts = [part["text"] for part in parts if part.keys() == {"type", "text"} and _kind(part["text"]) == '"']
        if parts and len(texts) == len(parts):
            return fields | {"content": "".join([_typed(text, str, "a valid string", where) for text in texts])}
    return fields | {"content": parts}


def _kind(raw: msgspec.Raw) -> str:
    """The first character of a JSON value, which tells its kind."""
    return chr(memoryview(raw)[0])


def _parts(item: msgspec.Raw) -> list[Part]:
    """One item of a content list as typed parts; an item of an unknown kind is the engine's to judge."""
    if _kind(item) == '"':
        return [{"type": "text", "text": item}]
    if _kind(item) != "{":
        raise InvalidParameter(_UNEXPECTED)
    part = msgspec.json.decode(item, type=dict[str, msgspec.Raw])
    if "type" in part:
        return [part]
    beside = {name: value for name, value in part.items() if name not in _KINDS}
    return [_KINDS[kind](value) | beside for kind, value in part.items() if kind in _KINDS] or [part]


def _text(value: msgspec.Raw) -> Part:
    if _kind(value) != '"':
        raise InvalidParameter(_UNEXPECTED)
    return {"type": "text", "text": value}


def _image(value: msgspec.Raw) -> Part:
    return {"type": "image_url", "image_url": {"url": value}}


def _video(value: msgspec.Raw) -> Part:
    if _kind(value) == "[":
        return {"type": "video", "video": value}
    return {"type": "video_url", "video_url": {"url": value}}


_audio_kind = re.compile(rb'^"data:audio/(?:x-)?(\w+)|\.(\w+)(?:\?[^"]*)?"$')


def _audio(value: msgspec.Raw) -> Part:
    known = _audio_kind.search(value)
    kind = bytes(known[1] or known[2]).decode() if known else "wav"
    return {"type": "input_audio", "input_audio": {"data": value, "format": "mp3" if kind == "mpeg" else kind}}


_KINDS: dict[str, Callable[[msgspec.Raw], Part]] = {"text": _text, "image": _image, "video": _video, "audio": _audio}
