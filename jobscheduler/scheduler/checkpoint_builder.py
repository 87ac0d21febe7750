"""Builds the checkpoint: the line up to which every slot is accounted for, and what a start needs besides.

Lock: the caller's. It is held until the line is queued, so that no decision falls between the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from jobscheduler.model import Checkpoint, FullCheckpoint, InFlightRun, PendingSlot, ZoneOffsets
from jobscheduler.scheduler.clock_progress import ClockProgress
from jobscheduler.scheduler.clock_setback import CLOCK_MEMORY_S, NO_SETBACK, ClockSetbackState, MissedSpan, time_passed
from jobscheduler.scheduler.records import CORRECTS
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.surroundings import Clocks, SchedulerHost
from jobscheduler.status.standings import Standings
from jobscheduler.timetable.crontab import to_epoch_seconds
from jobscheduler.timetable.former_rules import zone_offsets

_MANUAL_FIELDS = (("by", ""), ("trigger", "manual"))  # fields of a manual run in the checkpoint, and their defaults


class CheckpointBuilder:
    """Knows what the log lacks for a start, and builds the checkpoint that adds it.

    `accounted_since`: no slots before it were decided, as far as is known.
    """

    def __init__(
        self,
        registry: JobRegistry,
        progress: ClockProgress,
        *,
        due_jobs: Callable[[datetime], Iterable[str]],
        clocks: Clocks,
        host: SchedulerHost,
        standings: Standings,
    ) -> None:
        """`due_jobs` lists jobs with a wake-up up to an instant; the other arguments are as in `Scheduler`."""
        self._standings = standings
        self.accounted_since = clocks.now()
        self._registry = registry
        self._progress = progress
        self._due_jobs = due_jobs
        self._clocks = clocks
        self._host = host
        self._wants_full = True
        self._settled_at_stop: tuple[datetime, tuple[PendingSlot, ...]] | None = None

    def require_full(self) -> None:
        """Make the next checkpoint a full one: something has changed that no log line tells."""
        self._wants_full = True

    def written(self) -> None:
        """Note that the log has the last checkpoint."""
        self._wants_full = False

    def freeze(self) -> None:
        """Let no later checkpoint claim more slots than are decided now: from now on none is decided."""
        self._settled_at_stop = self._settled()

    def build(self, *, full: bool) -> Checkpoint:
        """Return the checkpoint of now, with all active runs and pending slots; a full one also if it is required."""
        settled, lagging = self._settled_at_stop or self._settled()
        elapsed = self._clocks.elapsed()
        self._registry.pauses.forget(min([settled, *(cursor for _, cursor in lagging)]))
        content = self._full_content(elapsed) if full or self._wants_full else None
        results = self._standings.for_checkpoint(None if content is None else self._registry.jobs)
        in_flight, pending, corrects = self._runs()
        progress = self._progress
        return Checkpoint(
            settled, self._host.boot, in_flight, pending, lagging, corrects, progress.ahead, elapsed, content, results
        )

    def _runs(self) -> tuple[tuple[InFlightRun, ...], tuple[PendingSlot, ...], tuple[PendingSlot, ...]]:
        """Return the active runs, the pending slots, and those of both kinds that a wrong clock had missed before."""
        in_flight: list[InFlightRun] = []
        pending: list[PendingSlot] = []
        corrects: list[PendingSlot] = []
        for job_id, run in self._registry.runs():
            if run.scheduled is not None and CORRECTS[0] in run.extra:
                corrects.append((job_id, run.scheduled))
            if run.attempts or run.scheduled is None:  # read once: the run may begin meanwhile
                by, trigger = (str(dict(run.extra).get(key, default)) for key, default in _MANUAL_FIELDS)
                in_flight.append(InFlightRun(job_id, run.run_id, run.scheduled, run.started_at, by, trigger))
            else:
                pending.append((job_id, run.scheduled))
        return tuple(in_flight), tuple(pending), tuple(corrects)

    def _settled(self) -> tuple[datetime, tuple[PendingSlot, ...]]:
        """Return up to when every slot is decided, and the lagging jobs with their cursors.

        The undecided slots of a due job follow its cursor. Other jobs may have run slots at the same instant, so
        without the cursors a start would lose slots or run some twice.
        """
        settled = self._progress.settled_floor = max(self._clocks.now(), self._progress.settled_floor)
        entries = self._registry.maybe_lagging(self._due_jobs(settled))
        return settled, tuple((entry.job.id, entry.cursor) for entry in entries if entry.has_undecided_slot(settled))

    def _full_content(self, elapsed: float) -> FullCheckpoint:
        """Return the additional content of a full checkpoint: every job with slots, and the effects of a set clock."""
        floor = self.accounted_since
        hashes, since = {}, {}
        ahead: dict[str, ClockSetbackState] = {}
        for job_id, entry in self._registry.jobs.items():
            if entry.is_schedulable:
                hashes[job_id] = entry.definition_hash
            if entry.since is not floor and entry.since != floor:
                since[job_id] = entry.since
            if entry.setback is not NO_SETBACK:
                ahead[job_id] = entry.setback = time_passed(entry.setback, elapsed) or NO_SETBACK
        for job_id, removed in self._registry.memory.removed_jobs():
            if removed.setback:
                ahead[job_id], since[job_id] = removed.setback, removed.since
        return FullCheckpoint(
            self._host.id,
            floor,
            hashes,
            since,
            {job_id: state.decided for job_id, state in ahead.items()},
            {job_id: state.reopened for job_id, state in ahead.items()},
            {job_id: tuple(_with_age(span, elapsed) for span in state.missed) for job_id, state in ahead.items()},
            self._registry.pauses.all(),
            zones=self._zones(),
        )

    def _zones(self) -> dict[str, ZoneOffsets]:
        """Return the rules by which fixed times are decided, for each zone."""
        timetables = (entry.timetable for entry in self._registry.jobs.values() if entry.is_schedulable)
        zones = {timetable.zone for timetable in timetables if timetable.has_fixed_times}
        now = to_epoch_seconds(self._clocks.now())
        return {zone.key: zone_offsets(zone, now) for zone in zones}


def _with_age(span: MissedSpan, elapsed: float) -> tuple[datetime, datetime, float]:
    """Return a missed span with its age in seconds."""
    return span.first, span.last, max(0.0, CLOCK_MEMORY_S - (span.open_until - elapsed))
