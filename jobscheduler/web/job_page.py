"""Collect the values of the page of one job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any

from jobscheduler.model import Status
from jobscheduler.status.reasons import failure_text, reason_text
from jobscheduler.status.run_stats import Records
from jobscheduler.status.snapshot import Detail, JobState, JobStatus, Snapshot
from jobscheduler.util.text import nearest
from jobscheduler.web import formatting
from jobscheduler.web.activity import Activity, Check
from jobscheduler.web.duration_figures import duration_figures
from jobscheduler.web.log_record import LoggedRun, parse_records
from jobscheduler.web.overview import is_page_id, page_name
from jobscheduler.web.run_strip import logged, strip
from jobscheduler.web.time_axis import WINDOW, TimeAxis, hours, zone_of, zone_or_utc
from jobscheduler.web.timeline import MAX_SLOTS, layout_row
from jobscheduler.web.view import ServiceView

HISTORY = 50  # records listed of one job
NEXT_STARTS = 5  # starts that are listed

MAX_OUTPUT_BYTES = 4096  # bytes of each run's output shown with its record; a link leads to all of it


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One record of a job's history, with the shown part of its output; `is_whole` if that is all of it.

    `text` says why it ended as it did, `further` is what else the record tells.
    """

    run: LoggedRun
    output: str
    is_whole: bool
    is_kept: bool
    text: str
    further: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Day:
    """The records of one local day, newest first."""

    name: str
    rows: Sequence[HistoryRow]


class JobPage:
    """The values of the page of a job, for its template."""

    def __init__(self, view: ServiceView, activity: Activity) -> None:
        self._view = view
        self._activity = activity

    def values(self, job_id: str, snapshot: Snapshot, check: Check) -> dict[str, Any] | None:
        """Return the values; None if there is neither a job or a refused file of this name, nor a record.

        Nothing is read for a text that cannot be a job's id. `check` and `Busy` are as for `Activity.history`.
        """
        if not is_page_id(job_id):
            return None
        history = self._activity.history(job_id, check)
        records = parse_records(history.lines)
        job, detail = _find(snapshot, job_id), self._view.detail(job_id)
        if job is None and not records:
            return None
        zone = zone_of(snapshot)
        outputs = self._view.outputs(job_id, _runs_of(job, records[:HISTORY]))
        rows = [_shown(run, outputs.get(run.run_id or "")) for run in records[:HISTORY]]
        return {
            "job_id": job_id,
            "job": job,
            "detail": detail,
            "definition": json.dumps(detail.definition, indent=2, ensure_ascii=False) if detail else "",
            "short_own": partial(
                formatting.format_short, zone=zone_or_utc(detail.timezone) if detail else zone, now=snapshot.at
            ),
            "time_only": partial(formatting.format_time, zone=zone),
            "live": {run_id: _end_of(output) for run_id, output in outputs.items()},
            "days": _days(rows, zone),
            "is_whole": history.is_complete and len(rows) == len(records),
            "latest_failure": next((row.run.run_id for row in rows if row.run.status is Status.FAILURE), None),
            "result": self._view.results.job(job_id),
            "figures": duration_figures(records),
            "commands": commands(job_id, job),
            "bars": strip(logged(records), HISTORY),
            **self._drawn(job_id, job, detail, history, records, snapshot),
        }

    def _drawn(
        self,
        job_id: str,
        job: JobStatus | None,
        detail: Detail | None,
        history: Records,
        records: Sequence[LoggedRun],
        snapshot: Snapshot,
    ) -> dict[str, Any]:
        axis = TimeAxis(snapshot.at, zone_of(snapshot))
        upcoming = self._view.upcoming([job_id], snapshot.at + WINDOW, MAX_SLOTS).get(job_id, ()) if detail else ()
        return {
            "row": layout_row(axis, job_id, records[::-1], job, upcoming),
            "hours_": tuple(hours(axis)),
            "unread": 0.0 if history.since is None else axis.percent(history.since),
            "starts": _starts(job, detail),
        }

    def nearest(self, job_id: str, snapshot: Snapshot) -> str | None:
        """Return the name of the page that was probably meant."""
        names = (page_name(job) for job in snapshot.jobs)
        return nearest(job_id, filter(is_page_id, names))


def _runs_of(job: JobStatus | None, records: Sequence[LoggedRun]) -> dict[str, datetime | None]:
    """Return the runs of a job page and when they began: the active ones, and those with a record."""
    active = () if job is None else job.active_runs
    ended = ((run.run_id, run.started) for run in records if run.run_id is not None and run.started is not None)
    return {**{run.run_id: None for run in active}, **dict(ended)}


def _shown(run: LoggedRun, output: bytes | None) -> HistoryRow:
    """Combine a record with its output: the kept output, else what the log has of it."""
    if output is None:
        text, is_whole = run.output or "", not (run.output or "").startswith("…")
    else:
        text, is_whole = _end_of(output), len(output) <= MAX_OUTPUT_BYTES
    return HistoryRow(run, text, is_whole, output is not None, _why(run, text), _further(run))


def _end_of(output: bytes) -> str:
    return output[-MAX_OUTPUT_BYTES:].decode("utf-8", "backslashreplace").rstrip("\n")


def _find(snapshot: Snapshot, job_id: str) -> JobStatus | None:
    """Return the job of this id, or else a refused file of this name."""
    refused = (job for job in snapshot.jobs if job.state is JobState.REFUSED and page_name(job) == job_id)
    return snapshot.find(job_id) or next(refused, None)


def _why(run: LoggedRun, output: str) -> str:
    """Return why a run or a slot ended as it did; empty for a success."""
    record = {"reason": run.reason, "duration": run.duration, **dict(run.details)}
    if run.status is Status.FAILURE:
        return failure_text(record, output.strip().rsplit("\n", 1)[-1].strip() or None)
    return "" if run.status is Status.SUCCESS else reason_text(record)


_TOLD = frozenset({"exit_code", "error", "signal", "http_status"})  # details that the text of a failure tells


def _further(run: LoggedRun) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in run.details if key not in _TOLD or run.status is not Status.FAILURE)


def _days(rows: Sequence[HistoryRow], zone: Any) -> list[Day]:
    return [
        Day(name, list(of_day))
        for name, of_day in groupby(rows, key=lambda row: formatting.format_day(row.run.begin, zone))
    ]


def _starts(job: JobStatus | None, detail: Detail | None) -> list[tuple[datetime, datetime | None]]:
    """Return the next slots, and when the first of them starts if that is known and later."""
    slots = detail.upcoming[:NEXT_STARTS] if detail else ()
    first = job.start if job is not None and job.next == (slots[0] if slots else None) else None
    return [(slot, first if number == 0 and first != slot else None) for number, slot in enumerate(slots)]


def commands(job_id: str, job: JobStatus | None) -> list[str]:
    """Return the commands that act on a job."""
    is_paused = job is not None and job.paused
    stop = [f"jobscheduler stop {job_id}"] if job is not None and job.active_runs else []
    return [
        f"jobscheduler run {job_id} --wait",
        *stop,
        f"jobscheduler resume {job_id}" if is_paused else f"jobscheduler pause {job_id} --for 2h",
        f"jobscheduler explain {job_id}",
        f"jobscheduler output {job_id}",
    ]
