"""Alerts of jobs that change back and forth, and of many jobs at once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from jobscheduler.alerts import AlertKind, ResultChange
from jobscheduler.alerts.damping import BURST_SIZE, BURST_WINDOW_S, MIN_ALERT_INTERVAL_S, Damper
from jobscheduler.alerts.payload import MAX_JOB_LIST_CHARS, MAX_JSON_JOBS, build_summary
from jobscheduler.model import Record, Status, TaskSpec

AT = datetime(2026, 11, 22, 1, tzinfo=UTC)
MAIL, HOOK = (
    TaskSpec.from_params("execute_command", {"command": "mail"}),
    TaskSpec.from_params("http_request", {"url": "http://h/"}),
)
F, R = AlertKind.FAILURE, AlertKind.RECOVERY


def news(job_id: str = "a", on: AlertKind = F, task: TaskSpec = MAIL, changes: int = 1) -> ResultChange:
    status = Status.FAILURE if on is F else Status.SUCCESS
    return ResultChange(task, on, Record(AT, status, job_id, reason="exit" if on is F else None), "", changes)


def told(damper: Damper, changes: list[tuple[float, AlertKind]], until: float) -> list[tuple[float, str, int]]:
    """Return the alerts of one job with these changes, and when each is sent."""
    found: list[tuple[float, str, int]] = []

    def note(batches: list[object], now: float) -> None:
        found.extend((now, one.kind.value, one.changes) for batch in batches for one in batch)  # type: ignore[attr-defined]

    for at, on in [*changes, (until, None)]:
        while (end := damper.next_at()) is not None and end <= at:
            note(list(damper.pop_due(end)), end)
        if on is not None:
            note(list(damper.add(news(on=on), at)), at)
    return found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([(0, F)], [(0, "failure", 1)]),
        ([(0, F), (50, R)], [(0, "failure", 1), (50, "recovery", 1)]),
        ([(0, F), (50, R), (400, F)], [(0, "failure", 1), (50, "recovery", 1), (400, "failure", 1)]),
        ([(0, F), (50, R), (60, F)], [(0, "failure", 1), (50, "recovery", 1), (350, "failure", 1)]),
        (
            [(0, F), (50, R), (60, F), (360, R)],
            [(0, "failure", 1), (50, "recovery", 1), (350, "failure", 1), (360, "recovery", 1)],
        ),
        ([(0, F), (1, R), (2, F), (3, R)], [(0, "failure", 1), (1, "recovery", 1), (301, "recovery", 2)]),
        ([(0, R), (1, F), (2, R)], [(0, "recovery", 1), (300, "recovery", 2)]),
    ],
)
def test_an_alert_is_sent_at_once_unless_the_job_changes_back_and_forth(
    changes: list[tuple[float, AlertKind]], expected: list[tuple[float, str, int]]
) -> None:
    """A failure and its recovery are both sent; changes within five minutes wait until that time is over."""
    assert told(Damper(), changes, 2000) == expected


def test_a_job_that_changes_each_second_is_one_alert_in_five_minutes() -> None:
    """With the number of changes, of which none is lost."""
    changes = [(float(second), F if second % 2 == 0 else R) for second in range(1800)]
    found = told(Damper(), changes, 4000)

    assert found[:2] == [(0, "failure", 1), (1, "recovery", 1)]
    assert all(later[0] - sooner[0] >= MIN_ALERT_INTERVAL_S for sooner, later in pairwise(found[1:]))
    assert sum(changes for _, _, changes in found) == 1800
    assert len(found) == 8


def test_changes_without_a_task_are_counted_too() -> None:
    """A job that has an alert for failures only has recovered in between."""
    damper = Damper()
    damper.add(news(), 0)
    for second in range(1, 10):
        damper.count_without_alert("a") if second % 2 else damper.add(news(), second)
    ((one,),) = damper.pop_due(MIN_ALERT_INTERVAL_S)

    assert (one.kind, one.changes) == (F, 8)
    damper.count_without_alert("unknown")


def test_a_reminder_is_left_out_while_a_change_waits() -> None:
    """That change is told soon; without one the reminder is sent at once."""
    damper = Damper()
    assert len(damper.add(news(), 0.0)) == 1
    assert len(damper.remind(news(), 10.0)) == 1
    damper.add(news(on=R), 20.0)
    damper.add(news(), 21.0)
    assert damper.waiting() == ["a"]
    assert list(damper.remind(news(), 30.0)) == []


def test_a_change_at_the_end_of_the_wait_is_sent_at_once() -> None:
    """Five minutes are five minutes."""
    damper = Damper()
    damper.add(news(), 0.0)
    assert len(damper.add(news(), MIN_ALERT_INTERVAL_S)) == 1


def test_many_jobs_at_once_are_one_summary() -> None:
    """The first are alerts of their own, the rest follows at the end of the minute; other tasks are not affected."""
    damper = Damper()
    first = [damper.add(news(f"j{number}"), number / 100) for number in range(500)]
    other = damper.add(news("other", task=HOOK), 5)

    assert [len(one) for one in first] == [1] * BURST_SIZE + [0] * (500 - BURST_SIZE)
    assert len(other) == 1
    assert damper.next_at() == BURST_WINDOW_S
    assert damper.pop_due(BURST_WINDOW_S - 1) == []
    (summary,) = damper.pop_due(BURST_WINDOW_S)
    assert {one.job_id for one in summary} == {f"j{number}" for number in range(BURST_SIZE, 500)}
    assert damper.next_at() is None


def test_a_lasting_burst_is_one_summary_a_minute() -> None:
    """Each minute has some alerts of their own and one for the rest; no job is left out."""
    damper, batches = Damper(), []
    for second in range(300):
        batches += damper.pop_due(second)
        for number in range(5):
            batches += damper.add(news(f"j{second}-{number}"), second)
    batches += damper.pop_all(300)

    assert len({one.job_id for batch in batches for one in batch}) == 1500
    assert len(batches) <= 5 * BURST_SIZE + 5


def test_a_job_that_recovers_within_a_burst_is_in_the_summary_once() -> None:
    """With its latest result."""
    damper = Damper()
    for number in range(BURST_SIZE + 1):
        damper.add(news(f"j{number}"), 0)
    damper.add(news(f"j{BURST_SIZE}", R), 1)
    ((one,),) = damper.pop_due(BURST_WINDOW_S)

    assert (one.job_id, one.kind, one.changes) == (f"j{BURST_SIZE}", R, 2)


def test_remembered_alerts_expire() -> None:
    """A job that had one alert is not remembered for ever."""
    damper = Damper()
    for number in range(1000):
        damper.add(news(f"j{number}", task=TaskSpec.from_params("x", {"n": number})), 0)
    damper.pop_due(10_000)
    assert (damper._jobs, damper._windows, damper.waiting(), damper.next_at()) == ({}, {}, [], None)


def test_a_summary_names_its_jobs_in_lines_and_in_json() -> None:
    """Failures first; names that do not fit are counted, and the environment stays within its bounds."""
    few = build_summary([news("good", R), news("bad", F, changes=3)], host="db1")
    assert few.variables["JOB_OUTPUT"] == "FAILURE bad\nSUCCESS good"
    assert (few.variables["JOB_ALERT"], few.variables["JOB_STATUS"]) == ("summary", "FAILURE")
    assert few.variables["JOB_DESCRIPTION"] == "1 failing, 1 working again"
    found = json.loads(few.text)
    assert (found["summary"], found["jobs"], found["failing"], found["recovered"]) == (True, 2, 1, 1)
    assert found["changed"][0] == {"job_id": "bad", "status": "FAILURE", "reason": "exit", "changes": 3}

    many = build_summary([news("x" * 120 + str(number)) for number in range(3000)], host="db1")
    lines = many.variables["JOB_OUTPUT"].splitlines()
    assert lines[-1] == f"and {3000 - len(lines) + 1} more"
    assert len(many.variables["JOB_OUTPUT"]) <= MAX_JOB_LIST_CHARS
    assert json.loads(many.text)["left_out"] == 3000 - MAX_JSON_JOBS
    assert len(many.text) < 120_000
