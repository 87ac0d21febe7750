"""APScheduler's classes as this scheduler needs them.

APScheduler drops and merges runs without a trace: a late run past its grace time, several due times at once. So grace
time and instances are unlimited, coalescing is on, and the executor passes the job's id on instead of calling the job.

What we override of APScheduler, and why:

| class                 | member               | why                                                                  |
|-----------------------|----------------------|----------------------------------------------------------------------|
| `BackgroundScheduler` | `remove_job`         | APScheduler's raises while the scheduler stops                       |
| `BackgroundScheduler` | `_dispatch_event`    | there are no listeners                                               |
| `BackgroundScheduler` | `_process_jobs`      | pauses between batches, counts rounds, wakes early                   |
| `MemoryJobStore`      | `add_job`            | times and ids in one key: a binary search in C takes a tenth         |
| `MemoryJobStore`      | `update_job`         | as above                                                             |
| `MemoryJobStore`      | `remove_job`         | as above                                                             |
| `MemoryJobStore`      | `get_due_jobs`       | hands out batches, so that a change need not wait for all due jobs   |
| `BasePoolExecutor`    | `submit_job`         | decides slots; counts no instances, because we decide about overlap  |
| `BasePoolExecutor`    | `shutdown`           | active runs may need a thread for their next attempt                 |
| `Job`                 | `__init__`           | `add_job` inspects the function at length, each time                 |
| `Job`                 | `_get_run_times`     | one wake-up is enough: slots come from the timetable                 |
| `Job`                 | `_modify`            | a time of our own trigger needs no check                             |
| `CronTrigger`         | `get_next_fire_time` | crontab's meaning instead of APScheduler's (see `triggers`)          |
| `DateTrigger`         | `get_next_fire_time` | a time that has passed is not returned again (see `triggers`)        |

Private members that we use besides:

| class                 | member               | why                                                                  |
|-----------------------|----------------------|----------------------------------------------------------------------|
| `BackgroundScheduler` | `_jobstores_lock`    | to put or remove a job in one step                                   |
| `BackgroundScheduler` | `_jobstores`         | to remove a job from the only store                                  |
| `BackgroundScheduler` | `_thread`            | `running` stays true when the thread has died                        |
| `MemoryJobStore`      | `_jobs`              | the sorted list: next job, due jobs; our entries have another key    |
| `MemoryJobStore`      | `_jobs_index`        | whether a job is there already                                       |
| `Job`                 | `_scheduler`         | set by our `__init__` as by APScheduler's                            |
| `Job`                 | `_jobstore_alias`    | the same for all wake-ups: there is one store                        |

`tests/unit/test_scheduler_apscheduler.py` fails when a release changes one of them, or when this list is incomplete.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import takewhile
from operator import itemgetter
from typing import Any, ClassVar

from apscheduler.executors.pool import BasePoolExecutor
from apscheduler.job import Job as ScheduledJob
from apscheduler.jobstores.base import ConflictingIdError, JobLookupError
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from jobscheduler.scheduler.run_threads import RunThreads

MAX_BATCH = 25  # due jobs handed out at a time; in between, another thread may change the active jobs
FIRST_BATCH = 3  # due jobs in the first batch, doubled for each further one, so that the first runs begin at once
BATCH_PAUSE_S = 0.001  # seconds between two batches
WAKE_EARLY_S = 0.03  # seconds; a thread that slept long is woken 0.1-5 ms late (CPU idle states, cold caches)
POLL_S = 0.002  # seconds; sleep step during the last `WAKE_EARLY_S`

_KEY = itemgetter(1)  # the key of an entry of the store

OnDue = Callable[[str, datetime], None]  # job id, time of the wake-up; called with APScheduler's locks held


class Executor(BasePoolExecutor):  # type: ignore[misc]
    """APScheduler's executor, which passes a due job to `on_due` instead of calling it."""

    def __init__(self, threads: RunThreads, on_due: OnDue) -> None:
        super().__init__(threads)
        self._on_due = on_due

    def submit_job(self, job: Any, run_times: list[datetime]) -> None:
        """Decide the slots of a due job."""
        self._on_due(job.id, run_times[-1])

    def shutdown(self, wait: bool = True) -> None:
        """Do nothing: `RunThreads.close` ends the pool later than APScheduler would."""


def _never_called() -> None:
    """Serve as the function of an APScheduler job; the executor does not call it."""


