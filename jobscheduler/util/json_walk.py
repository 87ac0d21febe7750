"""Walk through a JSON value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from jobscheduler.util.json_text import Path

_LISTS = (list, tuple)


def iter_texts(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield every text in a JSON value, except keys, with its path."""
    members: Iterable[tuple[str | int, object]]
    if isinstance(value, str):
        yield path, value
        return
    if isinstance(value, _LISTS):
        members = enumerate(value)
    elif isinstance(value, Mapping):
        members = value.items()
    else:
        return
    for key, item in members:
        if isinstance(item, str):  # most are: a generator for each would cost more than all the rest
            yield (*path, key), item
        else:
            yield from iter_texts(item, (*path, key))
