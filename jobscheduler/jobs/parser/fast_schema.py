"""Compile a JSON Schema to a predicate that tells whether a value fits, but not what is wrong.

Nearly all definitions are right, and checking that with jsonschema is most of the cost of reading ten thousand of them.
What the predicate accepts jsonschema accepts: a test compares the two on generated values. Any other value, and any
schema with a keyword that is unknown here, is left to jsonschema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

Predicate = Callable[[Any], bool]

_ANNOTATIONS = frozenset({"$schema", "$id", "$comment", "$defs", "title", "description", "default", "examples"})
_MAX_DEPTH = 32  # levels; a schema that refers to itself has no end


class Unsupported(Exception):
    """The schema uses a keyword that is unknown here."""


def compile_predicate(schema: Any, pattern: Callable[[str], re.Pattern[str]]) -> Predicate | None:
    """Compile a schema to a predicate; return None if a keyword is unknown. `pattern` compiles a regular expression."""
    try:
        return _Compiler(schema, pattern).compile(schema)
    except (Unsupported, AttributeError, LookupError, TypeError, ValueError):
        return None


class _Compiler:
    """Compiles the parts of one schema."""

    def __init__(self, root: Any, pattern: Callable[[str], re.Pattern[str]]) -> None:
        self._root = root
        self._pattern = pattern
        self._depth = 0

    def compile(self, schema: Any) -> Predicate:
        if isinstance(schema, bool):
            return partial(_always, schema)
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Unsupported("$ref")
        parts = [part for keyword in schema if keyword not in _ANNOTATIONS for part in self._keyword(keyword, schema)]
        self._depth -= 1
        return parts[0] if len(parts) == 1 else partial(_all, tuple(parts))

    def _keyword(self, keyword: str, schema: Mapping[str, Any]) -> list[Predicate]:
        """Compile one keyword: to no predicate, to one, or to several that must all hold."""
        limit = schema[keyword]
        match keyword:
            case "type":
                return (
                    [_TYPES[limit]]
                    if isinstance(limit, str)
                    else [partial(_any, tuple(_TYPES[name] for name in limit))]
                )
            case "enum" | "const":
                return [partial(_in_enum, _all_texts(limit if keyword == "enum" else [limit]))]
            case "pattern":
                return [partial(_matches, self._pattern(limit))]
            case "required":
                return [partial(_has_all, frozenset(limit))]
            case "uniqueItems":
                return [_unique] if limit else []
            case _ if keyword in _BOUNDS:
                return [partial(_BOUNDS[keyword], limit)]
            case "additionalProperties" if "patternProperties" not in schema:
                return [partial(_additional_properties, frozenset(schema.get("properties", ())), self.compile(limit))]
        return self._nested(keyword, limit)

    def _nested(self, keyword: str, limit: Any) -> list[Predicate]:
        """Compile a keyword that holds schemas."""
        match keyword:
            case "$ref":
                return [self.compile(self._resolve(limit))]
            case "anyOf":
                return [partial(_any, tuple(map(self.compile, limit)))]
            case "oneOf":
                return [partial(_exactly_one, tuple(map(self.compile, limit)))]
            case "allOf":
                return list(map(self.compile, limit))
            case "not":
                return [partial(_not, self.compile(limit))]
            case "items":
                return [partial(_each, self.compile(limit))]
            case "properties":
                return [partial(_properties, {name: self.compile(part) for name, part in limit.items()})]
        raise Unsupported(keyword)

    def _resolve(self, reference: str) -> Any:
        target = self._root
        head, *path = reference.split("/")
        if head != "#" or any("~" in name or "%" in name for name in path):
            raise Unsupported("$ref")
        for name in path:
            target = target[name]
        return target


# --- what each keyword means --------------------------------------------------------------------------------


def _always(answer: bool, _: Any) -> bool:
    return answer


def _all(parts: tuple[Predicate, ...], value: Any) -> bool:
    for part in parts:  # noqa: SIM110 - a generator costs more than what it runs here
        if not part(value):
            return False
    return True


def _any(parts: tuple[Predicate, ...], value: Any) -> bool:
    for part in parts:  # noqa: SIM110 - as in `_all`
        if part(value):
            return True
    return False


def _exactly_one(parts: tuple[Predicate, ...], value: Any) -> bool:
    count = 0
    for part in parts:
        count += part(value)
    return count == 1


def _not(part: Predicate, value: Any) -> bool:
    return not part(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Predicate] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


def _all_texts(values: list[Any]) -> frozenset[str | None]:
    """Return the values of an `enum` if all are text or null. Other types have rules of their own for equality."""
    if not all(isinstance(value, str | None) for value in values):
        raise Unsupported("enum")
    return frozenset(values)


def _in_enum(known: frozenset[str | None], value: Any) -> bool:
    return isinstance(value, str | None) and value in known


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return not isinstance(value, str) or pattern.search(value) is not None


def _each(part: Predicate, value: Any) -> bool:
    return not isinstance(value, list) or all(map(part, value))


def _properties(known: Mapping[str, Predicate], value: Any) -> bool:
    if isinstance(value, dict):
        for name, member in value.items():
            part = known.get(name)
            if part is not None and not part(member):
                return False
    return True


def _additional_properties(known: frozenset[str], part: Predicate, value: Any) -> bool:
    if not isinstance(value, dict) or known >= value.keys():  # the usual case, in C
        return True
    return all(part(value[name]) for name in value if name not in known)


def _has_all(names: frozenset[str], value: Any) -> bool:
    return not isinstance(value, dict) or names <= value.keys()


def _unique(value: Any) -> bool:
    """Accept lists of distinct texts or whole numbers. Any other list is left to jsonschema."""
    if not isinstance(value, list):
        return True
    return all(type(item) in {str, int} for item in value) and len(set(value)) == len(value)


def _size(kind: type[Any], compare: Callable[[int, int], bool]) -> Callable[[int, Any], bool]:
    return lambda limit, value: not isinstance(value, kind) or compare(len(value), limit)


def _number_bounds(compare: Callable[[float, float], bool]) -> Callable[[float, Any], bool]:
    return lambda limit, value: not _is_number(value) or compare(value, limit)


_BOUNDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "minLength": _size(str, int.__ge__),
    "maxLength": _size(str, int.__le__),
    "minItems": _size(list, int.__ge__),
    "maxItems": _size(list, int.__le__),
    "minProperties": _size(dict, int.__ge__),
    "maxProperties": _size(dict, int.__le__),
    "minimum": _number_bounds(lambda value, limit: value >= limit),
    "maximum": _number_bounds(lambda value, limit: value <= limit),
    "exclusiveMinimum": _number_bounds(lambda value, limit: value > limit),
    "exclusiveMaximum": _number_bounds(lambda value, limit: value < limit),
}
