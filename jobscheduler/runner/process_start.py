"""Start the process of an attempt, and say which tasks have one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from jobscheduler.model import TaskSpec
from jobscheduler.runner.run import Attempt
from jobscheduler.tasks import ProcessTask, RunningProcess, Task, task_type


def runs_as_process(spec: TaskSpec) -> bool:
    """Return whether the work of a task is done by another process."""
    try:
        return _is_process_task(task_type(spec.type))
    except LookupError:  # the attempt reports it
        return False


@lru_cache(maxsize=256)
def _is_process_task(kind: type[Task]) -> bool:
    return issubclass(kind, ProcessTask)


class StartedAttempt:
    """An attempt whose process runs. `output_fd` is set while its output is watched."""

    __slots__ = ("attempt", "exit_fd", "output_fd", "process", "task")

    def __init__(self, attempt: Attempt, task: ProcessTask | None, process: RunningProcess) -> None:
        self.attempt = attempt
        self.task = task
        self.process = process
        self.exit_fd = process.exit_fd
        self.output_fd: int | None = None


class FailedStart(NamedTuple):
    """A failed start: the exception, and its task if that could be made."""

    raised: BaseException
    task: ProcessTask | None


class Unprepared(NamedTuple):
    """A task that has to be prepared on another thread before its process can start."""

    task: ProcessTask


def start_process(attempt: Attempt) -> StartedAttempt | FailedStart | Unprepared:
    """Start the process of an attempt. Thread: may hang, so this touches no state of the loop."""
    task = attempt.prepared_task
    try:
        if task is None:
            spec = attempt.run.job.task
            made: Any = task_type(spec.type)(spec.params)  # a process task: only such ones are submitted
            task = made
            if task.needs_preparation():
                return Unprepared(task)
        return StartedAttempt(attempt, task, task.start(attempt.context))
    except BaseException as raised:
        return FailedStart(raised, task)
