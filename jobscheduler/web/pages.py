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
from jobscheduler.status.snapshot import JobStatus, Snapshot, State, schedule_text
from jobscheduler.timetable.timezones import ZoneUnknown, named_zone
from jobscheduler.web import formatting
from jobscheduler.web.log_record import Told, latest, told
from jobscheduler.web.time_axis import SIDE, View, hours
from jobscheduler.web.timeline import MOST_ROWS, MOST_SLOTS, TROUBLE, WORDS, Timeline, chosen, row, timeline
from jobscheduler.web.view import Face

PER_PAGE = 100
"""How many jobs, or files, are on one page."""

FIRST_FILES = 5
"""How many files with problems are shown on the first page."""

MOST_RECORDS = 10_000
"""How many records of the log are read for the timeline."""

MOST_TROUBLE = 2000
"""How many records of trouble are read where there are more than `MOST_RECORDS`."""

FRESH = 10.0
"""Seconds for which the timeline is not made anew: it reads the log."""

HISTORY = 50
"""How many records are shown of one job."""

MOST_OUTPUT = 4096
"""How many bytes of each run's output are shown with its record; the whole is a link away."""

MOST_OF_JOB = 1000
"""How many records of one job are drawn."""

PATIENCE = 3.0
"""How long a request waits for others that have the log read, in seconds."""

LOOK = 0.2
"""How often such a request looks whether its client is still there, in seconds."""

REFRESH = 30

Check = Callable[[], object]
"""Called now and then while the log is read; what it raises ends that."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Busy(Exception):
    """Too many requests have the log read."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One page of a list: what is on it, and where one is."""

    jobs: Sequence[JobStatus]
    number: int
    pages: int
    found: int
    first: int


@dataclass(frozen=True, slots=True)
class Shown:
    """One record of a job's history, with as much of its output as is shown; `is_whole` if that is all of it."""

    told: Told
    output: str
    is_whole: bool
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Recent:
    """The records of the last day, newest first, and how they are drawn; `at` is when that was made (monotonic)."""

    at: float
    records: Sequence[Told]
    timeline: Timeline


