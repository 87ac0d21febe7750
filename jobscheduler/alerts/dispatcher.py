"""Observe the log, and run a task when a job begins to fail, becomes overdue or works again, and while that goes on.

A job never waits for its alerts, and no alert adds a record: the observer of the log only looks up how the job stands,
and queues what needs an alert. A thread takes it from the queue and holds back what came too often; the
`AlertSenderPool` runs the tasks. How jobs stand survives a restart (`status.standings`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import NamedTuple

from jobscheduler.alerts.damping import Batch, Damper
from jobscheduler.alerts.payload import build_payload, build_summary
from jobscheduler.alerts.pending_alert import PendingAlert
from jobscheduler.alerts.rules import AlertKind, Circumstances, DefaultAlerts, ResultChange
from jobscheduler.alerts.sender_pool import AlertSenderPool
from jobscheduler.model import Event, Job, Level, LogEntry, Record, Status
from jobscheduler.model.standing import Standing, counts_as_result
from jobscheduler.status.standings import Standings
from jobscheduler.util.instants import utc_now
from jobscheduler.util.text import format_error

MAX_QUEUED_RECORDS = 100_000  # further ones are only counted
RETRY_S = 1.0  # between two attempts to start a thread on a host that has none left
REMINDER_CHECK_S = 10.0  # between two checks whether a reminder is due
MIN_DRAIN_S, MAX_DRAIN_S = 2.0, 10.0  # bounds of the time for alerts at a stop, the rest of the service's drain


class _News(NamedTuple):
    """A change that may need an alert, and how the job stood then. Without a kind the thread finds that out."""

    job_id: str
    kind: AlertKind | None
    standing: Standing
    record: Record | None = None


class AlertDispatcher:
    """Decides about alerts.

    `write` writes events about alerts to the log. `standings` has every record before this does. `last_record` returns
    the last record of a job with one of some statuses; it may be slow. `find_job` returns the active definition of a
    job.
    """

    def __init__(
        self,
        write: Callable[[LogEntry], object],
        standings: Standings,
        defaults: DefaultAlerts,
        find_job: Callable[[str], Job | None],
        *,
        last_record: Callable[[str, Collection[Status]], Record | None] = lambda *_: None,
        host: str = "",
        sender: AlertSenderPool | None = None,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.defaults = defaults
        self._write = write
        self._standings = standings
        self._find_job = find_job
        self._last_record = last_record
        self._host = host
        self._sender = sender or AlertSenderPool(write, clock=clock)
        self._clock = clock
        self._monotonic = monotonic
        self._damper = Damper()
        self._news: SimpleQueue[_News | None] = SimpleQueue()
        self._dropped = 0
        self._next_reminders = 0.0
        self._is_started = False
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)

    # -- what is observed

    def observe(self, entry: LogEntry) -> None:
        """Queue what needs an alert. Never waits, and wakes no thread for the result of a job that stands as before."""
        if isinstance(entry, Record):
            if counts_as_result(entry.status, entry.reason):
                self._observe_result(entry)
        elif entry.name == "job.overdue":
            self._put(str(dict(entry.values)["job_id"]), AlertKind.OVERDUE)

    def _observe_result(self, record: Record) -> None:
        kind = None
        if self._is_started:  # before, the definitions are not known yet
            try:
                kind = self._kind_of(record)
            except Exception:  # the thread meets the same error, and logs it
                kind = None
            else:
                if kind is None:
                    return
        self._put(record.job_id, kind, record)

    def _kind_of(self, record: Record) -> AlertKind | None:
        """Return what a record changes of how its job stands, if anything."""
        if record.status is Status.SUCCESS:
            return AlertKind.RECOVERY if self._standings.take_alert(record.job_id) else None
        job = record.job or self._find_job(record.job_id)
        if job is None or (record.status is Status.MISSED and not job.alert.missed):
            return None
        return AlertKind.FAILURE if self._standings.begins_to_fail(job) else None

    def _put(self, job_id: str, kind: AlertKind | None, record: Record | None = None) -> None:
        if self._news.qsize() < MAX_QUEUED_RECORDS:
            self._news.put(_News(job_id, kind, self._standings.of(job_id), record))
        else:
            self._dropped += 1

    def check_reminders(self, now: float) -> None:
        """Queue the reminders that are due at `now` (monotonic seconds). Call it about once a second."""
        if now < self._next_reminders:
            return
        self._next_reminders = now + REMINDER_CHECK_S
        for job_id, age in self._standings.alerted():
            job = self._find_job(job_id)
            standing = self._standings.of(job_id)
            is_bad = standing.is_failing or standing.overdue_since is not None
            if job is not None and job.alert.remind is not None and is_bad and age >= job.alert.remind:
                self._standings.note_alert(job_id)
                self._put(job_id, AlertKind.REMINDER)

    # -- from outside

    def replace_defaults(self, defaults: DefaultAlerts) -> None:
        """Use other alerts for jobs without a setting of their own. For any thread, at any time."""
        self.defaults = defaults

    def start(self) -> None:
        """Begin to decide about records, those queued before included. Call it once all job files were read."""
        self._is_started = True
        self._thread.start()

    def stop(self, seconds: float, poll: Callable[[], bool] = lambda: False) -> None:
        """Decide about the queued records and let alerts go on for `seconds`, within bounds; then stop them all.

        `poll` is called again and again meanwhile; it returns whether to hurry.
        """
        until = time.monotonic() + min(max(seconds, MIN_DRAIN_S), MAX_DRAIN_S)
        self._news.put(None)
        while self._thread.is_alive() and time.monotonic() < until and not poll():
            self._thread.join(0.05)
        self._sender.stop(max(0.0, until - time.monotonic()), poll)

    def waiting(self) -> tuple[str, ...]:
        """Return the jobs with an alert that is queued, being sent or held back. For any thread."""
        return tuple(dict.fromkeys((*self._sender.waiting(), *self._damper.waiting())))

    # -- on the thread

    def _work(self) -> None:
        can_send = True
        while True:
            try:
                news = self._news.get(timeout=self._seconds_until_next(can_send))
                if news is None:
                    self._send(self._damper.pop_all(self._monotonic()))
                    return
                self._handle(news)
            except Empty:  # no news in time: what was held back may be due
                pass
            except Exception as error:  # what follows has to be handled all the same
                self._report_error(format_error(error))
            self._send(self._damper.pop_due(self._monotonic()))
            can_send = self._sender.maintain()
            self._log_dropped()

    def _seconds_until_next(self, can_send: bool) -> float | None:
        """Return how many seconds to wait for news, None without limit."""
        due = self._damper.next_at()
        until = None if due is None else max(0.0, due - self._monotonic())
        return until if can_send else min(RETRY_S, RETRY_S if until is None else until)

    def _handle(self, news: _News) -> None:
        kind = news.kind
        if kind is None and news.record is not None:
            kind = self._kind_of(news.record)
        record, job = news.record, self._find_job(news.job_id)
        job = job if record is None or record.job is None else record.job
        if kind is None or job is None:
            return
        task = self.defaults.task_of(job, kind)
        if task is None:
            self._damper.note_sent(job.id)
            return
        circumstances = _circumstances(job, news.standing, self._standings.last_success(job.id))
        record = record or self._record_for(job, kind, circumstances)
        change = ResultChange(task, kind, record, job.description, circumstances=circumstances)
        add = self._damper.remind if kind is AlertKind.REMINDER else self._damper.add
        self._send(add(change, self._monotonic()))

    def _record_for(self, job: Job, kind: AlertKind, circumstances: Circumstances) -> Record:
        """Return the last failure of a job that fails, or its last record, or what takes the place of one."""
        failures = {Status.FAILURE, Status.MISSED} if job.alert.missed else {Status.FAILURE}
        is_about_failure = kind is AlertKind.REMINDER and circumstances.failures > 0
        found = self._last_record(job.id, failures if is_about_failure else set(Status))
        return found or Record(self._clock(), Status.FAILURE, job.id, reason=kind.value)

    def _send(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self._sender.put(_pending_alert(batch, self._host))

    def _log_dropped(self) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._report_error(f"{dropped} results came too fast to be checked")

    def _report_error(self, problem: str) -> None:
        self._write(Event(self._clock(), Level.WARNING, "alert.trouble", (("problem", problem),)))


def _circumstances(job: Job, standing: Standing, success: datetime | None) -> Circumstances:
    failures, since = standing.streak(with_missed=job.alert.missed)
    is_overdue = standing.overdue_since is not None
    return Circumstances(failures, standing.overdue_since if is_overdue else since, is_overdue, success)


def _pending_alert(batch: Batch, host: str) -> PendingAlert:
    """Build the alert about one change, or the summary of several."""
    change = batch[0]
    if len(batch) > 1:
        names = tuple(each.job_id for each in batch)
        return PendingAlert(change.task, build_summary(batch, host=host), jobs=names)
    return PendingAlert(change.task, build_payload(change, host=host), change.changes)
