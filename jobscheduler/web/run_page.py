"""Collect the values of the page of one run, and its whole output."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jobscheduler.model import Status, StoredAttempt
from jobscheduler.status.reasons import failure_text, reason_text
from jobscheduler.status.run_detail import RunDetail
from jobscheduler.status.snapshot import ActiveRun, Snapshot
from jobscheduler.util.terminal_text import printable_lines
from jobscheduler.web.activity import Activity, Check
from jobscheduler.web.log_record import LoggedRun, parse_records
from jobscheduler.web.timeline import WORDS
from jobscheduler.web.view import ServiceView

MAX_LINES = 5000  # lines shown of one attempt, the last ones; a link leads to all that was kept

_RUN_ID = re.compile(r"[0-9a-z]{1,64}")


@dataclass(frozen=True, slots=True)
class ShownAttempt:
    """An attempt with the lines of its output from number `first` on; `anchor` stands before the number of a line."""

    attempt: StoredAttempt
    is_running: bool
    lines: Sequence[str]
    first: int
    anchor: str


class RunPage:
    """The values of the page of a run, for its template."""

    def __init__(self, view: ServiceView, activity: Activity) -> None:
        self._view = view
        self._activity = activity

    def values(self, run_id: str, snapshot: Snapshot, check: Check) -> dict[str, Any] | None:
        """Return the values; None if the run is not known. `check` and `Busy` are as for `Activity.history`."""
        detail = self._detail(run_id, check)
        if detail is None:
            return None
        records = parse_records([{**line, "status": line["word"]} for line in detail.lines if line["word"] in WORDS])
        last = max((attempt.attempt for attempt in detail.attempts), default=0)
        former, later = self._neighbours(detail, check)
        return {
            "run": detail,
            "job": snapshot.find(detail.job_id),
            "active": _active(detail, snapshot),
            "records": [(record, _why(record)) for record in records],
            "attempts": [_shown(attempt, detail.running_attempt, last) for attempt in detail.attempts],
            "former": former,
            "later": later,
            "updates_itself": detail.is_active,
        }

    def output(self, run_id: str, check: Check) -> bytes | None:
        """Return all that was kept of what a run printed, None if that is nothing. `check` and `Busy` are as before."""
        detail = self._detail(run_id, check)
        return b"".join(attempt.kept.text for attempt in detail.attempts) if detail and detail.attempts else None

    def _detail(self, run_id: str, check: Check) -> RunDetail | None:
        if not _RUN_ID.fullmatch(run_id):
            return None
        with self._activity.exclusive(check):
            return self._view.run(run_id)

    def _neighbours(self, detail: RunDetail, check: Check) -> tuple[str | None, str | None]:
        """Return the ids of the runs of the same job before and after this one, as far as the log is read."""
        ids = [run.run_id for run in parse_records(self._activity.history(detail.job_id, check).lines) if run.run_id]
        if detail.run_id not in ids:
            return (ids[0], None) if detail.is_active and ids else (None, None)
        at = ids.index(detail.run_id)
        return ids[at + 1] if at + 1 < len(ids) else None, ids[at - 1] if at else None


def _active(detail: RunDetail, snapshot: Snapshot) -> ActiveRun | None:
    job = snapshot.find(detail.job_id)
    return next((run for run in job.active_runs if run.run_id == detail.run_id), None) if job else None


def _why(run: LoggedRun) -> str:
    record = {"reason": run.reason, "duration": run.duration, **dict(run.details)}
    if run.status is Status.SUCCESS:
        return ""
    return failure_text(record, None) if run.status is Status.FAILURE else reason_text(record)


def _shown(attempt: StoredAttempt, running: int | None, last: int) -> ShownAttempt:
    lines = printable_lines(attempt.kept.text.decode("utf-8", "backslashreplace")).rstrip("\n").split("\n")
    first = max(0, len(lines) - MAX_LINES)
    anchor = "L" if attempt.attempt == last else f"A{attempt.attempt}L"
    return ShownAttempt(attempt, attempt.attempt == running, lines[first:], first + 1, anchor)
