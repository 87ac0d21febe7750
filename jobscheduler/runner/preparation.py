"""Tasks that read files before their start, on threads of the pool: a disk may not answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jobscheduler.runner.attempt_result import AttemptResult, from_exception
from jobscheduler.runner.run import Attempt
from jobscheduler.tasks import ProcessTask, TaskFailed


class Preparations:
    """Prepares tasks for their start.

    `run_in_pool` runs a function on another thread, or raises `RuntimeError` when the host has none left. `call_soon`
    calls a function on the thread that owns the loop. `resume` gets an attempt that is ready to start, on that thread.
    `finish` gets the result of one whose preparation failed, on any thread.

    Thread: the owner of the loop.
    Invariant: while a task is prepared this is not idle, so the owner does not retire before the attempt is resumed.
    """

    def __init__(
        self,
        run_in_pool: Callable[[Callable[[], None]], object],
        call_soon: Callable[[Callable[[], None]], None],
        resume: Callable[[Attempt], object],
        finish: Callable[[Attempt, AttemptResult], object],
    ) -> None:
        self._run_in_pool = run_in_pool
        self._call_soon = call_soon
        self._resume = resume
        self._finish = finish
        self._under_way = 0

    def is_idle(self) -> bool:
        """Return whether no task is being prepared."""
        return self._under_way == 0

    def begin(self, attempt: Attempt, task: ProcessTask) -> None:
        """Prepare the task of an attempt. If the host has no thread left, the attempt fails."""
        self._under_way += 1
        try:
            self._run_in_pool(partial(self._prepare, attempt, task))
        except RuntimeError:
            self._under_way -= 1
            failure = TaskFailed("the host has no thread left to prepare the task", reason="start")
            self._finish(attempt, from_exception(failure, task))

    def _prepare(self, attempt: Attempt, task: ProcessTask) -> None:
        """Prepare a task, then have the owner start it. Thread: of the pool."""
        try:
            task.prepare(attempt.context)
        except BaseException as raised:
            self._finish(attempt, from_exception(raised, task))
            self._call_soon(partial(self._end, None))
        else:
            attempt.prepared_task = task
            self._call_soon(partial(self._end, attempt))

    def _end(self, attempt: Attempt | None) -> None:
        self._under_way -= 1
        if attempt is not None:
            self._resume(attempt)
