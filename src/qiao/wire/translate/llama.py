"""The hub's document to llama-server's; `llama_answer` brings its stream back.

llama-server speaks OpenAI with habits of its own; each is met here, once (design notes, engine §2.4):

* It is always asked to stream and to report its progress in the prompt: only then does it notice a caller who left.
* `<|im_start|>` in a message would steer the model: a word joiner (U+2060) after its first character makes it text.
* It neither forces a tool call nor forbids a second one: a forced call is asked for as JSON of the tool's schema and
  made a tool call again; with `parallel_tool_calls: false` the answer ends after the first.
* `max_tokens` and `stop` count for the answer alone in the Qwen API; llama-server applies them to the thought too.
  So `stop` is looked for by the answer, which while thinking also counts `max_tokens`.
* It fetches the images that a message names. Only data is passed on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import msgspec

from qiao.errors import InvalidParameter
from qiao.wire.call import Call
from qiao.wire.document import Document
from qiao.wire.model import Model, Sampling

T = TypeVar("T")

JOINER = "\u2060"
_BAD_PART = (
    "The provided messages input is invalid. The error info is [Unexpected item type in content]: "
    "the local model does not take such a part."
)
_BAD_URL = "The provided URL does not appear to be valid. Ensure it is correctly formatted."
_PENALISED = 4096  # the last tokens that a repetition penalty looks at; llama-server has no word for all of them
# The same meaning and the same name on both sides.
_SAME = ("temperature", "top_p", "top_k", "presence_penalty", "seed", "n", "logprobs", "response_format")


@dataclass(frozen=True, slots=True)
class Ask:
    """A call as llama-server gets it, and what its answer must be watched for."""

    body: bytes
    thinking: bool = False
    could_think: bool = False
    forced: bool = False  # the answer is the JSON of one tool call
    parallel: bool = True
    stop: tuple[str, ...] = ()
    limit: int | None = None  # tokens of the answer, where llama-server cannot count them
    include_usage: bool = True
    running_usage: bool = False
    choices: int = 1


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the translator must know of the model that is loaded."""

    control: re.Pattern[bytes]
    sees: bool = False  # a projector for images is loaded
    sampling: Sampling | None = None  # its own defaults, in place of those of the name that is asked
    sampling_thinking: Sampling | None = None  # None: the same as sampling

    @classmethod
    def of(
        cls,
        control: tuple[str, ...],
        *,
        sees: bool = False,
        sampling: Sampling | None = None,
        sampling_thinking: Sampling | None = None,
    ) -> Loaded:
        """From the control tokens' text."""
        texts = [re.escape(msgspec.json.encode(token)[1:-1]) for token in control]
        return cls(re.compile(b"|".join(texts) or b"(?!)"), sees, sampling, sampling_thinking)


def ask(call: Call, model: Model, loaded: Loaded) -> Ask:
    """Translate a call; InvalidParameter for what this engine cannot do."""
    document = call.document
    tools, forced = _tools(document)
    messages = [_message(message, loaded.sees) for message in document.get("messages", list[dict[str, Any]]) or []]
    partial = bool(messages and messages[-1].pop("partial", False))
    thinking = _thinks(document, model) and not partial and not forced
    options = document.object("stream_options") or Document.build()
    fields: dict[str, Any] = {
        "messages": _as_text(messages, loaded.control),
        "stream": True,
        "return_progress": True,
        "timings_per_token": True,
        "stream_options": {"include_usage": True},
        "chat_template_kwargs": {"enable_thinking": thinking},
        "min_p": 0.0,  # not in the Qwen API, so not llama-server's 0.05 either
        **_sampling(document, _defaults(model, loaded, thinking)),
    }
    if tools:
        fields["tools"] = _as_text(tools, loaded.control)
    if forced:
        fields["response_format"] = {"type": "json_schema", "json_schema": {"schema": _calling(tools)}}
    limit = document.get("max_tokens", int) or model.max_output
    total = document.get("max_completion_tokens", int)
    bound = total if thinking else min(filter(None, (limit, total)), default=None)
    if bound is not None:
        fields["max_tokens"] = bound
    if thinking and (budget := document.get("thinking_budget", int) or model.max_thought):
        fields["thinking_budget_tokens"] = budget
    return Ask(
        body=msgspec.json.encode(fields),
        thinking=thinking,
        could_think=model.thinking != "never" or thinking,
        forced=forced,
        parallel=document.get("parallel_tool_calls", bool) is not False,
        stop=_stop(document.get("stop")),
        limit=limit if thinking else None,
        include_usage=not call.stream or bool(options.get("include_usage", bool)),
        running_usage=bool(options.get("continuous_usage_stats", bool)),
        choices=document.get("n", int) or 1,
    )


def only_text(call: Call) -> Call | None:
    """The call without pictures, films and sounds; None when it has none."""
    messages = call.document.get("messages", list[dict[str, Any]]) or []
    kept = [_without_media(message) for message in messages]
    return None if kept == messages else call.with_(document=call.document.with_(messages=kept))


def _without_media(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list):
        return message
    parts = cast("list[dict[str, Any]]", content)
    return message | {"content": [part for part in parts if part.get("type") == "text"]}


def last_question(call: Call) -> Call | None:
    """The call with nothing but the last text of its last user message; None when that leaves nothing out."""
    messages = call.document.get("messages", list[dict[str, Any]]) or []
    last = [message for message in messages if message.get("role") == "user"][-1:]
    if last and isinstance(last[0].get("content"), list):
        last = [last[0] | {"content": last[0]["content"][-1:]}]  # agents put their surroundings before it
    if not last or (last == messages and "tools" not in call.document):
        return None
    document = call.document.with_(messages=last).without("tools", "tool_choice", "parallel_tool_calls")
    return call.with_(document=document)


