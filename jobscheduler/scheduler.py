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
from functools import partial
from types import TracebackType
from typing import Any, Self

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from jobscheduler.model import Entry, Event, Job, Once, Record, Status
from jobscheduler.runner import Again, Run, Runner
from jobscheduler.slots import Act, Decision, Missed, Overlap, Situation, decide
from jobscheduler.timetable import Timetable, timetable_of
from jobscheduler.triggers import trigger_for

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class _Entry:
    """What is known about one job: its definition, the last slot decided, and what is going on.

    An entry outlives its definition while a run of it goes on: put back, the job still overlaps with that run.
    """

    job: Job
    timetable: Timetable
    cursor: datetime
    in_force: bool = True
    going: list[Run] = field(default_factory=list)
    waiting: Run | None = None


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
        write: Callable[[Entry], object],
        write_started: Callable[[Event], object],
        max_workers: int,
        host: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`write` takes records and events and does not wait; `write_started` may, for the line before a run begins.

        `host` is what `jitter` is derived from, so that two hosts differ and one host does not change.
        """
        self._write = write
        self._write_started = write_started
        self._host = host
        self._clock = clock
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._entries: dict[str, _Entry] = {}
        self._last: dict[str, datetime] = {}
        self._retries: dict[Run, float] = {}
        self._stopping = False
        self._runner = Runner(self._finished, self._emit, clock=clock)
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
        timetable = timetable_of(job, self._host)
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
            if not entry.going:
                del self._entries[job_id]
        if waiting is not None and waiting.withdraw():
            self._settle(job_id, waiting.scheduled, Status.MISSED, "deleted")

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
            self._write(_missed(job_id, decision.missed, now))

    def _enlist(self, entry: _Entry, decision: Decision) -> list[Callable[[], None]]:
        """Note down what a decision starts; return what is to be called once the lock is given back."""
        steps: list[Callable[[], None]] = []
        for slot, act in decision.acts:
            if act is Act.SKIP:
                steps.append(partial(self._settle, entry.job.id, slot, Status.SKIPPED, "overlap"))
                continue
            run = self._runner.begin(entry.job, slot)
            if act is Act.RUN:
                entry.going.append(run)
                steps.append(partial(self._submit, run))
                continue
            ended = [*entry.going, entry.waiting] if act is Act.REPLACE else []
            entry.waiting = run
            steps += [partial(old.stop, "replaced") for old in ended if old is not None]
        return steps

    def _settle(self, job_id: str, slot: datetime | None, status: Status, reason: str) -> None:
        """Write the record of a slot that does not run."""
        self._write(Record(self._clock(), status, job_id, scheduled=slot, reason=reason))

    # -- runs, on pool threads but for the submitting

    def _submit(self, run: Run) -> None:
        """Hand a run to the pool. Lateness for want of a worker is no miss, so the pool's queue has no bound."""
        self._retries.pop(run, None)
        if self._stopping and run.withdraw():
            return
        try:
            self._pool.submit(partial(self._work, run))
        except RuntimeError:  # the pool is closed, or the host has no thread left
            if not run.withdraw() or not self._stopping:
                run.stop("start")

    def _work(self, run: Run) -> None:
        if self._stopping and run.withdraw():
            return  # the slot gets no record: the next start accounts for it
        end = run.attempt()
        if isinstance(end, Again):
            due = time.monotonic() + end.delay
            self._retries[run] = due
            self._runner.timer.at(due, partial(self._submit, run))

    def _emit(self, event: Event) -> None:
        if event.name == "run.started":
            self._write_started(event)
        else:
            self._write(event)

    def _finished(self, record: Record) -> None:
        """Take the record of a run that has ended, and begin the one that waited for that."""
        self._write(record)
        with self._lock:
            waiting = self._let_go(record)
            self._idle.notify_all()
        if waiting is not None:
            self._submit(waiting)

    def _let_go(self, record: Record) -> Run | None:
        entry = self._entries.get(record.job_id)
        if entry is None:
            return None
        entry.going = [run for run in entry.going if run.run_id != record.run_id]
        if entry.going:
            return None
        waiting, entry.waiting = entry.waiting, None
        if waiting is not None:
            entry.going.append(waiting)
        elif not entry.in_force:
            del self._entries[record.job_id]
        return waiting

    # -- the end

    def stop(self, drain: float, is_hurried: Callable[[], bool] = lambda: False) -> None:
        """Start no more runs; let those in progress go on for `drain` seconds (or until `is_hurried`), then stop them.

        A slot that waits, or comes due from now on, gets no record.
        """
        if self._stopping:
            return
        self._stopping = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        deadline = time.monotonic() + drain
        for run in self._runner.going:
            if not run.withdraw() and self._retries.get(run, 0.0) > deadline:
                run.stop("shutdown")
        self._wait_until_idle(deadline, is_hurried)
        self._runner.stop("shutdown")
        self._wait_until_idle(time.monotonic() + self._runner.grace + 1, lambda: False)
        self._runner.close()

    def _wait_until_idle(self, deadline: float, is_hurried: Callable[[], bool]) -> None:
        with self._lock:
            while self._runner.going and not is_hurried():
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._idle.wait(min(left, 0.2))

    def lost_threads(self) -> int:
        """Return how many pool threads are held by tasks that did not end when told to."""
        return self._runner.lost


def _never_called() -> None:
    """Stand in as the function of an APScheduler job: the executor does not call it."""


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
