"""The base classes of task types: a class with a schema of its fields and a method that runs once with a context.

The author of a task writes `run(context)` and raises `TaskFailed`. The runner does timing, attempts, limits, the
handling of exceptions, and records.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Protocol

from jobscheduler.model import Limits, LogValue, Record, ResourceUse
from jobscheduler.tasks.live_output import LiveOutput
from jobscheduler.tasks.stop_signals import StopSignals


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


@dataclass(frozen=True, slots=True)
class Alert:
    """The input of a task that is an alert: how a job stands has changed, or goes on.

    `on` is `failure`, `recovery`, `overdue`, `reminder` or `test`, and `record` is the record that changed it, or the
    last one. `text` is the record as one line of JSON, as in the log. If an alert covers several jobs, `on` is
    `summary`, `record` is their last record, and `text` lists them all. `variables` are the environment variables of an
    alert (`JOB_STATUS` and so on), for types that start programs.
    """

    on: str
    record: Record
    text: str
    variables: Mapping[str, str]


class Context:
    """The run of a task as the task sees it, and the request to stop.

    `deadline` is an instant of `time.monotonic()`, or None. To end the run, the runner calls `stop`. Then `reason` is
    set (`timeout`, `stopped`, `replaced`, `shutdown`), `stopping` is set, and each callback of `on_stop` is called
    once. `alert` is set only for a task that is an alert; `run_id` is then the id of the alert, not of the run.

    `stop_requested_at` is the instant of `time.monotonic()` of the first `stop`, None before. `signals` holds the
    signals that a task with processes has sent since. Together they show whether a time limit is kept. `pid` is the
    main process of such a task while that runs. `limits` are those of the job, for a task with processes.

    `output` may be set by a task whose output can be read while it runs; that is then what is kept of it.
    """

    __slots__ = (
        "_callbacks",
        "_lock",
        "_stop_event",
        "alert",
        "attempt",
        "deadline",
        "job_id",
        "limits",
        "output",
        "pid",
        "reason",
        "run_id",
        "scheduled",
        "signals",
        "stop_requested",
        "stop_requested_at",
    )

    def __init__(
        self,
        job_id: str,
        run_id: str,
        scheduled: datetime | None,
        attempt: int = 1,
        *,
        deadline: float | None = None,
        alert: Alert | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.job_id = job_id
        self.run_id = run_id
        self.scheduled = scheduled
        self.attempt = attempt
        self.deadline = deadline
        self.alert = alert
        self.output: LiveOutput | None = None
        self.limits = limits
        self.pid: int | None = None
        self.reason: str | None = None
        self.stop_requested = False
        self.stop_requested_at: float | None = None
        self.signals = StopSignals()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._stop_event: threading.Event | None = None

    @property
    def stopping(self) -> threading.Event:
        """An event that is set when the run has to stop; wait on it instead of sleeping. Made on first use."""
        with self._lock:
            if self._stop_event is None:
                self._stop_event = threading.Event()
                if self.stop_requested:
                    self._stop_event.set()
            return self._stop_event

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the run has to stop, or at once if that was already requested.

        It must not raise, and it should be quick, because later callbacks wait for it while the grace runs. It may be
        called when the task has just ended, and must do nothing then.

        Thread: the callback runs on a thread made for the stop.
        """
        with self._lock:
            if not self.stop_requested:
                self._callbacks.append(callback)
                return
        callback()

    def forget_callbacks(self) -> None:
        """Forget the callbacks, and with them what the task has in memory. Only the runner calls this, at its end."""
        with self._lock:
            self._callbacks.clear()

    def missing_signal(self, now: float) -> str | None:
        """Return `TERM` or `KILL` if it should have been sent by `now` (monotonic seconds) but was not; else None.

        Call it only while the attempt is active.
        """
        return None if self.stop_requested_at is None else self.signals.missing(self.stop_requested_at, now)

    def stop(self, reason: str = "shutdown", report_error: Callable[[Exception], object] = lambda _: None) -> None:
        """Request the task to stop, for `reason`. Only the runner calls this. A second call does nothing.

        Does not wait for callbacks. All callbacks are called, even if one raises. `report_error` gets their exceptions
        as one `ExceptionGroup`, on the thread of the callbacks.
        """
        with self._lock:
            if self.stop_requested:
                return
            self.reason = reason
            self.stop_requested_at = time.monotonic()
            self.stop_requested = True
            callbacks = tuple(self._callbacks)
            if self._stop_event is not None:
                self._stop_event.set()
        if callbacks:
            _run_in_thread(partial(_call_each, callbacks, report_error))


def _run_in_thread(work: Callable[[], None]) -> None:
    """Do `work` on a thread of its own, because the caller also serves the limits or slots of all other runs.

    If the host has no thread left, do it here: late limits are better than a run without an end.
    """
    try:
        threading.Thread(target=work, name="stopping", daemon=True).start()
    except RuntimeError:
        work()


def _call_each(callbacks: Iterable[Callable[[], None]], report_error: Callable[[Exception], object]) -> None:
    raised: list[Exception] = []
    for callback in callbacks:
        try:
            callback()
        except Exception as error:
            raised.append(error)
    if raised:
        report_error(ExceptionGroup("callbacks of on_stop failed", raised))


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
