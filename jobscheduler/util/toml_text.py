"""Decode TOML, and find the line of a key in it: the standard library's parser tells no positions of values.

A TOML file is a sequence of statements, each of which is a TOML file by itself: a header, a key with its value, a
comment. So the text is taken apart where the parser says that a statement is complete.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from jobscheduler.util.text_location import Location, location_at

MAX_BYTES = 256 * 1024  # of a settings file

Path = tuple[str, ...]

_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_KEY = re.compile(r"\[+[^\]\n]*\]*|(?:\"[^\"\n]*\"|'[^'\n]*'|[^=\s#])+")


class TomlError(ValueError):
    """The bytes are not TOML. The message says what, `location` where."""

    def __init__(self, message: str, location: Location | None = None) -> None:
        super().__init__(message)
        self.location = location


def decode(raw: bytes) -> tuple[dict[str, Any], str]:
    """Decode TOML. Return it with its text (for `locate`).

    Raises:
        TomlError: too large, not UTF-8, not TOML, a key twice.

    """
    if len(raw) > MAX_BYTES:
        raise TomlError(f"the file is larger than {MAX_BYTES // 1024} KiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        location = location_at(before + "\N{REPLACEMENT CHARACTER}", len(before))
        raise TomlError("the file is not UTF-8", location) from None
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise TomlError(*_described(str(error), text)) from None
    except RecursionError:
        raise TomlError("the file is nested too deeply") from None


def _described(message: str, text: str) -> tuple[str, Location]:
    """Return a message of the parser in the form of our problems, and its location."""
    position = _POSITION.search(message)
    what = message[: position.start()] if position else message
    what = what[:1].lower() + what[1:]
    if what == "cannot overwrite a value":
        end = int(position[1]) if position and position[1] else len(text.split("\n"))
        return _twice(text, end)
    if position is None or position[1] is None:
        return f"{what} at the end of the file", location_at(text, len(text.rstrip()))
    lines = text.split("\n")
    line, column = int(position[1]), int(position[2])
    offset = sum(len(one) + 1 for one in lines[: line - 1]) + column - 1
    return what, location_at(text, offset)


def _twice(text: str, line: int) -> tuple[str, Location]:
    """Return that a key stands twice, and its location: the parser stopped at the end of the second value."""
    lines = text.split("\n")
    for first in range(line - 1, -1, -1):
        statement = "\n".join(lines[first:line])
        key = _KEY.match(statement.lstrip())
        if key is not None and "=" in statement and _is_toml(statement):
            offset = sum(len(one) + 1 for one in lines[:first]) + len(statement) - len(statement.lstrip())
            return f"the key `{key[0]}` appears here a second time", location_at(text, offset, len(key[0]))
    return "a key appears a second time", location_at(text, sum(len(one) + 1 for one in lines[: line - 1]))


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text + "\n")
    except tomllib.TOMLDecodeError:
        return False
    return True


def locate(text: str, path: Path) -> Location | None:
    """Find the key at `path`, or the header of its table, in a text that `decode` accepted. None if there is none."""
    table: Path = ()
    for offset, statement, value in _statements(text):
        is_header = statement.lstrip().startswith("[")
        table = _end_of(value) if is_header else table
        paths = [table] if is_header else [(*table, *inner) for inner in _paths(value)]
        if path in paths:
            key = _KEY.match(statement.lstrip())
            shift = len(statement) - len(statement.lstrip())
            return location_at(text, offset + shift, len(key[0]) if key else 1)
    return None


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield offset, text and decoded value of each statement that holds a key."""
    offset, statement = 0, ""
    for line in text.split("\n"):
        statement += line + "\n"
        try:
            value = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # it goes on in the next line
        if value:
            yield offset, statement, value
        offset += len(statement)
        statement = ""


def _end_of(value: dict[str, Any]) -> Path:
    """Return the path of the table that a header begins."""
    path: Path = ()
    inner: Any = value
    while isinstance(inner, dict) and inner:
        ((name, inner),) = inner.items()
        path = (*path, name)
    return path


def _paths(value: dict[str, Any]) -> Iterator[Path]:
    """Yield the path of each key in a value, outer ones first."""
    for name, inner in value.items():
        yield (name,)
        if isinstance(inner, dict):
            for path in _paths(inner):
                yield (name, *path)
