"""What is known about one job in force, and the records of slots that do not run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from jobscheduler.model import EPOCH, Event, InFlightRun, Job, Level, LogValue, Record, Status
from jobscheduler.runner import Run
from jobscheduler.scheduler.decided_ahead import NOTHING_AHEAD, DecidedAhead
from jobscheduler.timetable.slots import JobSituation, MissedSlots, Overlap, next_slot
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.spans import spans_text

_SPANS = 24
"""So many spans stand in one value of a line."""

SURVIVORS_NOTE = 16
"""Of so many runs of one job, the latest, it is known that processes of them live on."""


@dataclass(slots=True)
class JobEntry:
    """One job: its definition, the last slot decided (`cursor`), and what is going on.

    `lingering` are runs that have their record, and of which processes live on that could not be ended: they overlap.
    Slots are decided from `since` on; what else is of them when the clock was set is in `beyond`. `digits` are the hash
    of the definition.
    It outlives its definition while a run of it goes on: put back, the job still overlaps with that run.
    """

    job: Job
    timetable: Timetable
    cursor: datetime
    since: datetime = EPOCH
    definition_hash: str = ""
    decided_ahead: DecidedAhead = NOTHING_AHEAD
    is_active: bool = True
    active_runs: list[Run] = field(default_factory=list)
    queued_run: Run | None = None
    surviving_run: list[Run] = field(default_factory=list)

    @property
    def is_schedulable(self) -> bool:
        """Whether it has slots."""
        return self.is_active and self.job.enabled

    @property
    def is_idle(self) -> bool:
        """Whether no run of it goes on or waits."""
        return not self.active_runs and self.queued_run is None and not self.surviving_run

    def next(self) -> datetime | None:
        """Return the next slot that is not decided."""
        over = self.decided_ahead.decided
        return next_slot(self.timetable, self.cursor, over) if over else self.timetable.next(self.cursor)

    def slot_after(self) -> Iterator[datetime]:
        """List the slots that are not decided."""
        slot = self.next()
        while slot is not None:
            yield slot
            slot = next_slot(self.timetable, slot, self.decided_ahead.decided)

    def has_undecided_slot(self, settled: datetime) -> bool:
        """Whether a slot is due by then that nobody has decided."""
        slot = self.next() if self.is_schedulable else None
        return slot is not None and slot <= settled

    def situation(self, *, paused: bool = False) -> JobSituation:
        """How it stands when its slots are decided."""
        going = bool(self.active_runs) or self.is_blocked()
        return _situation(self.job.overlap, going, self.queued_run is not None, self.job.catch_up, paused)

    def pending_slot_events(self, now: datetime) -> list[Event]:
        """Tell of its slots that are due and have not begun: a start has to know of them whatever becomes of the file.

        Those that only jitter holds (or that are just being decided) are told with their start.
        """
        runs = [run for run in (*self.active_runs, self.queued_run) if run is not None and not run.attempts]
        events = [
            pending_event(self.job.id, run.scheduled, now, extra=run.extra) for run in runs if run.scheduled is not None
        ]
        slot = self.next() if self.has_undecided_slot(now) else None
        if slot is not None:
            events.append(pending_event(self.job.id, slot, now, starts=self.timetable.start_time(slot)))
        return events

    def run_ended(self, run_id: str) -> Run | None:
        """Take a run that has ended away; give the one that waited for that, if it is its turn."""
        self.surviving_run += [run for run in self.active_runs if run.run_id == run_id and run.survivors]
        del self.surviving_run[:-SURVIVORS_NOTE]
        self.active_runs = [run for run in self.active_runs if run.run_id != run_id]
        return self.start_queued()

    def is_blocked(self) -> bool:
        """Whether processes that could not be ended count as a run that goes on; not for who would end that run."""
        return bool(self.surviving_run) and self.job.overlap != Overlap.REPLACE

    def start_queued(self) -> Run | None:
        """Give the run that waits, if it is its turn."""
        if self.active_runs or self.is_blocked():
            return None
        waiting, self.queued_run = self.queued_run, None
        if waiting is not None:
            self.active_runs.append(waiting)
        return waiting


@lru_cache(maxsize=1024)
def _situation(overlap: str, going: bool, waiting: bool, catch_up: float, paused: bool) -> JobSituation:
    """Make it once for all jobs that stand alike."""
    return JobSituation(Overlap(overlap), going, waiting, timedelta(seconds=catch_up), paused)


def pending_event(
    job_id: str,
    slot: datetime,
    now: datetime,
    starts: datetime | None = None,
    extra: tuple[tuple[str, LogValue], ...] = (),
) -> Event:
    """The line that says that a slot is due and has not begun; `starts` is given if it has not been decided yet."""
    later = () if starts is None else (("starts", starts),)
    return Event(now, Level.INFO, "slot.waits", (("job_id", job_id), ("scheduled", slot), *later, *extra))


def decided_events(job_id: str, beyond: DecidedAhead, now: datetime) -> Iterator[Event]:
    """Say which slots to come of a job are decided (`over`), and which only a wrong clock missed (`again`).

    Each line but the first says by its `part` that it goes on with the one before; a line is not endless.
    """
    for part in range(0, max(len(beyond.decided), len(beyond.reopened)), _SPANS):
        told = {
            "over": spans_text(beyond.decided[part : part + _SPANS]),
            "again": spans_text(beyond.reopened[part : part + _SPANS]),
            "part": part // _SPANS + 1 if part else None,
        }
        values = ((key, value) for key, value in told.items() if value)
        yield Event(now, Level.INFO, "job.decided", (("job_id", job_id), *values))


def missed_record(job_id: str, missed: MissedSlots, now: datetime) -> Record:
    """The one record of some slots that will not run."""
    details: list[tuple[str, Any]] = []
    if missed.count > 1:
        details = [("last", missed.last), ("count", missed.count)]
    if missed.more:
        details.append(("more", True))
    if missed.corrects:
        details += CORRECTS
    return Record(now, Status.MISSED, job_id, scheduled=missed.first, reason=missed.reason, details=tuple(details))


CORRECTS: tuple[tuple[str, LogValue], ...] = (("corrects", "clock"),)
"""What the lines about a slot say that a wrong clock had missed before."""


def interrupted_record(one: InFlightRun, now: datetime, extra: tuple[tuple[str, LogValue], ...] = ()) -> Record:
    """The record of a run that a crash of the service interrupted, or kept from beginning."""
    details: list[tuple[str, LogValue]] = [] if one.scheduled is not None else [("trigger", one.trigger)]
    details += [*([("by", one.trigger_note)] if one.trigger_note else []), *extra]
    status, reason = (Status.MISSED, "down") if one.started is None else (Status.FAILURE, "interrupted")
    return Record(
        now, status, one.job_id, one.run_id, one.scheduled, one.started, reason=reason, details=tuple(details)
    )


def cancelled_record(run: Run, reason: str, now: datetime) -> Record:
    """The record of a slot, or of a run by hand, that waited and will not run."""
    run_id = run.run_id if run.scheduled is None else None
    return Record(now, Status.MISSED, run.job.id, run_id, scheduled=run.scheduled, reason=reason, details=run.extra)
