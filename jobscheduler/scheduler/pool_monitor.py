"""Watches the worker pool: for runs that wait long for a worker, and for runs that stand still."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from jobscheduler.model import Event, Level, LogEntry, LogFields
from jobscheduler.scheduler.run_queue import RunQueue
from jobscheduler.scheduler.stuck_runs import OverdueStep, StuckRun, StuckRunDetector

BUSY_CHECKS = 60  # checks, a second apart, without the end of a run while others wait; then it is an issue
BACKLOG_WARNING_S = 1.0  # seconds that a run may wait for a worker before a warning


class PoolMonitor:
    """Logs, once until it is over, that runs wait long for a worker, or stand still.

    Thread: one calls `check`; others may ask.
    """

    def __init__(
        self,
        queue: RunQueue,
        workers: int,
        *,
        overdue: Callable[[float], Iterable[OverdueStep]],
        write: Callable[[LogEntry], object],
        clock: Callable[[], datetime],
    ) -> None:
        """`overdue` returns the steps of runs that should have happened by now (monotonic seconds)."""
        self._queue = queue
        self._workers = workers
        self._overdue = overdue
        self._write = write
        self._clock = clock
        self._detector = StuckRunDetector()
        self._busy = 0, 0  # workers freed so far, checks since the last one was freed while runs waited
        self._reported_full = False

    @property
    def stuck_run(self) -> StuckRun | None:
        """The run whose step is overdue for longest, if one is late."""
        return self._detector.longest

    def issues(self) -> Iterator[str]:
        """Return a sentence if all workers are busy for long."""
        waiting, (_, checks) = len(self._queue), self._busy
        if waiting and checks >= BUSY_CHECKS:
            busy = "the only worker is busy" if self._workers == 1 else f"all {self._workers} workers are busy"
            wait = "1 run waits" if waiting == 1 else f"{waiting} runs wait"
            yield (
                f"{busy}, {wait} for one, and no run has ended for {checks} s "
                "(`jobscheduler list` shows what runs, `stop` ends it; `--max-workers` allows more)"
            )

    def check(self, now: float) -> None:
        """Check all of it. Call it once a second, with monotonic seconds."""
        waiting, since, released = self._queue.backlog(now)
        self._busy = released, self._busy[1] + 1 if waiting and self._busy[0] == released else 0
        if not waiting:
            self._reported_full = False
        elif not self._reported_full and now - since > BACKLOG_WARNING_S:
            self._reported_full = True
            self._write(Event(self._clock(), Level.WARNING, "pool.full", (("waiting", waiting),)))
        self._check_stuck_runs(now)

    def _check_stuck_runs(self, now: float) -> None:
        at = self._clock()
        previous = self._detector.longest
        late = self._detector.check(self._overdue(now), at)
        if late is not None:
            self._write(Event(at, Level.ERROR, "runner.stuck", _stuck_run_fields(late)))
        elif previous is not None and self._detector.longest is None:
            self._write(Event(at, Level.INFO, "runner.moved", _stuck_run_fields(previous)))


def _stuck_run_fields(late: StuckRun) -> LogFields:
    """Return the log fields of a stuck run."""
    step = late.step
    return (("job_id", step.job_id), ("run_id", step.run_id), ("problem", step.missing), ("since", late.since))
