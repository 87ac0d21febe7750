"""The runner: makes runs, keeps the active ones, and has what they share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime

from jobscheduler.model import Event, Job, LogFields, Record
from jobscheduler.runner.lost_threads import LostThreads
from jobscheduler.runner.outputs import KeepsNothing, OutputKeeper
from jobscheduler.runner.run import Run
from jobscheduler.runner.run_reporter import LogThen, RunReporter
from jobscheduler.runner.run_services import RunServices
from jobscheduler.runner.timer import TimerThread
from jobscheduler.tasks import Context
from jobscheduler.util.instants import utc_now

STOP_GRACE_S = 10.0  # after a stop request; longer than TERM and KILL take in `execute_command`


class Runner:
    """Makes runs and keeps the active ones.

    `record`, `emit`, `clock`, `announce` and `on_behind` make the `RunReporter` of all runs.
    `on_lost` is called when `lost` may have changed. `outputs` gets what each attempt has printed.

    Thread: `record` is called by the thread that ends the run: a worker, the timer or the caller of `stop`.
    Lock: `on_lost` is called on any thread, with no lock held.
    """

    def __init__(
        self,
        record: Callable[[Record], object],
        emit: Callable[[Event], object],
        *,
        clock: Callable[[], datetime] = utc_now,
        grace: float = STOP_GRACE_S,
        announce: LogThen | None = None,
        on_behind: Callable[[], object] = lambda: None,
        on_lost: Callable[[], object] = lambda: None,
        outputs: OutputKeeper | None = None,
    ) -> None:
        self.log = RunReporter(record, emit, clock=clock, announce=announce, on_behind=on_behind)
        self.timer = TimerThread(self.log.report_error)
        self._lost_threads = LostThreads(on_lost, self.log.report_error)
        keeper = KeepsNothing() if outputs is None else outputs
        self.services = RunServices(self.log, self.timer, keeper, self._lost_threads, grace, self._forget)
        self._lock = threading.Lock()
        self._active: dict[str, Run] = {}

    @property
    def active_runs(self) -> tuple[Run, ...]:
        """The runs without a record, oldest first."""
        with self._lock:
            return tuple(self._active.values())

    def active_run(self, run_id: str) -> Run | None:
        """Return the run of this id if it has no record yet."""
        with self._lock:
            return self._active.get(run_id)

    @property
    def grace(self) -> float:
        """Seconds in which a task must end after its stop request."""
        return self.services.grace

    @property
    def lost(self) -> int:
        """The number of threads held by tasks that ignored a request to stop."""
        return len(self._lost_threads)

    def overdue(self, now: float) -> Iterator[tuple[str, str, str]]:
        """Yield attempts that should have ended by `now` (monotonic seconds): job, run, missing step.

        Lost attempts are included, because their processes may live on.
        """
        running = [run.running_attempt for run in self.active_runs]
        contexts = [attempt.context for attempt in running if attempt is not None]
        for context in (*contexts, *self._lost_threads.contexts):
            missing = _missing_step(context, now)
            if missing is not None:
                yield context.job_id, context.run_id, missing

    def new_run(self, job: Job, scheduled: datetime | None, extra: LogFields = (), parent: Run | None = None) -> Run:
        """Return a new run of a slot, or a manual run if there is no slot.

        `extra` goes into its events and its record. `parent` is the run whose task requested this one.
        """
        run = Run(self.services, job, scheduled, extra, parent)
        with self._lock:
            self._active[run.run_id] = run
        return run

    def stop(self, reason: str = "shutdown") -> None:
        """Stop all active runs without waiting. Runs that have not begun are cancelled and get no record."""
        for run in self.active_runs:
            if not run.cancel():
                run.stop(reason)

    def close(self) -> None:
        """End the timer thread. Runs that are still active lose their time limit."""
        self.timer.close()

    def _forget(self, run_id: str) -> None:
        with self._lock:
            self._active.pop(run_id, None)


def _missing_step(context: Context, now: float) -> str | None:
    """Describe the missing step of an attempt that should have ended by `now` (monotonic seconds); else return None."""
    if context.stop_requested:
        signal = context.missing_signal(now)
        return signal and f"{signal} has not been sent"
    has_passed = context.deadline is not None and now > context.deadline
    return "its time limit has passed, and it was not asked to end" if has_passed else None
