"""The pages, as HTML: each collects its values and passes them to a template, which escapes all of them."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from jobscheduler.model import Status, StoredAttempt
from jobscheduler.status.run_detail import RunDetail
from jobscheduler.status.snapshot import JobStatus, Snapshot
from jobscheduler.status.snapshot_json import schedule_text
from jobscheduler.util.durations import format_duration
from jobscheduler.util.instants import format_instant_s
from jobscheduler.util.sizes import format_size
from jobscheduler.util.terminal_text import printable_lines
from jobscheduler.util.text import plural
from jobscheduler.web import formatting
from jobscheduler.web.activity import Activity, Check
from jobscheduler.web.job_list import filter_chips, is_failing, list_page, select_jobs
from jobscheduler.web.log_record import LoggedRun, parse_records
from jobscheduler.web.time_axis import WINDOW, TimeAxis, hours, zone_of, zone_or_utc
from jobscheduler.web.timeline import MAX_SLOTS, WORDS, layout_row
from jobscheduler.web.view import ServiceView

MAX_FIRST_FILES = 5  # files with problems shown on the first page

HISTORY = 50  # records listed of one job

MAX_OUTPUT_BYTES = 4096  # bytes of each run's output shown with its record; a link leads to all of it

RUN_REFRESH = 5  # seconds until the page of a run that goes on is loaded again

REFRESH = 30  # seconds until a page that updates itself is loaded again

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RUN = re.compile(r"[0-9a-z]{1,64}")


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One record of a job's history, with the shown part of its output; `is_whole` if that is all of it."""

    run: LoggedRun
    output: str
    is_whole: bool
    is_kept: bool


@dataclass(frozen=True, slots=True)
class ShownAttempt:
    """An attempt with its whole output."""

    attempt: StoredAttempt
    is_running: bool

    @property
    def text(self) -> str:
        """What was kept of its output."""
        return self.attempt.kept.text.decode("utf-8", "backslashreplace")


