"""The runtime entry of one job: its definition, its cursor and its runs."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from jobscheduler.model import EPOCH, FOREVER, InFlightRun, Job, LogFields
from jobscheduler.runner import Run
from jobscheduler.scheduler.clock_setback import NO_SETBACK, ClockSetbackState
from jobscheduler.timetable.overlap import JobSituation, Overlap
from jobscheduler.timetable.slots import next_slot
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.time_spans import TICK

MAX_UNKILLABLE_RUNS = 16  # of one job, the latest; older ones with living processes are forgotten


class PendingSlot(NamedTuple):
    """A slot that is due and has not begun; `starts` is given while it is not decided yet."""

    scheduled: datetime
    starts: datetime | None = None
    extra: LogFields = ()


@dataclass(slots=True)
class JobEntry:
    """One job: its definition, the last slot decided (`cursor`), and its runs.

    Slots are decided from `since` on; `setback` adds what is different for a clock that was set.
    `runs_elsewhere` are the runs that were at work on other services when this one began to lead, by their ids.
    `unkillable_runs` have their record, but processes of them could not be killed: they count as overlap.
    `is_new`: what is known of its slots before this start was not taken over yet.
    The entry outlives its definition while a run is active: a job that comes back still overlaps with that run.
    """

    job: Job
    timetable: Timetable
    cursor: datetime
    since: datetime = EPOCH
    definition_hash: str = ""
    setback: ClockSetbackState = NO_SETBACK
    is_active: bool = True
    is_new: bool = False
    active_runs: list[Run] = field(default_factory=list)
    queued_run: Run | None = None
    unkillable_runs: list[Run] = field(default_factory=list)
    runs_elsewhere: dict[str, InFlightRun] = field(default_factory=dict)

    @property
    def is_schedulable(self) -> bool:
        """Whether the job has slots."""
        return self.is_active and self.job.enabled

    @property
    def is_idle(self) -> bool:
        """Whether the job has no active, queued or unkillable run."""
        return not (self.active_runs or self.queued_run is not None or self.unkillable_runs or self.runs_elsewhere)

    def next(self) -> datetime | None:
        """Return the next undecided slot."""
        decided = self.setback.decided
        return next_slot(self.timetable, self.cursor, decided) if decided else self.timetable.next(self.cursor)

    def next_of_enabled(self) -> datetime | None:
        """Return the next undecided slot of an enabled job."""
        return self.next() if self.job.enabled else None

    def undecided_slots(self, since: datetime | None = None) -> Iterator[datetime]:
        """Return the undecided slots, in order; none before `since`, none at all if that is `FOREVER`."""
        if since is not None and since >= FOREVER:
            return
        decided = self.setback.decided
        slot = next_slot(self.timetable, self.cursor if since is None else max(self.cursor, since - TICK), decided)
        while slot is not None:
            yield slot
            slot = next_slot(self.timetable, slot, self.setback.decided)

    def has_undecided_slot(self, settled: datetime) -> bool:
        """Whether a slot up to `settled` is due and undecided."""
        slot = self.next() if self.is_schedulable else None
        return slot is not None and slot <= settled

    def situation(self, paused_until: datetime | None = None) -> JobSituation:
        """Return the circumstances under which its slots are decided; those before an instant are paused."""
        is_running = bool(self.active_runs) or self.is_blocked() or bool(self.runs_elsewhere)
        return _situation(self.job.overlap, is_running, self.queued_run is not None, self.job.catch_up, paused_until)

    def pending_slots(self, now: datetime) -> list[PendingSlot]:
        """Return its pending slots; one that only waits for its jitter, or is just being decided, with its start."""
        runs = [run for run in (*self.active_runs, self.queued_run) if run is not None and not run.attempts]
        pending = [PendingSlot(run.scheduled, extra=run.extra) for run in runs if run.scheduled is not None]
        slot = self.next() if self.has_undecided_slot(now) else None
        if slot is not None:
            pending.append(PendingSlot(slot, self.timetable.start_time(slot)))
        return pending

    def run_ended(self, run_id: str) -> Run | None:
        """Remove a run that has ended; return the queued run if it may begin now."""
        self.unkillable_runs += [run for run in self.active_runs if run.run_id == run_id and run.unkillable]
        del self.unkillable_runs[:-MAX_UNKILLABLE_RUNS]
        self.active_runs = [run for run in self.active_runs if run.run_id != run_id]
        return self.start_queued()

    def is_blocked(self) -> bool:
        """Whether unkillable processes count as an active run. Not under `replace`, which stops that run anyway."""
        return bool(self.unkillable_runs) and self.job.overlap != Overlap.REPLACE

    def cancel_waiting(self, beginning: Container[Run]) -> list[Run]:
        """Cancel the runs that have not begun and are not `beginning`, without a record; return them."""
        runs = [run for run in (self.queued_run, *self.active_runs) if run is not None and run not in beginning]
        waiting = [run for run in runs if run.cancel()]
        self.queued_run = None
        self.active_runs = [run for run in self.active_runs if not run.is_cancelled]
        return waiting

    def forget_decisions(self) -> None:
        """Become inactive and new. Only runs at work are kept, which overlap with those to come."""
        self.is_active, self.is_new, self.setback = False, True, NO_SETBACK

    def note_elsewhere(self, runs: Iterable[InFlightRun]) -> None:
        """Note the runs that are at work on other services; those of this one are active here."""
        own = {run.run_id for run in self.active_runs}
        self.runs_elsewhere = {run.run_id: run for run in runs if run.run_id not in own}

    def start_queued(self) -> Run | None:
        """Move the queued run to the active ones, if nothing overlaps with it, and return it."""
        if self.active_runs or self.is_blocked() or self.runs_elsewhere:
            return None
        run, self.queued_run = self.queued_run, None
        if run is not None:
            self.active_runs.append(run)
        return run


@lru_cache(maxsize=1024)
def _situation(
    overlap: str, is_running: bool, has_queued: bool, catch_up: float, paused_until: datetime | None
) -> JobSituation:
    """Build a situation once for all jobs in the same one."""
    return JobSituation(Overlap(overlap), is_running, has_queued, timedelta(seconds=catch_up), paused_until)
