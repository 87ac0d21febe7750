"""Lay out records of the log as a table: when, job, status, slot, duration and details."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from jobscheduler.cli.table import MEASURED, Column, table, terminal_width, use_colour
from jobscheduler.config import Settings
from jobscheduler.model.corrections import Corrections, describe_corrections
from jobscheduler.model.log_line import RECORD_KINDS
from jobscheduler.runlog import query
from jobscheduler.runlog.filter import LogLine
from jobscheduler.status.reasons import failure_text
from jobscheduler.util.durations import format_compact_duration
from jobscheduler.util.instants import format_local
from jobscheduler.util.terminal_text import printable_line
from jobscheduler.util.user_names import name_of_user

_COLOURS = {"SUCCESS": "green", "FAILURE": "red", "MISSED": "yellow", "SKIPPED": "yellow", "ERROR": "red"}
_REOPENED = frozenset({"down", "asleep", "stalled", "clock"})  # reasons of missed slots that may still run
_LOGGED_BY_EVENTS = ("reason", "exit_code", "signal", "error", "http_status", "output")
_BY = {"manual": "by hand", "run": "by a run"}  # runs without a slot
_USER_FIELDS = frozenset({"by", "requested_by"})
_COLUMN_FIELDS = frozenset(
    {"time", "word", "status", "level", "event", "job_id", "run_id", "scheduled", "started", "duration", "trigger"}
    | {"reason", "exit_code", "output", "signal", "error", "http_status", "cpu", "max_rss"}
)


class Corrected:
    """Find records whose slots have a later record. The log is searched on the first candidate."""

    def __init__(self, settings: Settings) -> None:
        self._log = settings.log_file, settings.log_backups
        self._known: Corrections | None = None

    def text(self, pairs: Mapping[str, str]) -> str | None:
        """Describe the corrections of a record; None if it has none."""
        if pairs["word"] != "MISSED" or pairs.get("reason") not in _REOPENED:
            return None
        if self._known is None:
            self._known = query.corrections(*self._log)
        count, of = self._known.count(pairs), pairs.get("count", "1")
        return describe_corrections(count, int(of) if of.isdigit() else 1) if count else None


def print_records(
    entries: Iterable[LogLine], zone: ZoneInfo, corrected: Corrected, *, with_job: bool, measured: int | None = None
) -> None:
    """Print records as a table, with a column for the job unless all are of one.

    `measured` is how many of the entries are there; the others come in time, and each is printed at once.
    """
    columns = (
        Column(f"TIME ({zone.key})", keep_whole=True),
        *((Column("JOB", own_line=40),) if with_job else ()),
        Column("STATUS", keep_whole=True, colour_of=_COLOURS.get),
        Column("SLOT", keep_whole=True, drop=3),
        Column("TOOK", right=True, keep_whole=True, drop=4),
        Column("RUN", keep_whole=True, drop=1),
        Column("DETAILS", fills=True, drop=2),
    )
    rows = (_row(entry.pairs, zone, corrected.text(entry.pairs), with_job=with_job) for entry in entries)
    known = MEASURED if measured is None else measured
    for line in table(columns, rows, width=terminal_width(), colour=use_colour(sys.stdout), measured=known):
        print(line, flush=measured is not None)


def _row(pairs: dict[str, str], zone: ZoneInfo, note: str | None, *, with_job: bool) -> list[str]:
    at = _format_logged(pairs["time"], zone)
    slot = _BY.get(pairs.get("trigger", "").partition(":")[0]) or _format_logged(pairs.get("scheduled", ""), zone)
    job = [pairs.get("job_id", "")] if with_job else []
    details = ", ".join(filter(None, (note, _format_details(pairs, zone))))
    took, run_id = _duration(pairs.get("duration", "")), pairs.get("run_id", "")
    return [at, *job, pairs["word"], _short(slot, at), took, run_id, details]


def _format_logged(text: str, zone: ZoneInfo) -> str:
    """Format an instant of the log in the zone, to the second; return an invalid one unchanged."""
    try:
        return format_local(datetime.fromisoformat(text), zone)
    except (ValueError, OverflowError):
        return text


def _short(at: str, beside: str) -> str:
    """Omit the date if the neighbouring column shows the same."""
    return at[11:] if len(at) == 19 and at[:11] == beside[:11] else at


def _duration(seconds: str) -> str:
    """Format the seconds of a record; return an invalid number unchanged."""
    try:
        return format_compact_duration(float(seconds))
    except (ValueError, OverflowError):
        return seconds


def _format_details(pairs: dict[str, str], zone: ZoneInfo) -> str:
    """Describe a record in one line: why it failed or did not run, with the last line of output, then other pairs."""
    parts = [_why(pairs)]
    if pairs["word"] in {"MISSED", "SKIPPED"} and pairs.get("count", "1") != "1":
        more = "more than " if pairs.get("more") == "true" else ""
        parts.append(f"{more}{pairs['count']} slots until {_format_logged(pairs.get('last', ''), zone)}")
        pairs = {key: value for key, value in pairs.items() if key not in {"count", "last", "more"}}
    parts += [f"{key}={_shown(key, value)}" for key, value in pairs.items() if key not in _COLUMN_FIELDS]
    return ", ".join(filter(None, parts))


def _shown(key: str, value: str) -> str:
    return name_of_user(value) if key in _USER_FIELDS else value


def _why(pairs: dict[str, str]) -> str:
    """Return the reason of a record; of a failure with the last line of its output, which is the news."""
    if pairs["word"] == "FAILURE":
        lines = pairs.get("output", "").strip().splitlines()
        return failure_text(pairs, lines[-1].strip() if lines else None)
    if pairs["word"] in RECORD_KINDS:
        return pairs.get("reason", "")
    return ", ".join(f"{key}={printable_line(pairs[key])}" for key in _LOGGED_BY_EVENTS if key in pairs)
