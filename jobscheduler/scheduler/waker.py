"""APScheduler, asked for nothing but to wake us when a job may be due, and for its pool of threads.

It drops and merges runs in ways that leave no trace (a late run past its grace time, several due times made into one),
so grace and instances are without limit, coalescing is on, and the executor does not call the job but hands its id on.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.job import Job as ScheduledJob
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

MAX_BATCH = 25
"""How many due jobs are handed out at a time at most: in between, somebody else may change what is in force."""

FIRST_BATCH = 3
"""How many are handed out in the first portion; each further one has twice as many. What starts them is to begin."""

BATCH_PAUSE_S = 0.001
"""Seconds between two portions."""

WAKE_EARLY_S = 0.03
"""So long before the next time the thread is up already, in seconds.

A host takes the processor, and some also the memory, of who sleeps for long, and then wakes it up late: by a tenth of
a millisecond, or by five on a small virtual machine. Who has slept for a moment only is woken up in time.
"""

POLL_S = 0.002
"""For so long the thread sleeps at a time from then on, in seconds."""

OnDue = Callable[[str, datetime], None]
"""Called on APScheduler's thread, with its locks held: a job's id, and the time for which it meant to wake us."""


class _Executor(ThreadPoolExecutor):  # type: ignore[misc]
    """APScheduler's thread pool, but a due job is handed to `on_due` instead of being called."""

    def __init__(self, workers: int, on_due: OnDue) -> None:
        super().__init__(workers, {"thread_name_prefix": "run"})
        self._workers = workers
        self._on_due = on_due

    def submit_job(self, job: Any, run_times: list[datetime]) -> None:
        """Have the slots of a due job decided. No instances are counted: overlap is ours to decide."""
        self._on_due(job.id, run_times[-1])

    def submit(self, work: Callable[[], None]) -> None:
        """Have something executed when a worker is free.

        Raises:
            RuntimeError: the pool is closed, or it has no thread and the host none to give.

        """
        try:
            self._pool.submit(work)
        except RuntimeError:  # it is in the queue all the same, unless the pool is closed
            if self._pool._shutdown or not any(thread.is_alive() for thread in self._pool._threads):
                raise

    def is_short(self) -> bool:
        """Tell whether work waits for a thread that the host could not give."""
        pool = self._pool
        return bool(pool._work_queue.qsize() > 0 and len(pool._threads) < pool._max_workers)

    def set_extra_workers(self, lost: int) -> None:
        """Let there be so many more threads, in place of those that are held for good.

        1. concurrent.futures offers no way to replace a thread, but looks at `_max_workers` whenever work comes in,
           and only then: what waits in the queue already would wait on, so a piece of no work is put behind it.
        2. When a thread was found again the bound falls; its surplus thread stays, and serves for the next one lost.
        """
        before, self._pool._max_workers = self._pool._max_workers, self._workers + lost
        if self._pool._max_workers > before:
            with suppress(RuntimeError):  # closed, or the host has no thread left: the next run tries again
                self.submit(_nothing)

    def shutdown(self, wait: bool = True) -> None:
        """Do nothing: when APScheduler ends, runs in progress may still want a worker for their next attempt."""

    def close(self) -> None:
        """Take no more work."""
        self._pool.shutdown(wait=False)


class _Wakeup(ScheduledJob):  # type: ignore[misc]
    """What APScheduler keeps of a job, made as `add_job` would, without inspecting a function each time, at length."""

    def __init__(self, scheduler: BackgroundScheduler, job_id: str, trigger: BaseTrigger, at: datetime) -> None:
        self._scheduler, self._jobstore_alias = scheduler, "default"
        self.id = self.name = job_id
        self.func, self.func_ref, self.args = _never_called, None, ()
        self.kwargs: dict[str, object] = {}
        self.executor, self.trigger, self.next_run_time = "default", trigger, at
        self.misfire_grace_time = None  # a late run is late, not gone
        self.coalesce = True  # one wake-up is enough: slots are listed from the timetable
        self.max_instances = 1_000_000  # overlap is decided by slots.py

    def _get_run_times(self, now: datetime) -> list[datetime]:
        """Return the one time that counts: up to it all slots are decided, and after it comes the next wake-up."""
        return [max(self.next_run_time, now)]

    def _modify(self, **changes: datetime) -> None:
        """Take the next time, which our own trigger gave: nothing about it is to be checked."""
        self.next_run_time = changes["next_run_time"]


def _place(entry: tuple[_Wakeup, float]) -> tuple[float, str]:
    """Return what the store is sorted by."""
    return entry[1], entry[0].id


class _JobStore(MemoryJobStore):  # type: ignore[misc]
    """APScheduler's store in memory, in portions."""

    def __init__(self) -> None:
        super().__init__()
        self._portion = FIRST_BATCH

    def _get_job_index(self, timestamp: float, job_id: str) -> int:
        """Return where a job stands, or would; the parent looks for that in Python, which takes ten times as long."""
        return bisect_left(self._jobs, (timestamp, job_id), key=_place)

    def put(self, job: _Wakeup) -> None:
        """Add a job, or put it in the place of the one that has its id."""
        (self.update_job if job.id in self._jobs_index else self.add_job)(job)

    def get_due_jobs(self, now: datetime) -> list[Any]:
        """Return the jobs that are due, the first of them at least; the scheduler comes back for the others."""
        due, until = [], now.timestamp()
        for job, at in self._jobs[: self._portion]:
            if at is None or at > until:
                break
            due.append(job)
        self._portion = FIRST_BATCH if len(due) < self._portion else min(2 * self._portion, MAX_BATCH)
        return due