class Wakeup(ScheduledJob):  # type: ignore[misc]
    """The wake-up of one job, in the form of an APScheduler job. What all wake-ups have in common is the class's."""

    func, func_ref, args = staticmethod(_never_called), None, ()
    kwargs: ClassVar[dict[str, object]] = {}
    executor = _jobstore_alias = "default"
    misfire_grace_time = None  # a late run is late, not gone
    coalesce = True  # one wake-up is enough: slots come from the timetable
    max_instances = 1_000_000  # the overlap rule decides (timetable/overlap.py)

    def __init__(self, scheduler: BackgroundScheduler, job_id: str, trigger: BaseTrigger, at: datetime) -> None:
        self._scheduler = scheduler
        self.id = self.name = job_id
        self.trigger, self.next_run_time = trigger, at

    def _get_run_times(self, now: datetime) -> list[datetime]:
        """Return one time: all slots up to it are decided, and the next wake-up comes after it."""
        return [max(self.next_run_time, now)]

    def _modify(self, **changes: datetime) -> None:
        """Set the next time, from our own trigger."""
        self.next_run_time = changes["next_run_time"]


class JobStore(MemoryJobStore):  # type: ignore[misc]
    """APScheduler's store in memory, which hands out due jobs in batches.

    An entry of the list is a job and its key: the time in seconds since the epoch, and the id. Each run moves an entry,
    so neither a call for each comparison nor a time in pieces is affordable.
    """

    def __init__(self) -> None:
        super().__init__()
        self._batch_size = FIRST_BATCH

    def add_job(self, job: Wakeup) -> None:
        """Add a job. Raises: `ConflictingIdError` if there is one with its id."""
        if job.id in self._jobs_index:
            raise ConflictingIdError(job.id)
        self._insert(job)

    def update_job(self, job: Wakeup) -> None:
        """Move a job to its next time. Raises: `JobLookupError` if there is none with its id."""
        self.remove_job(job.id)
        self._insert(job)

    def remove_job(self, job_id: str) -> None:
        """Remove a job. Raises: `JobLookupError` if there is none with this id."""
        entry = self._jobs_index.pop(job_id, None)
        if entry is None:
            raise JobLookupError(job_id)
        del self._jobs[bisect_left(self._jobs, entry[1], key=_KEY)]

    def _insert(self, job: Wakeup) -> None:
        entry = job, (job.next_run_time.timestamp(), job.id)
        self._jobs.insert(bisect_left(self._jobs, entry[1], key=_KEY), entry)
        self._jobs_index[job.id] = entry

    def put(self, job: Wakeup) -> None:
        """Add a job, or replace the one with its id."""
        (self.update_job if job.id in self._jobs_index else self.add_job)(job)

    def first_id(self) -> str:
        """Return the id of the job that is due next. Raises: `IndexError` if there is none."""
        first: Wakeup = self._jobs[0][0]
        return first.id

    def ids_until(self, until: float) -> list[str]:
        """Return the ids of the jobs that are due up to an instant, in seconds since the epoch.

        Lock: none. A change meanwhile is accounted for elsewhere.
        """
        entries = list(self._jobs)
        return [job.id for job, _ in takewhile(lambda entry: entry[1][0] <= until, entries)]

    def get_due_jobs(self, now: datetime) -> list[Any]:
        """Return the first batch of the due jobs; the scheduler comes back for the others."""
        due, until = [], now.timestamp()
        for job, (at, _) in self._jobs[: self._batch_size]:
            if at > until:
                break
            due.append(job)
        self._batch_size = FIRST_BATCH if len(due) < self._batch_size else min(2 * self._batch_size, MAX_BATCH)
        return due


class WakingScheduler(BackgroundScheduler):  # type: ignore[misc]
    """APScheduler's background scheduler, which counts its rounds and wakes early."""

    loop_count = 0
    last_loop_at = 0.0
    on_approach: Callable[[], None]
    _is_approaching = False
    _thread: threading.Thread | None = None  # before the start
    _never_set = threading.Event()  # its `wait` is a sleep

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None:
        """Remove a job that will not be due again, also while the scheduler stops."""
        del jobstore  # there is one
        with self._jobstores_lock:
            self._jobstores["default"].remove_job(job_id)

    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def store_lock(self) -> AbstractContextManager[object]:
        """The lock under which the store is changed."""
        lock: AbstractContextManager[object] = self._jobstores_lock
        return lock

    def _dispatch_event(self, event: object) -> None:
        """Do nothing: there are no listeners."""

    def _process_jobs(self) -> Any:
        wait = super()._process_jobs()
        if wait == 0:  # more jobs are due; without a pause no other thread would get the store's lock
            self._never_set.wait(BATCH_PAUSE_S)
        self.loop_count += 1
        self.last_loop_at = time.monotonic()
        return self._sleep_time(wait)

    def _sleep_time(self, wait: float | None) -> float | None:
        """Return the longest sleep when the next job is due in `wait` seconds."""
        if not wait:
            return wait
        if wait > WAKE_EARLY_S:
            self._is_approaching = False
            return wait - WAKE_EARLY_S
        if not self._is_approaching:
            self._is_approaching = True
            self.on_approach()
            return 0.0  # it took time: compute `wait` anew
        return min(wait, POLL_S)
