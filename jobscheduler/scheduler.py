"""The one door to APScheduler: it wakes us when a job may be due; what becomes of a slot is decided here.

APScheduler drops and merges runs in ways that leave no trace (a late run past its grace time, several due times made
into one), so it is asked for nothing but a wake-up: grace and instances without limit, coalescing on, and an executor
that does not call the job but has its slots decided. What is scheduled is our own ledger, never `get_jobs()`.

Locks: APScheduler holds its own while it calls `_on_due`, so here ours are taken inside it, never around a call to it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from jobscheduler.model import Job, Once, Record, Status
from jobscheduler.slots import Act, Decision, Missed, Overlap, Situation, decide
from jobscheduler.timetable import Timetable, timetable_of
from jobscheduler.triggers import trigger_for

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True, eq=False)
class Going:
    """A slot that became a run and has not ended yet: it waits for a worker, runs, or waits for a further attempt."""

    job: Job
    scheduled: datetime
    begun: bool = False
    stop: Callable[[str], None] | None = None


@dataclass(slots=True)
class _Entry:
    """What is known about one job: its definition, the last slot decided, and what is going on.

    An entry outlives its definition while a run of it goes on: put back, the job still overlaps with that run.
    """

    job: Job
    timetable: Timetable
    cursor: datetime
    in_force: bool = True
    going: list[Going] = field(default_factory=list)
    waiting: Going | None = None


class _Pool(ThreadPoolExecutor):  # type: ignore[misc]
    """APScheduler's thread pool, but a due job is handed to `on_due` instead of being called."""

    def __init__(self, workers: int, on_due: Callable[[str, datetime], None]) -> None:
        super().__init__(workers, {"thread_name_prefix": "run"})
        self._on_due = on_due

    def submit_job(self, job: Any, run_times: list[datetime]) -> None:
        """Have the slots of a due job decided. No instances are counted: overlap is ours to decide."""
        self._on_due(job.id, run_times[-1])

    def submit(self, work: Callable[[], None]) -> None:
        """Have a run executed when a worker is free."""
        self._pool.submit(work)


