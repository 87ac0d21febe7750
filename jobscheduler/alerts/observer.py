"""Observe the log: queue what results, their absence and the time change of how jobs stand."""

from __future__ import annotations

from collections.abc import Callable

from jobscheduler.alerts.change_finder import ChangeFinder
from jobscheduler.alerts.news import NewsQueue
from jobscheduler.alerts.rules import AlertKind
from jobscheduler.model import LogEntry, Record
from jobscheduler.model.standing import counts_as_result


class AlertObserver:
    """Looks up how a job stands, and queues what may need an alert. Never waits.

    Thread: any.
    """

    def __init__(self, changes: ChangeFinder, news: NewsQueue, stands_by: Callable[[], bool]) -> None:
        """`stands_by` returns whether another service leads: that one has every result, too, and tells it."""
        self._changes = changes
        self._news = news
        self._stands_by = stands_by
        self._knows_jobs = False

    def jobs_known(self) -> None:
        """Note that all job files were read. Before that the thread judges each result, in its turn."""
        self._knows_jobs = True

    def observe(self, entry: LogEntry) -> None:
        """Queue what needs an alert. Wakes no thread for the result of a job that stands as before."""
        if self._stands_by():
            return
        if isinstance(entry, Record):
            if counts_as_result(entry.status, entry.reason):
                self._observe_result(entry)
        elif entry.name == "job.overdue":
            self._put(str(dict(entry.values)["job_id"]), AlertKind.OVERDUE)

    def check_reminders(self, now: float) -> None:
        """Queue the reminders that are due at `now` (monotonic seconds). Call it about once a second."""
        if self._stands_by():
            return
        for job_id in self._changes.due_reminders(now):
            self._put(job_id, AlertKind.REMINDER)

    def _observe_result(self, record: Record) -> None:
        kind = None
        if self._knows_jobs:
            try:
                kind = self._changes.kind_of(record)
            except Exception:  # the thread meets the same error, and logs it
                kind = None
            else:
                if kind is None:
                    return
        self._put(record.job_id, kind, record)

    def _put(self, job_id: str, kind: AlertKind | None, record: Record | None = None) -> None:
        self._news.put(self._changes.news(job_id, kind, record))
