"""Convert integers that are written as `10.0` or `1e1`, which JSON Schema takes for integers, to `int`.

A schema is compiled once to a function that converts a value which fits it; to None where it asks for no integer.
Other fields stay as they are: the `1.0` in the body of a request must not become `1`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

Convert = Callable[[Any], Any]

_MAX_DEPTH = 32  # levels; a schema that refers to itself has no end


def converter(schema: Any) -> Convert | None:
    """Compile a schema to a function that returns a value with its integers as `int`; None if it has none."""
    return _compile(schema, schema, 0)


def _compile(schema: Any, root: Any, depth: int) -> Convert | None:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    if _asks_for_integer(schema.get("type")):
        return _integer
    inner = partial(_compile, root=root, depth=depth + 1)
    parts = [inner(form) for keyword in ("oneOf", "anyOf", "allOf") for form in schema.get(keyword, ())]
    parts.append(inner(_resolve(schema["$ref"], root)) if "$ref" in schema else None)
    parts.append(_members(schema, inner))
    if (items := inner(schema.get("items"))) is not None:
        parts.append(partial(_each, items))
    converters = tuple(part for part in parts if part is not None)
    return partial(_all, converters) if converters else None


def _asks_for_integer(types: Any) -> bool:
    names = [types] if isinstance(types, str) else types or []
    return "integer" in names and "number" not in names


def _members(schema: Mapping[str, Any], inner: Callable[[Any], Convert | None]) -> Convert | None:
    properties = {name: inner(part) for name, part in schema.get("properties", {}).items()}
    named = {name: convert for name, convert in properties.items() if convert is not None}
    additional = inner(schema.get("additionalProperties"))
    if not named and additional is None:
        return None
    return partial(_object, named, additional, frozenset(properties))


def _resolve(reference: Any, root: Any) -> Any:
    target = root
    for name in str(reference).removeprefix("#").split("/")[1:]:
        target = target.get(name) if isinstance(target, Mapping) else None
    return target


# --- what each part does: a value of another type is left alone --------------------------------------------


def _integer(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _all(parts: tuple[Convert, ...], value: Any) -> Any:
    for part in parts:
        value = part(value)
    return value


def _each(part: Convert, value: Any) -> Any:
    return list(map(part, value)) if isinstance(value, list) else value


def _object(named: Mapping[str, Convert], additional: Convert | None, known: frozenset[str], value: Any) -> Any:
    if not isinstance(value, dict) or (additional is None and named.keys().isdisjoint(value)):
        return value
    converted = dict(value)
    for name in value:
        part = named.get(name) or (None if name in known else additional)
        if part is not None:
            converted[name] = part(value[name])
    return converted
