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

from jobscheduler.model import EPOCH, Entry, Event, Job, Level, Mark, Once, Past, Record, Status, Wait
from jobscheduler.runner import Announce, OutputRing, Run
from jobscheduler.scheduler.decided_ahead import NOTHING
from jobscheduler.scheduler.job_entry import (
    CORRECTS,
    Held,
    decided_events,
    missed_record,
    waits_event,
    withdrawn_record,
)
from jobscheduler.scheduler.log_trust import believed
from jobscheduler.scheduler.recovery import Before
from jobscheduler.scheduler.registry import Ledger
from jobscheduler.scheduler.run_chain import check, parent_of
from jobscheduler.scheduler.standstill import STUCK
from jobscheduler.scheduler.surviving_processes import lingering_text, lingers
from jobscheduler.scheduler.triggers import trigger_for
from jobscheduler.scheduler.waker import Wakes
from jobscheduler.scheduler.worker_pool import Crew, Pairs
from jobscheduler.status.snapshot import Behind, Going, Standing
from jobscheduler.timetable.slots import Act, Circumstances, Decision, Missed, act_by_hand, decide
from jobscheduler.timetable.timetable import Timetable, timetable_of
from jobscheduler.util.host_id import uptime
from jobscheduler.util.spans import TICK, Span, covering, united

ACCEPTED = timedelta(hours=3)
"""A clock that is set back by more than this is said to keep jobs waiting."""

NOTICED = timedelta(seconds=1)
"""A clock that is set back by less than this changes nothing: what is decided stays so, and it soon has passed that."""

LOCK_WAIT = 0.1
"""How long the supervising thread waits for the lock of the schedule, in seconds."""

utc_now: Callable[[], datetime] = partial(datetime.now, UTC)
"""The host's time; asked several times for each run."""

Step = Callable[[], object]
"""Something to do when the lock has been given back."""


