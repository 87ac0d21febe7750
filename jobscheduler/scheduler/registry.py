"""The ledger: what is in force, how far the slots of each job have been decided, and what a mark says of it.

It is ours and not APScheduler's store: a one-time job that has fired leaves that. It knows nothing of threads; whoever
has it calls it under one lock.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jobscheduler.model import EPOCH, Checkpoint, FullCheckpoint, InFlightRun, Job, Once, PendingSlot, Record
from jobscheduler.runner import Run
from jobscheduler.scheduler.decided_ahead import (
    CLOCK_MEMORY_S,
    NOTHING_AHEAD,
    DecidedAhead,
    clock_set_back,
    cursor_passed,
    time_passed,
)
from jobscheduler.scheduler.job_entry import CORRECTS, JobEntry
from jobscheduler.timetable.definition_hash import definition_hash
from jobscheduler.timetable.slots import Decision, JobSituation, MissedSlots
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.spans import TICK, Span, clip

REMOVED_JOB_MEMORY = timedelta(days=2)
"""How long the last slot of a deleted job is remembered, besides its `catch_up`: put back, it must not run again."""

REOPENABLE_REASONS = frozenset({"down", "asleep", "stalled", "clock"})
"""Why slots may be missed of which it may turn out that their time has not come yet."""

_MAX_MEMORY = timedelta(days=400)
_ASKED = (("by", ""), ("trigger", "manual"))  # what is kept of a run by hand, and what it is without
_SWEEP_AFTER = 1000  # so many deleted jobs are remembered before the first is looked at


class JobRegistry:
    """Every job in force, with its last slot decided; also of jobs that are gone, for as long as that matters.

    `being_put` are the jobs that are in force already and for which no wake-up is set yet. `settled_to` is up to when
    slots have been decided by a clock that only goes on: set back, it begins anew, and `ahead` is how far it had come.
    No job's slots were decided before `floor`, as far as is known.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, JobEntry] = {}
        self.paused: set[str] = set()
        self.being_added: set[str] = set()
        self.settled_floor = self.accounted_since = EPOCH
        self.clock_ahead: datetime | None = None
        self._last: dict[str, datetime] = {}
        self._removed: dict[str, _Gone] = {}
        self._sweep_at = _SWEEP_AFTER
        self._jittered: set[str] = set()
        self.surviving: set[str] = set()

    # -- what is in force

    def get(self, job_id: str) -> JobEntry | None:
        """Return what is known of a job that is in force, or of which a run still goes on."""
        return self.jobs.get(job_id)

    def get_or_create(self, job: Job, timetable: Timetable, now: datetime) -> JobEntry:
        """Return the entry of a job, a new one if there is none; it is not one of the gone any more."""
        gone = self._removed.pop(job.id, None)
        known = self.jobs.get(job.id)
        if known is None:
            since, beyond = (gone.since, gone.beyond) if gone else (now, NOTHING_AHEAD)
            known = self.jobs[job.id] = JobEntry(
                job, timetable, self.initial_cursor(job, now), since, decided_ahead=beyond
            )
        return known

    def is_new(self, job_id: str) -> bool:
        """Tell whether this service has had nothing to do with a job so far."""
        return job_id not in self.jobs and job_id not in self._removed

    def set_definition(self, entry: JobEntry, job: Job, timetable: Timetable) -> None:
        """Let a definition take the place of the former one."""
        entry.job, entry.timetable, entry.is_active, entry.definition_hash = job, timetable, True, definition_hash(job)
        (self._jittered.add if job.jitter else self._jittered.discard)(job.id)

    def remove(self, entry: JobEntry, now: datetime) -> None:
        """Take a definition out of force; its last slot is remembered."""
        job = entry.job
        self._jittered.discard(job.id)
        entry.is_active = False
        self._discard_if_unused(entry)
        self._remember(entry, now)

    def _discard_if_unused(self, entry: JobEntry) -> None:
        """Forget an entry that is neither in force nor has a run."""
        if entry.is_idle and not entry.is_active:
            del self.jobs[entry.job.id]

    def _remember(self, entry: JobEntry, now: datetime) -> None:
        """Keep the last slot of a deleted job for as long as that could come to run again, and of others no longer."""
        until = now + REMOVED_JOB_MEMORY + min(timedelta(seconds=min(entry.job.catch_up, 1e9)), _MAX_MEMORY)
        until = max([until, *(last + REMOVED_JOB_MEMORY for _, last in entry.decided_ahead.decided)])
        self._removed[entry.job.id] = _Gone(until, entry.since, entry.decided_ahead)
        if len(self._removed) < self._sweep_at:
            return
        for job_id in [one for one, gone in self._removed.items() if gone.until < now]:
            del self._removed[job_id]
            self._last.pop(job_id, None)
        self._sweep_at = 2 * len(self._removed) + _SWEEP_AFTER

    def run_ended(self, record: Record) -> Run | None:
        """Take away the run that has this record; return the one that waited for its end, if it is its turn."""
        entry = self.jobs.get(record.job_id)
        if entry is None:
            return None
        waiting = entry.run_ended(record.run_id or "")
        if entry.surviving_run:
            self.surviving.add(record.job_id)
        self._discard_if_unused(entry)
        return waiting

    def keep_surviving(self, alive: Container[str]) -> list[Run]:
        """Forget the runs that linger but for these (their ids); return those that waited for that."""
        turns = []
        for entry in [self.jobs[job_id] for job_id in self.surviving if job_id in self.jobs]:
            entry.surviving_run = [run for run in entry.surviving_run if run.run_id in alive]
            if not entry.surviving_run:
                self.surviving.discard(entry.job.id)
                turns.append(entry.start_queued())
                self._discard_if_unused(entry)
        return [run for run in turns if run is not None]

    def situation(self, entry: JobEntry) -> JobSituation:
        """How a job stands when its slots are decided."""
        return entry.situation(paused=entry.job.id in self.paused)

    def snapshot(self, job_ids: Iterable[str] | None) -> list[JobEntry]:
        """Return entries as they are now: of these jobs as far as they are known, or of all."""
        names = self.jobs.keys() if job_ids is None else [one for one in job_ids if one in self.jobs]
        return [replace(self.jobs[one]) for one in names]

    # -- what has been decided

    def last_decided(self, job_id: str) -> datetime:
        """Return the last slot of a job that was decided; the epoch if none was."""
        return self._last.get(job_id, EPOCH)

    def note_decided(self, job_id: str, slot: datetime) -> None:
        """Take note that a slot was decided, before this start or by this service."""
        if slot > self.last_decided(job_id):
            self._last[job_id] = slot

    def decide(self, entry: JobEntry, cursor: datetime) -> None:
        """Take note that the slots of a job are decided up to there."""
        entry.cursor = self._last[entry.job.id] = cursor

    def pop(self, entry: JobEntry, decision: Decision, elapsed: float) -> None:
        """Take note of what was decided of a job. `elapsed` are seconds of the clock that is never set."""
        self.decide(entry, decision.cursor)
        if decision.missed or entry.decided_ahead is not NOTHING_AHEAD:
            self._advance(entry, decision, elapsed + CLOCK_MEMORY_S)

    def _advance(self, entry: JobEntry, decision: Decision, until: float) -> None:
        """Remember what was missed: should the clock be set back, its time has not come yet."""
        first = min((slot - TICK for slot, _ in decision.actions), default=decision.cursor)
        still = (one for one in clip(entry.decided_ahead.reopened, EPOCH, first) if _has_slot(entry.timetable, one))
        fresh = ((one.first, one.last) for one in decision.missed if one.reason in REOPENABLE_REASONS)
        entry.decided_ahead = (
            cursor_passed(entry.decided_ahead, decision.cursor, [*still, *fresh], until) or NOTHING_AHEAD
        )

    def initial_cursor(self, job: Job, now: datetime) -> datetime:
        """Return from where on slots of a definition count: from now on, but none twice; a one-time slot always."""
        last = self.last_decided(job.id)
        return last if isinstance(job.schedule, Once) else max(now, last)

    def pop_jittering_slot(self, entry: JobEntry, now: datetime) -> datetime | None:
        """Take the slot that only jitter has not let start yet, if there is one; jitter ends before the next slot."""
        if entry.job.jitter <= 0 or not entry.is_schedulable:
            return None
        slot = entry.next()
        if slot is None or slot > now:
            return None
        self.decide(entry, slot)
        return slot

    # -- a clock that was set back

    def live(self, now: datetime) -> timedelta:
        """Take note of the time, and tell by how much it is before what it has been."""
        behind = self.settled_floor - now
        self.settled_floor = max(self.settled_floor, now)
        if self.clock_ahead is not None and now >= self.clock_ahead:
            self.clock_ahead = None
        return behind

    def clock_set_back(self, now: datetime, elapsed: float) -> list[JobEntry]:
        """Let time be `now` again; return the jobs in force of which slots after that had been decided.

        What was decided stays so, but for what was only missed.
        """
        self.clock_ahead = max(self.settled_floor, self.clock_ahead or self.settled_floor)
        self.settled_floor = now
        turned = [entry for entry in self.jobs.values() if entry.cursor > now]
        for entry in turned:
            entry.since, entry.decided_ahead = _entry_after_clock_set_back(
                entry.since, entry.cursor, entry.decided_ahead, now, elapsed
            )
            entry.cursor = now
        for job_id, gone in self._removed.items():
            since, beyond = _entry_after_clock_set_back(
                gone.since, self.last_decided(job_id), gone.beyond, now, elapsed
            )
            self._removed[job_id] = replace(gone, since=since, beyond=beyond)
        self._last = {job_id: min(slot, now) for job_id, slot in self._last.items()}
        return [entry for entry in turned if entry.is_schedulable]

    def remember_missed(self, job_id: str, missed: MissedSlots, now: datetime, elapsed: float) -> None:
        """Remember the slot of a one-time job that was over when it came: should the clock be set back, it may run."""
        self._last[job_id] = missed.last
        beyond = cursor_passed(
            NOTHING_AHEAD,
            missed.last,
            [(missed.first, missed.last)] if missed.reason in REOPENABLE_REASONS else [],
            elapsed + CLOCK_MEMORY_S,
        )
        self._removed[job_id] = _Gone(now + REMOVED_JOB_MEMORY, missed.first - TICK, beyond)

    def with_slots_over(self, now: datetime) -> list[tuple[Timetable, tuple[Span, ...]]]:
        """Return the timetable of each job of which slots to come are over, with those, while the clock is behind."""
        if self.clock_ahead is None or self.clock_ahead <= now:
            return []
        entries = self.jobs.values()
        return [
            (entry.timetable, entry.decided_ahead.decided)
            for entry in entries
            if entry.decided_ahead.decided and entry.is_schedulable
        ]

    def restore_state(self, entry: JobEntry, since: datetime, beyond: DecidedAhead) -> None:
        """Take over what a service before this one knew of a job."""
        entry.since, entry.decided_ahead = since, beyond or NOTHING_AHEAD

    # -- what a mark says

    def settled_until(self, now: datetime, due: Iterable[str]) -> tuple[datetime, tuple[PendingSlot, ...]]:
        """Return up to when every slot has been decided, and for which jobs only up to another instant.

        `due` are the jobs whose wake-up has come.

        What nobody has decided yet of a job that is due follows its cursor. Without telling these apart from the
        others, of which slots at the same instant have run, a start would either lose some or run others again.
        """
        settled = self.settled_floor = max(now, self.settled_floor)
        undecided = {*self.being_added, *due, *self._jittered}
        entries = [(job_id, self.jobs[job_id]) for job_id in undecided if job_id in self.jobs]
        return settled, tuple((job_id, one.cursor) for job_id, one in entries if one.has_undecided_slot(settled))

    def checkpoint(
        self, settled: datetime, late: tuple[PendingSlot, ...], boot: str, up: float, full: FullCheckpoint | None
    ) -> Checkpoint:
        """Return the mark that says so, with all that has begun or waits."""
        begun: list[InFlightRun] = []
        waits: list[PendingSlot] = []
        corrects: list[PendingSlot] = []
        for job_id, run in self._runs():
            if run.scheduled is not None and CORRECTS[0] in run.extra:
                corrects.append((job_id, run.scheduled))
            if run.attempts or run.scheduled is None:
                by, trigger = (str(dict(run.extra).get(key, default)) for key, default in _ASKED)
                begun.append(InFlightRun(job_id, run.run_id, run.scheduled, run.started_at, by, trigger))
            else:
                waits.append((job_id, run.scheduled))
        return Checkpoint(settled, boot, tuple(begun), tuple(waits), late, tuple(corrects), self.clock_ahead, up, full)

    def full(self, host: str, elapsed: float) -> FullCheckpoint:
        """Return what a full checkpoint says besides: every definition that has slots, and what the clock has done."""
        entries, floor = self.jobs.items(), self.accounted_since
        hashes = {job_id: one.definition_hash for job_id, one in entries if one.is_active and one.job.enabled}
        since = {job_id: one.since for job_id, one in entries if one.since is not floor and one.since != floor}
        set_: dict[str, DecidedAhead] = {}
        for job_id, one in entries:
            if one.decided_ahead is not NOTHING_AHEAD:
                set_[job_id] = one.decided_ahead = time_passed(one.decided_ahead, elapsed) or NOTHING_AHEAD
        for job_id, gone in self._removed.items():
            if gone.beyond:
                set_[job_id], since[job_id] = gone.beyond, gone.since
        missed = {
            job_id: tuple((m.first, m.last, max(0.0, CLOCK_MEMORY_S - (m.open_until - elapsed))) for m in one.missed)
            for job_id, one in set_.items()
        }
        over = {job_id: one.decided for job_id, one in set_.items()}
        return FullCheckpoint(
            host, floor, hashes, since, over, {job_id: one.reopened for job_id, one in set_.items()}, missed
        )

    def _runs(self) -> Iterator[tuple[str, Run]]:
        for job_id, entry in self.jobs.items():
            for run in entry.active_runs:
                yield job_id, run
            if entry.queued_run is not None:
                yield job_id, entry.queued_run


@dataclass(frozen=True, slots=True)
class _Gone:
    """What is remembered, until then, of a job that is not in force any more, besides its last slot."""

    until: datetime
    since: datetime
    beyond: DecidedAhead


def _entry_after_clock_set_back(
    since: datetime, cursor: datetime, beyond: DecidedAhead, now: datetime, elapsed: float
) -> tuple[datetime, DecidedAhead]:
    """Return from when on slots are decided, and what is beyond, when the clock was set back to `now`."""
    decided: list[Span] = [(min(since + TICK, cursor), cursor)] if cursor > now else []
    return min(since, now), clock_set_back(beyond, decided, now, elapsed) or NOTHING_AHEAD


def _has_slot(timetable: Timetable, span: Span) -> bool:
    slot = timetable.next(span[0] - TICK)
    return slot is not None and slot <= span[1]
