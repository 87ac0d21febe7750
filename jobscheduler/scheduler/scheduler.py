"""What becomes of the slots of all that is in force.

Locks: APScheduler holds its own while it calls `_on_due`, so here ours is taken inside those, never around a call to
it. While ours is held entries are written to the log's queue, which never waits: a slot that is decided and the line
that says so cannot be told apart by a mark.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Self

from jobscheduler.model import (
    EPOCH,
    Checkpoint,
    Event,
    Job,
    Level,
    LogEntry,
    Once,
    PendingSlot,
    Record,
    RecoveredState,
    Status,
)
from jobscheduler.runner import LogThen, OutputCache, Run
from jobscheduler.scheduler.decided_ahead import NOTHING_AHEAD
from jobscheduler.scheduler.job_entry import (
    CORRECTS,
    JobEntry,
    cancelled_record,
    decided_events,
    missed_record,
    pending_event,
)
from jobscheduler.scheduler.log_trust import trusted_state
from jobscheduler.scheduler.recovery import OutageRecovery
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.run_chain import check_chain, parent_of
from jobscheduler.scheduler.standstill import STUCK_AFTER_LOOKS
from jobscheduler.scheduler.surviving_processes import describe_surviving_run, has_survivors
from jobscheduler.scheduler.triggers import trigger_for
from jobscheduler.scheduler.waker import Waker
from jobscheduler.scheduler.worker_pool import Pairs, WorkerPool
from jobscheduler.status.snapshot import ActiveRun, Behind, JobRuntime
from jobscheduler.timetable.slots import Action, Circumstances, Decision, MissedSlots, decide, decide_manual_run
from jobscheduler.timetable.timetable import Timetable, timetable_of
from jobscheduler.util.host_id import uptime
from jobscheduler.util.spans import TICK, Span, span_at, unite

MAX_CLOCK_SET_BACK = timedelta(hours=3)
"""A clock that is set back by more than this is said to keep jobs waiting."""

MIN_CLOCK_STEP = timedelta(seconds=1)
"""A clock that is set back by less than this changes nothing: what is decided stays so, and it soon has passed that."""

LOCK_WAIT_S = 0.1
"""How long the supervising thread waits for the lock of the schedule, in seconds."""

utc_now: Callable[[], datetime] = partial(datetime.now, UTC)
"""The host's time; asked several times for each run."""

Effect = Callable[[], object]
"""Something to do when the lock has been given back."""


