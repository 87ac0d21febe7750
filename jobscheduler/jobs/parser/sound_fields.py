"""Judge the fields of a task that fit their schema although others do not.

A task type checks only fields that fit its schema as a whole. So what does not fit is taken away:

1. A part with a finding is left out. Where the schema asks for it, the schema's examples stand in its place.
2. There is one variant without it, and one for each example. Variants that do not fit the schema are dropped.
3. What the type says of every variant does not depend on the parts that are wrong. That is what counts.

Example: `{"command": 5, "cwd": "tmp", "shell": "/bin/bash"}`. The examples of `command` are a text and a list. Both
times `cwd` is not absolute, which is a problem. Only with the list `shell` has no use, which says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from jobscheduler.util.json_text import Path

_MAX_VARIANTS = 4

Fields = dict[str, Any]


def errors_of_sound_fields(
    rules: Mapping[str, Any],
    fields: Fields,
    wrong: Collection[Path],
    fits: Callable[[Fields], bool],
    check: Callable[[Fields], Iterable[Any]],
) -> list[Any]:
    """Return the errors that `check` finds whatever is written in the `wrong` paths; each has a `path`.

    `rules` is the schema of the fields, and `fits` tells whether fields have no finding by it.
    """
    sound = _without(fields, wrong)
    replaced = {str(path[0]) for path in wrong if path and path[0] not in sound} | _missing(rules, sound)
    found = [list(check(deepcopy(variant))) for variant in _variants(rules, sound, replaced) if fits(variant)]
    if not found:
        return []
    first, *others = found
    return [
        error for error in first if error.path[:1] and error.path[0] not in replaced and all(error in o for o in others)
    ]


def _missing(rules: Mapping[str, Any], sound: Fields) -> set[str]:
    return {name for name in rules.get("required", ()) if name not in sound}


def _without(fields: Fields, paths: Iterable[Path]) -> Fields:
    """Return a copy without the values at these paths; without the whole list for a value in a list."""
    copy = deepcopy(fields)
    for path in filter(None, paths):  # what is missing cannot be taken away
        inner: Any = copy
        for part, following in zip(path, [*path[1:], None], strict=True):
            value = inner.get(part)
            if following is None or not isinstance(value, dict):
                inner.pop(part, None)
                break
            inner = value
    return copy


def _variants(rules: Mapping[str, Any], sound: Fields, replaced: Collection[str]) -> Iterator[Fields]:
    """Yield the sound fields alone, and with examples of those that were replaced."""
    yield sound
    properties = rules.get("properties", {})
    examples = {name: list(properties.get(name, {}).get("examples", ())) for name in replaced}
    examples = {name: values for name, values in examples.items() if values}
    for number in range(min(_MAX_VARIANTS, max(map(len, examples.values()), default=0))):
        yield {**sound, **{name: values[number % len(values)] for name, values in examples.items()}}
