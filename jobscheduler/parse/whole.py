"""Whole numbers that are written with a point or an exponent: `10.0` where a schema asks for an integer is 10."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def whole(schema: Any, value: Any) -> Any:
    """Return a value that fits a schema with its integers as integers, at every depth that the schema describes.

    JSON Schema takes `10.0` for an integer, and what a task hands on, such as an argument of a command, does not.
    """
    if not isinstance(schema, Mapping):  # true and false are schemas, too
        return value
    for form in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        value = whole(form, value)
    if isinstance(value, float) and value.is_integer() and _asks_for_integer(schema.get("type")):
        return int(value)
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        return {name: whole(fields[name], one) if name in fields else one for name, one in value.items()}
    if isinstance(value, list):
        return [whole(schema.get("items"), one) for one in value]
    return value


def _asks_for_integer(types: Any) -> bool:
    return types == "integer" or (isinstance(types, list) and "integer" in types and "number" not in types)
