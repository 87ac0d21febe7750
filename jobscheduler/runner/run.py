"""Runs and the runner that begins them."""

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

STOP_GRACE_S = 10.0
"""Seconds that a task has to end after it was told to. More than TERM and KILL take in `execute_command`."""

LOG_WAIT_S = 1.0
"""How long an attempt waits for its `run.started` to be written, in seconds."""

Pairs = tuple[tuple[str, LogValue], ...]

LogThen = Callable[[Sequence[Event], Callable[[], object]], object]
"""Has some events written, and calls the second argument when they are. Does not wait."""


def utc_now() -> datetime:
    """The host's time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """The attempt failed; attempt number `attempt` is due in `delay` seconds, if nobody stops the run before."""

    delay: float
    attempt: int


class Runner:
    """Begins runs, and knows those that go on.

    `record` gets the one record of each run, from the thread that ends it (a worker, the timer, or who called
    `stop`); `emit` gets events, and `run.started` before the task begins. `clock` tells the time in records, in UTC;
    limits are measured by the monotonic clock. What `record` and `emit` raise is ignored: a run is not their fault.
    `announce` is given the `run.started` of attempts that are about to begin, and calls what it is given with them
    when they stand in the log; nobody waits for that longer than `PATIENCE`, and `on_behind` is told when that was
    too short. `on_lost` is called, on any thread and with no lock held, when `lost` may have changed.
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
        """The runs that have no record yet, in the order in which they began."""
        with self._lock:
            return tuple(self._active.values())

    def overdue(self, now: float) -> Iterator[tuple[str, str, str]]:
        """List attempts that should have been ended by `now` (monotonic seconds): job, run, what is missing.

        Those that were given up with their thread are among them: their processes may live on.
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
        """How many threads are held by tasks that did not end when they were told to."""
        with self._lock:
            return len(self._lost)

    def new_run(self, job: Job, scheduled: datetime | None, extra: Pairs = (), parent: Run | None = None) -> Run:
        """Make the run of a slot, or one by hand without a slot; `extra` goes into its events and its record.

        `parent` is the run from within which it was asked for.
        """
        run = Run(self, job, scheduled, extra, parent)
        with self._lock:
            self._active[run.run_id] = run
        return run

    def stop(self, reason: str = "shutdown") -> None:
        """Stop all runs that go on; does not wait for them. Those that never began are withdrawn, without a record."""
        for run in self.active_runs:
            if not run.cancel():
                run.stop(reason)

    def close(self) -> None:
        """End the timer thread; runs that still go on have no limit any more."""
        self.timer.close()

    def _end(self, run: Run, record: Record) -> None:
        """Tell the record first: a stop that sees no run at work any more may close the log."""
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
        except Exception as error:  # neither the timer thread nor a worker is to end for it
            self.report_error(error)

    def log_then(self, events: Sequence[Event], then: Callable[[], object]) -> None:
        """Have the lines written that say what is about to begin; `then` is called, on any thread, when they are."""
        try:
            self._log_then(events, then)
        except Exception:  # as with `tell`
            then()

    def _emit_each(self, events: Sequence[Event], then: Callable[[], object]) -> None:
        for event in events:
            self._emit(event)
        then()

    def warn_log_behind(self) -> None:
        """Say that a run did not wait any longer for its line."""
        with suppress(Exception):
            self._on_behind()

    def emit(self, entry: LogEntry) -> None:
        """Pass on a record or an event."""
        try:
            _ = self._record(entry) if isinstance(entry, Record) else self._emit(entry)
        except Exception:  # the log itself is in trouble and says so by its own means
            return

    def report_error(self, error: Exception) -> None:
        """Tell a fault of a task, or of ours, that is no run's end."""
        values: Pairs = (("error", f"{type(error).__name__}: {error}"),)
        self.emit(Event(self.clock(), Level.ERROR, "task.crashed", values))


