"""The truth table of the difference between the desired and the applied definitions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobscheduler.jobs.plan import Plan, make_plan
from jobscheduler.model import Cron, Job, Once, TaskSpec

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TASK = TaskSpec.from_params("execute_command", {"command": "true"})
DAILY = Job("daily", Cron("0 1 * * *", "UTC"), TASK)
OTHER = replace(DAILY, description="another")


def once(seconds: float, **fields: object) -> Job:
    """Return a one-time job that is due in so many seconds."""
    return Job("once", Once(NOW + timedelta(seconds=seconds)), TASK, **fields)


@pytest.mark.parametrize(
    ("desired", "applied", "expected"),
    [
        ([], [], Plan()),
        ([DAILY], [DAILY], Plan()),
        ([DAILY], [], Plan(put=(DAILY,))),
        ([], [DAILY], Plan(drop=("daily",))),
        ([OTHER], [DAILY], Plan(put=(OTHER,))),
        ([replace(DAILY, source_name="elsewhere.json")], [DAILY], Plan()),
        ([once(1)], [], Plan(put=(once(1),))),
        ([once(-60)], [], Plan(put=(once(-60),))),
        ([once(-61)], [], Plan(expire=(once(-61),))),
        ([once(-61)], [once(-61)], Plan()),
        ([once(-1, catch_up=0)], [], Plan(expire=(once(-1, catch_up=0),))),
        ([once(5)], [once(-61)], Plan(put=(once(5),))),
    ],
)
def test_the_plan_is_the_difference(desired: list[Job], applied: list[Job], expected: Plan) -> None:
    """New and changed jobs are put, removed jobs dropped, past jobs expired; unchanged jobs are not in the plan."""
    ids = {job.id for job in desired + applied}

    made = make_plan({job.id: job for job in desired}, {job.id: job for job in applied}, NOW, ids)

    assert made == expected


def test_the_second_plan_after_the_first_is_empty() -> None:
    """When a plan is applied, nothing is left to do."""
    desired = {job.id: job for job in (DAILY, once(5))}
    first = make_plan(desired, {}, NOW, desired)

    assert make_plan(desired, {job.id: job for job in first.put}, NOW, desired) == Plan()


def test_only_the_given_ids_are_compared() -> None:
    """A sync of one file costs nothing for ten thousand other jobs."""
    assert make_plan({"daily": DAILY}, {}, NOW, ["once"]) == Plan()


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        (DAILY, OTHER, ("description",)),
        (DAILY, replace(DAILY, schedule=Cron("0 2 * * *", "UTC")), ("schedule",)),
        (DAILY, replace(DAILY, schedule=Cron("0 1 * * *", "Asia/Tokyo")), ("timezone",)),
        (DAILY, replace(DAILY, schedule=Cron("0 2 * * *", "Asia/Tokyo")), ("schedule", "timezone")),
        (DAILY, replace(DAILY, schedule=Once(NOW), enabled=False), ("schedule", "enabled")),
        (DAILY, replace(DAILY, task=TaskSpec.from_params("execute_command", {"command": 1})), ("task",)),
    ],
)
def test_changed_fields_are_named_as_in_a_job_file(before: Job, after: Job, changed: tuple[str, ...]) -> None:
    """The log describes an edit in the words of the file."""
    assert after.changed_fields(before) == changed


def test_true_and_one_are_different_definitions() -> None:
    """In Python `True == 1`; in a definition they are not the same."""
    assert (
        TaskSpec.from_params("t", {"x": True})
        != TaskSpec.from_params("t", {"x": 1})
        != TaskSpec.from_params("t", {"x": 1.0})
    )
