"""The ledger: what is in force, how far the slots of each job have been decided, and what a mark says of it.

It is ours and not APScheduler's store: a one-time job that has fired leaves that. It knows nothing of threads; whoever
has it calls it under one lock.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from jobscheduler.model import EPOCH, Begun, Full, Job, Mark, Once, Record, Wait
from jobscheduler.model.definition_hash import fingerprint
from jobscheduler.runner import Run
from jobscheduler.scheduler.decided_ahead import AGAIN, NOTHING, Beyond, cooled, passed, set_back
from jobscheduler.scheduler.job_entry import CORRECTS, Held
from jobscheduler.timetable.slots import Decision, Missed, Situation
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.spans import TICK, Span, within

REMEMBERED = timedelta(days=2)
"""How long the last slot of a deleted job is remembered, besides its `catch_up`: put back, it must not run again."""

OPEN = frozenset({"down", "asleep", "stalled", "clock"})
"""Why slots may be missed of which it may turn out that their time has not come yet."""

_LONGEST = timedelta(days=400)
_ASKED = (("by", ""), ("trigger", "manual"))  # what is kept of a run by hand, and what it is without
_SWEEP = 1000  # so many deleted jobs are remembered before the first is looked at


class Ledger:
    """Every job in force, with its last slot decided; also of jobs that are gone, for as long as that matters.

    `being_put` are the jobs that are in force already and for which no wake-up is set yet. `settled_to` is up to when
    slots have been decided by a clock that only goes on: set back, it begins anew, and `ahead` is how far it had come.
    No job's slots were decided before `floor`, as far as is known.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, Held] = {}
        self.paused: set[str] = set()
        self.being_put: set[str] = set()
        self.settled_to = self.floor = EPOCH
        self.ahead: datetime | None = None
        self._last: dict[str, datetime] = {}
        self._gone: dict[str, _Gone] = {}
        self._sweep_at = _SWEEP
        self._jittered: set[str] = set()
        self.lingering: set[str] = set()

    # -- what is in force

    def get(self, job_id: str) -> Held | None:
        """Return what is known of a job that is in force, or of which a run still goes on."""
        return self.jobs.get(job_id)

    def enter(self, job: Job, timetable: Timetable, now: datetime) -> Held:
        """Return the entry of a job, a new one if there is none; it is not one of the gone any more."""
        gone = self._gone.pop(job.id, None)
        known = self.jobs.get(job.id)
        if known is None:
            since, beyond = (gone.since, gone.beyond) if gone else (now, NOTHING)
            known = self.jobs[job.id] = Held(job, timetable, self.cursor_of(job, now), since, beyond=beyond)
        return known

    def is_new(self, job_id: str) -> bool:
        """Tell whether this service has had nothing to do with a job so far."""
        return job_id not in self.jobs and job_id not in self._gone

    def define(self, entry: Held, job: Job, timetable: Timetable) -> None:
        """Let a definition take the place of the former one."""
        entry.job, entry.timetable, entry.in_force, entry.digits = job, timetable, True, fingerprint(job)
        (self._jittered.add if job.jitter else self._jittered.discard)(job.id)

    def strike(self, entry: Held, now: datetime) -> None:
        """Take a definition out of force; its last slot is remembered."""
        job = entry.job
        self._jittered.discard(job.id)
        entry.in_force = False
        self._leave(entry)
        self._remember(entry, now)

    def _leave(self, entry: Held) -> None:
        """Forget an entry that is neither in force nor has a run."""
        if entry.is_idle and not entry.in_force:
            del self.jobs[entry.job.id]

    def _remember(self, entry: Held, now: datetime) -> None:
        """Keep the last slot of a deleted job for as long as that could come to run again, and of others no longer."""
        until = now + REMEMBERED + min(timedelta(seconds=min(entry.job.catch_up, 1e9)), _LONGEST)
        until = max([until, *(last + REMEMBERED for _, last in entry.beyond.over)])
        self._gone[entry.job.id] = _Gone(until, entry.since, entry.beyond)
        if len(self._gone) < self._sweep_at:
            return
        for job_id in [one for one, gone in self._gone.items() if gone.until < now]:
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

    def take(self, entry: Held, decision: Decision, elapsed: float) -> None:
        """Take note of what was decided of a job. `elapsed` are seconds of the clock that is never set."""
        self.decide(entry, decision.cursor)
        if decision.missed or entry.beyond is not NOTHING:
            self._pass(entry, decision, elapsed + AGAIN)

    def _pass(self, entry: Held, decision: Decision, until: float) -> None:
        """Remember what was missed: should the clock be set back, its time has not come yet."""
        first = min((slot - TICK for slot, _ in decision.acts), default=decision.cursor)
        still = (one for one in within(entry.beyond.again, EPOCH, first) if _has_slot(entry.timetable, one))
        fresh = ((one.first, one.last) for one in decision.missed if one.reason in OPEN)
        entry.beyond = passed(entry.beyond, decision.cursor, [*still, *fresh], until) or NOTHING

    def cursor_of(self, job: Job, now: datetime) -> datetime:
        """Return from where on slots of a definition count: from now on, but none twice; a one-time slot always."""
        last = self.last_of(job.id)
        return last if isinstance(job.schedule, Once) else max(now, last)

    def take_delayed(self, entry: Held, now: datetime) -> datetime | None:
        """Take the slot that only jitter has not let start yet, if there is one; jitter ends before the next slot."""
        if entry.job.jitter <= 0 or not entry.is_live:
            return None
        slot = entry.next()
        if slot is None or slot > now:
            return None
        self.decide(entry, slot)
        return slot

    # -- a clock that was set back

    def live(self, now: datetime) -> timedelta:
        """Take note of the time, and tell by how much it is before what it has been."""
        behind = self.settled_to - now
        self.settled_to = max(self.settled_to, now)
        if self.ahead is not None and now >= self.ahead:
            self.ahead = None
        return behind

    def turn_back(self, now: datetime, elapsed: float) -> list[Held]:
        """Let time be `now` again; return the jobs in force of which slots after that had been decided.

        What was decided stays so, but for what was only missed.
        """
        self.ahead = max(self.settled_to, self.ahead or self.settled_to)
        self.settled_to = now
        turned = [entry for entry in self.jobs.values() if entry.cursor > now]
        for entry in turned:
            entry.since, entry.beyond = _turned(entry.since, entry.cursor, entry.beyond, now, elapsed)
            entry.cursor = now
        for job_id, gone in self._gone.items():
            since, beyond = _turned(gone.since, self.last_of(job_id), gone.beyond, now, elapsed)
            self._gone[job_id] = replace(gone, since=since, beyond=beyond)
        self._last = {job_id: min(slot, now) for job_id, slot in self._last.items()}
        return [entry for entry in turned if entry.is_live]

    def remember_missed(self, job_id: str, missed: Missed, now: datetime, elapsed: float) -> None:
        """Remember the slot of a one-time job that was over when it came: should the clock be set back, it may run."""
        self._last[job_id] = missed.last
        beyond = passed(
            NOTHING, missed.last, [(missed.first, missed.last)] if missed.reason in OPEN else [], elapsed + AGAIN
        )
        self._gone[job_id] = _Gone(now + REMEMBERED, missed.first - TICK, beyond)

    def with_slots_over(self, now: datetime) -> list[tuple[Timetable, tuple[Span, ...]]]:
        """Return the timetable of each job of which slots to come are over, with those, while the clock is behind."""
        if self.ahead is None or self.ahead <= now:
            return []
        entries = self.jobs.values()
        return [(entry.timetable, entry.beyond.over) for entry in entries if entry.beyond.over and entry.is_live]

    def recall_state(self, entry: Held, since: datetime, beyond: Beyond) -> None:
        """Take over what a service before this one knew of a job."""
        entry.since, entry.beyond = since, beyond or NOTHING

    # -- what a mark says

    def settle(self, now: datetime, due: Iterable[str]) -> tuple[datetime, tuple[Wait, ...]]:
        """Return up to when every slot has been decided, and for which jobs only up to another instant.

        `due` are the jobs whose wake-up has come.

        What nobody has decided yet of a job that is due follows its cursor. Without telling these apart from the
        others, of which slots at the same instant have run, a start would either lose some or run others again.
        """
        settled = self.settled_to = max(now, self.settled_to)
        undecided = {*self.being_put, *due, *self._jittered}
        entries = [(job_id, self.jobs[job_id]) for job_id in undecided if job_id in self.jobs]
        return settled, tuple((job_id, one.cursor) for job_id, one in entries if one.is_late(settled))

    def mark(self, settled: datetime, late: tuple[Wait, ...], boot: str, up: float, full: Full | None) -> Mark:
        """Return the mark that says so, with all that has begun or waits."""
        begun: list[Begun] = []
        waits: list[Wait] = []
        corrects: list[Wait] = []
        for job_id, run in self._runs():
            if run.scheduled is not None and CORRECTS[0] in run.extra:
                corrects.append((job_id, run.scheduled))
            if run.attempts or run.scheduled is None:
                by, trigger = (str(dict(run.extra).get(key, default)) for key, default in _ASKED)
                begun.append(Begun(job_id, run.run_id, run.scheduled, run.started, by, trigger))
            else:
                waits.append((job_id, run.scheduled))
        return Mark(settled, boot, tuple(begun), tuple(waits), late, tuple(corrects), self.ahead, up, full)

    def full(self, host: str, elapsed: float) -> Full:
        """Return what a full checkpoint says besides: every definition that has slots, and what the clock has done."""
        entries, floor = self.jobs.items(), self.floor
        hashes = {job_id: one.digits for job_id, one in entries if one.in_force and one.job.enabled}
        since = {job_id: one.since for job_id, one in entries if one.since is not floor and one.since != floor}
        set_: dict[str, Beyond] = {}
        for job_id, one in entries:
            if one.beyond is not NOTHING:
                set_[job_id] = one.beyond = cooled(one.beyond, elapsed) or NOTHING
        for job_id, gone in self._gone.items():
            if gone.beyond:
                set_[job_id], since[job_id] = gone.beyond, gone.since
        missed = {
            job_id: tuple((m.first, m.last, max(0.0, AGAIN - (m.until - elapsed))) for m in one.missed)
            for job_id, one in set_.items()
        }
        over = {job_id: one.over for job_id, one in set_.items()}
        return Full(host, floor, hashes, since, over, {job_id: one.again for job_id, one in set_.items()}, missed)

    def _runs(self) -> Iterator[tuple[str, Run]]:
        for job_id, entry in self.jobs.items():
            for run in entry.going:
                yield job_id, run
            if entry.waiting is not None:
                yield job_id, entry.waiting


@dataclass(frozen=True, slots=True)
class _Gone:
    """What is remembered, until then, of a job that is not in force any more, besides its last slot."""

    until: datetime
    since: datetime
    beyond: Beyond


def _turned(
    since: datetime, cursor: datetime, beyond: Beyond, now: datetime, elapsed: float
) -> tuple[datetime, Beyond]:
    """Return from when on slots are decided, and what is beyond, when the clock was set back to `now`."""
    decided: list[Span] = [(min(since + TICK, cursor), cursor)] if cursor > now else []
    return min(since, now), set_back(beyond, decided, now, elapsed) or NOTHING


def _has_slot(timetable: Timetable, span: Span) -> bool:
    slot = timetable.next(span[0] - TICK)
    return slot is not None and slot <= span[1]
