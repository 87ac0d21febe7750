"""Decode JSON strictly, and find the line and column of a path in the decoded value.

Python's decoder accepts more than JSON (`NaN`, UTF-16, lone surrogates, the last of two equal keys), and deep nesting
raises RecursionError. A job file may have none of that. Positions are computed only for a refusal.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NoReturn

from jobscheduler.util.json_errors import MAX_WORD_CHARS, TOKEN, SyntaxFault, syntax_fault
from jobscheduler.util.text import quote
from jobscheduler.util.text_location import Location, location_at

MAX_BYTES = 1024 * 1024  # of a job file
MAX_DEPTH = 32  # levels of nested objects and lists
MAX_VALUES = 20_000  # values and keys of a job file; checking more would keep other files waiting
MAX_DUPLICATES = 20  # keys that are reported as appearing twice

Path = tuple[str | int, ...]


class JsonError(ValueError):
    """The bytes are not the JSON of a job file. The message says what, `location` where, and `help` what to do."""

    def __init__(self, message: str, location: Location | None = None, help: str | None = None) -> None:  # noqa: A002
        super().__init__(message)
        self.location = location
        self.help = help


class DuplicateKeys(JsonError):
    """Objects have keys twice. `all` is an error for each such key.

    `value` is the rest, with the first of two equal keys, and `text` its text: so that more can be said of them.
    """

    def __init__(self, errors: list[JsonError], value: Any, text: str) -> None:
        first = errors[0]
        super().__init__(str(first), first.location, first.help)
        self.all = tuple(errors)
        self.value = value
        self.text = text


class _DuplicateKey(ValueError):
    """An object has a key twice. The key is found afterwards."""


class _NotJson(ValueError):
    """A number or word that Python accepts, but JSON does not have."""


def decode(raw: bytes) -> tuple[Any, str]:
    """Decode one JSON value. Return it with its text (for `locate`).

    Raises:
        JsonError: not UTF-8, too large, too deep, too many values, not JSON, a key twice, a number out of range, NUL
            or half a surrogate pair in a text.

    """
    text = _text(raw)
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH:
        _refuse_depth(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise JsonError(*_message(syntax_fault(text, error), text)) from None
    except _DuplicateKey:
        _refuse_duplicates(text)
    except ValueError as error:
        _refuse_number(text, error)
    if raw.count(b",") >= MAX_VALUES:
        _refuse_many(text)
    if "\\u" in text:
        _check_escapes(text)
    return value, text


def _text(raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise JsonError("the file is larger than 1 MiB", help="a job file holds one definition; put data elsewhere")
    if raw[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise JsonError("the file is UTF-16, not UTF-8", help="save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig" if raw[:3] == codecs.BOM_UTF8 else "utf-8")  # the former is not in C
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", "replace")
        shown = before + "\N{REPLACEMENT CHARACTER}" + raw[error.end :].decode("utf-8", "replace")
        raise JsonError(
            f"the byte 0x{raw[error.start]:02x} is not UTF-8", location_at(shown, len(before)), "save the file as UTF-8"
        ) from None
    if "\0" in text:
        raise JsonError("the file contains NUL bytes", location_at(text, text.index("\0")), "is it a text file at all?")
    return text


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DuplicateKey
    return members


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _NotJson(text)
    return value


def _constant(name: str) -> NoReturn:
    raise _NotJson(name)


def _first_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        members.setdefault(name, value)
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_number, parse_constant=_constant)
_DECODER_OF_DUPLICATES = json.JSONDecoder(object_pairs_hook=_first_pairs, parse_float=_number, parse_constant=_constant)


# --- refusals: everything below runs only when a file is bad ---------------------------------------------

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


def _refuse_depth(text: str) -> None:
    """Raise if values are nested deeper than `MAX_DEPTH`. Brackets inside texts do not count."""
    depth = 0
    for token in TOKEN.finditer(text):
        if token[0] in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise JsonError(f"nested more than {MAX_DEPTH} levels deep", location_at(text, token.start()))
        elif token[0] in "}]":
            depth -= 1


def _refuse_many(text: str) -> None:
    """Raise if there are more than `MAX_VALUES`. Commas inside texts do not count."""
    commas = (token for token in TOKEN.finditer(text) if token[0] == ",")
    last = next(islice(commas, MAX_VALUES, None), None)
    if last is not None:
        help_ = "a job file holds one definition; put data elsewhere"
        raise JsonError(f"more than {MAX_VALUES} values", location_at(text, last.start()), help_)


def _refuse_number(text: str, error: ValueError) -> NoReturn:
    """Raise for the number that Python could not convert, or that JSON does not have."""
    for token in TOKEN.finditer(text):
        word = token[0]
        if word in {"NaN", "Infinity", "-Infinity"}:
            raise JsonError(f"`{word}` is not JSON", location_at(text, token.start(), len(word)), "write a number")
        if word[0] in "-0123456789" and (len(word) > 300 or (isinstance(error, _NotJson) and word == str(error))):
            raise JsonError("the number is too large", location_at(text, token.start(), len(word))) from None
    raise JsonError(f"not JSON: {error}")


def _refuse_duplicates(text: str) -> NoReturn:
    value = _decode_with_duplicates(text)
    seen: set[Path] = set()
    errors: list[JsonError] = []
    for path, start, _, key in _iter_values(text):
        if key is not None:
            if path in seen and len(errors) < MAX_DUPLICATES:
                name = path[-1]
                message = f"the key {quote(str(name), MAX_WORD_CHARS)} appears here a second time"
                location = location_at(text, start, len(json.dumps(name, ensure_ascii=False)))
                errors.append(JsonError(message, location, "keep one of the two"))
            seen.add(path)
    if not errors:
        raise JsonError("a key appears twice in one object")
    raise DuplicateKeys(errors, value, text)


def _decode_with_duplicates(text: str) -> Any:
    """Decode a text in which a key appears twice. Behind that key it may still be wrong in any way."""
    try:
        return _DECODER_OF_DUPLICATES.decode(text)
    except json.JSONDecodeError as error:
        raise JsonError(*_message(syntax_fault(text, error), text)) from None
    except ValueError as error:
        _refuse_number(text, error)


def _check_escapes(text: str) -> None:
    r"""Refuse `\u0000` and half surrogate pairs: a program cannot be given them."""
    high: re.Match[str] | None = None
    for escape in _ESCAPE.finditer(text):
        code = int(escape[1], 16) if escape[1] else -1
        if high is not None and not (0xDC00 <= code <= 0xDFFF and escape.start() == high.end()):
            break
        if code == 0:
            raise JsonError(r"the text contains `\u0000`", location_at(text, escape.start(), 6), "leave the NUL out")
        if 0xDC00 <= code <= 0xDFFF and high is None:
            high = escape
            break
        high = escape if 0xD800 <= code <= 0xDBFF else None
    if high is not None:
        raise JsonError(
            f"`{high[0]}` is half a surrogate pair", location_at(text, high.start(), 6), "write the character itself"
        )


def _message(fault: SyntaxFault, text: str) -> tuple[str, Location | None, str | None]:
    """Return the arguments of a `JsonError`."""
    return fault.message, None if fault.at is None else location_at(text, fault.at, fault.width), fault.help


def _iter_values(text: str) -> Iterator[tuple[Path, int, int, str | None]]:
    """Yield (path, start, end, key) of every key (`key` is its name) and value (`key` is None) of a JSON text.

    Containers are yielded at their opening bracket. The decoder must have accepted the text; keys may appear twice.
    """
    path: list[str | int] = []
    expects_key: list[bool] = []
    awaiting_key = False
    for token in TOKEN.finditer(text):
        word = token[0]
        if word == ",":
            if expects_key[-1]:
                awaiting_key = True
            else:
                path[-1] = int(path[-1]) + 1
        elif word == ":":
            continue
        elif word in "}]":
            path.pop()
            expects_key.pop()
            awaiting_key = False
        elif awaiting_key and word.startswith('"'):
            path[-1] = json.loads(word)
            awaiting_key = False
            yield tuple(path), token.start(), token.end(), str(path[-1])
        else:
            yield tuple(path), token.start(), token.start() + 1 if word in "{[" else token.end(), None
            if word in "{[":
                path.append("" if word == "{" else 0)
                expects_key.append(word == "{")
                awaiting_key = word == "{"


def locate(text: str, path: Path, *, key: bool = False) -> Location | None:
    """Find the value at `path` (or, with `key`, the key that names it) in a text that `decode` accepted."""
    for value_path, start, end, name in _iter_values(text):
        if value_path == path and (name is not None) == key:
            return location_at(text, start, end - start)
    return None