class Run:
    """What a slot leads to. All its methods may be called from any thread; none raises.

    `attempts` counts those that were announced, `begun` is the number of the last one that has begun.
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
        """Whether an attempt of it has failed and the next one has not begun."""
        return self._last is not None and self._context is None and self._record is None

    @property
    def record(self) -> Record | None:
        """The record, None while the run goes on."""
        return self._record

    @property
    def is_cancelled(self) -> bool:
        """Whether it was taken back before it began."""
        return self._cancelled

    def attempt(self) -> Record | RetryAfter | None:
        """Make the next attempt, on the calling thread; returns the record, or when to call this again.

        A run that was stopped while it waited has its record already, which is returned; None if it was withdrawn.
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
        """End the run as a failure for this reason (`replaced`, `shutdown`); does nothing if it has ended.

        One that waits ends at once; one whose task is at work when that has ended, or after the grace.
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
        """Make no further attempt; a run that waits for one ends now, and its record is that of its last attempt."""
        with self._lock:
            self._is_last_attempt = True
            if self._record is not None or self._context is not None or self._last is None:
                return
            reason, ending = self._last
            record = self._finish(reason, (*self._attempts_left(), *ending.details), ending.output)
        self._runner._end(self, record)

    def _attempts_left(self) -> Pairs:
        """Say how many further attempts the definition would have allowed, if they were taken away."""
        most = self.job.retry.attempts if self.job.retry is not None else 0
        return (("attempts_left", most - self.attempts),) if self._is_last_attempt and most > self.attempts else ()

    def cancel(self) -> bool:
        """Take back a run that has not begun, so that its slot stays without a record; False if it has begun."""
        with self._lock:
            if self.attempts or self._record is not None:
                return False
            self._cancelled = True
        self._runner._forget(self)
        return True

    def next_attempt(self) -> Attempt | None:
        """Make the next attempt, which is to be announced and then begun; None if the run has ended."""
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
        """Write the record of a task that did not end (on the timer thread)."""
        why = f"the task did not end within {self._runner.grace:g} s of being told to; its thread is lost"
        self._runner._mark_lost(context)  # before the thread can be found again
        with self._lock:
            lost = self._context is context
            if lost:
                self._context = None
                record = self._finish(context.reason, (("error", why),))
        if lost:
            self._runner._log_lost()  # first, so that what waited for this run finds a worker
            self._runner._end(self, record)
        else:
            self._runner._mark_returned(context)

    def _attempt_ended(self, context: Context, ending: AttemptResult, seconds: float) -> Record | RetryAfter | None:
        """Take the end of an attempt: another one, or the record."""
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
        """Seconds until a further attempt, None if there is none."""
        if self.job.retry is None or reason is None or self._stopped_for or self._is_last_attempt:
            return None
        return self.job.retry.delay_after(self.attempts)

    def _retry(self, pause: float, reason: str, ending: AttemptResult, seconds: float) -> RetryAfter:
        said = (("output", tail(ending.output)),) if ending.output else ()
        values = (
            ("attempt", self.attempts),
            ("duration", round(seconds, 3)),
            ("reason", reason),
            *ending.details,
            ("retry_in", round(pause, 3)),
            *said,
        )
        self._finish_record(Level.WARNING, "run.attempt_failed", values)
        return RetryAfter(pause, self.attempts + 1)

    def _finish(self, reason: str | None, details: Pairs = (), output: bytes = b"") -> Record:
        """Make the record; to be called under the lock, and passed on without it."""
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
        who: Pairs = (("job_id", self.job.id), ("run_id", self.run_id), *slot, *self.extra)
        return Event(self._runner.clock(), level, name, (*who, *values))


def overdue(context: Context, now: float) -> str | None:
    """Say what is missing of an attempt that has to end at `now` (monotonic seconds), None if nothing is."""
    if context.stop_requested:
        signal = context.missing_signal(now)
        return signal and f"{signal} has not been sent"
    has_passed = context.deadline is not None and now > context.deadline
    return "its time limit has passed, and it was not told to end" if has_passed else None


class Attempt:
    """One attempt of a run: to be announced by its `event`, then begun, then ended, by whoever carries it out."""

    __slots__ = ("_began", "_limit", "context", "run")

    def __init__(self, run: Run, context: Context) -> None:
        self.run = run
        self.context = context
        self._limit: int | None = None
        self._began = 0.0

    def event(self) -> Event:
        """Return what says that it is about to begin."""
        return self.run._event(Level.INFO, "run.started", (("attempt", self.context.attempt),))

    def begin(self) -> None:
        """Let its time run from now."""
        self.run.begun_at = self.context.attempt
        self._began = time.monotonic()
        timeout, runner = self.run.job.timeout, self.run._runner
        if timeout is not None:
            self.context.deadline = self._began + timeout
            tell = partial(self.run._request_stop, self.context, "timeout")
            self._limit = runner.timer.call_at(self.context.deadline, tell)

    def end(self, ending: AttemptResult) -> Record | RetryAfter | None:
        """Take its end; return the record of the run, or when there is to be another attempt."""
        if self._limit is not None:
            self.run._runner.timer.cancel(self._limit)
        return self.run._attempt_ended(self.context, ending, time.monotonic() - self._began)
