"""The runner, its runs and their attempts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from jobscheduler.model import Event, Job, Level, LogEntry, LogValue, Record, Status
from jobscheduler.runner.attempt_result import AttemptResult, execute_task
from jobscheduler.runner.output_cache import OutputCache, tail
from jobscheduler.runner.run_ids import new_run_id
from jobscheduler.runner.survivors import add_survivors
from jobscheduler.runner.timer import TimerThread
from jobscheduler.tasks.base import Context
from jobscheduler.tasks.stop_signals import Survivor

STOP_GRACE_S = 10.0  # after a stop request; longer than TERM and KILL take in `execute_command`

LOG_WAIT_S = 1.0  # that an attempt waits until its `run.started` is written

Pairs = tuple[tuple[str, LogValue], ...]

LogThen = Callable[[Sequence[Event], Callable[[], object]], object]  # writes, then calls; does not wait


def utc_now() -> datetime:
    """Return the time of the host, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """A failed attempt: attempt number `attempt` is due in `delay` seconds unless the run is stopped."""

    delay: float
    attempt: int


class Runner:
    """Makes runs and keeps the active ones.

    `record` gets the one record of each run, and `emit` gets the events. Exceptions of both are ignored, because a
    run must not fail by its log. `clock` returns the UTC time for records; the monotonic clock measures limits.
    `announce` writes the `run.started` of attempts that are about to begin, then calls its second argument.
    An attempt waits for that no longer than `LOG_WAIT_S`; after that, `on_behind` is called.
    `on_lost` is called when `lost` may have changed.

    Thread: `record` is called by the thread that ends the run: a worker, the timer or the caller of `stop`.
    Lock: `on_lost` is called on any thread, with no lock held.
    """

    def __init__(
        self,
        record: Callable[[Record], object],
        emit: Callable[[Event], object],
        *,
        clock: Callable[[], datetime] = utc_now,
        outputs: OutputCache | None = None,
        grace: float = STOP_GRACE_S,
        announce: LogThen | None = None,
        on_behind: Callable[[], object] = lambda: None,
        on_lost: Callable[[], object] = lambda: None,
    ) -> None:
        self.clock = clock
        self.outputs = outputs or OutputCache()
        self.grace = grace
        self.timer = TimerThread(self.report_error)
        self._record = record
        self._emit = emit
        self._log_then = announce or self._emit_each
        self._on_behind = on_behind
        self._on_lost = on_lost
        self._lock = threading.Lock()
        self._active: dict[str, Run] = {}
        self._lost: set[Context] = set()

    @property
    def active_runs(self) -> tuple[Run, ...]:
        """The runs without a record, oldest first."""
        with self._lock:
            return tuple(self._active.values())

    def overdue(self, now: float) -> Iterator[tuple[str, str, str]]:
        """Yield attempts that should have ended by `now` (monotonic seconds): job, run, missing step.

        Lost attempts are included, because their processes may live on.
        """
        with self._lock:
            contexts = [run._context for run in self._active.values() if run._context is not None]
            contexts += self._lost
        for context in contexts:
            missing = overdue(context, now)
            if missing is not None:
                yield context.job_id, context.run_id, missing

    @property
    def lost(self) -> int:
        """The number of threads held by tasks that ignored a request to stop."""
        with self._lock:
            return len(self._lost)

    def new_run(self, job: Job, scheduled: datetime | None, extra: Pairs = (), parent: Run | None = None) -> Run:
        """Return a new run of a slot, or a manual run if there is no slot.

        `extra` goes into its events and its record. `parent` is the run whose task requested this one.
        """
        run = Run(self, job, scheduled, extra, parent)
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

    def _end(self, run: Run, record: Record) -> None:
        """Emit the record, then forget the run: once no run is active, a stop may close the log."""
        self.emit(record)
        self._forget(run)

    def _forget(self, run: Run) -> None:
        with self._lock:
            self._active.pop(run.run_id, None)

    def _mark_lost(self, context: Context) -> None:
        with self._lock:
            self._lost.add(context)

    def _mark_returned(self, context: Context) -> None:
        with self._lock:
            self._lost.discard(context)

    def _log_lost(self) -> None:
        try:
            self._on_lost()
        except Exception as error:  # must end neither the timer thread nor a worker
            self.report_error(error)

    def log_then(self, events: Sequence[Event], then: Callable[[], object]) -> None:
        """Write the lines of attempts that are about to begin, then call `then` on any thread."""
        try:
            self._log_then(events, then)
        except Exception:  # as in `emit`
            then()

    def _emit_each(self, events: Sequence[Event], then: Callable[[], object]) -> None:
        for event in events:
            self._emit(event)
        then()

    def warn_log_behind(self) -> None:
        """Report that a run began before its line was written."""
        with suppress(Exception):
            self._on_behind()

    def emit(self, entry: LogEntry) -> None:
        """Pass a record or an event on to the log."""
        try:
            _ = self._record(entry) if isinstance(entry, Record) else self._emit(entry)
        except Exception:  # the log reports its own trouble
            return

    def report_error(self, error: Exception) -> None:
        """Log an error of a task, or of ours, that does not end a run."""
        values: Pairs = (("error", f"{type(error).__name__}: {error}"),)
        self.emit(Event(self.clock(), Level.ERROR, "task.crashed", values))


