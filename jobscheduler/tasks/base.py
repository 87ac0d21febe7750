"""What a task type is: a class that says which fields it takes and runs once, with a context.

A task's author writes `run(context)` and raises `TaskFailed`. Timing, attempts, limits, catching and records belong
to the runner.
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

from jobscheduler.model import LogValue, Record
from jobscheduler.tasks.stop_signals import StopSignals


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task found: details for the record (`exit_code`) and what it printed, as kept.

    The runner takes up to 32 details. It writes their keys in `a-z0-9_`, at most 40, and puts `task_` before one that
    has its own meaning in a log line (`status`, `output`).
    """

    details: tuple[tuple[str, LogValue], ...] = ()
    output: bytes = b""


class TaskFailed(Exception):
    """Raised by a task to end its attempt as a failure, without a traceback.

    The message is for people and goes into the record as `error=`; leave it empty when the details of the outcome
    say it all (`exit_code=1`). `reason` is one of the words of a FAILURE record (`exit`, `start`, `http`, `task`);
    anything else is recorded as `task`.
    """

    def __init__(self, message: str, *, reason: str = "task", outcome: Outcome | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.outcome = outcome or Outcome()


@dataclass(frozen=True, slots=True)
class FieldError:
    """What a task type has against its fields: where (a path below `task`), what, and the way out.

    `host` is true for findings that depend on this host or user and may heal without an edit.
    """

    path: tuple[str | int, ...]
    message: str
    help: str | None = None
    host_dependent: bool = False


@dataclass(frozen=True, slots=True)
class Alert:
    """What a task is told when it is an alert: that the result of a job has changed.

    `on` is `failure` or `recovery`, and `record` is that of the run which changed it. `text` is the record as one line
    of JSON, as the log writes it. Where several jobs are told of at once, `on` is `summary`, `record` is the last of
    theirs, and `text` lists them all. `variables` are the environment variables of an alert (`JOB_STATUS` and so on),
    for a type that starts programs.
    """

    on: str
    record: Record
    text: str
    variables: Mapping[str, str]


class Context:
    """What a task is told about its run, and how it learns that it has to stop.

    `deadline` is an instant of `time.monotonic()`, or None. When the run must end the runner calls `stop`: `reason`
    says why (`timeout`, `replaced`, `shutdown`), `stopping` is set and the callbacks given to `on_stop` are called,
    each once. `alert` is None but for a task that is an alert; `run_id` is then its own, not that of the run.

    `told_at` is the instant of `time.monotonic()` at which `stop` was called first, None before. `signals` tells what
    a task with processes has sent to them since. Together they show whether a time limit is kept.
    """

    __slots__ = (
        "_callbacks",
        "_lock",
        "_stop_event",
        "alert",
        "attempt",
        "deadline",
        "job_id",
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
    ) -> None:
        self.job_id = job_id
        self.run_id = run_id
        self.scheduled = scheduled
        self.attempt = attempt
        self.deadline = deadline
        self.alert = alert
        self.reason: str | None = None
        self.stop_requested = False
        self.stop_requested_at: float | None = None
        self.signals = StopSignals()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._stop_event: threading.Event | None = None

    @property
    def stopping(self) -> threading.Event:
        """An event to wait on in place of sleeping; it is set when the run has to stop. Made for who asks for it."""
        with self._lock:
            if self._stop_event is None:
                self._stop_event = threading.Event()
                if self.stop_requested:
                    self._stop_event.set()
            return self._stop_event

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when the run has to stop; at once if it already has to.

        It is called on a thread made for the stop, should be quick (the callbacks after it wait for it, and the grace
        runs meanwhile) and must not raise. It may also come when the task has just ended by itself, and must then do
        nothing.
        """
        with self._lock:
            if not self.stop_requested:
                self._callbacks.append(callback)
                return
        callback()

    def missing_signal(self, now: float) -> str | None:
        """Return `TERM` or `KILL` if it should have been sent by `now` (monotonic seconds) and was not.

        To be asked while the attempt goes on; None is good news.
        """
        return None if self.stop_requested_at is None else self.signals.missing(self.stop_requested_at, now)

    def stop(self, reason: str = "shutdown", report_error: Callable[[Exception], object] = lambda _: None) -> None:
        """Tell the task to end, and why (for the runner); does not wait for callbacks. The second call does nothing.

        Every callback is called even if an earlier one raises; what they raised goes to `complain`, as one
        `ExceptionGroup`, on the thread of the callbacks.
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
    """Do something on a thread of its own: who stops a run has the limits or the slots of all others in hand.

    When the host has no thread left it is done here, late limits being better than a run that nobody ends.
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
    """One task type. A new one is a subclass in its own file plus one line in the table of `tasks`.

    `schema` is a JSON Schema (2020-12) of the type's own fields, without `type`.
    """

    schema: ClassVar[Mapping[str, Any]] = {"type": "object"}

    @classmethod
    def check(cls, fields: Mapping[str, Any]) -> Iterator[FieldError]:
        """Say what is wrong with fields that fit the schema; nothing by default."""
        del fields
        return iter(())

    @classmethod
    def warnings(cls, fields: Mapping[str, Any]) -> Iterator[FieldError]:
        """Say what is legal about fields that passed `check`, and hardly meant; nothing by default."""
        del fields
        return iter(())

    def __init__(self, fields: Mapping[str, Any]) -> None:
        """Take fields that fit the schema and passed `check`."""
        self.fields = fields

    def secrets(self) -> Iterator[str]:
        """Texts that must not stand in a log; the runner blots them out of messages and tracebacks. None by default."""
        return iter(())

    @abstractmethod
    def run(self, context: Context) -> Outcome | None:
        """Do the work once. Returning is success; raise `TaskFailed` to fail.

        Called on a pool thread, several at a time for several jobs, each on an instance of its own.
        """


class StartFailedTemporarily(Exception):
    """Raised when a task could not begin for now: nothing of it has been done, and another try may help.

    `failure` is what to raise when there is none.
    """

    def __init__(self, failure: TaskFailed) -> None:
        super().__init__(str(failure))
        self.failure = failure


class RunningProcess(Protocol):
    """A task that goes on in another process, and needs nobody until a descriptor says so."""

    @property
    def exit_fd(self) -> int | None:
        """Readable when it has ended; None if there is no such descriptor, and `see_through` must wait."""

    @property
    def output_fd(self) -> int | None:
        """Readable when there is something for `hear`; None if there never will be."""

    def read_output(self) -> bool:
        """Take what has come, without waiting; False when nothing more will come by this descriptor."""

    def collect(self) -> Outcome:
        """Say what became of it, once it has ended. Raises `TaskFailed`."""

    def wait(self) -> Outcome:
        """Wait for its end, or end it when its context says so; then as `end`."""


class ProcessTask(Task):
    """A task whose work is done by another process, so that one thread can look after all of them: `start`, `end`."""

    @abstractmethod
    def start(self, context: Context) -> RunningProcess:
        """Have the work begin, without waiting. Raises `TaskFailed`, or `NotBegun`."""
