"""Parse a line of the log, in either format, into its keys and values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from jobscheduler.runlog.file import TRUNCATED_MARKER

_TEXT = re.compile(r"(\S+) (?:(SUCCESS|FAILURE|SKIPPED|MISSED)|(INFO|WARNING|ERROR) (\S+))(?: (.*))?")
_PAIR = re.compile(r'([a-z0-9_]+)=("(?:[^"\\]|\\.)*"|\S*)')
_NUMBERS = frozenset(
    {
        "attempt",
        "attempts",
        "changes",
        "column",
        "count",
        "cpu",
        "duration",
        "exit_code",
        "http_status",
        "jobs",
        "line",
        "lines",
    }
    | {
        "lines_not_kept",
        "log_ahead_by",
        "lost",
        "max_rss",
        "parts",
        "pid",
        "refused",
        "retry_in",
        "set_by",
        "slept",
        "status",
        "waiting",
    }
)
_TRUTHS = {"true": True, "false": False}


def parse_line(raw: bytes) -> dict[str, str] | None:
    """Parse a line of either format: `time`, `word` (status or event) and its pairs; None for anything else."""
    if raw.endswith(TRUNCATED_MARKER):
        return None
    text = raw.decode("utf-8", "replace")
    pairs = _parse_json(text) if text.startswith("{") else _parse_text(text)
    try:
        return pairs if pairs and datetime.fromisoformat(pairs["time"]).tzinfo else None
    except (ValueError, KeyError):
        return None


def to_json_object(raw: bytes) -> dict[str, Any]:
    """Return a line that `parse_line` accepts as an object of the JSON format.

    A line of the text format has no types: the values of known keys get theirs back, other values of a task type remain
    text.
    """
    text = raw.decode("utf-8", "replace")
    if text.startswith("{"):
        return _without_envelope(json.loads(text, object_pairs_hook=_keep_first))
    match = _TEXT.fullmatch(text)
    pairs = parse_line(raw)
    if match is None or pairs is None:
        raise ValueError("this is not a line of the log")
    head = {"status": match[2]} if match[2] else {"level": match[3], "event": match[4]}
    values = {key: _typed(key, value) for key, value in pairs.items() if key not in {"time", "word"}}
    return {"time": pairs["time"], **head, **{key: value for key, value in values.items() if key not in head}}


def typed_pairs(pairs: Mapping[str, str]) -> dict[str, Any]:
    """Return the pairs of a parsed line with the types that they have in the JSON format."""
    return {key: _typed(key, value) for key, value in pairs.items()}


def _parse_text(text: str) -> dict[str, str] | None:
    match = _TEXT.fullmatch(text)
    if match is None:
        return None
    pairs = {"time": match[1], "word": match[2] or match[4]}
    with suppress(ValueError):
        for key, value in _PAIR.findall(match[5] or ""):
            pairs.setdefault(key, json.loads(value) if value.startswith('"') else value)
    return pairs


def _parse_json(text: str) -> dict[str, str] | None:
    try:
        fields = _without_envelope(json.loads(text, object_pairs_hook=_keep_first))
        second = list(fields)[1]  # the kind follows the time; later pairs may repeat any key
        word = fields[second if second == "status" else "event"]
        return {**{key: _as_text(value) for key, value in fields.items()}, "word": str(word)}
    except (ValueError, LookupError, TypeError, RecursionError):  # not a line of ours
        return None


def _keep_first(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of these pairs. A repeated key keeps its first value, as in the text format."""
    fields: dict[str, Any] = {}
    for key, value in pairs:
        fields.setdefault(key, value)
    return fields


def _without_envelope(fields: dict[str, Any]) -> dict[str, Any]:
    """Remove what a line has for programs that collect logs: `host` at the end, and before it the `level` of a record.

    The `host` of a checkpoint is not at the end. It has another meaning, and stays.
    """
    names = list(fields)
    if names[-1:] == ["host"]:
        del fields["host"]
        if names[1:2] == ["status"] and names[-2] == "level":
            del fields["level"]
    return fields


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _typed(key: str, value: str) -> Any:
    if key == "more":
        return _TRUTHS.get(value, value)
    if key in _NUMBERS:
        with suppress(ValueError):
            return float(value) if "." in value else int(value)
    return value
