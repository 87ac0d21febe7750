"""Build the payload of an alert: the record as environment variables and as JSON (pure)."""

from __future__ import annotations

import json
import re
from datetime import datetime

from jobscheduler.alerts.damping import Batch
from jobscheduler.alerts.rules import AlertKind, ResultChange
from jobscheduler.model import Status
from jobscheduler.runlog import encode_line, format_json
from jobscheduler.tasks import Alert
from jobscheduler.util.instants import format_instant, format_instant_ms
from jobscheduler.util.terminal_text import printable, printable_lines

MAX_VALUE_CHARS = 4096  # of a variable; of the output the end is kept, of the others the beginning
MAX_JOB_LIST_CHARS = 32_768  # of the list of jobs in a summary
MAX_JSON_JOBS = 500  # in the JSON of a summary
SUMMARY = "summary"  # `JOB_ALERT` of an alert about several jobs

# The variables `JOB_…` that are empty in a summary.
_OF_ONE_JOB = (
    *("DURATION", "ERROR", "EXIT_CODE", "FAILURES", "LAST_SUCCESS"),
    *("REASON", "RECORD_RUN_ID", "SINCE", "STARTED"),
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def build_payload(change: ResultChange, *, host: str) -> Alert:
    """Return the payload of an alert about one job."""
    record, known = change.record, change.circumstances
    text = _format_record(change)
    details = dict(record.details)
    single = {
        "JOB_ALERT": change.kind.value,
        "JOB_CHANGES": change.changes,
        "JOB_DESCRIPTION": change.description,
        "JOB_DURATION": "" if record.duration is None else f"{record.duration:.3f}",
        "JOB_ERROR": details.get("error", ""),
        "JOB_EXIT_CODE": details.get("exit_code", ""),
        "JOB_FAILURES": known.failures,
        "JOB_HOST": host,
        "JOB_LAST_SUCCESS": _instant(known.success),
        "JOB_REASON": record.reason or "",
        "JOB_RECORD_RUN_ID": record.run_id or "",
        "JOB_SINCE": _instant(known.since),
        "JOB_STARTED": _instant(record.started),
        "JOB_STATUS": change.status,
    }
    variables = {name: _one_line(str(value)) for name, value in single.items()}
    output = printable_lines(record.output or "")[-MAX_VALUE_CHARS:]
    return Alert(change.kind.value, record, text, {**variables, "JOB_OUTPUT": output, "JOB_RECORD": text})


def _instant(at: datetime | None) -> str:
    return "" if at is None else format_instant(at)


def with_changes(alert: Alert, changes: int) -> Alert:
    """Return an alert with another number of changes."""
    text = json.dumps(json.loads(alert.text) | {"changes": changes})
    variables = {**alert.variables, "JOB_CHANGES": str(changes), "JOB_RECORD": text}
    return Alert(alert.on, alert.record, text, variables)


def build_summary(batch: Batch, *, host: str) -> Alert:
    """Return the payload of an alert about several jobs: the latest change of each, failing jobs first.

    Its record is the latest one. Names that do not fit are counted.
    """
    order = sorted(batch, key=lambda change: (not change.kind.is_bad, change.job_id))
    failing = sum(change.kind.is_bad for change in order)
    status = Status.FAILURE if failing else Status.SUCCESS
    last = max(batch, key=lambda change: change.record.at).record
    jobs = [_job_entry(change) for change in order]
    head = {"time": format_instant_ms(last.at), "status": status.value, "summary": True, "host": host}
    counts = {"jobs": len(order), "failing": failing, "recovered": len(order) - failing}
    text = json.dumps(
        {**head, **counts, "changed": jobs[:MAX_JSON_JOBS], "left_out": max(0, len(jobs) - MAX_JSON_JOBS)}
    )
    description = f"{failing} failing, {len(order) - failing} working again"
    variables = {
        **{f"JOB_{name}": "" for name in _OF_ONE_JOB},
        "JOB_ALERT": SUMMARY,
        "JOB_CHANGES": str(sum(change.changes for change in order)),
        "JOB_DESCRIPTION": description,
        "JOB_HOST": _one_line(host),
        "JOB_OUTPUT": _join_lines([f"{job['status']} {job['job_id']}" for job in jobs]),
        "JOB_RECORD": text,
        "JOB_STATUS": status.value,
    }
    return Alert(SUMMARY, last, text, variables)


def _job_entry(change: ResultChange) -> dict[str, str | int]:
    reason = {} if change.record.reason is None else {"reason": change.record.reason}
    changes: dict[str, str | int] = {} if change.changes == 1 else {"changes": change.changes}
    return {"job_id": change.job_id, "status": change.status, **reason, **changes}


def _join_lines(lines: list[str]) -> str:
    """Return as many lines as fit, and the number of those that do not."""
    room, count = MAX_JOB_LIST_CHARS - len("and 1000000 more"), 0
    while count < len(lines) and (room := room - len(lines[count]) - 1) >= 0:
        count += 1
    more = [f"and {len(lines) - count} more"] if count < len(lines) else []
    return "\n".join([*lines[:count], *more])


def _format_record(change: ResultChange) -> str:
    """Return the record as the log writes it, with what the alert knows besides."""
    text = encode_line(change.record, format_json).decode("ascii").rstrip("\n")
    further: dict[str, str | int] = {}
    if change.kind not in {AlertKind.FAILURE, AlertKind.RECOVERY}:
        further["alert"] = change.kind.value
    if change.circumstances.overdue and change.circumstances.since is not None:
        further["overdue_since"] = format_instant(change.circumstances.since)
    if change.changes > 1:
        further["changes"] = change.changes
    return f"{text[:-1]}, {json.dumps(further)[1:]}" if further else text


def _one_line(text: str) -> str:
    """Return a text without line ends, which could begin another header of a mail."""
    return printable(_CONTROL.sub(" ", text)).strip()[:MAX_VALUE_CHARS]
