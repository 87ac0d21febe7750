"""What a task is given for one attempt: which run it is, what may stop it, and where it leaves what it does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from jobscheduler.model import Limits, Record
from jobscheduler.tasks.live_output import LiveOutput
from jobscheduler.tasks.stop_request import StopRequest
from jobscheduler.tasks.stop_signals import StopSignals


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

    `pid` is the main process of a task with processes while that runs. `limits` are those of the job, for such a task.
    `output` may be set by a task whose output can be read while it runs; that is then what is kept of it.
    """

    __slots__ = (
        "_stop_request",
        "alert",
        "attempt",
        "deadline",
        "job_id",
        "limits",
        "output",
        "pid",
        "run_id",
        "scheduled",
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
        self._stop_request = StopRequest()

    # -- for the task

    @property
    def stop_requested(self) -> bool:
        """Whether the run has to stop."""
        return self._stop_request.is_made

    @property
    def stop_requested_at(self) -> float | None:
        """The instant of `time.monotonic()` of the first `stop`; None before."""
        return self._stop_request.at

    @property
    def reason(self) -> str | None:
        """Why the run has to stop; None if it need not."""
        return self._stop_request.reason

    @property
    def stopping(self) -> threading.Event:
        """An event that is set when the run has to stop; wait on it instead of sleeping. Made on first use."""
        return self._stop_request.event

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the run has to stop, or at once if that was already requested.

        It must not raise, and it should be quick, because later callbacks wait for it while the grace runs. It may be
        called when the task has just ended, and must do nothing then.

        Thread: the callback runs on a thread made for the stop.
        """
        self._stop_request.subscribe(callback)

    @property
    def signals(self) -> StopSignals:
        """The signals that a task with processes has sent since the request to stop."""
        return self._stop_request.signals

    # -- for the runner only

    def stop(self, reason: str = "shutdown", report_error: Callable[[Exception], object] = lambda _: None) -> None:
        """Request the task to stop, for `reason`. A second call does nothing.

        Does not wait for callbacks. All callbacks are called, even if one raises. `report_error` gets their exceptions
        as one `ExceptionGroup`, on the thread of the callbacks.
        """
        self._stop_request.make(reason, report_error)

    def missing_signal(self, now: float) -> str | None:
        """Return `TERM` or `KILL` if it should have been sent by `now` (monotonic seconds) but was not; else None.

        Call it only while the attempt is active.
        """
        return self._stop_request.missing_signal(now)

    def forget_callbacks(self) -> None:
        """Forget the callbacks, and with them what the task has in memory, when the attempt has ended."""
        self._stop_request.forget_callbacks()