class Scheduler:
    """Puts definitions in force and turns their slots into runs and records. A context manager: leaving it stops."""

    def __init__(
        self,
        *,
        write: Callable[[Entry], object],
        write_mark: Callable[[Mark], object] = lambda _: None,
        announce: Announce | None = None,
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
        self._write_mark = write_mark
        self._host = host
        self._host_id = host_id
        self._boot = boot
        self._clock = clock
        self._elapsed = elapsed
        self._why = lambda: (cause(), stood())
        self._plain = Circumstances(self._why)
        self._wants_full = True
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._ledger = Ledger()
        self._ledger.floor = clock()
        self._before: Before | None = None
        self._at_start: list[Step] | None = []
        self._stopped_at: datetime | None = None
        self._stopped: tuple[datetime, tuple[Wait, ...]] | None = None
        self.activity = 0
        self._wakes = Wakes(max_workers, self._on_due, self._on_near)
        self._crew = Crew(
            self._wakes,
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
        steps, self._at_start = self._at_start or [], None
        self._account_for_the_gone()
        self._crew.prepare()
        self._wakes.start()
        self.mark(
            full=True
        )  # with what begins now in it, so that a crash from here on does not make `@reboot` run once more
        for step in steps:
            step()

    @property
    def rounds(self) -> int:
        """How often the scheduling thread went round."""
        return self._wakes.rounds

    def idle_for(self) -> float:
        """Return for how many seconds the scheduling thread has not gone round; each `wakeup` makes it."""
        return self._wakes.idle_for()

    def is_alive(self) -> bool:
        """Tell whether the scheduling thread runs."""
        return self._wakes.is_alive()

    def wakeup(self) -> None:
        """Look at the clock now: it may have been set, or the host may have slept."""
        self._wakes.wakeup()

    # -- the time before this start

    def recall(self, past: Past | None, now: datetime) -> Past | None:
        """Take over what the log says of the time before; to be called once, before the first job is put.

        Return what is believed of it: None if the log is that of another host. Runs that a crash interrupted are ended
        and get their record. Slots that nobody decided are accounted for when their job is put, until `start`.
        """
        past, is_same_boot = believed(past, self._host_id, self._boot, self._write, now)
        before = self._before = Before(past, self._boot, self._write, now, self._elapsed())
        before.is_same_boot |= is_same_boot
        self._ledger.floor, self._ledger.settled_to = before.floor, now
        if past is None:
            return None
        before.end_interrupted(now)
        if before.ahead > now:
            self._ledger.ahead = before.ahead
            self._tell_accepted(before.ahead - now, now)
        for job_id, ranges in past.accounted.items():
            self._ledger.recall(job_id, min(now, max(last for _, last in ranges)))
        return past

    def _tell_accepted(self, behind: timedelta, now: datetime) -> None:
        """Say that the clock was set back so far that jobs wait for long."""
        if behind > ACCEPTED:
            until, set_by = now + behind, -behind.total_seconds()
            self._write(Event(now, Level.WARNING, "clock.accepted", (("until", until), ("set_by", set_by))))

    def _account_for_the_gone(self) -> None:
        """Write the record of each slot that waited and whose job is not there any more."""
        if self._before is not None:
            known = self._ledger.jobs
            self._before.miss_all_waits(lambda job_id: "disabled" if job_id in known else "deleted", self._clock())

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
        last = self._decided_before(job, now)
        state = self._before.state_of(job, now) if self._before is not None and self._ledger.is_new(job.id) else None
        with self._lock:
            self._ledger.recall(job.id, min(last, now))
            self._tell_waits(job.id, now)
            known = self._ledger.get(job.id)
            told = NOTHING if known is None else known.beyond
            entry = self._ledger.enter(job, timetable, now)
            if state is not None:
                entry.since, entry.beyond = state
            if last > now:
                entry.beyond = replace(entry.beyond, over=united([*entry.beyond.over, (last, last)]))
            if entry.beyond != told:
                self._tell_decided(entry, now)
            steps = self._change(entry, job, timetable, now)
            steps += self._recall(entry, now, last, is_first_look=is_first_look)
            self._wants_full |= is_first_look and self._at_start is None
            self._ledger.being_put.add(job.id)
        try:
            for step in steps:
                step()
            return self._wake_for(entry)
        finally:
            with self._lock:
                self._ledger.being_put.discard(job.id)

    def touch(self, job_id: str, now: datetime) -> None:
        """Take note that the file of a job was written anew, or moved, and means what it meant.

        What waits is told once more: a start would else take it for something from before the file was there.
        """
        with self._lock:
            self._tell_waits(job_id, now)

    def _tell_waits(self, job_id: str, now: datetime) -> None:
        entry = self._ledger.get(job_id)
        if entry is not None and self._at_start is None and self._stopped_at is None:
            for event in entry.waits(now):
                self._write(event)

    def _tell_decided(self, entry: Held, now: datetime) -> None:
        """Tell what a job that comes brings along as decided beyond its cursor; at a start the checkpoint tells it.

        Without that line, a start after a crash before the next full checkpoint would take those slots for open.
        """
        if self._at_start is None:
            for event in decided_events(entry.job.id, entry.beyond, now):
                self._write(event)

    def _wake_for(self, entry: Held) -> datetime | None:
        """Have a job looked at when its next slot starts; return that slot."""
        job, timetable = entry.job, entry.timetable
        upcoming = entry.next() if job.enabled else None
        if upcoming is None:
            self._wakes.drop(job.id)
        else:
            self._wakes.put(job.id, trigger_for(timetable), timetable.start_of(upcoming))
        return upcoming

    def _change(self, entry: Held, job: Job, timetable: Timetable, now: datetime) -> list[Step]:
        """Let a definition take the place of the former one, under the lock.

        If the timetable is the same, nothing has changed for its slots, also not for one whose jitter is running.
        """
        steps: list[Step] = []
        if not job.enabled:
            steps = self._give_up(entry, "disabled", now)
        if not (entry.is_live and job.enabled and entry.timetable == timetable):
            steps += self._begin_early(entry, now)
            entry.cursor = self._ledger.cursor_of(job, now)
        self._ledger.define(entry, job, timetable)
        return steps

    def _begin_early(self, entry: Held, now: datetime) -> list[Step]:
        """Begin the slot whose jitter is running, as it was defined, before its definition changes."""
        slot = self._take_delayed(entry, now)
        if slot is None:
            return []
        decision = decide(entry.timetable.nominal, slot - TICK, slot, self._ledger.situation(entry), self._about(entry))
        return self._enlist(entry, decision, now)

    def _take_delayed(self, entry: Held, now: datetime) -> datetime | None:
        """Take the slot that only jitter has not let start yet; until the start is made, what is due is the start's."""
        return self._ledger.take_delayed(entry, now) if self._at_start is None else None

    def _decided_before(self, job: Job, now: datetime) -> datetime:
        """Return the latest slot of a job that a service before this one decided, if it could come up again."""
        before, last = self._before, self._ledger.last_of(job.id)
        if before is None or not job.enabled or (isinstance(job.schedule, Once) and last >= job.schedule.at):
            return EPOCH
        return before.last_of(job, now, starting=self._at_start is not None)

    def _recall(self, entry: Held, now: datetime, last: datetime, *, is_first_look: bool) -> list[Step]:
        """Account for the outage of one job, under the lock; at a start its runs begin when all are known."""
        before, job, starting = self._before, entry.job, self._at_start is not None
        if before is None or not (starting or before.has_turn(job, now)):
            return []
        if not job.enabled:
            before.note(job, now)
            return []
        if entry.timetable.at_boot and not before.is_same_boot:
            decision = before.at_boot(job, entry.cursor, now, starting=starting)
        else:
            decision = before.account(job, entry.timetable, now, last, is_open=starting or is_first_look)
        # not `now`: of what has begun nothing is left, but jitter may be running
        decision = replace(decision, cursor=max(decision.cursor, self._ledger.last_of(job.id)))
        entry.since = min([entry.since, *(slot - TICK for slot, _ in decision.acts)])
        self._ledger.take(entry, decision, self._elapsed())
        steps = self._enlist(entry, decision, now)
        if self._at_start is None:
            return steps
        self._at_start += steps
        return []

    def expire(self, job: Job, now: datetime) -> bool:
        """Take note of a one-time job that is over; tell whether its slot got an account just now.

        A slot that is only too old by the time in which the service before this one drained runs.
        """
        before, starting = self._before, self._at_start is not None
        if before is None or not job.enabled or not before.is_open(job) or not (starting or before.has_turn(job, now)):
            return False
        timetable = timetable_of(job, self._host)
        if starting and before.may_still_run(job, timetable, now):
            self.put(job, now)
            return True
        decision = before.account(job, timetable, now, EPOCH, is_open=starting)
        with self._lock:
            for missed in decision.missed:
                self._write(missed_record(job.id, missed, now))
                self._ledger.remember_missed(job.id, missed, now, self._elapsed())
        return bool(decision.missed)

    def drop(self, job_id: str, now: datetime) -> None:
        """Take a definition out of force, from `now` on. Runs in progress go on; a slot that waits is missed."""
        self._on_due(job_id, now)
        self._wakes.drop(job_id)
        steps: list[Step] = []
        with self._lock:
            entry = self._ledger.get(job_id)
            if entry is not None:
                steps = self._give_up(entry, "deleted", now)
                self._ledger.strike(entry, now)
        for step in steps:
            step()

    def _give_up(self, entry: Held, reason: str, now: datetime) -> list[Step]:
        """Let a slot that waits for its turn, or for its jitter, be missed. Under the lock, as every deciding is.

        Runs at work go on, but make no further attempt. Returns what is to be done when the lock has been given back.
        """
        waiting, entry.waiting = entry.waiting, None
        if waiting is not None and waiting.withdraw():
            self._write(withdrawn_record(waiting, reason, now))
        delayed = self._take_delayed(entry, now)
        if delayed is not None:
            corrects = covering(delayed, entry.beyond.again) is not None
            missed = Missed(delayed, delayed, 1, reason=reason, corrects=corrects)
            self._write(missed_record(entry.job.id, missed, now))
        return [run.end_attempts for run in entry.going if run.attempts]

    def next_slot(self, job_id: str) -> datetime | None:
        """Return the next slot of a job in force; None if it has none, is disabled or unknown."""
        with self._lock:
            entry = self._ledger.get(job_id)
            if entry is None or not entry.is_live:
                return None
            entry = replace(entry)
        return entry.next()

    # -- the clock

    def look_at_clock(self) -> bool:
        """Take note of the time; if the clock was set back, what was decided stays so, and the rest is due in its turn.

        Tells whether it was. To be called about once a second, by the thread that also sees whether this lock is ever
        given back: it waits only a moment for it, and looks again at the next call.
        """
        now = self._clock()
        if not self._lock.acquire(timeout=LOCK_WAIT):
            return False
        try:
            if self._stopped_at is not None or self._at_start is not None:
                return False
            behind = self._ledger.live(now)
            if behind < NOTICED:
                return False
            turned = self._ledger.turn_back(now, self._elapsed())
            ahead = self._ledger.ahead
            self._wants_full = True
        finally:
            self._lock.release()
        self._tell_accepted((ahead or now) - now, now)
        for entry in turned:
            self._wake_again(entry)
        self.mark()
        return True

    def _wake_again(self, entry: Held) -> None:
        """Have a job looked at as is right for the new time, unless it is gone by now."""
        self._wake_for(entry)
        with self._lock:
            is_gone = not entry.is_live or self._ledger.get(entry.job.id) is not entry
        if is_gone:
            self._wakes.drop(entry.job.id)

    def behind(self) -> Behind | None:
        """Tell until when jobs wait because the clock was set back: those of which the next slot is over."""
        now = self._clock()
        with self._lock:
            found = self._ledger.with_slots_over(now)
        return _behind(found, now)

    # -- what is due

    def _on_near(self, job_id: str) -> None:
        """Go once the way that what is due in a moment will go: what has lain idle for long takes long to find.

        Nothing is due yet by the clock, whatever APScheduler's wake-up is for, so nothing is decided; if the time has
        come meanwhile, this is the decision.
        """
        self._crew.prepare()
        self._on_due(job_id, EPOCH)

    def _on_due(self, job_id: str, at: datetime) -> None:
        """Decide what is due of a job, and act on it. `at` is when APScheduler meant to wake us, at the earliest."""
        now = max(self._clock(), at)
        with self._lock:
            entry = self._ledger.get(job_id)
            if entry is None or self._stopped_at is not None or not entry.is_live:
                return
            about = self._plain if entry.beyond is NOTHING else self._about(entry)
            decision = decide(entry.timetable, entry.cursor, now, self._ledger.situation(entry), about)
            if decision.cursor == entry.cursor:
                return
            self._ledger.take(entry, decision, self._elapsed())
            self._ledger.settled_to = max(self._ledger.settled_to, decision.cursor)
            steps = self._enlist(entry, decision, now)
        for step in steps:
            step()

    def _about(self, entry: Held) -> Circumstances:
        return Circumstances(self._why, entry.beyond.over, entry.beyond.again)

    def _enlist(self, entry: Held, decision: Decision, now: datetime) -> list[Step]:
        """Note down what a decision starts, under the lock; return what is to be done when that is given back."""
        self.activity += 1
        for missed in decision.missed:
            self._write(missed_record(entry.job.id, missed, now))
        steps: list[Step] = []
        for slot, act in decision.acts:
            extra = CORRECTS if slot in decision.corrects else ()
            steps += self._act(entry, entry.job, slot, act, extra)[1]
        return steps

    def _act(
        self, entry: Held, job: Job, slot: datetime | None, act: Act, extra: Pairs = (), parent: Run | None = None
    ) -> tuple[Run | None, list[Step]]:
        """Note down what becomes of one slot, or of a run by hand; the run, and what is to be done without the lock."""
        if act in {Act.SKIP, Act.PAUSE}:
            reason = "paused" if act is Act.PAUSE else "overlap"
            self._write(Record(self._clock(), Status.SKIPPED, job.id, scheduled=slot, reason=reason, details=extra))
            return None, []
        run = self._crew.begin(job, slot, extra, parent)
        if act is Act.RUN:
            entry.going.append(run)
            return run, [partial(self._crew.submit, run)]
        ended = [*entry.going, entry.waiting] if act is Act.REPLACE else []
        entry.waiting = run
        if act is Act.WAIT and slot is not None:
            self._write(waits_event(job.id, slot, self._clock(), extra=extra))
        return run, [partial(old.stop, "replaced") for old in ended if old is not None]

    # -- runs

    def _finished(self, record: Record) -> None:
        """Take the record of a run that has ended, and begin the one that waited for that."""
        with self._lock:
            waiting = self._ledger.let_go(record)
            self._write(record)
            self.activity += 1
            if self._stopped_at is not None:  # only then does anybody wait for it
                self._idle.notify_all()
        if waiting is not None:
            self._crew.submit(waiting)

    def look_at_pool(self, now: float) -> None:
        """Look whether runs wait for long, stand still, or are over at last (monotonic seconds). Once a second."""
        self._crew.look(now)
        if self._ledger.lingering:
            self._look_at_lingering()

    def _look_at_lingering(self) -> None:
        """Let runs be over whose processes, which could not be ended, have ended by themselves."""
        with self._lock:
            lingering = self._lingering()
        alive = {run.run_id for run in lingering if lingers(run)}
        with self._lock:
            turns = self._ledger.let_linger(alive)
        for run in turns:
            self._crew.submit(run)

    def _lingering(self) -> list[Run]:
        return [run for held in self._ledger.copied(sorted(self._ledger.lingering)) for run in held.lingering]

    def issues(self) -> tuple[str, ...]:
        """Say in words what is wrong with runs, though not with the service."""
        with self._lock:
            lingering = self._lingering()
        return (*self._crew.issues(), *map(lingering_text, lingering))

    def standstill(self) -> str | None:
        """Say what should have happened to a run and has not for seconds, if anything."""
        found = self._crew.standstill
        return None if found is None else str(found.due)

    def is_stuck(self) -> bool:
        """Tell whether that has lasted for so long that only a new process helps."""
        found = self._crew.standstill
        return found is not None and found.looks >= STUCK

    @property
    def outputs(self) -> OutputRing:
        """What the latest runs printed."""
        return self._crew.outputs

    def running(self) -> int:
        """Return how many runs are going on, waiting ones included."""
        return len(self._crew.going)

    def queued(self) -> int:
        """Return how many runs wait for a worker."""
        return self._crew.queued()

    def earliest(self) -> datetime | None:
        """Return the start of the next slot of all."""
        return self._wakes.earliest()

    def lost_threads(self) -> int:
        """Return how many pool threads are held by tasks that did not end when told to."""
        return self._crew.lost()

    # -- what people ask for

    def run_now(self, job: Job, by: str, within: Iterable[str] = ()) -> tuple[Act, Run | None]:
        """Run a job by hand, also one that is disabled, paused, done or expired; overlap counts as for a slot.

        `by` is who asked, `within` the ids of the runs whose mark the caller carries, the innermost first. Returns what
        became of it, and the run unless it was skipped.

        Raises:
            RuntimeError: the service is stopping.
            Endless: the job would start itself by way of others, or too many have started each other.

        """
        parent = parent_of(within, self._crew.going)
        check(job, parent)
        with self._lock:
            if self._stopped_at is not None:
                raise RuntimeError("the service is stopping")
            entry = self._ledger.get(job.id)
            if entry is None:
                entry = Held(job, timetable_of(job, self._host), self._clock(), in_force=False)
                self._ledger.jobs[job.id] = entry
            act = act_by_hand(entry.situation())
            self.activity += 1
            extra = (("trigger", "manual" if parent is None else f"run:{parent.run_id}"), ("by", by))
            run, steps = self._act(entry, job, None, act, extra, parent)
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
            is_new = job_id not in self._ledger.paused
            self._ledger.paused.add(job_id)
            entry = self._ledger.get(job_id)
            steps = [] if entry is None else self._skip_waiting(entry)
        for step in steps:
            step()
        return is_new

    def _skip_waiting(self, entry: Held) -> list[Step]:
        """Skip slots that wait for a worker or for their turn; a run by hand goes on waiting, or has its turn now."""
        if entry.waiting is not None and self._skip(entry.waiting):
            entry.waiting = None
        turns = [entry.let_go(run.run_id) for run in entry.going if self._skip(run)]
        return [partial(self._crew.submit, run) for run in turns if run is not None]

    def _skip(self, run: Run) -> bool:
        """Skip a slot for the pause of its job; False for one that has begun, and for a run by hand."""
        if run.scheduled is None or not run.withdraw():
            return False
        now, details = self._clock(), run.extra
        record = Record(now, Status.SKIPPED, run.job.id, scheduled=run.scheduled, reason="paused", details=details)
        self._write(record)
        return True

    def resume(self, job_id: str) -> bool:
        """Let slots run again, from now on; tell whether that is a change."""
        self._on_due(job_id, self._clock())  # what was due until now was paused
        with self._lock:
            was = job_id in self._ledger.paused
            self._ledger.paused.discard(job_id)
            return was

    def standings(self, job_ids: Iterable[str] | None = None) -> list[Standing]:
        """Say how jobs stand: these, or all that are in force or of which a run goes on."""
        with self._lock:
            held = self._ledger.copied(job_ids)
            going = [self._going(one) for one in held]
            paused = frozenset(self._ledger.paused)
        return [
            Standing(one.job, one.next() if one.is_live else None, runs, one.job.id in paused)
            for one, runs in zip(held, going, strict=True)
        ]

    def _going(self, entry: Held) -> tuple[Going, ...]:
        going = tuple(map(self._crew.standing, (*entry.going, *entry.lingering)))
        waiting = entry.waiting
        return going if waiting is None else (*going, Going(waiting.run_id, waiting.scheduled, None, 1, "turn"))

    def upcoming(self, job_id: str, count: int) -> list[tuple[datetime, datetime]]:
        """List the next slots of a job, each with its start (later by its jitter)."""
        with self._lock:
            entry = self._ledger.get(job_id)
            if entry is None or not entry.is_live:
                return []
            entry = replace(entry)
        return [(slot, entry.timetable.start_of(slot)) for slot in islice(entry.following(), count)]

    def decided_ahead(self, job_id: str) -> tuple[Span, ...]:
        """Return the stretches of time ahead in which the slots of a job were decided, before the clock was set back.

        No slot in them is due again.
        """
        now = self._clock()
        with self._lock:
            entry = self._ledger.get(job_id)
            spans = () if entry is None or not entry.is_live else entry.beyond.over
        return tuple(span for span in spans if span[1] > now)

    # -- the account

    def mark(self, *, full: bool = False) -> None:
        """Write down up to where every slot is accounted for, and what is going on; if `full`, also what is in force.

        After what no line of the log tells, it is full in any case.
        """
        self.look_at_clock()
        with self._lock:
            settled, late = self._stopped or self._settled()
            is_full = full or self._wants_full
            elapsed = self._elapsed()
            whole = self._ledger.full(self._host_id, elapsed) if is_full else None
            self._write_mark(self._ledger.mark(settled, late, self._boot, elapsed, whole))
            self._wants_full = False

    def _settled(self) -> tuple[datetime, tuple[Wait, ...]]:
        now = max(self._clock(), self._ledger.settled_to)
        return self._ledger.settle(now, self._wakes.due(now))

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
            self._crew.take_no_more()
        self._wakes.stop()
        deadline = time.monotonic() + drain
        self._crew.withdraw()
        self._wait_until_idle(deadline, is_hurried)
        self._crew.stop()
        self._wait_until_idle(time.monotonic() + self._crew.grace + 1, lambda: False)
        self._crew.close()
        self._wakes.close()

    def abandon(self, seconds: float) -> None:
        """End what runs without the scheduling thread, which may be stuck with any lock; the next start does the rest.

        May itself be held up for ever: to be called on a thread that nobody has to wait for.
        """
        self._stopped_at = self._stopped_at or self._clock()
        self._crew.abandon(seconds)

    def _wait_until_idle(self, deadline: float, is_hurried: Callable[[], bool]) -> None:
        with self._lock:
            while self._crew.going and not is_hurried():
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._idle.wait(min(left, 0.2))


def _behind(found: Iterable[tuple[Timetable, tuple[Span, ...]]], now: datetime) -> Behind | None:
    """Tell how many jobs wait, and how long; one that has slots to come before those that are over goes on."""
    slots = ((timetable.next(now), over) for timetable, over in found)
    spans = [covering(slot, over) for slot, over in slots if slot is not None]
    ends = [span[1] for span in spans if span is not None]
    return Behind(max(ends) - now, max(ends), len(ends)) if ends else None