class Scheduler:
    """Puts definitions in force and turns their slots into runs and records. A context manager: leaving it stops."""

    def __init__(
        self,
        *,
        perform: Callable[[Going, Callable[[Going], None]], None],
        record: Callable[[Record], None],
        max_workers: int,
        host: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`host` is what `jitter` is derived from, so that two hosts differ and one host does not change."""
        self._perform = perform
        self._record = record
        self._host = host
        self._clock = clock
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._entries: dict[str, _Entry] = {}
        self._last: dict[str, datetime] = {}
        self._going: set[Going] = set()
        self._stopping = False
        self._pool = _Pool(max_workers, self._on_due)
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            jobstores={"default": MemoryJobStore()},
            executors={"default": self._pool},
            job_defaults={
                "misfire_grace_time": None,  # a late run is late, not gone
                "coalesce": True,  # one wake-up is enough: we list the slots ourselves
                "max_instances": 1_000_000,  # overlap is decided by slots.py
            },
        )
        logging.getLogger("apscheduler").setLevel(logging.WARNING)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop(0.0)

    def start(self) -> None:
        """Begin to wake up for due jobs; what became due since it was put is decided at once."""
        self._scheduler.start()

    def is_alive(self) -> bool:
        """Tell whether the scheduling thread runs (APScheduler's `running` stays true when it died)."""
        thread = getattr(self._scheduler, "_thread", None)
        return bool(thread is not None and thread.is_alive())

    def wakeup(self) -> None:
        """Look at the clock now: it may have been set, or the host may have slept."""
        if self.is_alive():
            self._scheduler.wakeup()

    # -- what is in force

    def put(self, job: Job, now: datetime) -> datetime | None:
        """Put a definition in force, for slots after `now`, and return its next slot; None if there is none.

        What the former definition of this id was due for until now is decided first, so that an edit at the very
        moment of a slot neither loses nor doubles it. Runs in progress go on.
        """
        self._on_due(job.id, now)
        timetable = timetable_of(job)
        with self._lock:
            last = self._last.get(job.id, EPOCH)
            cursor = last if isinstance(job.schedule, Once) else max(now, last)
            entry = self._entries.setdefault(job.id, _Entry(job, timetable, cursor))
            entry.job, entry.timetable, entry.cursor, entry.in_force = job, timetable, cursor, True
        upcoming = timetable.next(cursor) if job.enabled else None
        self._arm(job, timetable, upcoming)
        return upcoming

    def drop(self, job_id: str, now: datetime) -> None:
        """Take a definition out of force, from `now` on. Runs in progress go on; a slot that waits is missed."""
        self._on_due(job_id, now)
        self._disarm(job_id)
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is None:
                return
            entry.in_force = False
            waiting, entry.waiting = entry.waiting, None
            if waiting is not None:
                self._going.discard(waiting)
            if not entry.going:
                del self._entries[job_id]
        if waiting is not None:
            self._end(waiting, Status.MISSED, "deleted")

    def next_slot(self, job_id: str) -> datetime | None:
        """Return the next slot of a job in force; None if it has none, is disabled or unknown."""
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is None or not _is_live(entry):
                return None
            timetable, cursor = entry.timetable, entry.cursor
        return timetable.next(cursor)

    def _arm(self, job: Job, timetable: Timetable, slot: datetime | None) -> None:
        if slot is None:
            self._disarm(job.id)
            return
        self._scheduler.add_job(
            _never_called,
            trigger_for(timetable),
            id=job.id,
            next_run_time=timetable.start_of(slot),
            replace_existing=True,
        )

    def _disarm(self, job_id: str) -> None:
        try:
            self._scheduler.remove_job(job_id)
        except JobLookupError:
            return  # a one-time job leaves APScheduler's store when it fires

    # -- what is due

    def _on_due(self, job_id: str, at: datetime) -> None:
        """Decide what is due of a job, and act on it. `at` is when APScheduler meant to wake us, at the earliest."""
        now = max(self._clock(), at)
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is None or self._stopping or not _is_live(entry):
                return
            decision = decide(entry.timetable, entry.cursor, now, _situation(entry))
            if decision.cursor == entry.cursor:
                return
            entry.cursor = self._last[job_id] = decision.cursor
            work = self._enlist(entry, decision)
        for step in work:
            step()
        if decision.missed is not None:
            self._record(_missed(job_id, decision.missed, now))

    def _enlist(self, entry: _Entry, decision: Decision) -> list[Callable[[], None]]:
        """Note down what a decision starts; return what is to be called once the lock is given back."""
        steps: list[Callable[[], None]] = []
        for slot, act in decision.acts:
            going = Going(entry.job, slot)
            if act is Act.SKIP:
                steps.append(lambda going=going: self._end(going, Status.SKIPPED, "overlap"))  # type: ignore[misc]
                continue
            self._going.add(going)
            if act is Act.RUN:
                entry.going.append(going)
                steps.append(lambda going=going: self._submit(going))  # type: ignore[misc]
                continue
            displaced, entry.waiting = entry.waiting, going
            if displaced is not None:
                self._going.discard(displaced)
                steps.append(lambda one=displaced: self._end(one, Status.SKIPPED, "overlap"))  # type: ignore[misc]
            if act is Act.REPLACE:
                steps += [lambda one=one: _stop(one, "replaced") for one in entry.going]  # type: ignore[misc]
        return steps

    def _submit(self, going: Going) -> None:
        self._pool.submit(lambda: self._run(going))

    def _run(self, going: Going) -> None:
        """On a pool thread: execute a run, unless the service stops; then the next start accounts for the slot."""
        if self._stopping:
            self._ended(going)
            return
        going.begun = True
        self._perform(going, self._ended)

    def _ended(self, going: Going) -> None:
        """Let go of a run that has ended, and begin the one that waited for that."""
        with self._lock:
            self._going.discard(going)
            entry = self._entries.get(going.job.id)
            waiting = None
            if entry is not None and going in entry.going:
                entry.going.remove(going)
                if not entry.going and entry.waiting is not None:
                    waiting, entry.waiting = entry.waiting, None
                    entry.going.append(waiting)
                if not entry.in_force and not entry.going:
                    del self._entries[going.job.id]
            if not self._going:
                self._idle.notify_all()
        if waiting is not None:
            self._submit(waiting)

    def _end(self, going: Going, status: Status, reason: str) -> None:
        self._record(Record(self._clock(), status, going.job.id, scheduled=going.scheduled, reason=reason))

    # -- the end

    def stop(self, drain: float, hurry: Callable[[], bool] = lambda: False) -> None:
        """Start no more runs; let those in progress go on for `drain` seconds (or until `hurry`), then stop them."""
        if self._stopping:
            return
        self._stopping = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        self._wait_until_idle(drain, hurry)
        with self._lock:
            left = [going for going in self._going if going.begun]
        for going in left:
            _stop(going, "shutdown")
        self._wait_until_idle(10.0, lambda: False)

    def _wait_until_idle(self, seconds: float, hurry: Callable[[], bool]) -> None:
        deadline = time.monotonic() + seconds
        with self._lock:
            while any(going.begun for going in self._going) and not hurry():
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._idle.wait(min(left, 0.2))


def _never_called() -> None:
    """Stand in as the function of an APScheduler job: the executor does not call it."""


def _stop(going: Going, reason: str) -> None:
    if going.stop is not None:
        going.stop(reason)


def _is_live(entry: _Entry) -> bool:
    return entry.in_force and entry.job.enabled


def _situation(entry: _Entry) -> Situation:
    return Situation(
        overlap=Overlap(entry.job.overlap),
        going=bool(entry.going),
        waiting=entry.waiting is not None,
        catch_up=timedelta(seconds=entry.job.catch_up),
    )


def _missed(job_id: str, missed: Missed, now: datetime) -> Record:
    details: list[tuple[str, Any]] = []
    if missed.count > 1:
        details = [("last", missed.last), ("count", missed.count)]
    if missed.more:
        details.append(("more", True))
    return Record(now, Status.MISSED, job_id, scheduled=missed.first, reason="clock", details=tuple(details))
