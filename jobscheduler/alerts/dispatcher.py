"""Run a task when a job begins to fail, becomes overdue or works again, and while that goes on.

A job never waits for its alerts, and no alert adds a record: the observer of the log (`observer.py`) only looks up how
the job stands, and queues what needs an alert. A thread takes it from the queue and holds back what came too often; the
`AlertSenderPool` runs the tasks. How jobs stand survives a restart (`status.standings`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from queue import Empty

from jobscheduler.alerts.alert_log import AlertLog
from jobscheduler.alerts.change_finder import ChangeFinder
from jobscheduler.alerts.damping import Batch, Damper
from jobscheduler.alerts.news import News, NewsQueue
from jobscheduler.alerts.observer import AlertObserver
from jobscheduler.alerts.payload import build_payload, build_summary
from jobscheduler.alerts.pending_alert import PendingAlert
from jobscheduler.alerts.rules import AlertKind, DefaultAlerts
from jobscheduler.alerts.sender_pool import AlertSenderPool
from jobscheduler.model import Job, LogEntry, Record, Status
from jobscheduler.status.standings import Standings
from jobscheduler.util.instants import utc_now
from jobscheduler.util.text import format_error

RETRY_S = 1.0  # between two attempts to start a thread on a host that has none left
MIN_DRAIN_S, MAX_DRAIN_S = 2.0, 10.0  # bounds of the time for alerts at a stop, the rest of the service's drain


class AlertDispatcher:
    """Decides about alerts. `observer` takes what the log and the time bring.

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
        stands_by: Callable[[], bool] = lambda: False,
    ) -> None:
        """`stands_by` returns whether another service leads: that one has every result, too, and tells it."""
        self.defaults = defaults
        self._changes = ChangeFinder(standings, find_job, last_record, clock)
        self._host = host
        self._log = AlertLog(write, clock)
        self._sender = sender or AlertSenderPool(write, clock=clock)
        self._monotonic = monotonic
        self._damper = Damper()
        self._news = NewsQueue()
        self.observer = AlertObserver(self._changes, self._news, stands_by)
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)

    # -- from outside

    def replace_defaults(self, defaults: DefaultAlerts) -> None:
        """Use other alerts for jobs without a setting of their own. For any thread, at any time."""
        self.defaults = defaults

    def start(self) -> None:
        """Begin to decide about records, those queued before included. Call it once all job files were read."""
        self.observer.jobs_known()
        self._thread.start()

    def stop(self, seconds: float, poll: Callable[[], bool] = lambda: False) -> None:
        """Decide about the queued records and let alerts go on for `seconds`, within bounds; then stop them all.

        `poll` is called again and again meanwhile; it returns whether to hurry.
        """
        until = time.monotonic() + min(max(seconds, MIN_DRAIN_S), MAX_DRAIN_S)
        self._news.close()
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
                news = self._news.get(self._seconds_until_next(can_send))
                if news is None:
                    self._send(self._damper.pop_all(self._monotonic()))
                    return
                self._handle(news)
            except Empty:  # no news in time: what was held back may be due
                pass
            except Exception as error:  # what follows has to be handled all the same
                self._log.trouble(format_error(error))
            self._send(self._damper.pop_due(self._monotonic()))
            can_send = self._sender.maintain()
            self._log_dropped()

    def _seconds_until_next(self, can_send: bool) -> float | None:
        """Return how many seconds to wait for news, None without limit."""
        due = self._damper.next_at()
        until = None if due is None else max(0.0, due - self._monotonic())
        return until if can_send else min(RETRY_S, RETRY_S if until is None else until)

    def _handle(self, news: News) -> None:
        kind, job = self._changes.judge(news)
        if kind is None or job is None:
            return
        task = self.defaults.task_of(job, kind)
        if task is None:
            self._damper.count_without_alert(job.id)
            return
        change = self._changes.describe(news, kind, job, task)
        add = self._damper.remind if kind is AlertKind.REMINDER else self._damper.add
        self._send(add(change, self._monotonic()))

    def _send(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self._sender.put(_pending_alert(batch, self._host))

    def _log_dropped(self) -> None:
        dropped = self._news.take_dropped()
        if dropped:
            self._log.trouble(f"{dropped} results came too fast to be checked")


def _pending_alert(batch: Batch, host: str) -> PendingAlert:
    """Build the alert about one change, or the summary of several."""
    change = batch[0]
    if len(batch) > 1:
        names = tuple(each.job_id for each in batch)
        return PendingAlert(change.task, build_summary(batch, host=host), jobs=names)
    return PendingAlert(change.task, build_payload(change, host=host), change.changes)
