"""Alerts: every record comes by, and a change of a job's result makes a task run that tells somebody.

A job never waits for its alerts, and nothing that they do becomes part of its account: who writes a record only puts
it into a queue. One thread takes it from there, knows the last result of each job and decides; the `Sender` does the
rest. What was before this start stands in the log, which is read once, when the first job that has an alert ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue

from jobscheduler.alerts.damping import Batch, Damper, ResultChange
from jobscheduler.alerts.payload import build_payload, build_summary
from jobscheduler.alerts.pending_alert import PendingAlert
from jobscheduler.alerts.rules import AlertKind, due_alert, is_result
from jobscheduler.alerts.sender import Sender
from jobscheduler.model import NO_TASK, Event, Job, Level, LogEntry, Record, Status, TaskSpec

MAX_QUEUED_RECORDS = 100_000
"""How many records may wait to be looked at before further ones are counted instead of kept."""

RETRY_S = 1.0
"""How often a thread is asked for that the host did not give, in seconds."""

LEAST, MOST = 2.0, 10.0
"""How long alerts may go on when the service stops: what is left of its drain, within these bounds, in seconds."""


@dataclass(frozen=True, slots=True)
class DefaultAlerts:
    """The service's own alerts, for jobs that do not say; None is nothing."""

    on_failure: TaskSpec | None = None
    on_recovery: TaskSpec | None = None


class AlertDispatcher:
    """Watches the records on their way to the log, and has alerts given.

    `write` puts entries into the log. `former` says how each job ended last before an instant, None for as much as is
    not known; it may take its time. `defaults` may be replaced at any time.
    """

    def __init__(
        self,
        write: Callable[[LogEntry], object],
        former: Callable[[datetime], Mapping[str, Status]],
        defaults: DefaultAlerts,
        *,
        host: str = "",
        sender: Sender | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.defaults = defaults
        self._write = write
        self._lookup = former
        self._host = host
        self._sender = sender or Sender(write, clock=clock)
        self._clock = clock
        self._monotonic = monotonic
        self._damper = Damper()
        self._since = clock()
        self._previous_results: dict[str, Status] = {}
        self._loaded_jobs = False
        self._find_job: Callable[[str], Job | None] = lambda _: None
        self._records: SimpleQueue[Record | None] = SimpleQueue()
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)

    def observe(self, entry: LogEntry) -> None:
        """Put an entry into the log, and a result aside for the thread that looks at it. Never waits.

        Of a job without alerts it is only remembered: thousands of those are not to wake a thread for nothing.
        """
        self._write(entry)
        if not isinstance(entry, Record) or not is_result(entry.status):
            return
        if self._has_no_alert(entry):
            self._previous_results[entry.job_id] = entry.status
        elif self._records.qsize() < MAX_QUEUED_RECORDS:
            self._records.put(entry)
        else:
            self._dropped += 1

    def _has_no_alert(self, record: Record) -> bool:
        """Tell whether a job surely has no alerts. The definition that its run began with says so."""
        try:
            job = record.job or self._find_job(record.job_id)
            if job is None:
                return False
            if job.on_failure is job.on_recovery is self.defaults.on_failure is self.defaults.on_recovery is None:
                return True  # the usual case, for each of thousands of runs
            return not any(self._task(job, on) for on in AlertKind)
        except Exception:  # a fault of ours is for the thread, which tells it
            return False

    def start(self, find: Callable[[str], Job | None]) -> None:
        """Begin to look at records; `find` gives the definition in force. To be called once all files were read."""
        self._find_job = find
        self._thread.start()

    def stop(self, seconds: float, is_hurried: Callable[[], bool] = lambda: False) -> None:
        """Look at what is left, and let alerts go on for so long, within bounds; returns when none does any more."""
        until = time.monotonic() + min(max(seconds, LEAST), MOST)
        self._records.put(None)
        while self._thread.is_alive() and time.monotonic() < until and not is_hurried():
            self._thread.join(0.05)
        self._sender.stop(max(0.0, until - time.monotonic()), is_hurried)

    # -- on the thread

    def _work(self) -> None:
        can_give = True
        while True:
            try:
                record = self._records.get(timeout=self._seconds_until_next(can_give))
                if record is None:
                    self._send(self._damper.pop_all(self._monotonic()))
                    return
                self._handle_record(record)
            except Empty:
                pass
            except Exception as error:  # one record is not to keep the others from being looked at
                self._report_error(f"{type(error).__name__}: {error}")
            self._send(self._damper.pop_due(self._monotonic()))
            can_give = self._sender.maintain()
            self._log_dropped()

    def _seconds_until_next(self, can_give: bool) -> float | None:
        """Return for how many seconds a record may be waited for, None for ever."""
        due = self._damper.next_at()
        until = None if due is None else max(0.0, due - self._monotonic())
        return until if can_give else min(RETRY_S, RETRY_S if until is None else until)

    def waiting(self) -> tuple[str, ...]:
        """Return the jobs of which an alert waits, is being given, or is held back. For any thread."""
        return tuple(dict.fromkeys((*self._sender.waiting(), *self._damper.waiting())))

    def _handle_record(self, record: Record) -> None:
        job = record.job or self._find_job(record.job_id)
        tasks = {on: self._task(job, on) for on in AlertKind} if job is not None else {}
        if any(tasks.values()) and not self._loaded_jobs and record.job_id not in self._previous_results:
            self._load_previous()
        on = due_alert(self._previous_results.get(record.job_id), record.status)
        self._previous_results[record.job_id] = record.status
        task = tasks.get(on) if on is not None else None
        if on is None:
            return
        if task is None or job is None:
            self._damper.note_sent(record.job_id)
        else:
            self._send(self._damper.add(ResultChange(task, on, record, job.description), self._monotonic()))

    def _send(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            one = batch[0]
            if len(batch) == 1:
                alert = build_payload(
                    one.kind, one.record, description=one.description, host=self._host, changes=one.changes
                )
                self._sender.put(PendingAlert(one.task, alert, one.changes))
            else:
                names = tuple(each.job_id for each in batch)
                self._sender.put(PendingAlert(one.task, build_summary(batch, host=self._host), jobs=names))

    def _task(self, job: Job, on: AlertKind) -> TaskSpec | None:
        """Return what is done for a job: its own task, or the service's if it does not say."""
        own, default = (
            (job.on_failure, self.defaults.on_failure)
            if on is AlertKind.FAILURE
            else (job.on_recovery, self.defaults.on_recovery)
        )
        task = default if own is None else own
        return None if task == NO_TASK else task

    def _load_previous(self) -> None:
        """Read in the log what was before this start; what has ended since is known better."""
        self._loaded_jobs = True
        try:
            for job_id, status in self._lookup(self._since).items():
                self._previous_results.setdefault(job_id, status)
        except OSError as error:
            self._report_error(f"the results before this start cannot be read: {error.strerror}")

    def _log_dropped(self) -> None:
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._report_error(f"{dropped} results came too fast to be looked at")

    def _report_error(self, problem: str) -> None:
        self._write(Event(self._clock(), Level.WARNING, "alert.trouble", (("problem", problem),)))
