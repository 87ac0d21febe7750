"""Observe records in the log, and run a task when the result of a job changes.

A job never waits for its alerts, and no alert adds a record: the observer of the log only queues the record. A thread
takes it from the queue, knows the last result of each job, and decides; the `AlertSenderPool` runs the tasks. Results
from before this start stand in the log, which is read once: when the first job with an alert ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue

from jobscheduler.alerts.damping import Batch, Damper, ResultChange
from jobscheduler.alerts.payload import build_payload, build_summary
from jobscheduler.alerts.pending_alert import PendingAlert
from jobscheduler.alerts.previous_results import PreviousResults
from jobscheduler.alerts.rules import AlertKind, due_alert, is_result
from jobscheduler.alerts.sender_pool import AlertSenderPool
from jobscheduler.model import NO_TASK, Event, Job, Level, LogEntry, Record, Status, TaskSpec
from jobscheduler.util.instants import utc_now
from jobscheduler.util.text import format_error

MAX_QUEUED_RECORDS = 100_000  # further records are only counted
RETRY_S = 1.0  # between two attempts to start a thread on a host that has none left
MIN_DRAIN_S, MAX_DRAIN_S = 2.0, 10.0  # bounds of the time for alerts at a stop, the rest of the service's drain


@dataclass(frozen=True, slots=True)
class DefaultAlerts:
    """The service's alerts, for jobs without a setting of their own; None is no alert."""

    on_failure: TaskSpec | None = None
    on_recovery: TaskSpec | None = None

    def task_of(self, job: Job, kind: AlertKind) -> TaskSpec | None:
        """Return the task of an alert: the job's own, else the service's; None for no alert."""
        own, default = (
            (job.on_failure, self.on_failure) if kind is AlertKind.FAILURE else (job.on_recovery, self.on_recovery)
        )
        task = default if own is None else own
        return None if task == NO_TASK else task


class AlertDispatcher:
    """Decides about alerts, record by record.

    `write` writes events about alerts to the log. `previous_results` returns how each job ended last before an instant;
    it may be slow. `find_job` returns the active definition of a job.
    """

    def __init__(
        self,
        write: Callable[[LogEntry], object],
        previous_results: Callable[[datetime], Mapping[str, Status]],
        defaults: DefaultAlerts,
        find_job: Callable[[str], Job | None],
        *,
        host: str = "",
        sender: AlertSenderPool | None = None,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._defaults = defaults
        self._write = write
        self._results = PreviousResults(previous_results, since=clock())
        self._find_job = find_job
        self._host = host
        self._sender = sender or AlertSenderPool(write, clock=clock)
        self._clock = clock
        self._monotonic = monotonic
        self._damper = Damper()
        self._records: SimpleQueue[Record | None] = SimpleQueue()
        self._dropped = 0
        self._is_started = False
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)

    def observe(self, entry: LogEntry) -> None:
        """Queue a result for the thread that decides. Never waits.

        The result of a job without alerts is only remembered, so that thousands of such jobs wake no thread.
        """
        if not isinstance(entry, Record) or not is_result(entry.status):
            return
        if self._is_started and self._has_no_alert(entry):  # before, a queued result of the job may be older
            self._results.by_job[entry.job_id] = entry.status
        elif self._records.qsize() < MAX_QUEUED_RECORDS:
            self._records.put(entry)
        else:
            self._dropped += 1

    def _has_no_alert(self, record: Record) -> bool:
        """Return whether a job certainly has no alerts, by the definition that its run began with."""
        try:
            job = record.job or self._find_job(record.job_id)
            if job is None:
                return False
            if job.on_failure is job.on_recovery is self._defaults.on_failure is self._defaults.on_recovery is None:
                return True  # the usual case, for each of thousands of runs
            return not any(self._defaults.task_of(job, kind) for kind in AlertKind)
        except Exception:  # the thread meets the same error, and logs it
            return False

    def replace_defaults(self, defaults: DefaultAlerts) -> None:
        """Use other alerts for jobs without a setting of their own. For any thread, at any time."""
        self._defaults = defaults

    def start(self) -> None:
        """Begin to decide about records, those queued before included. Call it once all job files were read."""
        self._is_started = True
        self._thread.start()

    def stop(self, seconds: float, poll: Callable[[], bool] = lambda: False) -> None:
        """Decide about the queued records and let alerts go on for `seconds`, within bounds; then stop them all.

        `poll` is called again and again meanwhile; it returns whether to hurry.
        """
        until = time.monotonic() + min(max(seconds, MIN_DRAIN_S), MAX_DRAIN_S)
        self._records.put(None)
        while self._thread.is_alive() and time.monotonic() < until and not poll():
            self._thread.join(0.05)
        self._sender.stop(max(0.0, until - time.monotonic()), poll)

    # -- on the thread

    def _work(self) -> None:
        can_send = True
        while True:
            try:
                record = self._records.get(timeout=self._seconds_until_next(can_send))
                if record is None:
                    self._send(self._damper.pop_all(self._monotonic()))
                    return
                self._handle_record(record)
            except Empty:
                pass
            except Exception as error:  # the next record has to be handled all the same
                self._report_error(format_error(error))
            self._send(self._damper.pop_due(self._monotonic()))
            can_send = self._sender.maintain()
            self._log_dropped()

    def _seconds_until_next(self, can_send: bool) -> float | None:
        """Return how many seconds to wait for a record, None without limit."""
        due = self._damper.next_at()
        until = None if due is None else max(0.0, due - self._monotonic())
        return until if can_send else min(RETRY_S, RETRY_S if until is None else until)

    def waiting(self) -> tuple[str, ...]:
        """Return the jobs with an alert that is queued, being sent or held back. For any thread."""
        return tuple(dict.fromkeys((*self._sender.waiting(), *self._damper.waiting())))

    def _handle_record(self, record: Record) -> None:
        job = record.job or self._find_job(record.job_id)
        tasks = {kind: self._defaults.task_of(job, kind) for kind in AlertKind} if job is not None else {}
        if any(tasks.values()) and record.job_id not in self._results.by_job:
            self._load_previous()
        kind = due_alert(self._results.by_job.get(record.job_id), record.status)
        self._results.by_job[record.job_id] = record.status
        if kind is None:
            return
        task = tasks.get(kind)
        if task is None or job is None:
            self._damper.note_sent(record.job_id)
        else:
            self._send(self._damper.add(ResultChange(task, kind, record, job.description), self._monotonic()))

    def _send(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self._sender.put(_pending_alert(batch, self._host))

    def _load_previous(self) -> None:
        try:
            self._results.load()
        except OSError as error:
            self._report_error(f"the results before this start cannot be read: {error.strerror}")

    def _log_dropped(self) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._report_error(f"{dropped} results came too fast to be checked")

    def _report_error(self, problem: str) -> None:
        self._write(Event(self._clock(), Level.WARNING, "alert.trouble", (("problem", problem),)))


def _pending_alert(batch: Batch, host: str) -> PendingAlert:
    """Build the alert about one change, or the summary of several."""
    change = batch[0]
    if len(batch) > 1:
        names = tuple(each.job_id for each in batch)
        return PendingAlert(change.task, build_summary(batch, host=host), jobs=names)
    alert = build_payload(change.kind, change.record, description=change.description, host=host, changes=change.changes)
    return PendingAlert(change.task, alert, change.changes)
