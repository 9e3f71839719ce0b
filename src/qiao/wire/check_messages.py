"""The checks of `messages`: the shape of each one, and a history of tool calls that holds together.

Texts: reference §4.4, and for roles and open tool calls public reports of the cloud's answers of 2025 and 2026.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeGuard

import msgspec

from qiao.errors import InvalidParameter
from qiao.wire.document import Document

ROLES = ["system", "assistant", "user", "tool", "function"]
_KNOWN_ROLES = frozenset({*ROLES, "developer"})  # the cloud refuses `developer`; here it means `system`
_BAD_PART = "The provided messages input is invalid. The error info is [Unexpected item type in content]"
_NO_CONTENT = "The content field is a required field."
_BAD_ARGUMENTS = 'The "function.arguments" parameter of the code model must be in JSON format.'
_ORPHAN = 'messages with role "tool" must be a response to a preceeding message with "tool_calls".'
_UNANSWERED = (
    'An assistant message with "tool_calls" must be followed by tool messages responding to each "tool_call_id". '
    "The following tool_call_ids did not have response messages: message[{at}].role"
)


class Message(msgspec.Struct):
    """One message as it came; nothing is certain of a field before `check_shapes`."""

    role: Any = None
    content: Any = None
    reasoning_content: Any = None
    tool_calls: Any = None
    tool_call_id: Any = None
    partial: Any = None

    @property
    def text(self) -> str:
        """All text of the content."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join([part["text"] for part in self.parts if isinstance(part.get("text"), str)])

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The content parts; none when the content is plain text."""
        content = self.content
        return [item for item in content if is_object(item)] if is_list(content) else []

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The tool calls of an assistant message."""
        calls = self.tool_calls
        return calls if is_list(calls) else []


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Whether a decoded value is an array."""
    return isinstance(value, list)


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a decoded value is an object."""
    return isinstance(value, dict)


def read(document: Document) -> list[Message]:
    """The messages; InvalidParameter unless they are a list of objects with something in it."""
    try:
        messages = document.get("messages", list[Message])
    except InvalidParameter:
        value = document.get("messages")
        if not is_list(value):
            _refuse("Input should be a valid list: input.messages")
        at = next((at for at, item in enumerate(value) if not is_object(item)), 0)
        _refuse(f"Input should be a valid dictionary: input.messages.{at}")
    if messages is None:
        _refuse("you must provide a messages parameter.")
    if not messages:
        _refuse("[] is too short - 'messages'")
    return messages


def check_shapes(messages: list[Message]) -> None:
    """Every message has a known role, content of a kind that the role may have, and well-formed tool calls."""
    for at, message in enumerate(messages):
        role, content = message.role, message.content
        if not isinstance(role, str) or role not in _KNOWN_ROLES:
            _refuse(f"{_shown(role)} is not one of {ROLES} - 'messages.[{at}].role'")
        if message.tool_calls is not None:
            _check_calls(message.tool_calls, at)
        if content is None:
            if role != "assistant" or not (message.tool_calls or message.reasoning_content):
                _refuse(_NO_CONTENT)
        elif is_list(content):
            for number, part in enumerate(content):
                _check_part(part, f"input.messages.{at}.content.{number}")
        elif not isinstance(content, str):
            _refuse("input content must be a string.")
        if message.tool_call_id is not None and not isinstance(message.tool_call_id, str):
            _refuse(f"Input should be a valid string: input.messages.{at}.tool_call_id")
        if message.partial is not None and not isinstance(message.partial, bool):
            _refuse(f"Input should be a valid boolean: input.messages.{at}.partial")


def check_history(messages: list[Message]) -> None:
    """Tool messages answer calls, every call is answered before anyone else speaks, and arguments are JSON."""
    waiting: list[str] = []
    for at, message in enumerate(messages):
        if message.role == "tool":
            # Old clients leave the id out: their answers come in the order of the calls.
            answered = message.tool_call_id or (waiting[0] if waiting else "")
            if answered not in waiting:
                _refuse(_ORPHAN)
            waiting.remove(answered)
            continue
        if waiting:
            _refuse(_UNANSWERED.format(at=at))
        for call in message.calls:
            waiting.append(str(call.get("id") or ""))
            if not _is_json(call["function"]["arguments"]):
                _refuse(_BAD_ARGUMENTS)
    if waiting:
        _refuse(_UNANSWERED.format(at=len(messages)))
    if not any(message.role == "user" for message in messages):
        _refuse("The input messages do not contain elements with the role of user.")


def say_json(messages: list[Message]) -> bool:
    """Whether a system or user message has the word json in it, in any case."""
    return any(
        "json" in message.text.lower() for message in messages if message.role in {"system", "developer", "user"}
    )


def part_types(messages: list[Message]) -> set[str]:
    """The types of all content parts."""
    return {part["type"] for message in messages for part in message.parts}


def _check_calls(calls: Any, at: int) -> None:
    where = f"input.messages.{at}.tool_calls"
    if not is_list(calls):
        _refuse(f"Input should be a valid list: {where}")
    for number, call in enumerate(calls):
        function = call.get("function") if is_object(call) else None
        if not is_object(function):
            _refuse(f"'function' is a required property, expected an object - 'messages.[{at}].tool_calls.{number}'")
        if not isinstance(function.get("name"), str):
            _refuse(f"Input should be a valid string: {where}.{number}.function.name")
        if not isinstance(function.get("arguments"), str):
            _refuse(_BAD_ARGUMENTS)
        if not isinstance(call.get("id"), str | None):
            _refuse(f"Input should be a valid string: {where}.{number}.id")


def _check_part(part: Any, where: str) -> None:
    kind = part.get("type") if is_object(part) else None
    if not isinstance(kind, str) or kind not in _PARTS:
        _refuse(_BAD_PART)
    if not _PARTS[kind](part.get(kind)):
        _refuse(f"Field required: {where}.{kind}")


def _has(name: str) -> Callable[[Any], bool]:
    return lambda value: is_object(value) and isinstance(value.get(name), str)


def _is_texts(value: Any) -> bool:
    return is_list(value) and all(isinstance(item, str) for item in value)


# What stands in the field that is named like the part's type.
_PARTS: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "image_url": _has("url"),
    "video_url": _has("url"),
    "video": _is_texts,
    "input_audio": _has("data"),
    "doc_url": _is_texts,
}


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _refuse(text: str) -> NoReturn:
    raise InvalidParameter(text, param="messages")
