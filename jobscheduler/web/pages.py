"""The pages, as HTML: each collects its values and passes them to a template, which escapes all of them."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined

from jobscheduler.model import Status
from jobscheduler.status.snapshot import JobState, JobStatus, Snapshot, schedule_text
from jobscheduler.timetable.timezones import UnknownTimezone, get_zone
from jobscheduler.web import formatting
from jobscheduler.web.log_record import LoggedRun, latest, parse_records
from jobscheduler.web.time_axis import WINDOW, TimeAxis, hours
from jobscheduler.web.timeline import ISSUE_KINDS, MAX_ROWS, MAX_SLOTS, WORDS, Timeline, layout_row, rank_jobs, timeline
from jobscheduler.web.view import ServiceView

PER_PAGE = 100  # jobs, or files, on one page of a list

MAX_FIRST_FILES = 5  # files with problems shown on the first page

MAX_RECORDS = 10_000  # records of the log read for the timeline

MAX_ISSUES = 2000  # records of issues read if there are more than `MAX_RECORDS` records

TIMELINE_MAX_AGE_S = 10.0  # seconds that a timeline is reused, since making it reads the log

HISTORY = 50  # records listed of one job

MAX_OUTPUT_BYTES = 4096  # bytes of each run's output shown with its record; a link leads to all of it

MAX_READS_OF_JOB = 1000  # records of one job that are drawn

READ_WAIT_S = 3.0  # seconds that a request waits for others that read the log

POLL_S = 0.2  # seconds between two checks whether the client of such a request is still there

REFRESH = 30

Check = Callable[[], object]  # called now and then while the log is read; an exception that it raises ends the reading

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Busy(Exception):
    """Too many requests read the log at once."""


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list: its jobs, and its position in the list."""

    jobs: Sequence[JobStatus]
    number: int
    pages: int
    found: int
    first: int


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One record of a job's history, with the shown part of its output; `is_whole` if that is all of it."""

    run: LoggedRun
    output: str
    is_whole: bool
    is_kept: bool


@dataclass(frozen=True, slots=True)
class RecentActivity:
    """The records of the last day, newest first, and their timeline; `at` is the monotonic time it was made."""

    at: float
    records: Sequence[LoggedRun]
    timeline: Timeline