class _Scheduler(BackgroundScheduler):  # type: ignore[misc]
    """APScheduler's background scheduler, which also counts how often its thread went round."""

    loop_count = 0
    last_loop_at = 0.0
    on_approach: Callable[[], None]
    _is_approaching = False
    _no_one = threading.Event()  # nobody sets it

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None:
        """Remove a job that will not be due again, also when all has just been told to stop (APScheduler's raises)."""
        del jobstore  # there is one
        with self._jobstores_lock:
            self._jobstores["default"].remove_job(job_id)

    def _dispatch_event(self, event: object) -> None:
        """Tell nobody: nobody listens."""

    def _process_jobs(self) -> Any:
        wait = super()._process_jobs()
        if wait == 0:  # more is due; whoever waits for the store's lock gets it only if nobody takes it at once again
            self._no_one.wait(BATCH_PAUSE_S)
        self.loop_count += 1
        self.last_loop_at = time.monotonic()
        return self._sleep_time(wait)

    def _sleep_time(self, wait: float | None) -> float | None:
        """Return for how long to sleep, at most, on the way to what is due in `wait` seconds."""
        if not wait:
            return wait
        if wait > WAKE_EARLY_S:
            self._is_approaching = False
            return wait - WAKE_EARLY_S
        if not self._is_approaching:
            self._is_approaching = True
            self.on_approach()
            return 0.0  # that took its time
        return min(wait, POLL_S)


class Waker:
    """When to wake up for which job, and a pool of threads for the runs."""

    def __init__(self, workers: int, on_due: OnDue, on_near: Callable[[str], object] = lambda _: None) -> None:
        """`on_near` is called with the job that is next when its time has nearly come, after a time with nothing due.

        It holds none of APScheduler's locks, and what it raises is ignored.
        """
        self._pool = _Executor(workers, on_due)
        self._on_approach = on_near
        self._store = _JobStore()
        self._scheduler = _Scheduler(
            timezone=UTC,
            jobstores={"default": self._store},
            executors={"default": self._pool},
        )
        self._scheduler.on_approach = self._approaching
        logging.getLogger("apscheduler").setLevel(logging.WARNING)

    def _approaching(self) -> None:
        try:
            self._on_approach(self._store._jobs[0][0].id)
        except Exception:  # it would end the thread; what is wrong shows in a moment, when the same is tried in earnest
            return

    @property
    def loop_count(self) -> int:
        """How often the thread has looked for due jobs; it grows after every `wakeup` unless the thread is stuck."""
        return self._scheduler.loop_count

    def seconds_since_tick(self) -> float:
        """Return for how many seconds the thread has not gone round."""
        return time.monotonic() - self._scheduler.last_loop_at if self._scheduler.last_loop_at else 0.0

    def start(self) -> None:
        """Start the thread."""
        self._scheduler.start()

    def stop(self) -> None:
        """End the thread; what the pool is at goes on."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def close(self) -> None:
        """End the pool; what it is at goes on."""
        self._pool.close()

    def is_alive(self) -> bool:
        """Tell whether the thread runs (APScheduler's `running` stays true when it died)."""
        thread = getattr(self._scheduler, "_thread", None)
        return bool(thread is not None and thread.is_alive())

    def wakeup(self) -> None:
        """Have the thread look at the clock now: it may have been set, or the host may have slept."""
        if self.is_alive():
            self._scheduler.wakeup()

    def put(self, job_id: str, trigger: BaseTrigger, at: datetime) -> None:
        """Wake up for a job at this time, and then when its trigger says."""
        job = _Wakeup(self._scheduler, job_id, trigger, at)
        with self._scheduler._jobstores_lock:
            self._store.put(job)
            is_next = self._store._jobs[0][0] is job
        if is_next:
            self.wakeup()

    def drop(self, job_id: str) -> None:
        """Do not wake up for a job any more."""
        with self._scheduler._jobstores_lock, suppress(JobLookupError):  # a one-time job leaves the store when it fires
            self._store.remove_job(job_id)

    def next_wakeup(self) -> datetime | None:
        """Return the next time for which a wake-up is set; it is past while there is more due than was handed out."""
        found: datetime | None = self._store.get_next_run_time()
        return found

    def due_jobs(self, until: datetime) -> list[str]:
        """List the jobs for which a wake-up is set not later than this."""
        every = list(self._store._jobs)  # in order; whoever changes it meanwhile has been or will be heard by others
        return [job.id for job, _ in takewhile(lambda one: one[1] is not None and one[1] <= until.timestamp(), every)]

    def submit(self, work: Callable[[], None]) -> None:
        """Have something executed on a thread of the pool, late if all are busy.

        Raises:
            RuntimeError: the pool is closed, or it has no thread and the host none to give.

        """
        self._pool.submit(work)

    def is_short(self) -> bool:
        """Tell whether work waits because the host has no thread left for the pool."""
        return self._pool.is_short()

    def set_extra_workers(self, lost: int) -> None:
        """Have a further thread in the pool for each of those that are held by a task that does not end."""
        self._pool.set_extra_workers(lost)


def _nothing() -> None:
    """Have the pool look whether it wants a further thread."""


def _never_called() -> None:
    """Stand in as the function of an APScheduler job: the executor does not call it."""
