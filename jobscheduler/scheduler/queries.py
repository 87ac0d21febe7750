"""Answers questions about jobs and the scheduling thread; changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import replace
from datetime import datetime
from itertools import islice

from jobscheduler.model import Once, PauseIndex
from jobscheduler.runner import Run
from jobscheduler.scheduler.definition_changes import Phase
from jobscheduler.scheduler.engine import Engine
from jobscheduler.scheduler.job_entry import JobEntry
from jobscheduler.scheduler.pausing import Pausing
from jobscheduler.scheduler.runtime_memory import RuntimeMemory
from jobscheduler.scheduler.scheduler_runs import SchedulerRuns
from jobscheduler.scheduler.waker import Waker
from jobscheduler.scheduler.worker_pool import WorkerPool
from jobscheduler.status.snapshot import ActiveRun, Behind, JobRuntime
from jobscheduler.timetable.timetable import Timetable
from jobscheduler.util.time_spans import TimeSpan, span_at


class SchedulerQueries:
    """The read-only half of the scheduler: `runs` answers questions about runs. `pauses` also changes them.

    Lock: taken to copy entries, and released before slots are computed from the copies.
    """

    def __init__(
        self,
        lock: threading.Lock,
        engine: Engine,
        waker: Waker,
        pool: WorkerPool,
        clock: Callable[[], datetime],
        submit: Callable[[Run], object],
    ) -> None:
        """`submit` dispatches a run whose turn has come."""
        self._lock = lock
        self._engine = engine
        self._waker = waker
        self._pool = pool
        self._clock = clock
        self._runtimes = RuntimeMemory()
        self.pauses = Pausing(lock, engine, clock)
        self.runs = SchedulerRuns(lock, engine.registry, pool, submit)

    # -- jobs

    def next_slot(self, job_id: str) -> datetime | None:
        """Return the next slot of an active job; None if it has none, is disabled or unknown."""
        entry = self._schedulable(job_id)
        return None if entry is None else entry.next()

    def is_held(self, job_id: str) -> bool:
        """Return whether the time of a job does not count: it is paused, disabled, not in force, or over.

        It does not count here either while another service leads.

        Does not wait for the lock: a dictionary is asked, and an index of pauses that never changes.
        """
        if self._engine.phase is Phase.STANDBY:
            return True
        registry, now = self._engine.registry, self._clock()
        entry = registry.get(job_id)
        if entry is None or not entry.is_schedulable:
            return True
        job, pauses = entry.job, registry.pauses.index
        if pauses and pauses.in_force(job.id, job.tags, now):
            return True
        end = job.schedule.at if isinstance(job.schedule, Once) else job.not_after
        return end is not None and end < now and entry.is_idle

    def upcoming(self, job_id: str, count: int, *, with_paused: bool = False) -> list[tuple[datetime, datetime]]:
        """Return the next slots of a job, each with its start (later by its jitter).

        Slots that a pause will skip are left out, unless `with_paused`.
        """
        entry = self._schedulable(job_id)
        if entry is None:
            return []
        pauses = self._engine.registry.pauses.index
        slots = entry.undecided_slots(None if with_paused else pauses.paused_until(job_id, entry.job.tags))
        return [(slot, entry.timetable.start_time(slot)) for slot in islice(slots, count)]

    def decided_ahead(self, job_id: str) -> tuple[TimeSpan, ...]:
        """Return the future spans in which a job's slots were decided before the clock was set back.

        No slot in them is due again.
        """
        now, entry = self._clock(), self._schedulable(job_id)
        spans = () if entry is None else entry.setback.decided
        return tuple(span for span in spans if span[1] > now)

    def definition_hashes(self) -> dict[str, str]:
        """Return the hash of the definition of each job that has slots."""
        with self._lock:
            entries = list(self._engine.registry.jobs.values())
        return {entry.job.id: entry.definition_hash for entry in entries if entry.is_schedulable}

    def _schedulable(self, job_id: str) -> JobEntry | None:
        """Return a copy of a job's entry, if it has slots."""
        with self._lock:
            entry = self._engine.registry.get(job_id)
            return None if entry is None or not entry.is_schedulable else replace(entry)

    def runtimes(self, job_ids: Iterable[str] | None = None) -> list[JobRuntime]:
        """Return the runtime state of these jobs, or of all that are active or have an active run."""
        with self._lock:
            registry = self._engine.registry
            pauses, former = registry.pauses.index, self._runtimes
            entries = registry.entries(job_ids)
            known = [former.runtime_of(entry, pauses) or self._copied(entry) for entry in entries]
            if job_ids is None and len(former) > len(entries):
                former.forget_all_but(registry.jobs)
        now = self._clock()
        return [
            one if isinstance(one, JobRuntime) else former.keep(one[0], _runtime(*one, pauses, now), pauses)
            for one in known
        ]

    def _copied(self, entry: JobEntry) -> tuple[JobEntry, tuple[ActiveRun, ...]]:
        return copy(entry), self._active_runs(entry)

    def _active_runs(self, entry: JobEntry) -> tuple[ActiveRun, ...]:
        elsewhere = (ActiveRun(one.run_id, one.scheduled, one.started, 1) for one in entry.runs_elsewhere.values())
        runs = (*map(self._pool.describe, (*entry.active_runs, *entry.unkillable_runs)), *elsewhere)
        queued = entry.queued_run
        return runs if queued is None else (*runs, ActiveRun(queued.run_id, queued.scheduled, None, 1, "turn"))

    def behind_clock(self) -> Behind | None:
        """Return how many jobs wait because the clock was set back, and until when."""
        now = self._clock()
        with self._lock:
            is_behind = self._engine.progress.is_behind(now)
            decided = self._engine.registry.jobs_behind_clock() if is_behind else []
        return _behind(decided, now)

    @property
    def activity(self) -> int:
        """A number that grows with each decision, manual run and record."""
        return self._engine.actions.activity

    # -- the scheduling thread

    @property
    def loop_count(self) -> int:
        """How many rounds the scheduling thread has made."""
        return self._waker.loop_count

    def seconds_since_tick(self) -> float:
        """Return the seconds since the scheduling thread's last round; `wakeup` causes a round."""
        return self._waker.seconds_since_tick()

    def is_alive(self) -> bool:
        """Return whether the scheduling thread runs."""
        return self._waker.is_alive()

    def earliest(self) -> datetime | None:
        """Return the start of the next slot of all jobs."""
        return self._waker.next_wakeup()


def _runtime(entry: JobEntry, runs: tuple[ActiveRun, ...], pauses: PauseIndex, now: datetime) -> JobRuntime:
    job = entry.job
    paused_until = pauses.paused_until(job.id, job.tags) if pauses else None
    upcoming = next(entry.undecided_slots(paused_until), None) if entry.is_schedulable else None
    start = None if upcoming is None else entry.timetable.start_time(upcoming)
    return JobRuntime(job, upcoming, runs, pauses.in_force(job.id, job.tags, now) if pauses else (), start)


def _behind(jobs: Iterable[tuple[Timetable, tuple[TimeSpan, ...]]], now: datetime) -> Behind | None:
    """Count the jobs whose next slot lies in a decided span; a job with a slot before that does not wait."""
    slots = ((timetable.next(now), decided) for timetable, decided in jobs)
    spans = [span_at(slot, decided) for slot, decided in slots if slot is not None]
    ends = [span[1] for span in spans if span is not None]
    return Behind(max(ends) - now, max(ends), len(ends)) if ends else None
