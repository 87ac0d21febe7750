"""Format log entries as lines: as text, or as JSON objects.

Invariant: no value can forge a line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from jobscheduler.model import Event, Level, LogEntry, LogValue, Record, Status, log_key
from jobscheduler.util.instants import format_instant, format_instant_ms

MAX_LINE = 16 * 1024  # bytes of the longest line

MAX_VALUE = 2048  # characters of the longest value; more is cut at the front, where it matters less

LEVELS = {  # of records, in the JSON format
    Status.SUCCESS: Level.INFO,
    Status.FAILURE: Level.ERROR,
    Status.SKIPPED: Level.WARNING,
    Status.MISSED: Level.WARNING,
}

_PLAIN = re.compile(r"[A-Za-z0-9!#$%&()*+,./:;<>?@^_{|}~\[\]-]+")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")
_PRIORITY = {"INFO": b"<6>", "SUCCESS": b"<6>", "WARNING": b"<4>", "SKIPPED": b"<5>", "MISSED": b"<4>"}
_MAX_PRIORITY = b"<3>"


def format_text(entry: LogEntry) -> str:
    """Format an entry as a line of text, without its end."""
    word = entry.status.value if isinstance(entry, Record) else f"{entry.level.value} {entry.name}"
    pairs = [f"{key}={_TEXTS.get(type(value), _text_of_other)(value)}" for key, value in _pairs(entry).items()]
    return " ".join((format_instant_ms(entry.at), word, *pairs))


def format_json(entry: LogEntry) -> str:
    """Format an entry as one JSON object, without the end of the line."""
    return json.dumps(_json_fields(entry), ensure_ascii=True)


def json_formatter(host: str) -> Callable[[LogEntry], str]:
    """Return `format_json` for programs that collect logs: records have a `level`, too, and all lines the `host`.

    Both come last, and a pair of the entry that has such a name stays.
    """

    def form(entry: LogEntry) -> str:
        fields = _json_fields(entry)
        if isinstance(entry, Record):
            fields.setdefault("level", LEVELS[entry.status].value)
        fields.setdefault("host", host)
        return json.dumps(fields, ensure_ascii=True)

    return form


def _json_fields(entry: LogEntry) -> dict[str, LogValue]:
    """Return the keys and values of an object; its head comes first, and no pair replaces that."""
    head: dict[str, LogValue] = {"time": format_instant_ms(entry.at)}
    if isinstance(entry, Record):
        head["status"] = entry.status.value
    else:
        head |= {"level": entry.level.value, "event": entry.name}
    return head | {key: _json_value(value) for key, value in _pairs(entry).items()} | head


def _pairs(entry: LogEntry) -> dict[str, LogValue]:
    """Return the keys and values of a line, each key once: a detail never replaces an earlier key."""
    pairs: dict[str, LogValue] = {}
    for key, value in entry.fields():
        pairs.setdefault(log_key(key), value)
    return pairs


def _text_of_other(value: object) -> str:
    """Write a value whose type is not in the table: as one of those types, or as its own text."""
    write = next((write for kind, write in _TEXTS.items() if isinstance(value, kind)), None)
    return _quoted(str(value)) if write is None else write(value)


def _text_of_str(text: str) -> str:
    is_plain = len(text) <= MAX_VALUE and _PLAIN.fullmatch(text)  # nearly all are
    return text if is_plain else _quoted(_clipped(text))


def _json_value(value: LogValue) -> LogValue:
    match value:
        case datetime():
            return format_instant(value)
        case float():
            return round(value, 3) if math.isfinite(value) else str(value)  # JSON has no NaN
        case str():
            return _clipped(value)
        case _:
            return value


def _clipped(text: str) -> str:
    return text if len(text) <= MAX_VALUE else "…" + text[1 - MAX_VALUE :]


def _quoted(text: str) -> str:
    """Write a text bare if no part of it can be mistaken for something else, otherwise as a JSON string.

    Unprintable characters (control characters, half surrogates from odd file names, right-to-left marks) are escaped in
    either format, so neither the output nor the name of a job can forge a line.
    """
    if _PLAIN.fullmatch(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isascii() and quoted.isprintable() else _UNPRINTABLE.sub(_escaped, quoted)


def _escaped(match: re.Match[str]) -> str:
    return match[0] if match[0].isprintable() else json.dumps(match[0])[1:-1]


_TEXTS: Mapping[type, Callable[[Any], str]] = {
    str: _text_of_str,
    datetime: format_instant,
    float: lambda number: float.__format__(number, ".3f"),
    bool: lambda truth: "true" if truth else "false",
    int: int.__repr__,
}
"""How values are written as text, by their type; the first that fits.

Numbers are not quoted, so they are written by these types themselves, whatever a subclass of them would say.
"""


def encode_line(entry: LogEntry, form: Callable[[LogEntry], str]) -> bytes:
    """Return the bytes of a line; if it would be too long, cut the beginnings of its longest values."""
    line = form(entry).encode("utf-8", "backslashreplace")
    max_chars = MAX_VALUE
    while len(line) >= MAX_LINE:
        max_chars //= 2
        line = form(_shortened(entry, max_chars)).encode("utf-8", "backslashreplace")
    return line + b"\n"


def _shortened(entry: LogEntry, allowed: int) -> LogEntry:
    def cut(value: LogValue) -> LogValue:
        return "…" + value[-allowed:] if isinstance(value, str) and len(value) > allowed else value

    if isinstance(entry, Event):
        return replace(entry, values=tuple((key, cut(value)) for key, value in entry.values))
    output = entry.output and str(cut(entry.output))
    return replace(entry, output=output, details=tuple((key, cut(value)) for key, value in entry.details))


def syslog_priority(entry: LogEntry) -> bytes:
    """Return the syslog priority of an entry, in systemd's form at the start of a line (sd-daemon(3))."""
    return _PRIORITY.get(entry.status.value if isinstance(entry, Record) else entry.level.value, _MAX_PRIORITY)
