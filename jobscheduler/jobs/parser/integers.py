"""Integers that are written as `10.0` or `1e1`: JSON Schema takes them for integers, and so does what reads a job.

A schema is compiled once to what converts a value that fits it, None where it asks for no integer. Values of other
fields stay as they are: the `1.0` in the body of a request is not ours to change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

Convert = Callable[[Any], Any]

_MAX_DEPTH = 32  # a schema that refers to itself has no end


def converter(schema: Any) -> Convert | None:
    """Compile a schema to a function that returns a value with its integers as `int`; None if it has none."""
    return _compile(schema, schema, 0)


def _compile(schema: Any, root: Any, depth: int) -> Convert | None:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    if _asks_for_integer(schema.get("type")):
        return _integer
    inner = partial(_compile, root=root, depth=depth + 1)
    parts = [inner(one) for word in ("oneOf", "anyOf", "allOf") for one in schema.get(word, ())]
    parts.append(inner(_referred(schema["$ref"], root)) if "$ref" in schema else None)
    parts.append(_members(schema, inner))
    if (items := inner(schema.get("items"))) is not None:
        parts.append(partial(_each, items))
    found = [part for part in parts if part is not None]
    return partial(_all, tuple(found)) if found else None


def _asks_for_integer(types: Any) -> bool:
    names = [types] if isinstance(types, str) else types or []
    return "integer" in names and "number" not in names


def _members(schema: Mapping[str, Any], inner: Callable[[Any], Convert | None]) -> Convert | None:
    named = {name: found for name, one in schema.get("properties", {}).items() if (found := inner(one)) is not None}
    others = inner(schema.get("additionalProperties"))
    if not named and others is None:
        return None
    return partial(_object, named, others, frozenset(schema.get("properties", ())))


def _referred(reference: Any, root: Any) -> Any:
    found = root
    for name in str(reference).removeprefix("#").split("/")[1:]:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


# --- what each part does: a value of another type is left alone --------------------------------------------


def _integer(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _all(parts: tuple[Convert, ...], value: Any) -> Any:
    for part in parts:
        value = part(value)
    return value


def _each(part: Convert, value: Any) -> Any:
    return [part(one) for one in value] if isinstance(value, list) else value


def _object(named: Mapping[str, Convert], others: Convert | None, known: frozenset[str], value: Any) -> Any:
    if not isinstance(value, dict) or (others is None and named.keys().isdisjoint(value)):
        return value
    found = dict(value)
    for name in value:
        part = named.get(name) or (None if name in known else others)
        if part is not None:
            found[name] = part(value[name])
    return found
