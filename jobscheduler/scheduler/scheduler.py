"""What is in force and what becomes of its slots. What is scheduled is our own ledger, never APScheduler's store.

Locks: APScheduler holds its own while it calls `_on_due`, so here ours is taken inside those, never around a call to
it. While ours is held entries are written to the log's queue, which never waits: a slot that is decided and the line
that says so cannot be told apart by a mark.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

from jobscheduler.model import Begun, Entry, Event, Job, Level, Mark, Once, Past, Record, Status, Wait
from jobscheduler.runner import Again, Run, Runner, end_leftovers, hand_over_leftovers
from jobscheduler.scheduler.wakes import Wakes
from jobscheduler.slots import Act, Decision, Missed, Outage, Overlap, Situation, after_outage, decide
from jobscheduler.timetable import Timetable, timetable_of
from jobscheduler.triggers import trigger_for

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LATE = 1.0
"""How long runs may wait for a worker before the log says so, in seconds."""

UNSURE = timedelta(seconds=2)
"""How long after the last line that survived an unclean end of the host further lines may have been lost."""

ACCEPTED = timedelta(hours=3)
"""A clock that is set back by more than this is believed, as Debian's cron does."""

_TICK = timedelta(microseconds=1)

Step = Callable[[], object]
"""Something to do when the lock has been given back."""


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

    @property
    def is_live(self) -> bool:
        return self.in_force and self.job.enabled


