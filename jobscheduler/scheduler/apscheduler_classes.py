"""APScheduler's classes as this scheduler needs them.

APScheduler drops and merges runs without a trace: a late run past its grace time, several due times at once. So grace
time and instances are unlimited, coalescing is on, and the executor passes the job's id on instead of calling the job.

What we override of APScheduler, and why:

| class                 | member               | why                                                                  |
|-----------------------|----------------------|----------------------------------------------------------------------|
| `BackgroundScheduler` | `remove_job`         | APScheduler's raises while the scheduler stops                       |
| `BackgroundScheduler` | `_dispatch_event`    | there are no listeners                                               |
| `BackgroundScheduler` | `_process_jobs`      | pauses between batches, counts rounds, wakes early                   |
| `MemoryJobStore`      | `_get_job_index`     | a binary search in C takes a tenth of the time                       |
| `MemoryJobStore`      | `get_due_jobs`       | hands out batches, so that a change need not wait for all due jobs   |
| `ThreadPoolExecutor`  | `submit_job`         | decides slots; counts no instances, because we decide about overlap  |
| `ThreadPoolExecutor`  | `shutdown`           | active runs may need a thread for their next attempt                 |
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
| `MemoryJobStore`      | `_jobs`              | the sorted list: next job, due jobs                                  |
| `MemoryJobStore`      | `_jobs_index`        | whether a job is there already                                       |
| `ThreadPoolExecutor`  | `_pool`              | to run work on its threads                                           |
| `Job`                 | `_scheduler`         | set by our `__init__` as by APScheduler's                            |
| `Job`                 | `_jobstore_alias`    | set by our `__init__` as by APScheduler's                            |
| `futures`             | `_max_workers`       | concurrent.futures has no other way to replace a thread              |
| `futures`             | `_threads`           | whether there is any thread                                          |
| `futures`             | `_work_queue`        | whether work waits for a thread                                      |
| `futures`             | `_shutdown`          | whether a refused piece of work is queued all the same               |

`tests/unit/test_scheduler_apscheduler.py` fails when a release changes one of them, or when this list is incomplete.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from itertools import takewhile
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.job import Job as ScheduledJob
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

MAX_BATCH = 25  # due jobs handed out at a time; in between, another thread may change the active jobs
FIRST_BATCH = 3  # due jobs in the first batch, doubled for each further one, so that the first runs begin at once
BATCH_PAUSE_S = 0.001  # seconds between two batches
WAKE_EARLY_S = 0.03  # seconds; a thread that slept long is woken 0.1-5 ms late (CPU idle states, cold caches)
POLL_S = 0.002  # seconds; sleep step during the last `WAKE_EARLY_S`

OnDue = Callable[[str, datetime], None]  # job id, time of the wake-up; called with APScheduler's locks held


class Executor(ThreadPoolExecutor):  # type: ignore[misc]
    """APScheduler's thread pool, which passes a due job to `on_due` instead of calling it."""

    def __init__(self, workers: int, on_due: OnDue) -> None:
        super().__init__(workers, {"thread_name_prefix": "run"})
        self._workers = workers
        self._on_due = on_due

    def submit_job(self, job: Any, run_times: list[datetime]) -> None:
        """Decide the slots of a due job."""
        self._on_due(job.id, run_times[-1])

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` when a thread is free.

        Raises:
            RuntimeError: the pool is closed, or it has no thread and the host refuses one.

        """
        try:
            self._pool.submit(work)
        except RuntimeError:  # queued all the same, unless the pool is closed
            if self._pool._shutdown or not any(thread.is_alive() for thread in self._pool._threads):
                raise

    def is_short(self) -> bool:
        """Return whether work waits for a thread that the host refused."""
        pool = self._pool
        return bool(pool._work_queue.qsize() > 0 and len(pool._threads) < pool._max_workers)

    def set_extra_workers(self, lost: int) -> None:
        """Allow one more thread for each lost one.

        1. concurrent.futures cannot replace a thread. It reads `_max_workers` only when work is submitted. So a no-op
           is submitted behind the queued work.
        2. When a lost thread returns, the limit falls. The surplus thread stays, and replaces the next lost one.
        """
        before, self._pool._max_workers = self._pool._max_workers, self._workers + lost
        if self._pool._max_workers > before:
            with suppress(RuntimeError):  # closed, or the host refuses a thread: the next run tries again
                self.submit(_no_op)

    def shutdown(self, wait: bool = True) -> None:
        """Do nothing: `close` ends the pool later than APScheduler would."""

    def close(self) -> None:
        """Accept no more work."""
        self._pool.shutdown(wait=False)


class Wakeup(ScheduledJob):  # type: ignore[misc]
    """The wake-up of one job, in the form of an APScheduler job."""

    def __init__(self, scheduler: BackgroundScheduler, job_id: str, trigger: BaseTrigger, at: datetime) -> None:
        self._scheduler, self._jobstore_alias = scheduler, "default"
        self.id = self.name = job_id
        self.func, self.func_ref, self.args = _never_called, None, ()
        self.kwargs: dict[str, object] = {}
        self.executor, self.trigger, self.next_run_time = "default", trigger, at
        self.misfire_grace_time = None  # a late run is late, not gone
        self.coalesce = True  # one wake-up is enough: slots come from the timetable
        self.max_instances = 1_000_000  # the overlap rule decides (timetable/overlap.py)

    def _get_run_times(self, now: datetime) -> list[datetime]:
        """Return one time: all slots up to it are decided, and the next wake-up comes after it."""
        return [max(self.next_run_time, now)]

    def _modify(self, **changes: datetime) -> None:
        """Set the next time, from our own trigger."""
        self.next_run_time = changes["next_run_time"]


def _sort_key(entry: tuple[Wakeup, float]) -> tuple[float, str]:
    """Return the sort key of an entry of the store."""
    return entry[1], entry[0].id


class JobStore(MemoryJobStore):  # type: ignore[misc]
    """APScheduler's store in memory, which hands out due jobs in batches."""

    def __init__(self) -> None:
        super().__init__()
        self._batch_size = FIRST_BATCH

    def _get_job_index(self, timestamp: float, job_id: str) -> int:
        """Return the index of a job, or where to insert it."""
        return bisect_left(self._jobs, (timestamp, job_id), key=_sort_key)

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
        return [job.id for job, _ in takewhile(lambda entry: entry[1] is not None and entry[1] <= until, entries)]

    def get_due_jobs(self, now: datetime) -> list[Any]:
        """Return the first batch of the due jobs; the scheduler comes back for the others."""
        due, until = [], now.timestamp()
        for job, at in self._jobs[: self._batch_size]:
            if at is None or at > until:
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
    _never_set = threading.Event()  # its `wait` is a sleep

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None:
        """Remove a job that will not be due again, also while the scheduler stops."""
        del jobstore  # there is one
        with self._jobstores_lock:
            self._jobstores["default"].remove_job(job_id)

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


def _no_op() -> None:
    """Make the pool check whether it needs another thread."""


def _never_called() -> None:
    """Serve as the function of an APScheduler job; the executor does not call it."""
