"""A line of the log back into its keys and values, whichever format it has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Any

from jobscheduler.model import Status
from jobscheduler.runlog.file import TRUNCATED_MARKER

RECORD_KINDS = frozenset(status.value for status in Status)
"""What stands second in a line that is the record of a slot or of a run by hand."""

_TEXT = re.compile(r"(\S+) (?:(SUCCESS|FAILURE|SKIPPED|MISSED)|(INFO|WARNING|ERROR) (\S+))(?: (.*))?")
_PAIR = re.compile(r'([a-z0-9_]+)=("(?:[^"\\]|\\.)*"|\S*)')
_NUMBERS = frozenset(
    {
        "attempt",
        "attempts",
        "changes",
        "column",
        "count",
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
    """Take a line of either format apart: `time`, `word` (status or event) and its pairs; None for anything else."""
    if raw.endswith(TRUNCATED_MARKER):
        return None
    text = raw.decode("utf-8", "replace")
    pairs = _parse_json(text) if text.startswith("{") else _parse_text(text)
    try:
        return pairs if pairs and datetime.fromisoformat(pairs["time"]).tzinfo else None
    except (ValueError, KeyError):
        return None


def to_json_object(raw: bytes) -> dict[str, Any]:
    """Return a line that `parse_line` accepts as the object that the JSON format has for it.

    A line of the text format does not say of what type its values were: those of the known keys get theirs back,
    what a task type of its own adds remains text.
    """
    text = raw.decode("utf-8", "replace")
    if text.startswith("{"):
        return dict(json.loads(text, object_pairs_hook=_keep_first))
    found = _TEXT.fullmatch(text)
    pairs = parse_line(raw)
    if found is None or pairs is None:
        raise ValueError("this is not a line of the log")
    head = {"status": found[2]} if found[2] else {"level": found[3], "event": found[4]}
    rest = {key: _typed(key, value) for key, value in pairs.items() if key not in {"time", "word"}}
    return {"time": pairs["time"], **head, **{key: value for key, value in rest.items() if key not in head}}


def _parse_text(text: str) -> dict[str, str] | None:
    found = _TEXT.fullmatch(text)
    if found is None:
        return None
    pairs = {"time": found[1], "word": found[2] or found[4]}
    with suppress(ValueError):
        for key, value in _PAIR.findall(found[5] or ""):
            pairs.setdefault(key, json.loads(value) if value.startswith('"') else value)
    return pairs


def _parse_json(text: str) -> dict[str, str] | None:
    try:
        found = json.loads(text, object_pairs_hook=_keep_first)
        second = list(found)[1]  # what a line is stands right behind its time; any key may come again among its pairs
        word = found[second if second == "status" else "event"]
        return {**{key: _as_text(value) for key, value in found.items()}, "word": str(word)}
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _keep_first(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """An object of these pairs, in which a key that comes again counts as it stood first, as in the text format."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _typed(key: str, value: str) -> Any:
    if key == "more":
        return _TRUTHS.get(value, value)
    if key in _NUMBERS:
        with suppress(ValueError):
            return float(value) if "." in value else int(value)
    return value
