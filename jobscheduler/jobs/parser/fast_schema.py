"""Whether a value fits a JSON Schema, without saying what is wrong: a small compiler from schemas to predicates.

Nearly all definitions are right, and most of the cost of reading ten thousand of them is to be told so in general. What
this accepts jsonschema accepts (a test compares the two on generated values); for anything else that is asked, and for
a schema that uses a word which is not known here, only jsonschema counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

Predicate = Callable[[Any], bool]

_ANNOTATIONS = frozenset({"$schema", "$id", "$comment", "$defs", "title", "description", "default", "examples"})
_MAX_DEPTH = 32  # a schema that refers to itself has no end


class Unsupported(Exception):
    """The schema uses a word whose meaning is not known here."""


def compile_predicate(schema: Any, pattern: Callable[[str], re.Pattern[str]]) -> Predicate | None:
    """Compile a schema to a predicate, None if that cannot be done; `pattern` compiles what `pattern` means."""
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
        parts = [part for word in schema if word not in _ANNOTATIONS for part in self._word(word, schema)]
        self._depth -= 1
        return parts[0] if len(parts) == 1 else partial(_all, tuple(parts))

    def _word(self, word: str, schema: Mapping[str, Any]) -> list[Predicate]:
        """Compile one word: to nothing, one predicate, or several that must all hold."""
        limit = schema[word]
        match word:
            case "type":
                return (
                    [_TYPES[limit]] if isinstance(limit, str) else [partial(_any, tuple(_TYPES[one] for one in limit))]
                )
            case "enum" | "const":
                return [partial(_in_enum, _texts(limit if word == "enum" else [limit]))]
            case "pattern":
                return [partial(_matches, self._pattern(limit))]
            case "required":
                return [partial(_has_all, tuple(limit))]
            case "uniqueItems":
                return [_unique] if limit else []
            case _ if word in _BOUNDS:
                return [partial(_BOUNDS[word], limit)]
            case "additionalProperties" if "patternProperties" not in schema:
                return [partial(_additional_properties, frozenset(schema.get("properties", ())), self.compile(limit))]
        return self._nested(word, limit)

    def _nested(self, word: str, limit: Any) -> list[Predicate]:
        """Compile a word that holds schemas."""
        match word:
            case "$ref":
                return [self.compile(self._referred(limit))]
            case "anyOf":
                return [partial(_any, tuple(map(self.compile, limit)))]
            case "oneOf":
                return [partial(_one, tuple(map(self.compile, limit)))]
            case "allOf":
                return [self.compile(one) for one in limit]
            case "not":
                return [partial(_not, self.compile(limit))]
            case "items":
                return [partial(_each, self.compile(limit))]
            case "properties":
                return [partial(_properties, {name: self.compile(one) for name, one in limit.items()})]
        raise Unsupported(word)

    def _referred(self, reference: str) -> Any:
        found = self._root
        head, *path = reference.split("/")
        if head != "#" or any("~" in one or "%" in one for one in path):
            raise Unsupported("$ref")
        for one in path:
            found = found[one]
        return found


# --- what each word means --------------------------------------------------------------------------------


def _always(answer: bool, _: Any) -> bool:
    return answer


def _all(parts: tuple[Predicate, ...], value: Any) -> bool:
    for part in parts:  # noqa: SIM110 - a generator costs more than what it runs here
        if not part(value):
            return False
    return True


def _any(parts: tuple[Predicate, ...], value: Any) -> bool:
    return any(part(value) for part in parts)


def _one(parts: tuple[Predicate, ...], value: Any) -> bool:
    return sum(part(value) for part in parts) == 1


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


def _texts(values: list[Any]) -> frozenset[str]:
    """Take the values of an `enum`, if all are text: other ones have their own ways to be equal."""
    if not all(isinstance(one, str) for one in values):
        raise Unsupported("enum")
    return frozenset(values)


def _in_enum(known: frozenset[str], value: Any) -> bool:
    return isinstance(value, str) and value in known


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return not isinstance(value, str) or pattern.search(value) is not None


def _each(part: Predicate, value: Any) -> bool:
    return not isinstance(value, list) or all(map(part, value))


def _properties(known: Mapping[str, Predicate], value: Any) -> bool:
    if isinstance(value, dict):
        for name, one in value.items():
            part = known.get(name)
            if part is not None and not part(one):
                return False
    return True


def _additional_properties(known: frozenset[str], part: Predicate, value: Any) -> bool:
    return not isinstance(value, dict) or all(part(value[name]) for name in value if name not in known)


def _has_all(names: tuple[str, ...], value: Any) -> bool:
    return not isinstance(value, dict) or all(name in value for name in names)


def _unique(value: Any) -> bool:
    """Tell lists without doubt apart: of short text or whole numbers; any other list is left to jsonschema."""
    if not isinstance(value, list):
        return True
    return all(type(one) in {str, int} for one in value) and len(set(value)) == len(value)


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
