"""The pages, as HTML: each gathers its values and hands them to a template, which escapes all of them."""

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

PER_PAGE = 100
"""How many jobs, or files, are on one page."""

MAX_FIRST_FILES = 5
"""How many files with problems are shown on the first page."""

MAX_RECORDS = 10_000
"""How many records of the log are read for the timeline."""

MAX_ISSUES = 2000
"""How many records of trouble are read where there are more than `MOST_RECORDS`."""

TIMELINE_MAX_AGE_S = 10.0
"""Seconds for which the timeline is not made anew: it reads the log."""

HISTORY = 50
"""How many records are shown of one job."""

MAX_OUTPUT_BYTES = 4096
"""How many bytes of each run's output are shown with its record; the whole is a link away."""

MAX_READS_OF_JOB = 1000
"""How many records of one job are drawn."""

READ_WAIT_S = 3.0
"""How long a request waits for others that have the log read, in seconds."""

POLL_S = 0.2
"""How often such a request looks whether its client is still there, in seconds."""

REFRESH = 30

Check = Callable[[], object]
"""Called now and then while the log is read; what it raises ends that."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Busy(Exception):
    """Too many requests have the log read."""


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list: what is on it, and where one is."""

    jobs: Sequence[JobStatus]
    number: int
    pages: int
    found: int
    first: int


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One record of a job's history, with as much of its output as is shown; `is_whole` if that is all of it."""

    run: LoggedRun
    output: str
    is_whole: bool
    is_kept: bool


@dataclass(frozen=True, slots=True)
class RecentActivity:
    """The records of the last day, newest first, and how they are drawn; `at` is when that was made (monotonic)."""

    at: float
    records: Sequence[LoggedRun]
    timeline: Timeline


class Pages:
    """Makes the pages. `style` and `icon` are what they refer to."""

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
        """How everything stands: troubles, files with problems, the timeline, and the jobs.

        `check` is called now and then while the log is read; what it raises ends that.

        Raises:
            Busy: other requests have the log read, for longer than this one waits.

        """
        snapshot = self._view.snapshot()
        text, state = query.get("q", "").strip()[:100], query.get("state", "")
        found = [one for one in snapshot.jobs if _matches(one, text.lower(), state)]
        found.sort(key=_rank)
        failing = sum(map(is_failing, snapshot.jobs))
        bad = [one for one in snapshot.jobs if one.problems]
        is_refreshing = "refresh" in query
        return self._render(
            "index.html",
            snapshot,
            root="",
            sheet=_sheet(found, query),
            text=text,
            state=state,
            failing=failing,
            chips=_filter_chips(snapshot, failing),
            troubles=list(dict.fromkeys(_issues(snapshot, self._view.health()))),
            bad=bad[:MAX_FIRST_FILES],
            bad_count=len(bad),
            timeline=self._recent(snapshot, check).timeline,
            refresh=REFRESH if is_refreshing else None,
        )

    def files(self, query: Mapping[str, str]) -> str:
        """All files that are refused or stale, with their problems."""
        snapshot = self._view.snapshot()
        sheet = _sheet([one for one in snapshot.jobs if one.problems], query)
        return self._render("files.html", snapshot, root="", sheet=sheet, refresh=None)

    def job(self, job_id: str, check: Check = lambda: None) -> str | None:
        """One job: its definition, schedule, next slots and latest records; None if there is no such job.

        Nothing is read for what cannot be the id of a job. `check` and `Busy` are as for `index`.
        """
        if not _ID.fullmatch(job_id):
            return None
        snapshot = self._view.snapshot()
        with self._reading(check):
            found = self._view.history(job_id, MAX_READS_OF_JOB, check)
        records = parse_records(found.lines)
        job, detail = snapshot.find(job_id), self._view.detail(job_id)
        if job is None and not records:
            return None
        view = TimeAxis(snapshot.at, _zone(snapshot))
        ahead = self._view.upcoming([job_id], snapshot.at + WINDOW, MAX_SLOTS).get(job_id, ()) if detail else ()
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
            records=[self._shown(one) for one in latest],
            is_whole=found.is_complete and len(latest) == len(records),
            latest_failure=next((one.run_id for one in latest if one.status is Status.FAILURE), None),
            result=self._view.results.job(job_id),
            row=layout_row(view, job_id, records[::-1], job, ahead),
            hours_=tuple(hours(view)),
            unread=0.0 if found.since is None else view.percent(found.since),
            refresh=None,
        )

    def not_found(self, root: str) -> str:
        """There is no such page."""
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
        """Read the log alone: one request after the other, so that many cost no more than one.

        Raises:
            Busy: others read it for longer than `PATIENCE`.

        """
        until = time.monotonic() + READ_WAIT_S
        while not self._lock.acquire(timeout=POLL_S):
            check()
            if time.monotonic() > until:
                raise Busy
        try:
            yield
        finally:
            self._lock.release()

    def _recent(self, snapshot: Snapshot, check: Check) -> RecentActivity:
        """Give the last day, at most `FRESH` old; one request reads it and the others wait for that."""
        with self._reading(check):
            if self._reads is None or time.monotonic() - self._reads.at > TIMELINE_MAX_AGE_S:
                self._reads = self._read_log(snapshot, check)
            return self._reads

    def _read_log(self, snapshot: Snapshot, check: Check) -> RecentActivity:
        now = snapshot.at
        records, read_from = self._records(now, check)
        order = rank_jobs(records, snapshot.jobs, now)
        upcoming = self._view.upcoming(order[:MAX_ROWS], now + WINDOW, MAX_SLOTS)
        jobs = {one.id: one for one in snapshot.jobs if one.id}
        drawn = timeline(TimeAxis(now, _zone(snapshot)), records, jobs, order, upcoming, read_from)
        return RecentActivity(time.monotonic(), records, drawn)

    def _records(self, now: datetime, check: Check) -> tuple[list[LoggedRun], datetime]:
        """Read the records of the last day, and from when on they are all there; before that there is only trouble."""
        found = self._view.records(now - WINDOW, MAX_RECORDS, check=check)
        records = latest(parse_records(found.lines))
        if found.since is None or found.since <= now - WINDOW:
            return records, now - WINDOW
        trouble = parse_records(self._view.records(now - WINDOW, MAX_ISSUES, ISSUE_KINDS, check).lines)
        return [*records, *(one for one in trouble if one.at < found.since)], found.since

    def _shown(self, one: LoggedRun) -> HistoryRow:
        """Put a record and its output together: what was kept, else what the log has of it."""
        kept = self._view.output(one.run_id) if one.run_id else None
        if kept is None:
            return HistoryRow(one, one.output or "", is_whole=not (one.output or "").startswith("…"), is_kept=False)
        end = kept[-MAX_OUTPUT_BYTES:].decode("utf-8", "backslashreplace").rstrip("\n")
        return HistoryRow(one, end, is_whole=len(kept) <= MAX_OUTPUT_BYTES, is_kept=True)


