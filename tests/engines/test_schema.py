"""Instances of JSON schemas are valid, whatever the schema."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qiao.engines.schema import Builder
from qiao.engines.toolwork import Tool, chosen


def valid(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """A small validator of its own, for the keywords that the builder knows."""
    if "$ref" in schema:
        return valid(value, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    if "anyOf" in schema and not any(valid(value, part, root) for part in schema["anyOf"]):
        return False
    if "allOf" in schema and not all(valid(value, part, root) for part in schema["allOf"]):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = schema.get("type", [])
    if kinds and not any(is_kind(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if isinstance(value, dict):
        return valid_object(value, schema, root)
    if isinstance(value, list):
        size = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**6)
        return size and all(valid(item, schema.get("items", {}), root) for item in value)
    if isinstance(value, str):
        long = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**6)
        return long and re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, int | float) and not isinstance(value, bool):
        inside = schema.get("minimum", value) <= value <= schema.get("maximum", value)
        return (
            inside
            and value > schema.get("exclusiveMinimum", value - 1)
            and not value % schema.get("multipleOf", value or 1)
        )
    return True


def is_kind(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    kinds = {"string": str, "integer": int, "number": (int, float), "array": list, "object": dict, "null": type(None)}
    return isinstance(value, kinds.get(kind, ()))


def valid_object(value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any]) -> bool:
    properties = schema.get("properties", {})
    return set(schema.get("required", [])) <= set(value) and all(
        valid(inner, properties[name], root) if name in properties else schema.get("additionalProperties") is not False
        for name, inner in value.items()
    )


def built(schema: dict[str, Any], *, sparse: bool = False, text: str = "示例") -> Any:
    return Builder(schema, lambda name, rules: [], fallback=text, sparse=sparse).build(schema)


LEAF = st.one_of(
    st.builds(
        lambda low, more: {"type": "string", "minLength": low, "maxLength": low + more},
        st.integers(0, 30),
        st.integers(0, 9),
    ),
    st.sampled_from(["date", "date-time", "email", "uri", "uuid"]).map(lambda name: {"type": "string", "format": name}),
    st.builds(
        lambda low, more: {"type": "integer", "minimum": low, "maximum": low + more},
        st.integers(-50, 50),
        st.integers(0, 50),
    ),
    st.builds(
        lambda low, step: {"type": "integer", "exclusiveMinimum": low, "multipleOf": step},
        st.integers(-9, 9),
        st.integers(1, 7),
    ),
    st.builds(
        lambda low, more: {"type": "number", "minimum": low, "maximum": low + more}, st.floats(-9, 9), st.floats(0, 5)
    ),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {}, {"const": 5}]),
    st.lists(st.text(max_size=4) | st.integers(), min_size=1, max_size=4).map(lambda values: {"enum": values}),
)


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.text("abcde", min_size=1, max_size=3)
    return st.dictionaries(names, inner, max_size=4).flatmap(
        lambda properties: st.builds(
            lambda required, closed: {
                "type": "object",
                "properties": properties,
                "required": sorted(required),
                "additionalProperties": not closed,
            },
            st.sets(st.sampled_from(sorted(properties))) if properties else st.just(set[str]()),
            st.booleans(),
        )
    )


def arrays(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda items, low, more: {"type": "array", "items": items, "minItems": low, "maxItems": low + more},
        inner,
        st.integers(0, 4),
        st.integers(0, 3),
    )


def unions(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(inner, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts})


SCHEMA = st.recursive(LEAF, lambda inner: objects(inner) | arrays(inner) | unions(inner), max_leaves=12)


@given(SCHEMA, st.booleans())
def test_an_instance_of_any_schema_is_valid(schema: dict[str, Any], sparse: bool) -> None:
    assert valid(built(schema, sparse=sparse), schema, schema)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda i: (
            st.lists(i)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "type",
                        "properties",
                        "items",
                        "required",
                        "enum",
                        "anyOf",
                        "allOf",
                        "$ref",
                        "minItems",
                        "pattern",
                        "minLength",
                    ]
                ),
                i,
            )
        ),
        max_leaves=10,
    )
)
def test_nonsense_instead_of_a_schema_breaks_nothing(schema: Any) -> None:
    parameters = schema if isinstance(schema, dict) else {"properties": {"a": schema}}
    built(parameters)
    chosen([Tool("f", "", parameters)], "use f for 3 of Beijing", None, parallel=True)


def test_references_and_recursion_end() -> None:
    schema = {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
                },
                "required": ["name", "next"],
            },
            "endless": {"type": "object", "properties": {"me": {"$ref": "#/$defs/endless"}}, "required": ["me"]},
        },
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/node"}, "nodes": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
        "required": ["tree", "nodes"],
    }
    value = built(schema)
    assert valid(value, schema, schema)
    assert value["tree"]["name"] == "示例"
    assert built({**schema, "properties": {}, "$ref": "#/$defs/endless"})


def test_a_schema_that_asks_for_endlessly_many_values_ends() -> None:
    node = {"type": "array", "items": {"$ref": "#/$defs/node"}, "minItems": 50}
    assert len(built({"$defs": {"node": node}, "$ref": "#/$defs/node"})) == 50
    assert built({"$defs": {"node": {"enum": [None]}}, "$ref": "#/$defs/node"}) is None


def test_the_parts_of_allof_all_count() -> None:
    parts = [
        {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
        {"properties": {"b": {"const": 2}}, "required": ["b"]},
    ]
    value = built({"type": "object", "allOf": parts})
    assert isinstance(value["a"], int)
    assert value["b"] == 2


def test_items_of_a_set_differ() -> None:
    value = built({"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True})
    assert len(set(value)) == 3


@pytest.mark.parametrize("pattern", [r"^\d{4}-\d{2}-\d{2}$", r"^[A-Z]{2}$", r"^\d+$", r"^1\d{10}$", r"@"])
def test_common_patterns_are_met(pattern: str) -> None:
    assert re.search(pattern, built({"type": "string", "pattern": pattern}))