class Scheduler:
    """Puts definitions in force and turns their slots into runs and records. A context manager: leaving it stops."""

    def __init__(
        self,
        *,
        write: Callable[[Entry], object],
        write_started: Callable[[Event], object],
        write_mark: Callable[[Mark], object] = lambda _: None,
        max_workers: int,
        host: str = "",
        boot: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        cause: Callable[[], str] = lambda: "down",
    ) -> None:
        """`write` takes records and events and does not wait; `write_started` may, for the line before a run begins.

        `host` is what `jitter` is derived from, so that two hosts differ and one host does not change; `boot` tells
        one boot from another. `cause` says why slots come to be decided late.
        """
        self._write = write
        self._write_started = write_started
        self._write_mark = write_mark
        self._host = host
        self._boot = boot
        self._clock = clock
        self._cause = cause
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._entries: dict[str, _Entry] = {}
        self._last: dict[str, datetime] = {}
        self._jittered: set[str] = set()
        self._retries: dict[Run, float] = {}
        self._queued: dict[Run, float] = {}
        self._told_full = False
        self._past: Past | None = None
        self._waits: dict[str, list[datetime]] = {}
        self._interrupted: dict[str, list[datetime]] = {}
        self._floor = EPOCH
        self._settled_to = EPOCH
        self._being_put: set[str] = set()
        self._late: dict[str, datetime] = {}
        self._before_start: list[Step] | None = []
        self._stopped_at: datetime | None = None
        self._stopped: tuple[datetime, tuple[Wait, ...]] | None = None
        self.activity = 0
        self._lost = 0
        self._lost_lock = threading.Lock()
        self._runner = Runner(self._finished, self._emit, clock=clock, on_lost=self._lost_changed)
        self._wakes = Wakes(max_workers, self._on_due)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop(0.0)

    def start(self) -> None:
        """Begin to wake up for due jobs; what became due since it was put is decided at once."""
        steps, self._before_start = self._before_start or [], None
        self._account_for_the_gone()
        self._wakes.start()
        self.mark()  # with what begins now in it, so that a crash from here on does not make `@reboot` run once more
        for step in steps:
            step()

    @property
    def rounds(self) -> int:
        """How often the scheduling thread went round."""
        return self._wakes.rounds

    def is_alive(self) -> bool:
        """Tell whether the scheduling thread runs."""
        return self._wakes.is_alive()

    def wakeup(self) -> None:
        """Look at the clock now: it may have been set, or the host may have slept."""
        self._wakes.wakeup()

    # -- the time before this start

    def recall(self, past: Past | None, now: datetime) -> None:
        """Take over what the log says of the time before; to be called once, before the first job is put.

        Runs that a crash interrupted are ended and get their record. Slots that nobody decided are accounted for
        when their job is put, until `start`.
        """
        if past is None:
            return
        interrupted = [one.run_id for one in past.begun]
        if interrupted and past.mark.boot == self._boot:
            end_leftovers(interrupted)
        for one in past.begun:
            self._write(_interrupted(one, now))
            if one.scheduled is not None:
                self._interrupted.setdefault(one.job_id, []).append(one.scheduled)
        for job_id, slot in past.waits:
            self._waits.setdefault(job_id, []).append(slot)
        ahead = max(past.until, past.mark.settled) - now
        if ahead > ACCEPTED:
            self._write(Event(now, Level.WARNING, "clock.accepted", (("log_ahead_by", ahead.total_seconds()),)))
            for job_id in list(self._waits):
                self._miss_waits(job_id, "clock")
            return
        self._past = past
        self._late = dict(past.mark.late)
        self._floor = self._settled_to = past.mark.settled
        for job_id, ranges in past.accounted.items():
            self._last[job_id] = max(last for _, last in ranges)

    def _outage(self, job: Job, after: datetime, now: datetime, past: Past) -> Outage:
        """Describe the time in which nobody decided the slots of a job."""
        settled = [(slot, slot) for slot in self._interrupted.get(job.id, ())]
        waits = tuple(self._waits.pop(job.id, ()))
        is_unclean = past.mark.boot != self._boot and not past.stopped
        unknown = (past.until, past.until + UNSURE) if is_unclean else None
        return Outage(after, now, "down", (*past.accounted.get(job.id, ()), *settled), waits, unknown)

    def _account(self, job: Job, timetable: Timetable, now: datetime, past: Past) -> Decision:
        """Decide what is due of a job that was not looked at while the service was down."""
        after = self._late.get(job.id, past.mark.settled)
        if job.written is not None and not isinstance(job.schedule, Once):
            after = max(after, min(job.written, now))
        situation = Situation(Overlap(job.overlap), catch_up=timedelta(seconds=job.catch_up))
        outage = self._outage(job, after, now, past)
        decision = after_outage(timetable, outage, situation)
        is_late = isinstance(job.schedule, Once) and job.written is not None and job.written > job.schedule.at
        if is_late and not outage.waits:
            return Decision(decision.cursor, decision.acts)  # its file came too late for its slot: that is no miss
        return decision

    def _account_for_the_gone(self) -> None:
        """Write the record of each slot that waited and whose job is not there any more."""
        self._past = None
        for job_id in list(self._waits):
            self._miss_waits(job_id, "disabled" if job_id in self._entries else "deleted")

    def _miss_waits(self, job_id: str, reason: str) -> None:
        """Write the records of slots that waited when the service ended and are not going to run."""
        for slot in self._waits.pop(job_id, ()):
            self._settle(job_id, slot, Status.MISSED, reason)

    # -- what is in force

    def put(self, job: Job, now: datetime) -> datetime | None:
        """Put a definition in force, for slots after `now`, and return its next slot; None if there is none.

        What the former definition of this id was due for until now is decided first, so that an edit at the very
        moment of a slot neither loses nor doubles it. Runs in progress go on.
        """
        self._on_due(job.id, now)
        timetable = timetable_of(job, self._host)
        with self._lock:
            cursor = self._cursor_of(job, now)
            entry = self._entries.setdefault(job.id, _Entry(job, timetable, cursor))
            steps = self._change(entry, job, timetable, now)
            if self._before_start is not None:
                self._recall(entry, now)
            cursor = entry.cursor
            self._being_put.add(job.id)
        try:
            for step in steps:
                step()
            return self._wake_for(job, timetable, cursor)
        finally:
            with self._lock:
                self._being_put.discard(job.id)

    def _wake_for(self, job: Job, timetable: Timetable, cursor: datetime) -> datetime | None:
        upcoming = timetable.next(cursor) if job.enabled else None
        if upcoming is None:
            self._wakes.drop(job.id)
        else:
            self._wakes.put(job.id, trigger_for(timetable), timetable.start_of(upcoming))
        return upcoming

    def _change(self, entry: _Entry, job: Job, timetable: Timetable, now: datetime) -> list[Step]:
        """Let a definition take the place of the former one, under the lock.

        If the timetable is the same, nothing has changed for its slots, also not for one whose jitter is running.
        """
        steps: list[Step] = []
        if not job.enabled:
            self._give_up(entry, "disabled", now)
        if not (entry.is_live and job.enabled and entry.timetable == timetable):
            steps = self._begin_early(entry, now)
            entry.cursor = self._cursor_of(job, now)
        entry.job, entry.timetable, entry.in_force = job, timetable, True
        (self._jittered.add if job.jitter else self._jittered.discard)(job.id)
        return steps

    def _begin_early(self, entry: _Entry, now: datetime) -> list[Step]:
        """Begin the slot whose jitter is running, as it was defined, before its definition changes."""
        slot = self._take_delayed(entry, now)
        if slot is None:
            return []
        decision = decide(entry.timetable.nominal, slot - _TICK, slot, _situation(entry))
        return self._enlist(entry, decision, now)

    def _take_delayed(self, entry: _Entry, now: datetime) -> datetime | None:
        """Take the slot that only jitter has not let start yet, if there is one; jitter ends before the next slot."""
        if entry.job.jitter <= 0 or not entry.is_live or self._before_start is not None:
            return None
        slot = entry.timetable.next(entry.cursor)
        if slot is None or slot > now:
            return None
        entry.cursor = self._last[entry.job.id] = slot
        return slot

    def _cursor_of(self, job: Job, now: datetime) -> datetime:
        last = max(self._last.get(job.id, EPOCH), self._floor)
        return last if isinstance(job.schedule, Once) else max(now, last)

    def _recall(self, entry: _Entry, now: datetime) -> None:
        """At a start: account for the outage of one job, under the lock; its runs begin when all are known."""
        past, job = self._past, entry.job
        if self._before_start is None or not job.enabled:
            return
        if entry.timetable.at_boot and (past is None or past.mark.boot != self._boot):
            self._miss_waits(job.id, "down")
            decision = Decision(entry.cursor, ((now, Act.RUN),))
        elif past is not None:
            decision = self._account(job, entry.timetable, now, past)
        else:
            return
        entry.cursor = decision.cursor  # not `now`: of what has begun nothing is left, but jitter may be running
        self._before_start += self._enlist(entry, decision, now)

    def expire(self, job: Job, now: datetime) -> bool:
        """Take note of a one-time job that is over; tell whether its slot got an account just now."""
        if self._before_start is None or self._past is None or not job.enabled:
            return False
        decision = self._account(job, timetable_of(job, self._host), now, self._past)
        for missed in decision.missed:
            self._write(_missed(job.id, missed, now))
        return bool(decision.missed)

    def drop(self, job_id: str, now: datetime) -> None:
        """Take a definition out of force, from `now` on. Runs in progress go on; a slot that waits is missed."""
        self._on_due(job_id, now)
        self._wakes.drop(job_id)
        with self._lock:
            self._jittered.discard(job_id)
            entry = self._entries.get(job_id)
            if entry is None:
                return
            self._give_up(entry, "deleted", now)
            entry.in_force = False
            if not entry.going:
                del self._entries[job_id]

    def _give_up(self, entry: _Entry, reason: str, now: datetime) -> None:
        """Let a slot that waits for its turn, or for its jitter, be missed. Under the lock, as every deciding is."""
        waiting, entry.waiting = entry.waiting, None
        if waiting is not None and waiting.withdraw():
            self._settle(entry.job.id, waiting.scheduled, Status.MISSED, reason)
        delayed = self._take_delayed(entry, now)
        if delayed is not None:
            self._settle(entry.job.id, delayed, Status.MISSED, reason)

    def next_slot(self, job_id: str) -> datetime | None:
        """Return the next slot of a job in force; None if it has none, is disabled or unknown."""
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is None or not entry.is_live:
                return None
            timetable, cursor = entry.timetable, entry.cursor
        return timetable.next(cursor)

    def accept_clock(self, now: datetime) -> None:
        """Believe a clock that was set back: slots that lie before those already decided are due again."""
        with self._lock:
            self._floor, self._settled_to = min(self._floor, now), EPOCH
            entries = [entry for entry in self._entries.values() if entry.in_force and entry.cursor > now]
            repeating = [entry for entry in entries if not isinstance(entry.job.schedule, Once)]
            for entry in repeating:
                entry.cursor = now
            once = {entry.job.id for entry in self._entries.values() if isinstance(entry.job.schedule, Once)}
            self._last = {job_id: slot for job_id, slot in self._last.items() if slot <= now or job_id in once}
        for entry in repeating:
            self.put(entry.job, now)

    # -- what is due

    def _on_due(self, job_id: str, at: datetime) -> None:
        """Decide what is due of a job, and act on it. `at` is when APScheduler meant to wake us, at the earliest."""
        now = max(self._clock(), at)
        with self._lock:
            entry = self._entries.get(job_id)
            if entry is None or self._stopped_at is not None or not entry.is_live:
                return
            decision = decide(entry.timetable, entry.cursor, now, _situation(entry), self._cause())
            if decision.cursor == entry.cursor:
                return
            entry.cursor = self._last[job_id] = decision.cursor
            self._settled_to = max(self._settled_to, decision.cursor)
            steps = self._enlist(entry, decision, now)
        for step in steps:
            step()

    def _enlist(self, entry: _Entry, decision: Decision, now: datetime) -> list[Step]:
        """Note down what a decision starts, under the lock; return what is to be done when that is given back."""
        self.activity += 1
        steps: list[Step] = []
        for missed in decision.missed:
            self._write(_missed(entry.job.id, missed, now))
        for slot, act in decision.acts:
            if act is Act.SKIP:
                self._settle(entry.job.id, slot, Status.SKIPPED, "overlap")
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
        if self._stopped_at is not None and run.withdraw():
            return
        self._queued[run] = time.monotonic()
        try:
            self._wakes.submit(partial(self._work, run))
        except RuntimeError:  # the host has no thread left, or the service has stopped
            self._queued.pop(run, None)
            if self._stopped_at is None or not run.withdraw():
                run.stop("start" if self._stopped_at is None else "shutdown")

    def _work(self, run: Run) -> None:
        self._queued.pop(run, None)
        if self._stopped_at is not None and run.withdraw():
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
        with self._lock:
            waiting = self._let_go(record)
            self._write(record)
            self.activity += 1
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

    def look_at_pool(self, now: float) -> None:
        """Say so, once until it is over, when runs wait for a worker for longer than a moment (monotonic seconds)."""
        waiting = list(self._queued.values())
        if not waiting:
            self._told_full = False
        elif not self._told_full and now - waiting[0] > LATE:
            self._told_full = True
            self._write(Event(self._clock(), Level.WARNING, "pool.full", (("waiting", len(waiting)),)))

    def _lost_changed(self) -> None:
        """Replace each thread that is lost, and say so. The count is read under a lock, so that none is outrun."""
        with self._lost_lock:
            before, self._lost = self._lost, self._runner.lost
            self._wakes.make_up_for(self._lost)
            if self._lost > before:
                self._write(Event(self._clock(), Level.WARNING, "pool.lost", (("lost", self._lost),)))

    def running(self) -> int:
        """Return how many runs are going on, waiting ones included."""
        return len(self._runner.going)

    def earliest(self) -> datetime | None:
        """Return the start of the next slot of all."""
        return self._wakes.earliest()

    def lost_threads(self) -> int:
        """Return how many pool threads are held by tasks that did not end when told to."""
        return self._runner.lost

    # -- the account

    def mark(self) -> None:
        """Write down up to where every slot is accounted for, and what is going on."""
        with self._lock:
            self._write_mark(self._mark())

    def _mark(self) -> Mark:
        begun: list[Begun] = []
        waits = []
        for job_id, entry in self._entries.items():
            for run in (*entry.going, *filter(None, (entry.waiting,))):
                if run.attempts:
                    begun.append(Begun(job_id, run.run_id, run.scheduled, run.started or self._clock()))
                elif run.scheduled is not None:
                    waits.append((job_id, run.scheduled))
        settled, late = self._stopped or self._settled()
        return Mark(settled, self._boot, tuple(begun), tuple(waits), late)

    def _settled(self) -> tuple[datetime, tuple[Wait, ...]]:
        """Return up to when every slot has been decided, and for which jobs only up to another instant; under the lock.

        1. While a clock that was set back catches up, that is ahead of it: what has run must not run after a start.
        2. What nobody has decided yet of a job that is due follows its cursor. Without telling these apart from the
           others, of which slots at the same instant have run, a start would either lose some or run others again.
        """
        settled = self._settled_to = max(self._clock(), self._settled_to)
        undecided = {*self._being_put, *self._wakes.due(settled), *self._jittered}
        entries = [(job_id, self._entries[job_id]) for job_id in undecided if job_id in self._entries]
        return settled, tuple((job_id, one.cursor) for job_id, one in entries if _is_late(one, settled))

    # -- the end

    def stop(self, drain: float, is_hurried: Callable[[], bool] = lambda: False) -> None:
        """Start no more runs; let those in progress go on for `drain` seconds (or until `is_hurried`), then stop them.

        A slot that waits, or comes due from now on, gets no record: the next start accounts for it.
        """
        with self._lock:
            if self._stopped_at is not None:
                return
            self._stopped = self._settled()
            self._stopped_at = self._clock()
        self._wakes.stop()
        deadline = time.monotonic() + drain
        for run in self._runner.going:
            if not run.withdraw() and self._retries.get(run, 0.0) > deadline:
                run.stop("shutdown")
        self._wait_until_idle(deadline, is_hurried)
        self._runner.stop("shutdown")
        self._wait_until_idle(time.monotonic() + self._runner.grace + 1, lambda: False)
        self._runner.close()
        hand_over_leftovers()
        self._wakes.close()

    def abandon(self, seconds: float) -> None:
        """End what runs without the scheduling thread, which may be stuck with any lock; the next start does the rest.

        May itself be held up for ever: to be called on a thread that nobody has to wait for.
        """
        self._stopped_at = self._stopped_at or self._clock()
        self._runner.stop("shutdown")
        deadline = time.monotonic() + seconds
        while self._runner.going and time.monotonic() < deadline:
            time.sleep(0.02)

    def _wait_until_idle(self, deadline: float, is_hurried: Callable[[], bool]) -> None:
        with self._lock:
            while self._runner.going and not is_hurried():
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._idle.wait(min(left, 0.2))


def _is_late(entry: _Entry, settled: datetime) -> bool:
    slot = entry.timetable.next(entry.cursor) if entry.is_live else None
    return slot is not None and slot <= settled


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
    return Record(now, Status.MISSED, job_id, scheduled=missed.first, reason=missed.reason, details=tuple(details))


def _interrupted(one: Begun, now: datetime) -> Record:
    by_hand = (("trigger", "manual"),) if one.scheduled is None else ()
    return Record(
        now, Status.FAILURE, one.job_id, one.run_id, one.scheduled, one.started, reason="interrupted", details=by_hand
    )