@cache
def _templates() -> Environment:
    """Return the templates with what they may call; each is compiled once in a process."""
    made = Environment(
        loader=PackageLoader("jobscheduler.web", "files"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "human": format_duration,
        "size": format_size,
        "visible": printable_lines,
        "machine": format_instant_s,
    }
    made.globals |= {"numbers": plural, "schedule_text": schedule_text, "words": WORDS}
    return made


class Pages:
    """Render the pages. `style` and `icon` are the files they refer to."""

    def __init__(self, view: ServiceView) -> None:
        self._view = view
        own = files("jobscheduler.web") / "files"
        self.style = (own / "style.css").read_bytes()
        self.icon = (own / "icon.svg").read_bytes()
        self._host = socket.gethostname()
        self._activity = Activity(view)
        self._templates = _templates()

    def index(self, query: Mapping[str, str], check: Check = lambda: None) -> str:
        """Render the first page: issues, files with problems, the timeline, and the jobs.

        `check` is called now and then while the log is read; an exception that it raises ends the reading.

        Raises:
            Busy: other requests read the log for longer than this one waits.

        """
        snapshot = self._view.snapshot()
        text, state = query.get("q", "").strip()[:100], query.get("state", "")
        failing = sum(map(is_failing, snapshot.jobs))
        bad = [job for job in snapshot.jobs if job.problems]
        is_refreshing = "refresh" in query
        return self._render(
            "index.html",
            snapshot,
            root="",
            sheet=list_page(select_jobs(snapshot, text, state), query),
            text=text,
            state=state,
            failing=failing,
            chips=filter_chips(snapshot, failing),
            issues=list(dict.fromkeys(_issues(snapshot, self._view.health()))),
            bad=bad[:MAX_FIRST_FILES],
            bad_count=len(bad),
            timeline=self._activity.recent(snapshot, check).timeline,
            refresh=REFRESH if is_refreshing else None,
        )

    def files(self, query: Mapping[str, str]) -> str:
        """Render all files that are refused or stale, with their problems."""
        snapshot = self._view.snapshot()
        sheet = list_page([job for job in snapshot.jobs if job.problems], query)
        return self._render("files.html", snapshot, root="", sheet=sheet, refresh=None)

    def job(self, job_id: str, check: Check = lambda: None) -> str | None:
        """Render one job: its definition, schedule, next slots and latest records; None if there is no such job.

        Nothing is read for a text that cannot be a job's id. `check` and `Busy` are as for `index`.
        """
        if not _ID.fullmatch(job_id):
            return None
        snapshot = self._view.snapshot()
        history = self._activity.history(job_id, check)
        records = parse_records(history.lines)
        job, detail = snapshot.find(job_id), self._view.detail(job_id)
        if job is None and not records:
            return None
        view = TimeAxis(snapshot.at, zone_of(snapshot))
        upcoming = self._view.upcoming([job_id], snapshot.at + WINDOW, MAX_SLOTS).get(job_id, ()) if detail else ()
        latest = records[:HISTORY]
        outputs = self._view.outputs(job_id, _runs_of(job, latest))
        return self._render(
            "job.html",
            snapshot,
            root="../",
            job_id=job_id,
            job=job,
            detail=detail,
            definition=_indented(detail.definition) if detail else "",
            own_zone=None if detail is None else zone_or_utc(detail.timezone),
            records=[_shown(run, outputs.get(run.run_id or "")) for run in latest],
            live={run_id: _end_of(output) for run_id, output in outputs.items()},
            is_whole=history.is_complete and len(latest) == len(records),
            latest_failure=next((run.run_id for run in latest if run.status is Status.FAILURE), None),
            result=self._view.results.job(job_id),
            row=layout_row(view, job_id, records[::-1], job, upcoming),
            hours_=tuple(hours(view)),
            unread=0.0 if history.since is None else view.percent(history.since),
            refresh=None,
        )

    def run(self, run_id: str, check: Check = lambda: None) -> str | None:
        """Render one run: its lines in the log, its attempts, and all that was kept of their output; None if unknown.

        `check` and `Busy` are as for `index`.
        """
        detail = self._run(run_id, check)
        if detail is None:
            return None
        return self._render(
            "run.html",
            self._view.snapshot(),
            root="../",
            run=detail,
            records=parse_records([{**line, "status": line["word"]} for line in detail.lines if line["word"] in WORDS]),
            attempts=[ShownAttempt(attempt, attempt.attempt == detail.running_attempt) for attempt in detail.attempts],
            refresh=RUN_REFRESH if detail.is_active else None,
        )

    def output(self, run_id: str, check: Check = lambda: None) -> bytes | None:
        """Return all that was kept of what a run printed, None if that is nothing. `check` and `Busy` are as before."""
        detail = self._run(run_id, check)
        return b"".join(attempt.kept.text for attempt in detail.attempts) if detail and detail.attempts else None

    def _run(self, run_id: str, check: Check) -> RunDetail | None:
        if not _RUN.fullmatch(run_id):
            return None
        with self._activity.exclusive(check):
            return self._view.run(run_id)

    def not_found(self, root: str) -> str:
        """Render the page for an unknown path."""
        return self._templates.get_template("nothing.html").render(root=root, host=self._host, refresh=None)

    def _render(self, name: str, snapshot: Snapshot, **values: Any) -> str:
        zone, now = zone_of(snapshot), snapshot.at
        return self._templates.get_template(name).render(
            snapshot=snapshot,
            service=snapshot.service,
            now=now,
            zone=zone,
            host=self._host,
            clock=partial(formatting.format_clock, zone=zone, now=now),
            full=formatting.format_full,
            utc=formatting.format_utc,
            distance=partial(formatting.format_relative, now=now),
            **values,
        )


def _runs_of(job: JobStatus | None, records: Sequence[LoggedRun]) -> dict[str, datetime | None]:
    """Return the runs of a job page and when they began: the active ones, and those with a record."""
    active = () if job is None else job.active_runs
    ended = ((run.run_id, run.started) for run in records if run.run_id is not None and run.started is not None)
    return {**{run.run_id: None for run in active}, **dict(ended)}


def _shown(run: LoggedRun, output: bytes | None) -> HistoryRow:
    """Combine a record with its output: the kept output, else what the log has of it."""
    if output is None:
        return HistoryRow(run, run.output or "", is_whole=not (run.output or "").startswith("…"), is_kept=False)
    return HistoryRow(run, _end_of(output), is_whole=len(output) <= MAX_OUTPUT_BYTES, is_kept=True)


def _end_of(output: bytes) -> str:
    return output[-MAX_OUTPUT_BYTES:].decode("utf-8", "backslashreplace").rstrip("\n")


def _indented(definition: Mapping[str, Any]) -> str:
    return json.dumps(definition, indent=2, ensure_ascii=False)


def _issues(snapshot: Snapshot, health_issue: str | None) -> Iterator[str]:
    if health_issue:
        yield health_issue
    if snapshot.service.overdue and snapshot.service.overdue not in (health_issue or ""):
        yield f"{snapshot.service.overdue} is not on time"
    yield from snapshot.service.issues