def _zone(snapshot: Snapshot) -> ZoneInfo:
    return _named(snapshot.service.timezone)


def _named(name: str) -> ZoneInfo:
    try:
        return get_zone(name)
    except UnknownTimezone:
        return ZoneInfo("UTC")


def _indented(definition: Mapping[str, Any]) -> str:
    return json.dumps(definition, indent=2, ensure_ascii=False)


def _issues(snapshot: Snapshot, wrong: str | None) -> Iterator[str]:
    if wrong:
        yield wrong
    if snapshot.service.overdue and snapshot.service.overdue not in (wrong or ""):
        yield f"{snapshot.service.overdue} is late"
    yield from snapshot.service.issue


def is_failing(one: JobStatus) -> bool:
    """Whether the last record of a job is a failure."""
    return one.last is not None and one.last.status is Status.FAILURE


def _matches(one: JobStatus, text: str, state: str) -> bool:
    if state and state != ("failing" if is_failing(one) else "") and state != one.state.value:
        return False
    description = one.job.description if one.job else ""
    return not text or any(text in place.lower() for place in (one.id or "", description, one.file))


def _rank(one: JobStatus) -> tuple[bool, bool, bool, str]:
    """Order jobs: those that need somebody first, then what is at work, then by id."""
    needs = is_failing(one) or one.stale or one.state is JobState.REFUSED
    return not needs, one.state is JobState.REFUSED, not one.active_runs, one.id or one.file


def _filter_chips(snapshot: Snapshot, failing: int) -> list[tuple[str, int]]:
    """Give the words to filter by, and how many jobs each of them finds."""
    states = [(state.value, count) for state, count in snapshot.count().items() if count]
    return [*([("failing", failing)] if failing else []), *states]


def _sheet(found: Sequence[JobStatus], query: Mapping[str, str]) -> ListPage:
    pages = max(1, -(-len(found) // PER_PAGE))
    asked = query.get("page", "1")
    number = min(pages, max(1, int(asked))) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1
    first = (number - 1) * PER_PAGE
    return ListPage(found[first : first + PER_PAGE], number, pages, len(found), first)