class Pages:
    """Render the pages. `style` and `icon` are the files they refer to."""

    def __init__(self, view: ServiceView) -> None:
        self._view = view
        own = files("jobscheduler.web") / "files"
        self.style = (own / "style.css").read_bytes()
        self.icon = (own / "icon.svg").read_bytes()
        self._host = socket.gethostname()
        self._lock = threading.Lock()
        self._reads: RecentActivity | None = None
        self._templates = Environment(
            loader=PackageLoader("jobscheduler.web", "files"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "human": formatting.format_duration,
            "visible": formatting.printable,
            "machine": formatting.format_iso,
        }
        self._templates.globals |= {"numbers": formatting.pluralize, "schedule_text": schedule_text, "words": WORDS}

    def index(self, query: Mapping[str, str], check: Check = lambda: None) -> str:
        """Render the first page: issues, files with problems, the timeline, and the jobs.

        `check` is called now and then while the log is read; an exception that it raises ends the reading.

        Raises:
            Busy: other requests read the log for longer than this one waits.

        """
        snapshot = self._view.snapshot()
        text, state = query.get("q", "").strip()[:100], query.get("state", "")
        matches = [job for job in snapshot.jobs if _matches(job, text.lower(), state)]
        matches.sort(key=_rank)
        failing = sum(map(is_failing, snapshot.jobs))
        bad = [job for job in snapshot.jobs if job.problems]
        is_refreshing = "refresh" in query
        return self._render(
            "index.html",
            snapshot,
            root="",
            sheet=_sheet(matches, query),
            text=text,
            state=state,
            failing=failing,
            chips=_filter_chips(snapshot, failing),
            issues=list(dict.fromkeys(_issues(snapshot, self._view.health()))),
            bad=bad[:MAX_FIRST_FILES],
            bad_count=len(bad),
            timeline=self._recent(snapshot, check).timeline,
            refresh=REFRESH if is_refreshing else None,
        )

    def files(self, query: Mapping[str, str]) -> str:
        """Render all files that are refused or stale, with their problems."""
        snapshot = self._view.snapshot()
        sheet = _sheet([job for job in snapshot.jobs if job.problems], query)
        return self._render("files.html", snapshot, root="", sheet=sheet, refresh=None)

    def job(self, job_id: str, check: Check = lambda: None) -> str | None:
        """Render one job: its definition, schedule, next slots and latest records; None if there is no such job.

        Nothing is read for a text that cannot be a job's id. `check` and `Busy` are as for `index`.
        """
        if not _ID.fullmatch(job_id):
            return None
        snapshot = self._view.snapshot()
        with self._reading(check):
            history = self._view.history(job_id, MAX_READS_OF_JOB, check)
        records = parse_records(history.lines)
        job, detail = snapshot.find(job_id), self._view.detail(job_id)
        if job is None and not records:
            return None
        view = TimeAxis(snapshot.at, _zone(snapshot))
        upcoming = self._view.upcoming([job_id], snapshot.at + WINDOW, MAX_SLOTS).get(job_id, ()) if detail else ()
        latest = records[:HISTORY]
        return self._render(
            "job.html",
            snapshot,
            root="../",
            job_id=job_id,
            job=job,
            detail=detail,
            definition=_indented(detail.definition) if detail else "",
            own_zone=None if detail is None else _named(detail.timezone),
            records=[self._shown(run) for run in latest],
            is_whole=history.is_complete and len(latest) == len(records),
            latest_failure=next((run.run_id for run in latest if run.status is Status.FAILURE), None),
            result=self._view.results.job(job_id),
            row=layout_row(view, job_id, records[::-1], job, upcoming),
            hours_=tuple(hours(view)),
            unread=0.0 if history.since is None else view.percent(history.since),
            refresh=None,
        )

    def not_found(self, root: str) -> str:
        """Render the page for an unknown path."""
        return self._templates.get_template("nothing.html").render(root=root, host=self._host, refresh=None)

    def _render(self, name: str, snapshot: Snapshot, **values: Any) -> str:
        zone, now = _zone(snapshot), snapshot.at
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

    @contextmanager
    def _reading(self, check: Check) -> Iterator[None]:
        """Hold the exclusive right to read the log, so that many requests cost no more than one.

        Raises:
            Busy: other requests read it for longer than `READ_WAIT_S`.

        """
        deadline = time.monotonic() + READ_WAIT_S
        while not self._lock.acquire(timeout=POLL_S):
            check()
            if time.monotonic() > deadline:
                raise Busy
        try:
            yield
        finally:
            self._lock.release()

    def _recent(self, snapshot: Snapshot, check: Check) -> RecentActivity:
        """Return the last day, at most `TIMELINE_MAX_AGE_S` old; one request reads it and the others wait."""
        with self._reading(check):
            if self._reads is None or time.monotonic() - self._reads.at > TIMELINE_MAX_AGE_S:
                self._reads = self._read_log(snapshot, check)
            return self._reads

    def _read_log(self, snapshot: Snapshot, check: Check) -> RecentActivity:
        now = snapshot.at
        records, read_from = self._records(now, check)
        order = rank_jobs(records, snapshot.jobs, now)
        upcoming = self._view.upcoming(order[:MAX_ROWS], now + WINDOW, MAX_SLOTS)
        jobs = {job.id: job for job in snapshot.jobs if job.id}
        layout = timeline(TimeAxis(now, _zone(snapshot)), records, jobs, order, upcoming, read_from)
        return RecentActivity(time.monotonic(), records, layout)

    def _records(self, now: datetime, check: Check) -> tuple[list[LoggedRun], datetime]:
        """Return the records of the last day, and since when they are complete; before that only issues are read."""
        answer = self._view.records(now - WINDOW, MAX_RECORDS, check=check)
        records = latest(parse_records(answer.lines))
        if answer.since is None or answer.since <= now - WINDOW:
            return records, now - WINDOW
        issues = parse_records(self._view.records(now - WINDOW, MAX_ISSUES, ISSUE_KINDS, check).lines)
        return [*records, *(run for run in issues if run.at < answer.since)], answer.since

    def _shown(self, run: LoggedRun) -> HistoryRow:
        """Combine a record with its output: the kept output, else what the log has of it."""
        output = self._view.output(run.run_id) if run.run_id else None
        if output is None:
            return HistoryRow(run, run.output or "", is_whole=not (run.output or "").startswith("…"), is_kept=False)
        end = output[-MAX_OUTPUT_BYTES:].decode("utf-8", "backslashreplace").rstrip("\n")
        return HistoryRow(run, end, is_whole=len(output) <= MAX_OUTPUT_BYTES, is_kept=True)


def _zone(snapshot: Snapshot) -> ZoneInfo:
    return _named(snapshot.service.timezone)


def _named(name: str) -> ZoneInfo:
    try:
        return get_zone(name)
    except UnknownTimezone:
        return ZoneInfo("UTC")


def _indented(definition: Mapping[str, Any]) -> str:
    return json.dumps(definition, indent=2, ensure_ascii=False)


def _issues(snapshot: Snapshot, health_issue: str | None) -> Iterator[str]:
    if health_issue:
        yield health_issue
    if snapshot.service.overdue and snapshot.service.overdue not in (health_issue or ""):
        yield f"{snapshot.service.overdue} is not on time"
    yield from snapshot.service.issues


def is_failing(job: JobStatus) -> bool:
    """Return whether the last record of a job is a failure."""
    return job.last is not None and job.last.status is Status.FAILURE


def _matches(job: JobStatus, text: str, state: str) -> bool:
    if state and state != ("failing" if is_failing(job) else "") and state != job.state.value:
        return False
    description = job.job.description if job.job else ""
    return not text or any(text in value.lower() for value in (job.id or "", description, job.file))


def _rank(job: JobStatus) -> tuple[bool, bool, bool, str]:
    """Return the sort key of a job: those that need attention first, then active ones, then by id."""
    needs_attention = is_failing(job) or job.stale or job.state is JobState.REFUSED
    return not needs_attention, job.state is JobState.REFUSED, not job.active_runs, job.id or job.file


def _filter_chips(snapshot: Snapshot, failing: int) -> list[tuple[str, int]]:
    """Return the filters, and how many jobs each of them finds."""
    states = [(state.value, count) for state, count in snapshot.count().items() if count]
    return [*([("failing", failing)] if failing else []), *states]


def _sheet(jobs: Sequence[JobStatus], query: Mapping[str, str]) -> ListPage:
    pages = max(1, -(-len(jobs) // PER_PAGE))
    page = query.get("page", "1")
    number = min(pages, max(1, int(page))) if page.isascii() and page.isdigit() and len(page) < 9 else 1
    first = (number - 1) * PER_PAGE
    return ListPage(jobs[first : first + PER_PAGE], number, pages, len(jobs), first)
