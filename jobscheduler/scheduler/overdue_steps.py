"""Find the steps of runs that should have happened by now: begun, ended, noticed, tried again.

Each of them is up to another thread of ours, and each may be missing for a moment. Only a step that is missing at many
checks in a row means that its thread stands still (`stuck_runs.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import starmap

from jobscheduler.runner import Run, Runner, runs_as_process
from jobscheduler.scheduler.run_queue import RunQueue
from jobscheduler.scheduler.stuck_runs import OverdueStep


class OverdueSteps:
    """Finds overdue steps. Thread: one calls `find`."""

    def __init__(
        self,
        queue: RunQueue,
        runner: Runner,
        retries: Callable[[], Iterable[tuple[Run, float]]],
        commands_answer: Callable[[], bool],
        is_short: Callable[[], bool],
        waits_for_leave: Callable[[Run], bool] = lambda _: False,
    ) -> None:
        """`retries` returns the runs that wait for their next attempt, and when that is due (monotonic seconds).

        `commands_answer` wakes the thread of all commands and tells whether it answered the last time.
        `is_short` tells whether the host refuses a thread. A run for which `waits_for_leave` is true has a worker, and
        is not overdue: the service that gives leave may be away for long.
        """
        self._queue = queue
        self._runner = runner
        self._commands_answer = commands_answer
        self._retries = retries
        self._is_short = is_short
        self._waits_for_leave = waits_for_leave

    def find(self, now: float) -> list[OverdueStep]:
        """Return the steps that are overdue at `now` (monotonic seconds)."""
        steps = (self._not_begun(), self._not_ended(now), self._unnoticed(), self._not_retried(now))
        return [step for found in steps for step in found]

    def _not_begun(self) -> Iterator[OverdueStep]:
        """Return the oldest command, and the oldest other run, that were handed over and have not begun."""
        waiting = [run for run in self._queue.not_begun() if not self._waits_for_leave(run)]
        commands = [run for run in waiting if runs_as_process(run.job.task)]
        others = [] if self._is_short() else [run for run in waiting if not runs_as_process(run.job.task)]
        for run in (*commands[:1], *others[:1]):
            yield _overdue(run, "it was handed over and has not begun")
        overlooked = self._queue.overlooked()
        if overlooked is not None:
            yield _overdue(overlooked, "it waits for a worker although one is free")

    def _not_ended(self, now: float) -> Iterator[OverdueStep]:
        return starmap(OverdueStep, self._runner.overdue(now))

    def _unnoticed(self) -> Iterator[OverdueStep]:
        """Return the oldest command that runs, if the thread that would notice its end does not answer."""
        running = next(filter(_is_running_command, self._runner.active_runs), None)
        if running is not None and not self._commands_answer():
            yield _overdue(running, "the thread that would notice its end does not answer")

    def _not_retried(self, now: float) -> Iterator[OverdueStep]:
        for run, due in self._retries():
            if due < now and run.waits_for_attempt:
                yield _overdue(run, "its next attempt is due and was not asked for")


def _is_running_command(run: Run) -> bool:
    attempt = run.running_attempt
    return attempt is not None and attempt.has_begun and runs_as_process(run.job.task)


def _overdue(run: Run, missing: str) -> OverdueStep:
    return OverdueStep(run.job.id, run.run_id, missing)