class Run:
    """One run of a job: a handle until its record exists.

    `attempts` counts the attempts announced; `begun_at` is the number of the last attempt that has begun.

    Thread: any thread may call any method. No method raises.
    """

    def __init__(
        self, runner: Runner, job: Job, scheduled: datetime | None, extra: Pairs = (), parent: Run | None = None
    ) -> None:
        self.run_id = new_run_id()
        self.job = job
        self.scheduled = scheduled
        self.attempts = 0
        self.begun_at = 0
        self.started_at: datetime | None = None
        self._runner = runner
        self.extra = extra
        self.parent = parent
        self.survivors: tuple[Survivor, ...] = ()
        self._last: tuple[str, AttemptResult] | None = None
        self._is_last_attempt = False
        self._lock = threading.Lock()
        self._context: Context | None = None
        self._record: Record | None = None
        self._stopped_for: str | None = None
        self._cancelled = False
        self._began = 0.0

    @property
    def waits_for_attempt(self) -> bool:
        """Whether an attempt has failed and the next one has not begun."""
        return self._last is not None and self._context is None and self._record is None

    @property
    def record(self) -> Record | None:
        """The record; None while the run is active."""
        return self._record

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was cancelled before it began."""
        return self._cancelled

    def attempt(self) -> Record | RetryAfter | None:
        """Make the next attempt on the calling thread. Return the record, or when to call this again.

        A run that was stopped while it waited returns its existing record; a cancelled run returns None.
        """
        attempt = self.next_attempt()
        if attempt is None:
            return self._record
        self._wait_for_line(attempt)
        attempt.begin()
        return attempt.end(execute_task(self.job.task, attempt.context))

    def _wait_for_line(self, attempt: Attempt) -> None:
        written = threading.Lock()
        written.acquire()
        self._runner.log_then((attempt.event(),), written.release)
        if not written.acquire(timeout=LOG_WAIT_S):
            self._runner.warn_log_behind()

    def stop(self, reason: str) -> None:
        """End the run as a failure for this reason (`replaced`, `shutdown`), unless it has ended.

        A waiting run ends at once. Otherwise the run ends with its task, or after the grace.
        """
        with self._lock:
            if self._record is not None:
                return
            self._stopped_for = self._stopped_for or reason
            context = self._context
            record = self._finish(reason) if context is None else None
        if record is not None:
            self._runner._end(self, record)
        elif context is not None:
            self._request_stop(context, reason)

    def end_attempts(self) -> None:
        """Allow no further attempt. A run that waits for one ends now with the result of its last attempt."""
        with self._lock:
            self._is_last_attempt = True
            if self._record is not None or self._context is not None or self._last is None:
                return
            reason, ending = self._last
            record = self._finish(reason, (*self._attempts_left(), *ending.details), ending.output)
        self._runner._end(self, record)

    def _attempts_left(self) -> Pairs:
        """Return the number of attempts that the definition allows but `end_attempts` took away."""
        allowed = self.job.retry.attempts if self.job.retry is not None else 0
        if not self._is_last_attempt or allowed <= self.attempts:
            return ()
        return (("attempts_left", allowed - self.attempts),)

    def cancel(self) -> bool:
        """Cancel a run that has not begun, so that its slot has no record. Return False if the run has begun."""
        with self._lock:
            if self.attempts or self._record is not None:
                return False
            self._cancelled = True
        self._runner._forget(self)
        return True

    def next_attempt(self) -> Attempt | None:
        """Return the next attempt, for the caller to announce and begin. Return None if the run has ended."""
        with self._lock:
            if self._record is not None or self._cancelled:
                return None
            self.attempts += 1
            if self.attempts == 1:
                self.started_at = self._runner.clock()
                self._began = time.monotonic()
            self._context = Context(self.job.id, self.run_id, self.scheduled, self.attempts)
            return Attempt(self, self._context)

    def _request_stop(self, context: Context, reason: str) -> None:
        if not context.stop_requested:
            self._runner.timer.call_at(time.monotonic() + self._runner.grace, partial(self._abandon, context))
        context.stop(reason, self._runner.report_error)

    def _abandon(self, context: Context) -> None:
        """End the run of a task that did not stop. Thread: the timer."""
        message = f"the task did not end within {self._runner.grace:g} s of being asked to; its thread is lost"
        self._runner._mark_lost(context)  # first, because the task may return at any moment
        with self._lock:
            lost = self._context is context
            if lost:
                self._context = None
                record = self._finish(context.reason, (("error", message),))
        if lost:
            self._runner._log_lost()  # first, so that a run that waited for this one finds a worker
            self._runner._end(self, record)
        else:
            self._runner._mark_returned(context)

    def _attempt_ended(self, context: Context, ending: AttemptResult, seconds: float) -> Record | RetryAfter | None:
        """Handle the end of an attempt. Return when to retry, or the record."""
        if ending.traceback:
            self._finish_record(Level.ERROR, "task.crashed", (("traceback", ending.traceback),))
        with self._lock:
            lost = self._context is not context
            self.survivors = context.signals.survivors
            reason = context.reason or (ending.reason and (self._stopped_for or ending.reason))
            pause = None if lost else self._pause(reason)
            record = None
            if not lost:
                self._context = None
                if pause is not None and reason is not None:
                    self._last = (reason, ending)
                details = ending.details
                if self.survivors:
                    details = add_survivors(details, self.survivors)
                if self._is_last_attempt and reason is not None:
                    details = (*self._attempts_left(), *details)
                record = self._finish(reason, details, ending.output) if pause is None else None
        if lost:
            self._runner._mark_returned(context)
            self._runner._log_lost()
            return self._record
        self._runner.outputs.put(self.run_id, ending.output)
        if pause is not None:
            return self._retry(pause, reason or "", ending, seconds)
        if record is not None:
            self._runner._end(self, record)
        return record

    def _pause(self, reason: str | None) -> float | None:
        """Return the seconds until the next attempt, None if there is none."""
        if self.job.retry is None or reason is None or self._stopped_for or self._is_last_attempt:
            return None
        return self.job.retry.delay_after(self.attempts)

    def _retry(self, pause: float, reason: str, ending: AttemptResult, seconds: float) -> RetryAfter:
        printed = (("output", tail(ending.output)),) if ending.output else ()
        values = (
            ("attempt", self.attempts),
            ("duration", round(seconds, 3)),
            ("reason", reason),
            *ending.details,
            ("retry_in", round(pause, 3)),
            *printed,
        )
        self._finish_record(Level.WARNING, "run.attempt_failed", values)
        return RetryAfter(pause, self.attempts + 1)

    def _finish(self, reason: str | None, details: Pairs = (), output: bytes = b"") -> Record:
        """Make the record. Lock: held by the caller, who emits the record after releasing it."""
        attempts: Pairs = (("attempts", self.attempts),) if self.attempts > 1 else ()
        self._record = Record(
            at=self._runner.clock(),
            status=Status.SUCCESS if reason is None else Status.FAILURE,
            job_id=self.job.id,
            run_id=self.run_id,
            scheduled=self.scheduled,
            started=self.started_at,
            duration=round(time.monotonic() - self._began, 3) if self.started_at else None,
            reason=reason,
            details=(*self.extra, *attempts, *details),
            output=tail(output) if reason is not None and output else None,
            job=self.job,
        )
        return self._record

    def _finish_record(self, level: Level, name: str, values: Pairs) -> None:
        self._runner.emit(self._event(level, name, values))

    def _event(self, level: Level, name: str, values: Pairs) -> Event:
        slot: Pairs = () if self.scheduled is None else (("scheduled", self.scheduled),)
        identity: Pairs = (("job_id", self.job.id), ("run_id", self.run_id), *slot, *self.extra)
        return Event(self._runner.clock(), level, name, (*identity, *values))


def overdue(context: Context, now: float) -> str | None:
    """Describe the missing step of an attempt that should have ended by `now` (monotonic seconds); else return None."""
    if context.stop_requested:
        signal = context.missing_signal(now)
        return signal and f"{signal} has not been sent"
    has_passed = context.deadline is not None and now > context.deadline
    return "its time limit has passed, and it was not asked to end" if has_passed else None


class Attempt:
    """One attempt of a run. The thread that carries it out calls `event`, `begin` and `end`, in this order."""

    __slots__ = ("_began", "_limit", "context", "run")

    def __init__(self, run: Run, context: Context) -> None:
        self.run = run
        self.context = context
        self._limit: int | None = None
        self._began = 0.0

    def event(self) -> Event:
        """Return the event that announces this attempt."""
        return self.run._event(Level.INFO, "run.started", (("attempt", self.context.attempt),))

    def begin(self) -> None:
        """Start the clock of this attempt and its time limit."""
        self.run.begun_at = self.context.attempt
        self._began = time.monotonic()
        timeout, runner = self.run.job.timeout, self.run._runner
        if timeout is not None:
            self.context.deadline = self._began + timeout
            request_stop = partial(self.run._request_stop, self.context, "timeout")
            self._limit = runner.timer.call_at(self.context.deadline, request_stop)

    def end(self, ending: AttemptResult) -> Record | RetryAfter | None:
        """End this attempt. Return the record of the run, or when to retry."""
        if self._limit is not None:
            self.run._runner.timer.cancel(self._limit)
        return self.run._attempt_ended(self.context, ending, time.monotonic() - self._began)
