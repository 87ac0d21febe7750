"""What an alert is told about the run: the record, as environment variables and as JSON (pure)."""

from __future__ import annotations

import json
import re

from jobscheduler.alerts.damping import Batch, ResultChange
from jobscheduler.alerts.rules import AlertKind
from jobscheduler.model import Record, Status
from jobscheduler.runlog import encode_line, format_instant, format_json
from jobscheduler.tasks import Alert

MAX_OUTPUT_BYTES = 4096
"""The longest value of a variable, in characters; of the output the end is kept, of the others the beginning."""

MAX_LISTED_JOBS = 32_768
"""The longest list of jobs in a summary, in characters."""

MAX_JOB_LINES = 500
"""How many jobs a summary has in its JSON."""

SUMMARY = "summary"
"""What `JOB_ALERT` says of an alert that tells of several jobs."""

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def build_payload(on: AlertKind, record: Record, *, description: str, host: str, changes: int = 1) -> Alert:
    """Return what an alert's task gets with its context; `changes` is how many changes of the result it stands for."""
    text = _record_of(record, changes)
    details = dict(record.details)
    single = {
        "JOB_ALERT": on.value,
        "JOB_CHANGES": changes,
        "JOB_DESCRIPTION": description,
        "JOB_DURATION": "" if record.duration is None else f"{record.duration:.3f}",
        "JOB_ERROR": details.get("error", ""),
        "JOB_EXIT_CODE": details.get("exit_code", ""),
        "JOB_HOST": host,
        "JOB_REASON": record.reason or "",
        "JOB_RECORD_RUN_ID": record.run_id or "",
        "JOB_STARTED": "" if record.started is None else format_instant(record.started),
        "JOB_STATUS": record.status.value,
    }
    variables = {name: _one_line(str(value)) for name, value in single.items()}
    output = _lines(record.output or "")[-MAX_OUTPUT_BYTES:]
    return Alert(on.value, record, text, {**variables, "JOB_OUTPUT": output, "JOB_RECORD": text})


def with_changes(alert: Alert, changes: int) -> Alert:
    """Return an alert that stands for so many changes."""
    text = _record_of(alert.record, changes)
    variables = {**alert.variables, "JOB_CHANGES": str(changes), "JOB_RECORD": text}
    return Alert(alert.on, alert.record, text, variables)


def build_summary(batch: Batch, *, host: str) -> Alert:
    """Return the alert that tells of several jobs at once: the latest change of each, those that fail first.

    Its record is the last one, for what a record is needed for. The names that do not fit are counted.
    """
    order = sorted(batch, key=lambda one: (one.kind is not AlertKind.FAILURE, one.job_id))
    failing = sum(one.kind is AlertKind.FAILURE for one in order)
    status = Status.FAILURE if failing else Status.SUCCESS
    last = max(batch, key=lambda one: one.record.at).record
    jobs = [_entry(one) for one in order]
    head = {"time": format_instant(last.at, exact=True), "status": status.value, "summary": True, "host": host}
    counts = {"jobs": len(order), "failing": failing, "recovered": len(order) - failing}
    text = json.dumps(
        {**head, **counts, "changed": jobs[:MAX_JOB_LINES], "left_out": max(0, len(jobs) - MAX_JOB_LINES)}
    )
    description = f"{failing} failing, {len(order) - failing} working again"
    empty = dict.fromkeys(("DURATION", "ERROR", "EXIT_CODE", "REASON", "RECORD_RUN_ID", "STARTED"), "")
    variables = {
        **{f"JOB_{name}": value for name, value in empty.items()},
        "JOB_ALERT": SUMMARY,
        "JOB_CHANGES": str(sum(one.changes for one in order)),
        "JOB_DESCRIPTION": description,
        "JOB_HOST": _one_line(host),
        "JOB_OUTPUT": _listed([f"{one['status']} {one['job_id']}" for one in jobs]),
        "JOB_RECORD": text,
        "JOB_STATUS": status.value,
    }
    return Alert(SUMMARY, last, text, variables)


def _entry(one: ResultChange) -> dict[str, str | int]:
    reason = {} if one.record.reason is None else {"reason": one.record.reason}
    more: dict[str, str | int] = {} if one.changes == 1 else {"changes": one.changes}
    return {"job_id": one.job_id, "status": one.record.status.value, **reason, **more}


def _listed(lines: list[str]) -> str:
    """Return as many lines as fit, and how many do not."""
    room, count = MAX_LISTED_JOBS - len("and 1000000 more"), 0
    while count < len(lines) and (room := room - len(lines[count]) - 1) >= 0:
        count += 1
    rest = [f"and {len(lines) - count} more"] if count < len(lines) else []
    return "\n".join([*lines[:count], *rest])


def _record_of(record: Record, changes: int) -> str:
    """Return a record as the log writes it, and how many changes it stands for if there were others."""
    text = encode_line(record, format_json).decode("ascii").rstrip("\n")
    return text if changes == 1 else f'{text[:-1]}, "changes": {changes}}}'


def _lines(text: str) -> str:
    """Return a text in which only line ends and tabs are left of all that controls a terminal or a mail."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), _sanitized(text))


def _one_line(text: str) -> str:
    """Return a text that cannot begin another line, as a header of a mail would be."""
    return _CONTROL.sub(" ", _sanitized(text)).strip()[:MAX_OUTPUT_BYTES]


def _sanitized(text: str) -> str:
    """Return a text without half surrogates, as odd file names have them: no program could be given them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
