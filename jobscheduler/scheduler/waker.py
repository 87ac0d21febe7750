"""Wakes the scheduling thread when a job may be due: the door to APScheduler, which also brings a pool of threads."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from apscheduler.jobstores.base import JobLookupError
from apscheduler.triggers.base import BaseTrigger

from jobscheduler.scheduler.apscheduler_classes import Executor, JobStore, OnDue, Wakeup, WakingScheduler
from jobscheduler.scheduler.run_threads import RunThreads
from jobscheduler.scheduler.triggers import trigger_for
from jobscheduler.timetable.timetable import Timetable


class Waker:
    """The wake-ups of all jobs, and a pool of threads for the runs."""

    def __init__(self, workers: int, on_due: OnDue, on_approach: Callable[[str], object] = lambda _: None) -> None:
        """`on_approach` is called with the next job `WAKE_EARLY_S` before it is due, after a time without due jobs.

        Lock: none of APScheduler's is held then. What it raises is ignored.
        """
        self._threads = RunThreads(workers)
        self._on_approach = on_approach
        self._store = JobStore()
        self._scheduler = WakingScheduler(
            timezone=UTC,
            jobstores={"default": self._store},
            executors={"default": Executor(self._threads, on_due)},
        )
        self._scheduler.on_approach = self._approaching
        logging.getLogger("apscheduler").setLevel(logging.WARNING)

    def _approaching(self) -> None:
        try:
            self._on_approach(self._store.first_id())
        except Exception:  # would end the thread; the real wake-up that follows shows the same error
            return

    @property
    def loop_count(self) -> int:
        """How many rounds the thread has made; grows after every `wakeup` unless the thread is stuck."""
        return self._scheduler.loop_count

    def seconds_since_tick(self) -> float:
        """Return the seconds since the thread's last round; 0 before the first."""
        return time.monotonic() - self._scheduler.last_loop_at if self._scheduler.last_loop_at else 0.0

    def start(self) -> None:
        """Start the thread."""
        self._scheduler.start()

    def stop(self) -> None:
        """End the thread; work in the pool goes on. A thread that the host did not give at the start has no end."""
        thread = getattr(self._scheduler, "_thread", None)
        if self._scheduler.running and thread is not None and thread.ident is not None:
            self._scheduler.shutdown(wait=False)

    def close(self) -> None:
        """Accept no more work; work in the pool goes on."""
        self._threads.close()

    def is_alive(self) -> bool:
        """Return whether the thread runs."""
        return self._scheduler.is_alive()

    def wakeup(self) -> None:
        """Make the thread read the clock now: it may have been set, or the host may have slept."""
        if self.is_alive():
            self._scheduler.wakeup()

    def put(self, job_id: str, trigger: BaseTrigger, at: datetime) -> None:
        """Set the wake-up of a job: first at this time, then at those of its trigger."""
        job = Wakeup(self._scheduler, job_id, trigger, at)
        with self._scheduler.store_lock:
            self._store.put(job)
            is_next = self._store.first_id() == job_id
        if is_next:
            self.wakeup()

    def follow(self, job_id: str, timetable: Timetable, slot: datetime | None) -> None:
        """Set the wake-up for the start of a job's next slot, then for those after it; without a slot remove it."""
        if slot is None:
            self.drop(job_id)
        else:
            self.put(job_id, trigger_for(timetable), timetable.start_time(slot))

    def drop(self, job_id: str) -> None:
        """Remove the wake-up of a job."""
        with self._scheduler.store_lock, suppress(JobLookupError):  # a one-time job leaves the store when it fires
            self._store.remove_job(job_id)

    def next_wakeup(self) -> datetime | None:
        """Return the time of the next wake-up; it is past while due jobs are not handed out."""
        next_time: datetime | None = self._store.get_next_run_time()
        return next_time

    def due_jobs(self, until: datetime) -> list[str]:
        """Return the jobs with a wake-up up to an instant."""
        return self._store.ids_until(until.timestamp())

    def submit(self, work: Callable[[], None]) -> None:
        """Run `work` on a thread of the pool, late if all are busy.

        Raises:
            RuntimeError: the pool is closed, or it has no thread and the host refuses one.

        """
        self._threads.run(work)

    def is_short(self) -> bool:
        """Return whether work waits because the host refuses a thread."""
        return self._threads.is_short()

    def set_extra_workers(self, lost: int) -> None:
        """Allow one more thread for each that is held by a task that does not end."""
        self._threads.set_extra_workers(lost)
