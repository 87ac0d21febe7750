"""A run, from its making to its record, and its attempts."""

from __future__ import annotations

import threading
import time
from datetime import datetime, timedelta
from functools import partial

from jobscheduler.model import AttemptOutput, Event, Job, KeptOutput, Level, LogFields, Record
from jobscheduler.runner.attempt_result import AttemptResult, execute_task
from jobscheduler.runner.run_ids import new_run_id
from jobscheduler.runner.run_lines import RunLines
from jobscheduler.runner.run_services import RunServices
from jobscheduler.runner.run_state import Phase, RetryAfter, RunState
from jobscheduler.tasks import Context, ProcessTask, UnkillableProcess
from jobscheduler.tasks.command.output_buffer import bounded


class Run:
    """One run of a job: a handle until its record exists. `RunState` decides, and this does what was decided.

    `extra` goes into all its events and its record. `parent` is the run whose task requested this one. `unkillable`
    are the processes of its last attempt that could not be ended.

    Thread: any thread may call any method. No method raises.
    """

    def __init__(
        self,
        services: RunServices,
        job: Job,
        scheduled: datetime | None,
        extra: LogFields = (),
        parent: Run | None = None,
    ) -> None:
        self.run_id = new_run_id()
        self.job = job
        self.scheduled = scheduled
        self.parent = parent
        self.unkillable: tuple[UnkillableProcess, ...] = ()
        self._services = services
        self._lock = threading.Lock()
        self._state = RunState(job.retry)
        self._lines = RunLines(job, self.run_id, scheduled, extra, services.log.clock)
        self._attempt: Attempt | None = None

    # -- the state

    @property
    def extra(self) -> LogFields:
        """The fields that all its lines have."""
        return self._lines.extra

    @property
    def started_at(self) -> datetime | None:
        """When its first attempt was made; None before."""
        return self._lines.started_at

    @property
    def record(self) -> Record | None:
        """Its record; None before its end, and if it was cancelled."""
        return self._lines.record

    @property
    def attempts(self) -> int:
        """The number of attempts announced."""
        return self._state.attempts

    @property
    def begun_attempts(self) -> int:
        """The number of attempts that have begun."""
        attempt = self._attempt
        return 0 if attempt is None else attempt.number - (not attempt.has_begun)

    @property
    def running_attempt(self) -> Attempt | None:
        """The attempt that was announced and has not ended."""
        return self._attempt if self._state.phase is Phase.RUNNING else None

    @property
    def pid(self) -> int | None:
        """The main process of the attempt at work, None if it has none."""
        attempt = self.running_attempt
        return None if attempt is None else attempt.context.pid

    @property
    def waits_for_attempt(self) -> bool:
        """Whether an attempt has failed and the next one has not begun."""
        return self._state.phase is Phase.RETRYING

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was cancelled before it began."""
        return self._state.phase is Phase.CANCELLED

    # -- its attempts

    def attempt(self) -> Record | RetryAfter | None:
        """Make the next attempt on the calling thread. Return the record, or when to call this again.

        A run that was stopped while it waited returns its existing record; a cancelled run returns None.
        """
        attempt = self.next_attempt()
        if attempt is None:
            return self.record
        self._services.log.log_and_wait(attempt.event())
        attempt.begin()
        return attempt.end(execute_task(self.job.task, attempt.context))

    def next_attempt(self) -> Attempt | None:
        """Return the next attempt, for the caller to announce and begin. Return None if the run has ended."""
        with self._lock:
            if not self._state.begin_attempt():
                return None
            if self._attempt is None:
                self._lines.begin()
            context = Context(self.job.id, self.run_id, self.scheduled, self._state.attempts, limits=self.job.limits)
            self._attempt = Attempt(self, context, self._services)
            return self._attempt

    def attempt_ended(self, attempt: Attempt, result: AttemptResult, seconds: float) -> Record | RetryAfter | None:
        """Handle the end of an attempt that took so long. Return when to retry, or the record."""
        attempt.keep_output(result.output)  # first: a client that sees the end must find all of it
        attempt.context.forget_callbacks()
        if result.traceback:
            crash = self.event(Level.ERROR, "task.crashed", (("traceback", result.traceback),))
            self._services.log.emit(crash)
        with self._lock:
            self.unkillable = attempt.context.signals.unkillable
            self._lines.add_use(result.use)
            verdict = self._state.attempt_ended(attempt.number, result, attempt.context.reason)
            failure = self._state.last_failure
            record = self._make_record(verdict, self.unkillable) if isinstance(verdict, AttemptResult) else None
        if verdict is None:
            self._services.lost_threads.discard(attempt.context)
            self._services.lost_threads.report_change()
            return self.record
        if isinstance(verdict, RetryAfter) and failure is not None:
            self._services.log.emit(self._lines.failed_attempt(attempt.number, failure, seconds, verdict.delay))
            return verdict
        if record is not None:
            self._end(record)
        return record

    # -- its end

    def stop(self, reason: str, by: str | None = None) -> None:
        """End the run as a failure for this reason (`stopped`, `replaced`, `shutdown`), unless it has ended.

        `by` is the person who stopped it. A waiting run ends at once. Otherwise the run ends with its task, or after
        the grace.
        """
        with self._lock:
            self._lines.stopped_by(by)
            result = self._state.stop(reason)
            record = None if result is None else self._make_record(result)
            attempt = self.running_attempt
        if record is not None:
            self._end(record)
        elif attempt is not None:
            attempt.request_stop(reason)

    def end_attempts(self) -> None:
        """Allow no further attempt. A run that waits for one ends now with the result of its last attempt."""
        with self._lock:
            result = self._state.end_attempts()
            record = None if result is None else self._make_record(result)
        if record is not None:
            self._end(record)

    def cancel(self) -> bool:
        """Cancel a run that has not begun, so that its slot has no record. Return False if the run has begun."""
        with self._lock:
            if not self._state.cancel():
                return False
        self._services.forget(self.run_id)
        return True

    def abandon(self, attempt: Attempt) -> None:
        """End the run while the task of its attempt goes on, because that did not stop. Thread: the timer."""
        services, context = self._services, attempt.context
        message = f"the task did not end within {services.grace:g} s of being asked to; its thread is lost"
        services.lost_threads.add(context)  # first, because the task may return at any moment
        attempt.keep_output()
        with self._lock:
            result = self._state.abandon(attempt.number, AttemptResult(context.reason, (("error", message),)))
            record = None if result is None else self._make_record(result)
        if record is None:
            services.lost_threads.discard(context)
            return
        services.lost_threads.report_change()  # first, so that a run that waited for this one finds a worker
        self._end(record)

    def _end(self, record: Record) -> None:
        """Log the record, then leave the active runs: once no run is active, a stop may close the log."""
        self._services.log.emit(record)
        self._services.forget(self.run_id)

    # -- its lines

    def event(self, level: Level, name: str, values: LogFields) -> Event:
        """Return an event about this run."""
        return self._lines.event(level, name, values)

    def _make_record(self, result: AttemptResult, unkillable: tuple[UnkillableProcess, ...] = ()) -> Record:
        """Make the record. Lock: held by the caller, which logs the record after releasing it."""
        return self._lines.end(result, self._state.attempts, unkillable)


class Attempt:
    """One attempt of a run. The thread that carries it out calls `event`, `begin` and `end`, in this order.

    `prepared_task` is its task if that had to be prepared before its start, and has been.
    """

    __slots__ = ("_began", "_services", "_time_limit", "context", "has_begun", "number", "prepared_task", "run")

    def __init__(self, run: Run, context: Context, services: RunServices) -> None:
        self.run = run
        self.context = context
        self.number = context.attempt  # from 1
        self.has_begun = False
        self.prepared_task: ProcessTask | None = None
        self._services = services
        self._time_limit: int | None = None
        self._began = 0.0

    @property
    def began(self) -> float:
        """When it began, in seconds of `time.monotonic()`; 0 before."""
        return self._began

    @property
    def key(self) -> tuple[str, int]:
        """The run and the number of the attempt."""
        return self.run.run_id, self.number

    @property
    def printed(self) -> int:
        """The bytes that it has printed so far, as far as that can be known."""
        live = self.context.output
        return 0 if live is None else live.total

    def live_output(self) -> AttemptOutput | None:
        """Return what it has printed so far, None if that cannot be read or is nothing."""
        live = self.context.output
        return self._output(live.kept(), None) if live is not None and live.total else None

    def keep_output(self, output: bytes = b"") -> None:
        """Keep what it has printed, else `output`. From now on `live_output` has none."""
        live = self.context.output
        if (output and live is None) or (live is not None and live.total):
            kept = bounded(output) if live is None else live.kept()
            self._services.outputs.keep(self._output(kept, self._services.log.clock()))
        self.context.output = None  # only now, so that a reader finds the output at any moment

    def _output(self, kept: KeptOutput, ended: datetime | None) -> AttemptOutput:
        run, now = self.run, self._services.log.clock() if ended is None else ended
        began = now - timedelta(seconds=time.monotonic() - self._began if self._began else 0.0)
        return AttemptOutput(run.run_id, self.number, began, ended, kept, run.job.id, run.started_at or began)

    def event(self) -> Event:
        """Return the event that announces this attempt."""
        return self.run.event(Level.INFO, "run.started", (("attempt", self.number),))

    def begin(self) -> None:
        """Start the clock of this attempt and its time limit, unless it has begun."""
        if self.has_begun:
            return
        self.has_begun = True
        self._began = time.monotonic()
        timeout = self.run.job.timeout
        if timeout is not None:
            self.context.deadline = self._began + timeout
            end = partial(self.request_stop, "timeout")
            self._time_limit = self._services.timer.call_at(self.context.deadline, end)

    def request_stop(self, reason: str) -> None:
        """Request the task to stop. The run is ended without the task if that takes longer than the grace."""
        if not self.context.stop_requested:
            due = time.monotonic() + self._services.grace
            self._services.timer.call_at(due, partial(self.run.abandon, self))
        self.context.stop(reason, self._services.log.report_error)

    def end(self, result: AttemptResult) -> Record | RetryAfter | None:
        """End this attempt. Return the record of the run, or when to retry."""
        if self._time_limit is not None:
            self._services.timer.cancel(self._time_limit)
        return self.run.attempt_ended(self, result, time.monotonic() - self._began)
