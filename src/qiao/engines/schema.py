"""An instance of a JSON schema: what a model would fill in, from what its question gives.

Covers what the Qwen API documents (string, number, integer, boolean, object, array, enum, nullable; reference §2.4) and
what pydantic writes: $ref, anyOf, allOf, const, formats, lengths, ranges. A `pattern` is met only when something known
happens to match it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from qiao.wire.check_messages import is_list, is_object

# What a question holds for a field, best first: (the field's name, its schema) → values.
Finder = Callable[[str, dict[str, Any]], Iterable[Any]]
_DEEP = 12  # levels after which only what is required is filled in
_BOTTOM = 40  # levels after which a schema that requires itself gets null
_MANY = 10_000  # values after which the rest is null: a small schema may ask for endlessly many
_FORMATS = {
    "date": "2026-01-15",
    "time": "08:00:00Z",
    "date-time": "2026-01-15T08:00:00Z",
    "duration": "P1D",
    "email": "li.lei@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_SAMPLES = (*_FORMATS.values(), "A", "a", "1", "12", "123", "1234", "12345", "123456", "13800000000", "A1", "AB", "ABC")
_KIND_OF: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


class Builder:
    """Builds instances of a schema. With `sparse`, optional fields are left out unless `find` has something."""

    def __init__(self, root: dict[str, Any], find: Finder, *, fallback: str, sparse: bool = False) -> None:
        self._root = root
        self._find = find
        self._fallback = fallback
        self._sparse = sparse
        self._left = _MANY

    def build(self, schema: Any, name: str = "", depth: int = 0, at: int = 0) -> Any:
        """A value for a schema; `at` counts the items of a list so that they differ."""
        rules = self._flat(schema, depth)
        if "const" in rules:
            return rules["const"]
        self._left -= 1
        if depth > _BOTTOM or self._left < 0:
            return None
        if is_list(rules.get("enum")) and rules["enum"]:
            return self._one_of(rules, name, at)
        kind = _kind(rules, deep=depth > _DEEP)
        if kind == "object":
            return self._object(rules, depth)
        if kind == "array":
            return self._array(rules, name, depth)
        return self._leaf(kind, rules, name, at)

    def _flat(self, schema: Any, depth: int) -> dict[str, Any]:
        """The schema with its references followed, its allOf merged and one branch of anyOf taken."""
        rules: dict[str, Any] = schema if is_object(schema) else {}
        for _ in range(16):
            if "$ref" in rules:
                rules = {**_pointed(self._root, rules["$ref"]), **_without(rules, "$ref")}
            elif is_list(rules.get("allOf")):
                merged = _without(rules, "allOf")
                for part in rules["allOf"]:
                    merged = _merged(merged, part if is_object(part) else {})
                rules = merged
            elif branch := next((key for key in ("anyOf", "oneOf") if is_list(rules.get(key)) and rules[key]), None):
                branches = [part if is_object(part) else {} for part in rules[branch]]
                useful = [part for part in branches if part.get("type") != "null"] or branches
                empty = [part for part in branches if part.get("type") == "null"]
                taken = empty[0] if empty and depth > _DEEP else useful[0]
                rules = _merged(_without(rules, branch), taken)
            else:
                break
        return rules

    def _one_of(self, rules: dict[str, Any], name: str, at: int) -> Any:
        choices = [value for value in rules["enum"] if _is_of(rules.get("type"), value)] or rules["enum"]
        for found in self._find(name, rules):
            for value in choices:
                if type(value) is type(found) and value == found:
                    return value
        if at == 0 and "default" in rules and rules["default"] in choices:
            return rules["default"]
        return choices[at % len(choices)]

    def _object(self, rules: dict[str, Any], depth: int) -> dict[str, Any]:
        properties: dict[str, Any] = rules["properties"] if is_object(rules.get("properties")) else {}
        required = [name for name in _texts(rules.get("required")) if name not in properties]
        value = {
            name: self.build(inner, name, depth + 1)
            for name, inner in properties.items()
            if self._wanted(name, inner, rules, depth)
        }
        spare = rules.get("additionalProperties")
        for name in required:
            value[name] = self.build(spare, name, depth + 1)
        least = rules.get("minProperties")
        while spare is not False and isinstance(least, int) and len(value) < min(least, 64):
            value[f"field_{len(value) + 1}"] = self.build(spare, "", depth + 1)
        return value

    def _wanted(self, name: str, inner: Any, rules: dict[str, Any], depth: int) -> bool:
        if name in _texts(rules.get("required")):
            return True
        if depth > _DEEP:
            return False
        return not self._sparse or any(True for _ in self._find(name, self._flat(inner, depth)))

    def _array(self, rules: dict[str, Any], name: str, depth: int) -> list[Any]:
        heads: list[Any] = rules["prefixItems"] if is_list(rules.get("prefixItems")) else []
        least = _number(rules.get("minItems"), 0)
        most = _number(rules.get("maxItems"), 1_000)
        usual = 0 if depth > _DEEP else max(len(heads), 1 if self._sparse else 2)
        count = int(min(max(least, usual), most, 1_000))
        tail = rules.get("items", {})
        if tail is False:
            count = min(count, len(heads))
        items = [self.build(heads[at] if at < len(heads) else tail, name, depth + 1, at) for at in range(count)]
        if not rules.get("uniqueItems"):
            return items
        return [item for at, item in enumerate(items) if item not in items[:at]]

    def _leaf(self, kind: str, rules: dict[str, Any], name: str, at: int) -> Any:
        if kind == "null":
            return None
        given = [*self._find(name, rules), *([rules["default"]] if "default" in rules else [])]
        fitting = [value for value in given if _is_of(kind, value) and _fits(rules, value)]
        if kind == "boolean":
            return fitting[0] if fitting else at % 2 == 0
        if kind == "string":
            return self._string(rules, fitting, at)
        return fitting[0] if fitting and at == 0 else _counted(kind, rules, at)

    def _string(self, rules: dict[str, Any], fitting: list[Any], at: int) -> str:
        if at < len(fitting):
            return fitting[at]
        sample = _FORMATS.get(str(rules.get("format")))
        candidates = [sample] if sample else [self._fallback, *_SAMPLES]
        least, most = int(_number(rules.get("minLength"), 0)), int(_number(rules.get("maxLength"), 10_000))
        for text in candidates:
            mark = f" {at + 1}" if at and not sample else ""
            trimmed = text[: max(most - len(mark), 0)] + mark[:most]
            padded = trimmed + "." * min(least - len(trimmed), 10_000)
            if _fits(rules, padded):
                return padded
        return candidates[0]


def _kind(rules: dict[str, Any], *, deep: bool) -> str:
    kind = rules.get("type")
    kinds = [kind] if isinstance(kind, str) else _texts(kind)
    if deep and "null" in kinds:
        return "null"
    for known in kinds:
        if known in _KIND_OF and known != "null":
            return known
    if kinds == ["null"]:
        return "null"
    if "properties" in rules or "additionalProperties" in rules:
        return "object"
    if "items" in rules or "prefixItems" in rules:
        return "array"
    return "string"


def _is_of(kind: Any, value: Any) -> bool:
    kinds = [kind] if isinstance(kind, str) else _texts(kind)
    return not kinds or any(_is_kind(value, name) for name in kinds)


def _is_kind(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if isinstance(value, float) and name == "integer":
        return value.is_integer()
    return isinstance(value, _KIND_OF.get(name, object))


def _fits(rules: dict[str, Any], value: Any) -> bool:
    """Whether a text or number keeps the lengths, the pattern and the range."""
    if isinstance(value, str):
        pattern = rules.get("pattern")
        if not _number(rules.get("minLength"), 0) <= len(value) <= _number(rules.get("maxLength"), math.inf):
            return False
        return not isinstance(pattern, str) or _matches(pattern, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    low, high = _number(rules.get("minimum"), -math.inf), _number(rules.get("maximum"), math.inf)
    above, below = _number(rules.get("exclusiveMinimum"), -math.inf), _number(rules.get("exclusiveMaximum"), math.inf)
    step = _number(rules.get("multipleOf"), 0)
    return low <= value <= high and above < value < below and (step <= 0 or math.fmod(value, step) == 0)


def _counted(kind: str, rules: dict[str, Any], at: int) -> int | float:
    """The number in the range that is nearest above 1 (or above the low end), `at` steps on."""
    low = _number(rules.get("minimum"), -math.inf)
    above = _number(rules.get("exclusiveMinimum"), -math.inf)
    high = min(_number(rules.get("maximum"), math.inf), _number(rules.get("exclusiveMaximum"), math.inf))
    step = _number(rules.get("multipleOf"), 0) or 1
    start = max(low, above + (step if kind == "integer" else step / 2), min(1, high - step))
    value = math.ceil(start / step) * step + at * step
    for candidate in (value, value - at * step, start, high, (max(low, above) + high) / 2):
        if math.isfinite(candidate) and _fits(rules, candidate) and _is_kind(float(candidate), kind):
            return int(candidate) if float(candidate).is_integer() else candidate
    return 1


def _pointed(root: dict[str, Any], pointer: Any) -> dict[str, Any]:
    """What a local `$ref` points at; nothing when there is no such place."""
    here: Any = root
    for part in str(pointer).removeprefix("#").strip("/").split("/"):
        if part:
            here = here.get(part.replace("~1", "/").replace("~0", "~")) if is_object(here) else None
    return here if is_object(here) else {}


def _merged(base: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    both = {**base, **other}
    if is_object(base.get("properties")) and is_object(other.get("properties")):
        both["properties"] = {**base["properties"], **other["properties"]}
    if "required" in base and "required" in other:
        both["required"] = [*_texts(base["required"]), *_texts(other["required"])]
    return both


def _without(rules: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in rules.items() if key != name}


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if is_list(value) else []


def _number(value: Any, otherwise: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True
