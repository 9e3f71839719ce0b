"""The parameter checks of the reference, on a chat document of OpenAI mode, with the cloud's texts (reference §4.4).

One row per rule, in the order in which the cloud is thought to ask (reference §4.5). The shapes are checked where the
fields and the messages are read: `check_values`, `check_messages`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from qiao.errors import InvalidParameter
from qiao.wire import check_messages, check_values
from qiao.wire.check_messages import Message
from qiao.wire.document import Document
from qiao.wire.model import Model

# How much is checked before an engine is asked; each level holds the ones before it.
#   none    the cloud checks itself        types   shapes only, the engine knows its own ranges
#   ranges  shapes and value ranges        cloud   everything that the cloud would refuse, per model
Checks = Literal["none", "types", "ranges", "cloud"]

MAX_INT = 2**31 - 1
MAX_SEED = 2**63 - 1
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(slots=True)
class Request:
    """What the rules look at."""

    values: dict[str, Any]
    messages: list[Message]
    model: Model
    stream: bool
    input_tokens: int | None

    @property
    def thinks(self) -> bool:
        return self.model.thinks(thinking_asked(self.values))

    @property
    def forces_tool(self) -> bool:
        choice = self.values.get("tool_choice")
        return choice == "required" or isinstance(choice, dict)

    @property
    def tool_names(self) -> list[str]:
        return [tool["function"]["name"] for tool in self.values.get("tools", ())]

    def lacks(self, ability: str) -> bool:
        """Whether the catalogue knows the model, and knows it without this ability."""
        return self.model.known and ability not in self.model.abilities


@dataclass(frozen=True, slots=True)
class Rule:
    """Refuses with `text` when `broken`. It is asked only where its field is given; an empty name is always asked."""

    name: str
    broken: Callable[[Any, Request], bool]
    text: str


def check(document: Document, model: Model, level: Checks, *, stream: bool, input_tokens: int | None = None) -> None:
    """Raise InvalidParameter with the reference's text for the first thing that `level` does not let pass.

    `input_tokens` is the length of the prompt, where it has been counted; without it no length is checked.
    """
    if level == "none":
        return
    values = check_values.read(document)
    messages = check_messages.read(document)
    check_messages.check_shapes(messages)
    if level == "types":
        return
    request = Request(values, messages, model, stream, input_tokens)
    _apply(_RANGES, request)
    check_messages.check_history(messages)
    if level == "cloud":
        _apply(_CLOUD, request)


def thinking_asked(values: dict[str, Any]) -> bool | None:
    """What a call says about thinking: `enable_thinking`, or a `reasoning_effort` of none; None when it is silent."""
    asked = values.get("enable_thinking")
    if asked is None and values.get("reasoning_effort") == "none":
        return False
    return asked


def _apply(rules: tuple[Rule, ...], request: Request) -> None:
    values = request.values
    for rule in rules:
        value = values.get(rule.name)
        if (value is not None or not rule.name) and rule.broken(value, request):
            model = request.model
            text = rule.text.format(
                value=value,
                model=model.name,
                max_input=model.input_limit(request.thinks),
                max_output=model.output_limit(request.thinks) or MAX_INT,
                max_thought=model.max_thought or MAX_INT,
                budget=values.get("thinking_budget"),
            )
            raise InvalidParameter(text, param=rule.name or "messages")


def _lacks(ability: str) -> Callable[[Any, Request], bool]:
    return lambda value, request: bool(value) and request.lacks(ability)


def _unknown_choice(value: Any, request: Request) -> bool:
    return isinstance(value, dict) and value["function"]["name"] not in request.tool_names


def _bad_tool_name(value: Any, request: Request) -> bool:
    return any(_TOOL_NAME.fullmatch(name) is None for name in request.tool_names)


_RANGES: tuple[Rule, ...] = (
    Rule("temperature", lambda v, r: not 0 <= v < 2, "Temperature should be in [0.0, 2.0)"),
    Rule("top_p", lambda v, r: not 0 < v <= 1, "Range of top_p should be (0.0, 1.0]"),
    Rule("top_k", lambda v, r: not 0 <= v <= MAX_INT, "Parameter top_k be greater than or equal to 0"),
    Rule("repetition_penalty", lambda v, r: v <= 0, "Repetition_penalty should be greater than 0.0"),
    Rule("presence_penalty", lambda v, r: not -2 <= v <= 2, "Presence_penalty should be in [-2.0, 2.0]"),
    Rule("frequency_penalty", lambda v, r: not -2 <= v <= 2, "Frequency_penalty should be in [-2.0, 2.0]"),
    Rule("max_tokens", lambda v, r: not 1 <= v <= MAX_INT, "Range of max_tokens should be [1, {max_output}]"),
    Rule(
        "max_completion_tokens",
        lambda v, r: not 1 <= v <= MAX_INT,
        "Range of max_completion_tokens should be [1, {max_output}]",
    ),
    Rule("n", lambda v, r: not 1 <= v <= 4, "Range of n should be [1, 4]"),
    Rule("seed", lambda v, r: v < 0, "{value} is lesser than the minimum of 0 - 'seed'"),
    Rule("seed", lambda v, r: v > MAX_SEED, "Range of seed should be [0, 9223372036854775807]"),
    Rule("top_logprobs", lambda v, r: not 0 <= v <= 5, "Range of top_logprobs should be [0, 5]"),
    Rule(
        "thinking_budget",
        lambda v, r: not 1 <= v <= MAX_INT,
        "The thinking_budget parameter must be a positive integer and not greater than {max_thought}",
    ),
    Rule(
        "reasoning_effort",
        lambda v, r: v not in EFFORTS,
        "'reasoning_effort' Invalid value: '{value}'. Supported values are: 'xhigh', 'medium', 'low' and 'none'.",
    ),
    Rule("tools", _bad_tool_name, "Tool names must be 1 to 64 letters, digits, underscores or hyphens."),
    Rule("tool_choice", _unknown_choice, "The function of tool_choice is not one of the tools."),
    Rule(
        "response_format",
        lambda v, r: v["type"] == "json_object" and not check_messages.say_json(r.messages),
        "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
    ),
)


def _needs_stream(value: Any, request: Request) -> bool:
    return request.model.stream_only and not request.stream


def _needs_stream_to_think(value: Any, request: Request) -> bool:
    return request.model.stream_to_think and request.thinks and not request.stream


def _must_think(value: Any, request: Request) -> bool:
    # The older models that answer only in streams, qwq and qvq, ignore the switch instead.
    return value is False and request.model.thinking == "only" and not request.model.stream_only


def _thinking_json(value: Any, request: Request) -> bool:
    return value["type"] != "text" and request.thinks


def _thinking_partial(value: Any, request: Request) -> bool:
    return request.messages[-1].partial is True and request.thinks


def _over_budget(value: Any, request: Request) -> bool:
    return request.thinks and value <= request.values.get("thinking_budget", 0)


def _not_one_sentence(value: Any, request: Request) -> bool:
    """A translating model takes exactly one user message."""
    if "translation" not in request.model.abilities:
        return False
    return [message.role for message in request.messages] != ["user"]


def _unseen_part(value: Any, request: Request) -> bool:
    return any(request.lacks(_NEEDS[kind]) for kind in check_messages.part_types(request.messages) if kind in _NEEDS)


def _too_long(value: Any, request: Request) -> bool:
    limit = request.model.input_limit(request.thinks)
    return limit is not None and request.input_tokens is not None and request.input_tokens > limit


_NEEDS = {"image_url": "vision", "video": "video", "video_url": "video", "input_audio": "audio"}
_CLOUD: tuple[Rule, ...] = (
    Rule(
        "",
        _needs_stream,
        "This model only support stream mode, please enable the stream parameter to access the model.",
    ),
    Rule("", _needs_stream_to_think, "parameter.enable_thinking must be set to false for non-streaming calls"),
    Rule("enable_thinking", _must_think, "The value of the enable_thinking parameter is restricted to True."),
    Rule("", _not_one_sentence, "Role must be user or assistant and Content length must be greater than 0"),
    Rule(
        "", _unseen_part, "The provided messages input is invalid. The error info is [Unexpected item type in content]"
    ),
    Rule("tools", lambda v, r: not v, "[] is too short - 'tools'"),
    Rule("tools", _lacks("tools"), "The tool call is not supported."),
    Rule("tools", lambda v, r: "search" in r.tool_names, "Tool names are not allowed to be [search]"),
    Rule(
        "tool_choice",
        lambda v, r: r.forces_tool and r.thinks,
        "The tool_choice parameter does not support being set to required or object in thinking mode",
    ),
    Rule(
        "tool_choice",
        lambda v, r: v == "required",
        'tool_choice is one of the strings that should be ["none", "auto"]',
    ),
    Rule("response_format", _thinking_json, "Json mode response is not supported when enable_thinking is true"),
    Rule(
        "response_format",
        lambda v, r: v["type"] == "json_schema" and r.lacks("json_schema"),
        "'response_format.type' Invalid value: 'json_schema'. Supported values are: 'json_object' and 'text'.",
    ),
    Rule("", _thinking_partial, "Partial mode is not supported when enable_thinking is true"),
    Rule("n", lambda v, r: v > 1 and (r.lacks("n") or r.thinks or bool(r.tool_names)), "Range of n should be [1, 1]"),
    Rule("enable_search", _lacks("search"), "This model does not support enable_search."),
    Rule(
        "modalities",
        lambda v, r: "audio" in v and not r.stream,
        "'audio' output only support with stream=true",
    ),
    Rule(
        "max_tokens",
        lambda v, r: v > (r.model.output_limit(r.thinks) or MAX_INT),
        "Range of max_tokens should be [1, {max_output}]",
    ),
    Rule(
        "thinking_budget",
        lambda v, r: v > (r.model.max_thought or MAX_INT),
        "The thinking_budget parameter must be a positive integer and not greater than {max_thought}",
    ),
    Rule(
        "thinking_budget",
        lambda v, r: "reasoning_effort" in r.values,
        "The thinking_budget and reasoning_effort parameters cannot be set at the same time",
    ),
    Rule(
        "max_completion_tokens",
        _over_budget,
        "max_completion_tokens [{value}] must be greater than thinking_budget [{budget}]",
    ),
    Rule("", _too_long, "Range of input length should be [1, {max_input}]"),
)
