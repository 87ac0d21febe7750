"""The queues of alerts, without a thread."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from jobscheduler.alerts import AlertKind, ResultChange, build_payload
from jobscheduler.alerts.alert_queues import MAX_NAMED_JOBS, MAX_PER_RECEIVER, AlertQueues
from jobscheduler.alerts.pending_alert import PendingAlert
from jobscheduler.model import Record, Status, TaskSpec

AT = datetime(2026, 11, 22, 1, tzinfo=UTC)


def alert(job_id: str, url: str = "http://a/") -> PendingAlert:
    """Return an alert about a failure of this job, to a receiver of its own unless `url` says otherwise."""
    record = Record(AT, Status.FAILURE, job_id)
    task = TaskSpec("http_request", json.dumps({"url": url}))
    return PendingAlert(task, build_payload(ResultChange(task, AlertKind.FAILURE, record), host="h"))


def test_alerts_of_a_job_are_taken_one_after_the_other() -> None:
    """The second is ready when the first is over; a third change is merged into the second."""
    queues = AlertQueues()
    assert queues.put(alert("x"))
    first = queues.take()
    assert first is not None
    assert not queues.put(alert("x"))
    assert not queues.put(alert("x"))
    assert not queues.put(alert("x"))
    assert not queues.has_next()
    queues.finish(first)
    changes = []
    while (due := queues.take()) is not None:
        changes.append(due.changes)
        queues.finish(due)
    assert changes == [1, 2]
    assert queues.is_idle()


def test_a_receiver_gets_a_bounded_number_of_alerts_at_once() -> None:
    """Alerts to another one are taken meanwhile."""
    queues = AlertQueues()
    for number in range(MAX_PER_RECEIVER + 1):
        queues.put(alert(f"job{number}"))
    queues.put(alert("other", "http://b/"))

    taken = []
    while (due := queues.take()) is not None:
        taken.append(due.job_id)
    assert taken == [*(f"job{number}" for number in range(MAX_PER_RECEIVER)), "other"]


def test_alerts_beyond_the_bound_are_dropped_and_named_many_at_once() -> None:
    """While the queues are full their names are collected; closing drops the rest and gives all names."""
    queues = AlertQueues(max_waiting=1)
    queues.put(alert("kept"))
    queues.put(alert("dropped"))
    assert queues.pop_dropped() == []
    assert queues.job_names() == ["kept"]
    for number in range(MAX_NAMED_JOBS - 1):
        queues.put(alert(f"job{number}"))
    assert len(queues.pop_dropped()) == MAX_NAMED_JOBS

    queues.close()
    queues.put(alert("late"))
    assert queues.pop_dropped() == ["kept", "late"]
    assert queues.is_idle()
