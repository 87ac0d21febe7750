"""The ledger: what is in force, how far the slots of each job have been decided, and what a mark says of it.

It is ours and not APScheduler's store: a one-time job that has fired leaves that. It knows nothing of threads; whoever
has it calls it under one lock.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from jobscheduler.model import Begun, Job, Mark, Once, Record, Wait
from jobscheduler.runner import Run
from jobscheduler.scheduler.before import EPOCH
from jobscheduler.scheduler.held import Held
from jobscheduler.slots import Situation
from jobscheduler.timetable import Timetable

REMEMBERED = timedelta(days=2)
"""How long the last slot of a deleted job is remembered, besides its `catch_up`: put back, it must not run again."""

_LONGEST = timedelta(days=400)
_SWEEP = 1000  # so many deleted jobs are remembered before the first is looked at


class Ledger:
    """Every job in force, with its last slot decided; also of jobs that are gone, for as long as that matters.

    `being_put` are the jobs that are in force already and for which no wake-up is set yet. `settled_to` is up to when
    slots have been decided: later than now while a clock that was set back catches up.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Held] = {}
        self.paused: set[str] = set()
        self.being_put: set[str] = set()
        self.settled_to = EPOCH
        self._last: dict[str, datetime] = {}
        self._gone: dict[str, datetime] = {}
        self._sweep_at = _SWEEP
        self._jittered: set[str] = set()
        self.lingering: set[str] = set()

    # -- what is in force

    def get(self, job_id: str) -> Held | None:
        """Return what is known of a job that is in force, or of which a run still goes on."""
        return self.jobs.get(job_id)

    def enter(self, job: Job, timetable: Timetable, now: datetime) -> Held:
        """Return the entry of a job, a new one if there is none; it is not one of the gone any more."""
        self._gone.pop(job.id, None)
        known = self.jobs.get(job.id)
        if known is None:
            known = self.jobs[job.id] = Held(job, timetable, self.cursor_of(job, now))
        return known

    def define(self, entry: Held, job: Job, timetable: Timetable) -> None:
        """Let a definition take the place of the former one."""
        entry.job, entry.timetable, entry.in_force = job, timetable, True
        (self._jittered.add if job.jitter else self._jittered.discard)(job.id)

    def strike(self, entry: Held, now: datetime) -> None:
        """Take a definition out of force; its last slot is remembered."""
        job = entry.job
        self._jittered.discard(job.id)
        entry.in_force = False
        self._leave(entry)
        self._remember(job, now)

    def _leave(self, entry: Held) -> None:
        """Forget an entry that is neither in force nor has a run."""
        if entry.is_idle and not entry.in_force:
            del self.jobs[entry.job.id]

    def _remember(self, job: Job, now: datetime) -> None:
        """Keep the last slot of a deleted job for as long as that could come to run again, and of others no longer."""
        self._gone[job.id] = now + REMEMBERED + min(timedelta(seconds=min(job.catch_up, 1e9)), _LONGEST)
        if len(self._gone) < self._sweep_at:
            return
        for job_id in [one for one, until in self._gone.items() if until < now]:
            del self._gone[job_id]
            self._last.pop(job_id, None)
        self._sweep_at = 2 * len(self._gone) + _SWEEP

    def let_go(self, record: Record) -> Run | None:
        """Take away the run that has this record; return the one that waited for its end, if it is its turn."""
        entry = self.jobs.get(record.job_id)
        if entry is None:
            return None
        waiting = entry.let_go(record.run_id or "")
        if entry.lingering:
            self.lingering.add(record.job_id)
        self._leave(entry)
        return waiting

    def let_linger(self, alive: Container[str]) -> list[Run]:
        """Forget the runs that linger but for these (their ids); return those that waited for that."""
        turns = []
        for entry in [self.jobs[job_id] for job_id in self.lingering if job_id in self.jobs]:
            entry.lingering = [run for run in entry.lingering if run.run_id in alive]
            if not entry.lingering:
                self.lingering.discard(entry.job.id)
                turns.append(entry.take_turn())
                self._leave(entry)
        return [run for run in turns if run is not None]

    def situation(self, entry: Held) -> Situation:
        """How a job stands when its slots are decided."""
        return entry.situation(paused=entry.job.id in self.paused)

    def copied(self, job_ids: Iterable[str] | None) -> list[Held]:
        """Return entries as they are now: of these jobs as far as they are known, or of all."""
        names = self.jobs.keys() if job_ids is None else [one for one in job_ids if one in self.jobs]
        return [replace(self.jobs[one]) for one in names]

    # -- what has been decided

    def last_of(self, job_id: str) -> datetime:
        """Return the last slot of a job that was decided; the epoch if none was."""
        return self._last.get(job_id, EPOCH)

    def recall(self, job_id: str, slot: datetime) -> None:
        """Take note that a slot was decided, before this start or by this service."""
        if slot > self.last_of(job_id):
            self._last[job_id] = slot

    def decide(self, entry: Held, cursor: datetime) -> None:
        """Take note that the slots of a job are decided up to there."""
        entry.cursor = self._last[entry.job.id] = cursor

    def cursor_of(self, job: Job, now: datetime) -> datetime:
        """Return from where on slots of a definition count: from now on, but none twice; a one-time slot always."""
        last = self.last_of(job.id)
        return last if isinstance(job.schedule, Once) else max(now, last)

    def take_delayed(self, entry: Held, now: datetime) -> datetime | None:
        """Take the slot that only jitter has not let start yet, if there is one; jitter ends before the next slot."""
        if entry.job.jitter <= 0 or not entry.is_live:
            return None
        slot = entry.timetable.next(entry.cursor)
        if slot is None or slot > now:
            return None
        self.decide(entry, slot)
        return slot

    def believe(self, now: datetime) -> list[Held]:
        """Let slots after `now` be due again, although they were decided; return the entries that have such slots."""
        self.settled_to = EPOCH
        entries = [entry for entry in self.jobs.values() if entry.in_force and entry.cursor > now]
        repeating = [entry for entry in entries if not isinstance(entry.job.schedule, Once)]
        for entry in repeating:
            entry.cursor = now
        once = {entry.job.id for entry in self.jobs.values() if isinstance(entry.job.schedule, Once)}
        self._last = {job_id: slot for job_id, slot in self._last.items() if slot <= now or job_id in once}
        return repeating

    # -- what a mark says

    def settle(self, now: datetime, due: Iterable[str]) -> tuple[datetime, tuple[Wait, ...]]:
        """Return up to when every slot has been decided, and for which jobs only up to another instant.

        `due` are the jobs whose wake-up has come.

        1. While a clock that was set back catches up, that is ahead of it: what has run must not run after a start.
        2. What nobody has decided yet of a job that is due follows its cursor. Without telling these apart from the
           others, of which slots at the same instant have run, a start would either lose some or run others again.
        """
        settled = self.settled_to = max(now, self.settled_to)
        undecided = {*self.being_put, *due, *self._jittered}
        entries = [(job_id, self.jobs[job_id]) for job_id in undecided if job_id in self.jobs]
        return settled, tuple((job_id, one.cursor) for job_id, one in entries if one.is_late(settled))

    def mark(self, settled: datetime, late: tuple[Wait, ...], boot: str) -> Mark:
        """Return the mark that says so, with all that has begun or waits."""
        begun: list[Begun] = []
        waits: list[Wait] = []
        for job_id, run in self._runs():
            if run.attempts or run.scheduled is None:
                by = str(dict(run.extra).get("by", ""))
                begun.append(Begun(job_id, run.run_id, run.scheduled, run.started, by))
            else:
                waits.append((job_id, run.scheduled))
        return Mark(settled, boot, tuple(begun), tuple(waits), late)

    def _runs(self) -> Iterator[tuple[str, Run]]:
        for job_id, entry in self.jobs.items():
            for run in entry.going:
                yield job_id, run
            if entry.waiting is not None:
                yield job_id, entry.waiting