class Scheduler:
    """Puts definitions in force and turns their slots into runs and records. A context manager: leaving it stops."""

    def __init__(
        self,
        *,
        write: Callable[[LogEntry], object],
        write_mark: Callable[[Checkpoint], object] = lambda _: None,
        announce: LogThen | None = None,
        on_behind: Callable[[], object] = lambda: None,
        max_workers: int,
        host: str = "",
        host_id: str = "",
        boot: str = "",
        clock: Callable[[], datetime] = utc_now,
        elapsed: Callable[[], float] = uptime,
        cause: Callable[[], str] = lambda: "down",
        stood: Callable[[], tuple[Span, ...]] = lambda: (),
    ) -> None:
        """`write` takes records and events and does not wait; `announce` and `on_behind` are as in `Runner`.

        `host` is what `jitter` is derived from, so that two hosts differ and one host does not change; `host_id` tells
        whose log it is, and `boot` one boot from another. `elapsed` are seconds of a clock that is never set. `cause`
        says why slots come to be decided late, and `stood` when the service could not move.
        """
        self._write = write
        self._write_checkpoint_line = write_mark
        self._host = host
        self._host_id = host_id
        self._boot = boot
        self._clock = clock
        self._elapsed = elapsed
        self._late_reason = lambda: (cause(), stood())
        self._plain = Circumstances(self._late_reason)
        self._wants_full = True
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._registry = JobRegistry()
        self._registry.accounted_since = clock()
        self._recovery: OutageRecovery | None = None
        self._start_effects: list[Effect] | None = []
        self._stopped_at: datetime | None = None
        self._stopped: tuple[datetime, tuple[PendingSlot, ...]] | None = None
        self.activity = 0
        self._waker = Waker(max_workers, self._on_due, self._warm_up)
        self._pool = WorkerPool(
            self._waker,
            max_workers,
            record=self._finished,
            write=write,
            announce=announce,
            on_behind=on_behind,
            clock=clock,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop(0.0)

    def start(self) -> None:
        """Begin to wake up for due jobs; what became due since it was put is decided at once."""
        steps, self._start_effects = self._start_effects or [], None
        self._miss_removed()
        self._pool.warm_up()
        self._waker.start()
        self.write_checkpoint(
            full=True
        )  # with what begins now in it, so that a crash from here on does not make `@reboot` run once more
        for step in steps:
            step()

    @property
    def loop_count(self) -> int:
        """How often the scheduling thread went round."""
        return self._waker.loop_count

    def seconds_since_tick(self) -> float:
        """Return for how many seconds the scheduling thread has not gone round; each `wakeup` makes it."""
        return self._waker.seconds_since_tick()

    def is_alive(self) -> bool:
        """Tell whether the scheduling thread runs."""
        return self._waker.is_alive()

    def wakeup(self) -> None:
        """Look at the clock now: it may have been set, or the host may have slept."""
        self._waker.wakeup()

    # -- the time before this start

    def restore(self, past: RecoveredState | None, now: datetime) -> RecoveredState | None:
        """Take over what the log says of the time before; to be called once, before the first job is put.

        Return what is believed of it: None if the log is that of another host. Runs that a crash interrupted are ended
        and get their record. Slots that nobody decided are accounted for when their job is put, until `start`.
        """
        past, is_same_boot = trusted_state(past, self._host_id, self._boot, self._write, now)
        before = self._recovery = OutageRecovery(past, self._boot, self._write, now, self._elapsed())
        before.is_same_boot |= is_same_boot
        self._registry.accounted_since, self._registry.settled_floor = before.floor, now
        if past is None:
            return None
        before.fail_interrupted(now)
        if before.ahead > now:
            self._registry.clock_ahead = before.ahead
            self._log_clock_set_back(before.ahead - now, now)
        for job_id, ranges in past.recorded.items():
            self._registry.note_decided(job_id, min(now, max(last for _, last in ranges)))
        return past

    def _log_clock_set_back(self, behind: timedelta, now: datetime) -> None:
        """Say that the clock was set back so far that jobs wait for long."""
        if behind > MAX_CLOCK_SET_BACK:
            until, set_by = now + behind, -behind.total_seconds()
            self._write(Event(now, Level.WARNING, "clock.accepted", (("until", until), ("set_by", set_by))))

    def _miss_removed(self) -> None:
        """Write the record of each slot that waited and whose job is not there any more."""
        if self._recovery is not None:
            known = self._registry.jobs
            self._recovery.miss_all_pending(lambda job_id: "disabled" if job_id in known else "deleted", self._clock())

    # -- what is in force

    def put(self, job: Job, now: datetime, *, is_first_look: bool = False) -> datetime | None:
        """Put a definition in force, for slots after `now`, and return its next slot; None if there is none.

        `is_first_look` says that nobody could look where it stands before: no slot of it has been decided since the
        start either.
        What the former definition of this id was due for until now is decided first, so that an edit at the very
        moment of a slot neither loses nor doubles it. Runs in progress go on.
        """
        self._on_due(job.id, now)
        timetable = timetable_of(job, self._host)
        last = self._last_decided_before_start(job, now)
        state = (
            self._recovery.state_of(job, now) if self._recovery is not None and self._registry.is_new(job.id) else None
        )
        with self._lock:
            self._registry.note_decided(job.id, min(last, now))
            self._log_pending(job.id, now)
            known = self._registry.get(job.id)
            told = NOTHING_AHEAD if known is None else known.decided_ahead
            entry = self._registry.get_or_create(job, timetable, now)
            if state is not None:
                entry.since, entry.decided_ahead = state
            if last > now:
                entry.decided_ahead = replace(
                    entry.decided_ahead, decided=unite([*entry.decided_ahead.decided, (last, last)])
                )
            if entry.decided_ahead != told:
                self._tell_decided(entry, now)
            steps = self._replace_definition(entry, job, timetable, now)
            steps += self._recover(entry, now, last, is_first_look=is_first_look)
            self._wants_full |= is_first_look and self._start_effects is None
            self._registry.being_added.add(job.id)
        try:
            for step in steps:
                step()
            return self._wake_for(entry)
        finally:
            with self._lock:
                self._registry.being_added.discard(job.id)

    def source_changed(self, job_id: str, now: datetime) -> None:
        """Take note that the file of a job was written anew, or moved, and means what it meant.

        What waits is told once more: a start would else take it for something from before the file was there.
        """
        with self._lock:
            self._log_pending(job_id, now)

    def _log_pending(self, job_id: str, now: datetime) -> None:
        entry = self._registry.get(job_id)
        if entry is not None and self._start_effects is None and self._stopped_at is None:
            for event in entry.pending_slot_events(now):
                self._write(event)

    def _tell_decided(self, entry: JobEntry, now: datetime) -> None:
        """Tell what a job that comes brings along as decided beyond its cursor; at a start the checkpoint tells it.

        Without that line, a start after a crash before the next full checkpoint would take those slots for open.
        """
        if self._start_effects is None:
            for event in decided_events(entry.job.id, entry.decided_ahead, now):
                self._write(event)

    def _wake_for(self, entry: JobEntry) -> datetime | None:
        """Have a job looked at when its next slot starts; return that slot."""
        job, timetable = entry.job, entry.timetable
        upcoming = entry.next() if job.enabled else None
        if upcoming is None:
            self._waker.drop(job.id)
        else:
            self._waker.put(job.id, trigger_for(timetable), timetable.start_time(upcoming))
        return upcoming

    def _replace_definition(self, entry: JobEntry, job: Job, timetable: Timetable, now: datetime) -> list[Effect]:
        """Let a definition take the place of the former one, under the lock.

        If the timetable is the same, nothing has changed for its slots, also not for one whose jitter is running.
        """
        steps: list[Effect] = []
        if not job.enabled:
            steps = self._miss_pending(entry, "disabled", now)
        if not (entry.is_schedulable and job.enabled and entry.timetable == timetable):
            steps += self._start_jittering_slot(entry, now)
            entry.cursor = self._registry.initial_cursor(job, now)
        self._registry.set_definition(entry, job, timetable)
        return steps

    def _start_jittering_slot(self, entry: JobEntry, now: datetime) -> list[Effect]:
        """Begin the slot whose jitter is running, as it was defined, before its definition changes."""
        slot = self._pop_jittering_slot(entry, now)
        if slot is None:
            return []
        decision = decide(
            entry.timetable.without_jitter,
            slot - TICK,
            slot,
            self._registry.situation(entry),
            self._circumstances(entry),
        )
        return self._apply_decision(entry, decision, now)

    def _pop_jittering_slot(self, entry: JobEntry, now: datetime) -> datetime | None:
        """Take the slot that only jitter has not let start yet; until the start is made, what is due is the start's."""
        return self._registry.pop_jittering_slot(entry, now) if self._start_effects is None else None

    def _last_decided_before_start(self, job: Job, now: datetime) -> datetime:
        """Return the latest slot of a job that a service before this one decided, if it could come up again."""
        before, last = self._recovery, self._registry.last_decided(job.id)
        if before is None or not job.enabled or (isinstance(job.schedule, Once) and last >= job.schedule.at):
            return EPOCH
        return before.last_decided_slot(job, now, starting=self._start_effects is not None)

    def _recover(self, entry: JobEntry, now: datetime, last: datetime, *, is_first_look: bool) -> list[Effect]:
        """Account for the outage of one job, under the lock; at a start its runs begin when all are known."""
        before, job, starting = self._recovery, entry.job, self._start_effects is not None
        if before is None or not (starting or before.needs_recovery(job, now)):
            return []
        if not job.enabled:
            before.mark_recovered(job, now)
            return []
        if entry.timetable.at_boot and not before.is_same_boot:
            decision = before.decide_reboot(job, entry.cursor, now, starting=starting)
        else:
            decision = before.recover(job, entry.timetable, now, last, is_open=starting or is_first_look)
        # not `now`: of what has begun nothing is left, but jitter may be running
        decision = replace(decision, cursor=max(decision.cursor, self._registry.last_decided(job.id)))
        entry.since = min([entry.since, *(slot - TICK for slot, _ in decision.actions)])
        self._registry.pop(entry, decision, self._elapsed())
        steps = self._apply_decision(entry, decision, now)
        if self._start_effects is None:
            return steps
        self._start_effects += steps
        return []

    def expire(self, job: Job, now: datetime) -> bool:
        """Take note of a one-time job that is over; tell whether its slot got an account just now.

        A slot that is only too old by the time in which the service before this one drained runs.
        """
        before, starting = self._recovery, self._start_effects is not None
        if (
            before is None
            or not job.enabled
            or not before.has_unrecorded_slot(job)
            or not (starting or before.needs_recovery(job, now))
        ):
            return False
        timetable = timetable_of(job, self._host)
        if starting and before.may_still_run(job, timetable, now):
            self.put(job, now)
            return True
        decision = before.recover(job, timetable, now, EPOCH, is_open=starting)
        with self._lock:
            for missed in decision.missed:
                self._write(missed_record(job.id, missed, now))
                self._registry.remember_missed(job.id, missed, now, self._elapsed())
        return bool(decision.missed)

    def drop(self, job_id: str, now: datetime) -> None:
        """Take a definition out of force, from `now` on. Runs in progress go on; a slot that waits is missed."""
        self._on_due(job_id, now)
        self._waker.drop(job_id)
        steps: list[Effect] = []
        with self._lock:
            entry = self._registry.get(job_id)
            if entry is not None:
                steps = self._miss_pending(entry, "deleted", now)
                self._registry.remove(entry, now)
        for step in steps:
            step()

    def _miss_pending(self, entry: JobEntry, reason: str, now: datetime) -> list[Effect]:
        """Let a slot that waits for its turn, or for its jitter, be missed. Under the lock, as every deciding is.

        Runs at work go on, but make no further attempt. Returns what is to be done when the lock has been given back.
        """
        waiting, entry.queued_run = entry.queued_run, None
        if waiting is not None and waiting.cancel():
            self._write(cancelled_record(waiting, reason, now))
        delayed = self._pop_jittering_slot(entry, now)
        if delayed is not None:
            corrects = span_at(delayed, entry.decided_ahead.reopened) is not None
            missed = MissedSlots(delayed, delayed, 1, reason=reason, corrects=corrects)
            self._write(missed_record(entry.job.id, missed, now))
        return [run.end_attempts for run in entry.active_runs if run.attempts]

    def next_slot(self, job_id: str) -> datetime | None:
        """Return the next slot of a job in force; None if it has none, is disabled or unknown."""
        with self._lock:
            entry = self._registry.get(job_id)
            if entry is None or not entry.is_schedulable:
                return None
            entry = replace(entry)
        return entry.next()

    # -- the clock

    def check_clock(self) -> bool:
        """Take note of the time; if the clock was set back, what was decided stays so, and the rest is due in its turn.

        Tells whether it was. To be called about once a second, by the thread that also sees whether this lock is ever
        given back: it waits only a moment for it, and looks again at the next call.
        """
        now = self._clock()
        if not self._lock.acquire(timeout=LOCK_WAIT_S):
            return False
        try:
            if self._stopped_at is not None or self._start_effects is not None:
                return False
            behind = self._registry.live(now)
            if behind < MIN_CLOCK_STEP:
                return False
            turned = self._registry.clock_set_back(now, self._elapsed())
            ahead = self._registry.clock_ahead
            self._wants_full = True
        finally:
            self._lock.release()
        self._log_clock_set_back((ahead or now) - now, now)
        for entry in turned:
            self._wake_again(entry)
        self.write_checkpoint()
        return True

    def _wake_again(self, entry: JobEntry) -> None:
        """Have a job looked at as is right for the new time, unless it is gone by now."""
        self._wake_for(entry)
        with self._lock:
            is_gone = not entry.is_schedulable or self._registry.get(entry.job.id) is not entry
        if is_gone:
            self._waker.drop(entry.job.id)

    def behind_clock(self) -> Behind | None:
        """Tell until when jobs wait because the clock was set back: those of which the next slot is over."""
        now = self._clock()
        with self._lock:
            found = self._registry.with_slots_over(now)
        return _behind(found, now)

    # -- what is due

    def _warm_up(self, job_id: str) -> None:
        """Go once the way that what is due in a moment will go: what has lain idle for long takes long to find.

        Nothing is due yet by the clock, whatever APScheduler's wake-up is for, so nothing is decided; if the time has
        come meanwhile, this is the decision.
        """
        self._pool.warm_up()
        self._on_due(job_id, EPOCH)

    def _on_due(self, job_id: str, at: datetime) -> None:
        """Decide what is due of a job, and act on it. `at` is when APScheduler meant to wake us, at the earliest."""
        now = max(self._clock(), at)
        with self._lock:
            entry = self._registry.get(job_id)
            if entry is None or self._stopped_at is not None or not entry.is_schedulable:
                return
            about = self._plain if entry.decided_ahead is NOTHING_AHEAD else self._circumstances(entry)
            decision = decide(entry.timetable, entry.cursor, now, self._registry.situation(entry), about)
            if decision.cursor == entry.cursor:
                return
            self._registry.pop(entry, decision, self._elapsed())
            self._registry.settled_floor = max(self._registry.settled_floor, decision.cursor)
            steps = self._apply_decision(entry, decision, now)
        for step in steps:
            step()

    def _circumstances(self, entry: JobEntry) -> Circumstances:
        return Circumstances(self._late_reason, entry.decided_ahead.decided, entry.decided_ahead.reopened)

    def _apply_decision(self, entry: JobEntry, decision: Decision, now: datetime) -> list[Effect]:
        """Note down what a decision starts, under the lock; return what is to be done when that is given back."""
        self.activity += 1
        for missed in decision.missed:
            self._write(missed_record(entry.job.id, missed, now))
        steps: list[Effect] = []
        for slot, act in decision.actions:
            extra = CORRECTS if slot in decision.corrects else ()
            steps += self._perform(entry, entry.job, slot, act, extra)[1]
        return steps

    def _perform(
        self,
        entry: JobEntry,
        job: Job,
        slot: datetime | None,
        act: Action,
        extra: Pairs = (),
        parent: Run | None = None,
    ) -> tuple[Run | None, list[Effect]]:
        """Note down what becomes of one slot, or of a run by hand; the run, and what is to be done without the lock."""
        if act in {Action.SKIP, Action.PAUSE}:
            reason = "paused" if act is Action.PAUSE else "overlap"
            self._write(Record(self._clock(), Status.SKIPPED, job.id, scheduled=slot, reason=reason, details=extra))
            return None, []
        run = self._pool.begin(job, slot, extra, parent)
        if act is Action.RUN:
            entry.active_runs.append(run)
            return run, [partial(self._pool.submit, run)]
        ended = [*entry.active_runs, entry.queued_run] if act is Action.REPLACE else []
        entry.queued_run = run
        if act is Action.WAIT and slot is not None:
            self._write(pending_event(job.id, slot, self._clock(), extra=extra))
        return run, [partial(old.stop, "replaced") for old in ended if old is not None]

    # -- runs

    def _finished(self, record: Record) -> None:
        """Take the record of a run that has ended, and begin the one that waited for that."""
        with self._lock:
            waiting = self._registry.run_ended(record)
            self._write(record)
            self.activity += 1
            if self._stopped_at is not None:  # only then does anybody wait for it
                self._idle.notify_all()
        if waiting is not None:
            self._pool.submit(waiting)

    def check_backlog(self, now: float) -> None:
        """Look whether runs wait for long, stand still, or are over at last (monotonic seconds). Once a second."""
        self._pool.check(now)
        if self._registry.surviving:
            self._check_surviving()

    def _check_surviving(self) -> None:
        """Let runs be over whose processes, which could not be ended, have ended by themselves."""
        with self._lock:
            lingering = self._surviving()
        alive = {run.run_id for run in lingering if has_survivors(run)}
        with self._lock:
            turns = self._registry.keep_surviving(alive)
        for run in turns:
            self._pool.submit(run)

    def _surviving(self) -> list[Run]:
        return [run for held in self._registry.snapshot(sorted(self._registry.surviving)) for run in held.surviving_run]

    def issues(self) -> tuple[str, ...]:
        """Say in words what is wrong with runs, though not with the service."""
        with self._lock:
            lingering = self._surviving()
        return (*self._pool.issues(), *map(describe_surviving_run, lingering))

    def standstill(self) -> str | None:
        """Say what should have happened to a run and has not for seconds, if anything."""
        found = self._pool.standstill
        return None if found is None else str(found.due)

    def is_stuck(self) -> bool:
        """Tell whether that has lasted for so long that only a new process helps."""
        found = self._pool.standstill
        return found is not None and found.checks >= STUCK_AFTER_LOOKS

    @property
    def outputs(self) -> OutputCache:
        """What the latest runs printed."""
        return self._pool.outputs

    def running(self) -> int:
        """Return how many runs are going on, waiting ones included."""
        return len(self._pool.active_runs)

    def queued(self) -> int:
        """Return how many runs wait for a worker."""
        return self._pool.queued()

    def earliest(self) -> datetime | None:
        """Return the start of the next slot of all."""
        return self._waker.next_wakeup()

    def lost_threads(self) -> int:
        """Return how many pool threads are held by tasks that did not end when told to."""
        return self._pool.lost()

    # -- what people ask for

    def run_now(self, job: Job, by: str, within: Iterable[str] = ()) -> tuple[Action, Run | None]:
        """Run a job by hand, also one that is disabled, paused, done or expired; overlap counts as for a slot.

        `by` is who asked, `within` the ids of the runs whose mark the caller carries, the innermost first. Returns what
        became of it, and the run unless it was skipped.

        Raises:
            RuntimeError: the service is stopping.
            Endless: the job would start itself by way of others, or too many have started each other.

        """
        parent = parent_of(within, self._pool.active_runs)
        check_chain(job, parent)
        with self._lock:
            if self._stopped_at is not None:
                raise RuntimeError("the service is stopping")
            entry = self._registry.get(job.id)
            if entry is None:
                entry = JobEntry(job, timetable_of(job, self._host), self._clock(), is_active=False)
                self._registry.jobs[job.id] = entry
            act = decide_manual_run(entry.situation())
            self.activity += 1
            extra = (("trigger", "manual" if parent is None else f"run:{parent.run_id}"), ("by", by))
            run, steps = self._perform(entry, job, None, act, extra, parent)
            if run is not None:  # it may have to wait, and must not be forgotten in a crash
                values = (("job_id", job.id), ("run_id", run.run_id), *extra)
                self._write(Event(self._clock(), Level.INFO, "run.requested", values))
        for step in steps:
            step()
        return act, run

    def pause(self, job_id: str) -> bool:
        """Let no slot of a job run, until `resume` or the end of this process; tell whether that is a change.

        A slot that waits and has not begun is skipped, too. A run that is at work goes on, with its further attempts.
        """
        with self._lock:
            is_new = job_id not in self._registry.paused
            self._registry.paused.add(job_id)
            entry = self._registry.get(job_id)
            steps = [] if entry is None else self._skip_waiting(entry)
        for step in steps:
            step()
        return is_new

    def _skip_waiting(self, entry: JobEntry) -> list[Effect]:
        """Skip slots that wait for a worker or for their turn; a run by hand goes on waiting, or has its turn now."""
        if entry.queued_run is not None and self._skip(entry.queued_run):
            entry.queued_run = None
        turns = [entry.run_ended(run.run_id) for run in entry.active_runs if self._skip(run)]
        return [partial(self._pool.submit, run) for run in turns if run is not None]

    def _skip(self, run: Run) -> bool:
        """Skip a slot for the pause of its job; False for one that has begun, and for a run by hand."""
        if run.scheduled is None or not run.cancel():
            return False
        now, details = self._clock(), run.extra
        record = Record(now, Status.SKIPPED, run.job.id, scheduled=run.scheduled, reason="paused", details=details)
        self._write(record)
        return True

    def resume(self, job_id: str) -> bool:
        """Let slots run again, from now on; tell whether that is a change."""
        self._on_due(job_id, self._clock())  # what was due until now was paused
        with self._lock:
            was = job_id in self._registry.paused
            self._registry.paused.discard(job_id)
            return was

    def runtimes(self, job_ids: Iterable[str] | None = None) -> list[JobRuntime]:
        """Say how jobs stand: these, or all that are in force or of which a run goes on."""
        with self._lock:
            held = self._registry.snapshot(job_ids)
            going = [self._active_run(one) for one in held]
            paused = frozenset(self._registry.paused)
        return [
            JobRuntime(one.job, one.next() if one.is_schedulable else None, runs, one.job.id in paused)
            for one, runs in zip(held, going, strict=True)
        ]

    def _active_run(self, entry: JobEntry) -> tuple[ActiveRun, ...]:
        going = tuple(map(self._pool.describe, (*entry.active_runs, *entry.surviving_run)))
        waiting = entry.queued_run
        return going if waiting is None else (*going, ActiveRun(waiting.run_id, waiting.scheduled, None, 1, "turn"))

    def upcoming(self, job_id: str, count: int) -> list[tuple[datetime, datetime]]:
        """List the next slots of a job, each with its start (later by its jitter)."""
        with self._lock:
            entry = self._registry.get(job_id)
            if entry is None or not entry.is_schedulable:
                return []
            entry = replace(entry)
        return [(slot, entry.timetable.start_time(slot)) for slot in islice(entry.slot_after(), count)]

    def decided_ahead(self, job_id: str) -> tuple[Span, ...]:
        """Return the stretches of time ahead in which the slots of a job were decided, before the clock was set back.

        No slot in them is due again.
        """
        now = self._clock()
        with self._lock:
            entry = self._registry.get(job_id)
            spans = () if entry is None or not entry.is_schedulable else entry.decided_ahead.decided
        return tuple(span for span in spans if span[1] > now)

    # -- the account

    def write_checkpoint(self, *, full: bool = False) -> None:
        """Write down up to where every slot is accounted for, and what is going on; if `full`, also what is in force.

        After what no line of the log tells, it is full in any case.
        """
        self.check_clock()
        with self._lock:
            settled, late = self._stopped or self._settled()
            is_full = full or self._wants_full
            elapsed = self._elapsed()
            whole = self._registry.full(self._host_id, elapsed) if is_full else None
            self._write_checkpoint_line(self._registry.checkpoint(settled, late, self._boot, elapsed, whole))
            self._wants_full = False

    def _settled(self) -> tuple[datetime, tuple[PendingSlot, ...]]:
        now = max(self._clock(), self._registry.settled_floor)
        return self._registry.settled_until(now, self._waker.due_jobs(now))

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
            self._pool.close_intake()
        self._waker.stop()
        deadline = time.monotonic() + drain
        self._pool.cancel()
        self._wait_until_idle(deadline, is_hurried)
        self._pool.stop()
        self._wait_until_idle(time.monotonic() + self._pool.grace + 1, lambda: False)
        self._pool.close()
        self._waker.close()

    def abort(self, seconds: float) -> None:
        """End what runs without the scheduling thread, which may be stuck with any lock; the next start does the rest.

        May itself be held up for ever: to be called on a thread that nobody has to wait for.
        """
        self._stopped_at = self._stopped_at or self._clock()
        self._pool.abort(seconds)

    def _wait_until_idle(self, deadline: float, is_hurried: Callable[[], bool]) -> None:
        with self._lock:
            while self._pool.active_runs and not is_hurried():
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._idle.wait(min(left, 0.2))


def _behind(found: Iterable[tuple[Timetable, tuple[Span, ...]]], now: datetime) -> Behind | None:
    """Tell how many jobs wait, and how long; one that has slots to come before those that are over goes on."""
    slots = ((timetable.next(now), over) for timetable, over in found)
    spans = [span_at(slot, over) for slot, over in slots if slot is not None]
    ends = [span[1] for span in spans if span is not None]
    return Behind(max(ends) - now, max(ends), len(ends)) if ends else None
