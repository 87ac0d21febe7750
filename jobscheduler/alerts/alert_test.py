"""Send an alert as a test, and tell what came of it."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from jobscheduler.alerts.payload import build_payload
from jobscheduler.alerts.pending_alert import AlertEnd, PendingAlert
from jobscheduler.alerts.rules import AlertKind, Circumstances, DefaultAlerts, ResultChange
from jobscheduler.model import Job, Record, Status, TaskSpec
from jobscheduler.runner import tail

MAX_TESTS = 100  # tests kept, so that a client can ask for their ends

NO_JOB = "alert-test"  # the job of a test that is about no job
_FIELDS = ((AlertKind.FAILURE, "on_failure"), (AlertKind.RECOVERY, "on_recovery"))
_OUTPUT = "This is a test: nothing has failed."


class NoAlert(LookupError):
    """There is no alert that could be sent."""


class AlertTests:
    """Sends the alerts that a job, or the service, would send. Thread: any."""

    def __init__(
        self,
        put: Callable[[PendingAlert], object],
        defaults: Callable[[], DefaultAlerts],
        *,
        host: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`put` queues an alert, `defaults` returns the service's alerts."""
        self._put = put
        self._defaults = defaults
        self._host = host
        self._clock = clock
        self._changed = threading.Condition()
        self._tests: OrderedDict[str, dict[str, AlertEnd | None]] = OrderedDict()

    def begin(self, job: Job | None) -> str:
        """Send the alerts of a job, or those of the service; return the id of the test.

        Raises:
            NoAlert: neither has any.

        """
        alerts = dict(self._alerts(job))
        if not alerts:
            raise NoAlert
        test_id = os.urandom(6).hex()
        with self._changed:
            self._tests[test_id] = dict.fromkeys(alerts)
            while len(self._tests) > MAX_TESTS:
                self._tests.popitem(last=False)
        for name, due in alerts.items():
            self._put(due(partial(self._end, test_id, name)))
        return test_id

    def _alerts(self, job: Job | None) -> Iterator[tuple[str, Callable[[Callable[[AlertEnd], object]], PendingAlert]]]:
        """Yield each alert by the name of its field; the same task for both is sent once."""
        defaults, seen = self._defaults(), set[TaskSpec]()
        for kind, name in _FIELDS:
            own = getattr(defaults, name) if job is None else defaults.task_of(job, kind)
            if own is not None and own not in seen:
                seen.add(own)
                yield name, partial(self._due, own, job)

    def _due(self, task: TaskSpec, job: Job | None, on_end: Callable[[AlertEnd], object]) -> PendingAlert:
        job_id, now = NO_JOB if job is None else job.id, self._clock()
        record = Record(now, Status.FAILURE, job_id, started=now, duration=0.0, reason="test", output=_OUTPUT)
        description = "" if job is None else job.description
        change = ResultChange(task, AlertKind.TEST, record, description, circumstances=Circumstances(1, now))
        return PendingAlert(task, build_payload(change, host=self._host), on_end=on_end)

    def _end(self, test_id: str, name: str, end: AlertEnd) -> None:
        with self._changed:
            if test_id in self._tests:
                self._tests[test_id][name] = end
            self._changed.notify_all()

    def result(self, test_id: str, wait: float) -> list[Mapping[str, Any]] | None:
        """Return what came of each alert of a test; wait up to `wait` seconds for all. None for an unknown test.

        An alert that has not ended has `ended` false.
        """
        with self._changed:
            self._changed.wait_for(lambda: all(self._tests.get(test_id, {}).values()), wait)
            ends = self._tests.get(test_id)
            return None if ends is None else [_end_json(name, end) for name, end in ends.items()]


def _end_json(name: str, end: AlertEnd | None) -> Mapping[str, Any]:
    if end is None:
        return {"alert": name, "ended": False}
    return {
        "alert": name,
        "ended": True,
        "ok": end.reason is None,
        "reason": end.reason,
        "duration": round(end.duration, 3),
        "details": {key: str(value) if isinstance(value, datetime) else value for key, value in end.result.details},
        "output": tail(end.result.output),
    }
