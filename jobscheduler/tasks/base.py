"""The base classes of task types: a class with a schema of its fields and a method that runs once with a context.

The author of a task writes `run(context)` and raises `TaskFailed`. The runner does timing, attempts, limits, the
handling of exceptions, and records.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from jobscheduler.model import LogValue, ResourceUse
from jobscheduler.tasks.context import Context


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a task: details for the record (`exit_code`), and the output that was kept.

    The runner takes up to 32 details. It reduces keys to `a-z0-9_` and 40 characters, and puts `task_` before a key
    with a meaning of its own in a log line (`status`, `output`). `use` is what the task has used, if that is known.
    """

    details: tuple[tuple[str, LogValue], ...] = ()
    output: bytes = b""
    use: ResourceUse | None = None


class TaskFailed(Exception):
    """Raised by a task to end its attempt as a failure, without a traceback.

    The message is for people and goes into the record as `error=`. Leave it empty when the details of the outcome
    suffice (`exit_code=1`). `reason` is a reason of a FAILURE record (`exit`, `start`, `http`, `task`); any other
    value is recorded as `task`.
    """

    def __init__(self, message: str, *, reason: str = "task", outcome: Outcome | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.outcome = outcome or Outcome()


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in the fields of a task: its path below `task`, a message, and a suggestion.

    `host_dependent` marks errors that depend on this host or user, and may disappear without an edit. `is_lint` marks a
    warning that never is an error: what is legal and odd.
    """

    path: tuple[str | int, ...]
    message: str
    help: str | None = None
    host_dependent: bool = False
    is_lint: bool = False


class Task(ABC):
    """A task type. A new type is a subclass in its own file plus one line in the table of `tasks`.

    `schema` is a JSON Schema (2020-12) of the fields of the type, without `type`.
    """

    schema: ClassVar[Mapping[str, Any]] = {"type": "object"}

    @classmethod
    def check(cls, fields: Mapping[str, Any]) -> Iterator[FieldError]:
        """Yield the errors in fields that fit the schema. Default: none."""
        del fields
        return iter(())

    @classmethod
    def warnings(cls, fields: Mapping[str, Any]) -> Iterator[FieldError]:
        """Yield warnings about valid fields that are probably a mistake. Default: none.

        Only `validate` asks for them. One that is `host_dependent` is an error there for the service's user: a run
        would fail for it now, but the job is loaded all the same.
        """
        del fields
        return iter(())

    def __init__(self, fields: Mapping[str, Any]) -> None:
        """Make a task with fields that fit the schema and passed `check`."""
        self.fields = fields

    def secrets(self) -> Iterator[str]:
        """Yield texts that must not be logged. The runner redacts them in messages and tracebacks. Default: none."""
        return iter(())

    @abstractmethod
    def run(self, context: Context) -> Outcome | None:
        """Do the work once. To return is success; raise `TaskFailed` to fail.

        Thread: a worker. Several jobs may run at the same time, each with an instance of its own.
        """


class StartFailedTemporarily(Exception):
    """Raised when a task could not begin for the moment. No work has been done, so another try may help.

    `failure` is the exception to raise if there is no other try.
    """

    def __init__(self, failure: TaskFailed) -> None:
        super().__init__(str(failure))
        self.failure = failure


class RunningProcess(Protocol):
    """A task that runs in another process and needs no thread until a descriptor becomes readable."""

    @property
    def exit_fd(self) -> int | None:
        """Readable when the process has ended. If None, the caller must use `wait`."""

    @property
    def output_fd(self) -> int | None:
        """Readable when `read_output` has something to read. None if it never will."""

    def read_output(self) -> bool:
        """Read the available output without waiting. Return False at its end."""

    def collect(self) -> Outcome:
        """Return the outcome of the ended process. Raises: `TaskFailed`."""

    def wait(self) -> Outcome:
        """Wait for the end of the process, or end it when its context stops; then do as `collect`."""


class ProcessTask(Task):
    """A task whose work is done by another process, so that one thread can serve all of them.

    The thread that starts the processes calls `needs_preparation`. If that is true, another thread calls `prepare`
    before the start, because that may wait.
    """

    def needs_preparation(self) -> bool:
        """Return whether `prepare` has something to do. Does not wait."""
        return False

    def prepare(self, context: Context) -> None:
        """Read what the start needs and may have to wait for. Raises: `TaskFailed`."""
        del context

    @abstractmethod
    def start(self, context: Context) -> RunningProcess:
        """Start the process without waiting for it. Raises: `TaskFailed` or `StartFailedTemporarily`."""
