"""Walk through a JSON value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jobscheduler.util.json_text import Path


def iter_texts(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield every text in a JSON value, except keys, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from iter_texts(item, (*path, key))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from iter_texts(item, (*path, number))