def _thinks(document: Document, model: Model) -> bool:
    asked = document.get("enable_thinking", bool)
    return bool(asked) if not model.known else model.thinks(asked)


def _defaults(model: Model, loaded: Loaded, thinking: bool) -> dict[str, Any]:
    """The sampling of the loaded model itself, else of the catalogue row for the name asked."""
    own = model if loaded.sampling is None else loaded
    row = (own.sampling_thinking if thinking else None) or own.sampling
    pairs = [(name, getattr(row, name)) for name in Sampling.__slots__]
    return {name: value for name, value in pairs if value is not None}


def _sampling(document: Document, defaults: dict[str, Any]) -> dict[str, Any]:
    values = defaults | {
        name: value
        for name in (*_SAME, "repetition_penalty", "top_logprobs")
        if (value := document.get(name)) is not None
    }
    if (seed := values.get("seed")) is not None:
        values["seed"] = seed % (2**32 - 1)  # 32 bits, of which the last number means "any"
    if (penalty := values.pop("repetition_penalty", None)) is not None:
        values |= {"repeat_penalty": penalty, "repeat_last_n": _PENALISED}
    if values.get("top_k", 0) > 100:
        values["top_k"] = 0  # the Qwen API's "off"
    if not values.get("logprobs"):
        values.pop("logprobs", None)
        values.pop("top_logprobs", None)
    return values


def _tools(document: Document) -> tuple[list[dict[str, Any]], bool]:
    """The tools that the model shall see, and whether it must call one of them."""
    tools = document.get("tools", list[dict[str, Any]]) or []
    choice = document.get("tool_choice")
    for at, tool in enumerate(tools):
        if not isinstance(tool.get("function"), dict):
            raise InvalidParameter(
                f"'function' is a required property, expected an object - 'tools.{at}'", param="tools"
            )
    if not tools or choice == "none":
        return [], False
    if isinstance(choice, dict):
        name = _typed(choice, _Choice, "tool_choice").function.name
        named = [tool for tool in tools if tool["function"].get("name") == name]
        if not named:
            raise InvalidParameter(f"tool_choice names {name!r}, which is not in tools.", param="tool_choice")
        return _plain(named), True
    return _plain(tools), choice == "required"


def _plain(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tools without what is null and with the one type that there is: the engine fails over anything else."""
    functions = [{name: value for name, value in tool["function"].items() if value is not None} for tool in tools]
    return [{"type": "function", "function": function} for function in functions]


class _Function(msgspec.Struct, frozen=True):
    name: str = ""


class _Choice(msgspec.Struct, frozen=True):
    function: _Function = _Function()


def _calling(tools: list[dict[str, Any]]) -> dict[str, Any]:
    """The schema of one call of any of these tools."""
    calls: list[dict[str, Any]] = []
    for tool in tools:
        function: dict[str, Any] = tool["function"]
        arguments: dict[str, Any] = {
            "type": "object",
            "additionalProperties": False,
            **(function.get("parameters") or {}),
        }
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": function["name"]}, "arguments": arguments},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


# What the engine knows of a message; it fails as a whole over a field that is not what it expects.
_KEPT = ("role", "reasoning_content", "tool_call_id", "name", "partial")


def _message(message: dict[str, Any], sees: bool) -> dict[str, Any]:
    """A message with text as a string, and images only where the model sees and only as data."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [_part(part, sees) for part in _typed(content, list[dict[str, Any]], "messages")]
        plain = all(part["type"] == "text" for part in parts)
        content = "".join(part["text"] for part in parts) if plain else parts
    if message.get("role") == "tool" and isinstance(content, str):
        content = re.sub(r"<(?=/?tool_response>)", "<" + JOINER, content)  # a result cannot leave its frame
    kept = {name: message[name] for name in _KEPT if isinstance(message.get(name), str | bool)}
    if calls := message.get("tool_calls"):
        kept["tool_calls"] = [
            {"id": "", **call, "type": "function"} for call in _typed(calls, list[dict[str, Any]], "messages")
        ]
    return {**kept, "content": content or ""}


def _part(part: dict[str, Any], sees: bool) -> dict[str, Any]:
    if part.get("type") == "text" and isinstance(part.get("text"), str):
        return {"type": "text", "text": part["text"]}
    if not sees or part.get("type") != "image_url":
        raise InvalidParameter(_BAD_PART, param="messages")
    image = part.get("image_url")
    url = cast("dict[str, Any]", image).get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url.startswith("data:image/"):
        raise InvalidParameter(_BAD_URL, param="messages")  # nothing is fetched for a caller
    return {"type": "image_url", "image_url": {"url": url}}


def _as_text(value: Any, control: re.Pattern[bytes]) -> msgspec.Raw:
    joiner = JOINER.encode()
    return msgspec.Raw(control.sub(lambda found: found[0][:1] + joiner + found[0][1:], msgspec.json.encode(value)))


def _stop(value: Any) -> tuple[str, ...]:
    if isinstance(value, list) and not all(isinstance(text, str) for text in _typed(value, list[Any], "stop")):
        raise InvalidParameter('The local engine takes "stop" as text only.', param="stop")
    texts = [value] if isinstance(value, str) else _typed(value or [], list[str], "stop")
    return tuple(text for text in texts if text)


def _typed(value: Any, kind: type[T], name: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InvalidParameter(f"{error}: {name}", param=name) from error