class Pages:
    """Makes the pages. `style` and `icon` are what they refer to."""

    def __init__(self, face: Face) -> None:
        self._face = face
        own = files("jobscheduler.web") / "files"
        self.style = (own / "style.css").read_bytes()
        self.icon = (own / "icon.svg").read_bytes()
        self._host = socket.gethostname()
        self._lock = threading.Lock()
        self._read: Recent | None = None
        self._templates = Environment(
            loader=PackageLoader("jobscheduler.web", "files"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "human": formatting.human,
            "visible": formatting.visible,
            "machine": formatting.machine,
        }
        self._templates.globals |= {"numbers": formatting.numbers, "schedule_text": schedule_text, "words": WORDS}

    def index(self, query: Mapping[str, str], check: Check = lambda: None) -> str:
        """How everything stands: troubles, files with problems, the timeline, and the jobs.

        `check` is called now and then while the log is read; what it raises ends that.

        Raises:
            Busy: other requests have the log read, for longer than this one waits.

        """
        snapshot = self._face.snapshot()
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
            chips=_chips(snapshot, failing),
            troubles=list(dict.fromkeys(_troubles(snapshot, self._face.health()))),
            bad=bad[:FIRST_FILES],
            bad_count=len(bad),
            timeline=self._recent(snapshot, check).timeline,
            refresh=REFRESH if is_refreshing else None,
        )

    def files(self, query: Mapping[str, str]) -> str:
        """All files that are refused or stale, with their problems."""
        snapshot = self._face.snapshot()
        sheet = _sheet([one for one in snapshot.jobs if one.problems], query)
        return self._render("files.html", snapshot, root="", sheet=sheet, refresh=None)

    def job(self, job_id: str, check: Check = lambda: None) -> str | None:
        """One job: its definition, schedule, next slots and latest records; None if there is no such job.

        Nothing is read for what cannot be the id of a job. `check` and `Busy` are as for `index`.
        """
        if not _ID.fullmatch(job_id):
            return None
        snapshot = self._face.snapshot()
        with self._reading(check):
            found = self._face.history(job_id, MOST_OF_JOB, check)
        records = told(found.lines)
        job, detail = snapshot.find(job_id), self._face.detail(job_id)
        if job is None and not records:
            return None
        view = View(snapshot.at, _zone(snapshot))
        ahead = self._face.upcoming([job_id], snapshot.at + SIDE, MOST_SLOTS).get(job_id, ()) if detail else ()
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
            is_whole=found.is_whole and len(latest) == len(records),
            latest_failure=next((one.run_id for one in latest if one.status is Status.FAILURE), None),
            result=self._face.results.of(job_id),
            row=row(view, job_id, records[::-1], job, ahead),
            hours_=tuple(hours(view)),
            unread=0.0 if found.since is None else view.place(found.since),
            refresh=None,
        )

    def nothing(self, root: str) -> str:
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
            clock=partial(formatting.clock, zone=zone, now=now),
            full=formatting.full,
            utc=formatting.utc,
            distance=partial(formatting.distance, now=now),
            **values,
        )

    @contextmanager
    def _reading(self, check: Check) -> Iterator[None]:
        """Read the log alone: one request after the other, so that many cost no more than one.

        Raises:
            Busy: others read it for longer than `PATIENCE`.

        """
        until = time.monotonic() + PATIENCE
        while not self._lock.acquire(timeout=LOOK):
            check()
            if time.monotonic() > until:
                raise Busy
        try:
            yield
        finally:
            self._lock.release()

    def _recent(self, snapshot: Snapshot, check: Check) -> Recent:
        """Give the last day, at most `FRESH` old; one request reads it and the others wait for that."""
        with self._reading(check):
            if self._read is None or time.monotonic() - self._read.at > FRESH:
                self._read = self._read_log(snapshot, check)
            return self._read

    def _read_log(self, snapshot: Snapshot, check: Check) -> Recent:
        now = snapshot.at
        records, read_from = self._records(now, check)
        order = chosen(records, snapshot.jobs, now)
        upcoming = self._face.upcoming(order[:MOST_ROWS], now + SIDE, MOST_SLOTS)
        jobs = {one.id: one for one in snapshot.jobs if one.id}
        drawn = timeline(View(now, _zone(snapshot)), records, jobs, order, upcoming, read_from)
        return Recent(time.monotonic(), records, drawn)

    def _records(self, now: datetime, check: Check) -> tuple[list[Told], datetime]:
        """Read the records of the last day, and from when on they are all there; before that there is only trouble."""
        found = self._face.records(now - SIDE, MOST_RECORDS, check=check)
        records = latest(told(found.lines))
        if found.since is None or found.since <= now - SIDE:
            return records, now - SIDE
        trouble = told(self._face.records(now - SIDE, MOST_TROUBLE, TROUBLE, check).lines)
        return [*records, *(one for one in trouble if one.at < found.since)], found.since

    def _shown(self, one: Told) -> Shown:
        """Put a record and its output together: what was kept, else what the log has of it."""
        kept = self._face.output(one.run_id) if one.run_id else None
        if kept is None:
            return Shown(one, one.output or "", is_whole=not (one.output or "").startswith("…"), is_kept=False)
        end = kept[-MOST_OUTPUT:].decode("utf-8", "backslashreplace").rstrip("\n")
        return Shown(one, end, is_whole=len(kept) <= MOST_OUTPUT, is_kept=True)


def _zone(snapshot: Snapshot) -> ZoneInfo:
    return _named(snapshot.service.timezone)


def _named(name: str) -> ZoneInfo:
    try:
        return named_zone(name)
    except ZoneUnknown:
        return ZoneInfo("UTC")


def _indented(definition: Mapping[str, Any]) -> str:
    return json.dumps(definition, indent=2, ensure_ascii=False)


def _troubles(snapshot: Snapshot, wrong: str | None) -> Iterator[str]:
    if wrong:
        yield wrong
    if snapshot.service.late and snapshot.service.late not in (wrong or ""):
        yield f"{snapshot.service.late} is late"
    yield from snapshot.service.trouble


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
    needs = is_failing(one) or one.stale or one.state is State.REFUSED
    return not needs, one.state is State.REFUSED, not one.going, one.id or one.file


def _chips(snapshot: Snapshot, failing: int) -> list[tuple[str, int]]:
    """Give the words to filter by, and how many jobs each of them finds."""
    states = [(state.value, count) for state, count in snapshot.count().items() if count]
    return [*([("failing", failing)] if failing else []), *states]


def _sheet(found: Sequence[JobStatus], query: Mapping[str, str]) -> Sheet:
    pages = max(1, -(-len(found) // PER_PAGE))
    asked = query.get("page", "1")
    number = min(pages, max(1, int(asked))) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1
    first = (number - 1) * PER_PAGE
    return Sheet(found[first : first + PER_PAGE], number, pages, len(found), first)
