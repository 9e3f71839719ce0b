"""The fields of a chat document beside its messages: each of its kind and its shape (reference §2.2.2, §4.4).

KINDS says what a field must be, _SHAPES what must be inside. A field that is null is absent; a field that no row names
is nobody's business. The texts name fields as the native protocol does, like the cloud's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qiao.errors import InvalidParameter
from qiao.wire.check_messages import is_list, is_object
from qiao.wire.document import Document

KINDS: dict[str, Any] = {
    "stream": bool,
    "stream_options": dict[str, Any],
    "modalities": list[str],
    "audio": dict[str, Any],
    "temperature": float,
    "top_p": float,
    "top_k": int,
    "repetition_penalty": float,
    "presence_penalty": float,
    "frequency_penalty": float,
    "max_tokens": int,
    "max_completion_tokens": int,
    "n": int,
    "seed": int,
    "stop": Any,
    "logprobs": bool,
    "top_logprobs": int,
    "response_format": Any,
    "tools": list[Any],
    "tool_choice": Any,
    "parallel_tool_calls": bool,
    "tool_stream": bool,
    "enable_thinking": bool,
    "thinking_budget": int,
    "reasoning_effort": str,
    "preserve_thinking": bool,
    "enable_search": bool,
    "search_options": dict[str, Any],
    "enable_code_interpreter": bool,
    "vl_high_resolution_images": bool,
    "translation_options": dict[str, Any],
}
_SHOULD_BE: dict[Any, str] = {
    bool: "a valid boolean",
    int: "a valid integer",
    float: "a valid number",
    str: "a valid string",
    list[Any]: "a valid list",
    list[str]: "a valid list",
    dict[str, Any]: "a valid dictionary",
}
_STOP = (
    'The "stop" parameter must be of type "str", "list[str]", "list[int]", or "list[list[int]]", '
    "and all elements within the list must be of the same type."
)
_ODD_FORM = "Unknown format of response_format, response_format should be an object with a 'type'."
_CHOICE = (
    "Input should be a valid string: parameters.tool_choice.str & "
    "Field required: parameters.tool_choice.ToolChoice.function"
)


def read(document: Document) -> dict[str, Any]:
    """The given fields that KINDS knows, decoded, each of its kind and its shape."""
    values: dict[str, Any] = {}
    for name in document.names():
        kind = KINDS.get(name)
        if kind is None:
            continue
        try:
            value = document.get(name, kind)
        except InvalidParameter:
            is_text = (document.raw(name) or b"").startswith(b'"')
            raise InvalidParameter(_wrong_kind(name, kind, is_text), param=name) from None
        if value is None:
            continue
        values[name] = value
        shape = _SHAPES.get(name)
        wrong = shape(value) if shape is not None else None
        if wrong is not None:
            raise InvalidParameter(wrong, param=name)
    return values


def _wrong_kind(name: str, kind: Any, is_text: bool) -> str:
    if name == "temperature":
        return "'temperature' must be Float"
    text = f"Input should be {_SHOULD_BE.get(kind, 'a valid value')}"
    if is_text and kind in {int, float}:
        noun = "an integer" if kind is int else "a number"
        text += f", unable to parse string as {noun}"
    return f"{text}: parameters.{name}"


def _stop(value: Any) -> str | None:
    if isinstance(value, str):
        return None
    if not is_list(value):
        return _STOP
    kinds = {_stop_kind(item) for item in value}
    return _STOP if len(kinds) > 1 or None in kinds else None


def _stop_kind(item: Any) -> str | None:
    if is_list(item):
        return "ids" if all(_is_id(token) for token in item) else None
    if isinstance(item, str):
        return "text"
    return "id" if _is_id(item) else None


def _is_id(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def _tools(value: list[Any]) -> str | None:
    for at, tool in enumerate(value):
        function = tool.get("function") if is_object(tool) else None
        if not is_object(function):
            return f"'function' is a required property, expected an object - 'tools.{at}'"
        if not isinstance(function.get("name"), str):
            return f"'name' is a required property, expected a string - 'tools.{at}.function'"
        if not isinstance(function.get("description"), str | None):
            return f"Input should be a valid string: parameters.tools.{at}.function.description"
        if not isinstance(function.get("parameters"), dict | None):
            return f"Input should be a valid dictionary: parameters.tools.{at}.function.parameters"
    return None


def _tool_choice(value: Any) -> str | None:
    if isinstance(value, str):
        known = value in {"none", "auto", "required"}
        return None if known else 'tool_choice is one of the strings that should be ["none", "auto"]'
    function = value.get("function") if is_object(value) else None
    named = is_object(function) and isinstance(function.get("name"), str)
    return None if named else _CHOICE


def _response_format(value: Any) -> str | None:
    kind = value.get("type") if is_object(value) else None
    if not isinstance(kind, str):
        return _ODD_FORM
    if kind not in {"text", "json_object", "json_schema"}:
        return f"'response_format.type' Invalid value: '{kind}'. Supported values are: 'json_object' and 'text'."
    if kind != "json_schema":
        return None
    wrapped = value.get("json_schema")
    if not is_object(wrapped) or not is_object(wrapped.get("schema")):
        return f"{_ODD_FORM} A 'json_schema' needs 'json_schema.schema'."
    return None


def _stream_options(value: dict[str, Any]) -> str | None:
    if isinstance(value.get("include_usage"), bool | None):
        return None
    return "Input should be a valid boolean: parameters.stream_options.include_usage"


_SHAPES: dict[str, Callable[[Any], str | None]] = {
    "stop": _stop,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "response_format": _response_format,
    "stream_options": _stream_options,
}
