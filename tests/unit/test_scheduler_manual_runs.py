"""Requests of people: run a job now, pause it, resume it, and show the state of all jobs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobscheduler.model import Cron, Once, Record
from jobscheduler.scheduler import Scheduler
from jobscheduler.timetable.overlap import Action
from tests.support.service import wait_until
from tests.unit.test_scheduler import NOON, Gate, World, gate, job, world

__all__ = ["gate", "world"]


def manual_records(world: World) -> list[tuple[str, str | None, dict[str, object]]]:
    """Return each record of a manual run: status, reason and details."""
    return [
        (one.status.value, one.reason, dict(one.details))
        for one in world.written
        if isinstance(one, Record) and one.scheduled is None
    ]


def test_a_manual_run_has_a_record_and_is_not_a_slot(world: World) -> None:
    """It names the caller, and the next slot stays the same."""
    upcoming = world.put(job())
    act, run = world.scheduler.run_now(job(), "0")
    wait_until(lambda: manual_records(world))

    assert act is Action.RUN
    assert run is not None
    assert manual_records(world) == [("SUCCESS", None, {"trigger": "manual", "by": "0"})]
    assert world.scheduler.next_slot("x") == upcoming


@pytest.mark.parametrize(
    "definition",
    [
        job(enabled=False),
        job(schedule=Once(NOON - timedelta(days=1))),
        job(schedule=Cron("0 0 1 1 *", "UTC"), not_after=NOON - timedelta(days=1)),
    ],
    ids=["disabled", "past", "done"],
)
def test_a_job_without_slots_can_be_run_manually(world: World, definition: object) -> None:
    """Also one that the scheduler does not know, because its only instant is over."""
    if definition != job(schedule=Once(NOON - timedelta(days=1))):
        world.put(definition)
    world.scheduler.run_now(definition, "0")

    wait_until(lambda: manual_records(world))
    assert manual_records(world)[0][0] == "SUCCESS"


@pytest.mark.parametrize(
    ("overlap", "act", "status"),
    [
        ("skip", Action.SKIP, [("SKIPPED", "overlap")]),
        ("queue", Action.QUEUE, [("SUCCESS", None)]),
        ("replace", Action.REPLACE, [("SUCCESS", None)]),
        ("allow", Action.RUN, [("SUCCESS", None)]),
    ],
)
def test_the_overlap_rule_applies_to_a_manual_run(
    world: World, overlap: str, act: Action, status: list[tuple[str, str | None]]
) -> None:
    """The run of a slot is active when a person asks for another."""
    Gate.may_end.clear()
    world.put(job(overlap=overlap))
    world.due("x", 60)
    wait_until(lambda: Gate.begun)
    done, _ = world.scheduler.run_now(job(overlap=overlap), "0")
    Gate.may_end.set()

    wait_until(lambda: manual_records(world))
    world.wait_for_records(1)
    assert (done, [one[:2] for one in manual_records(world)]) == (act, status)
    assert world.records() == [(60, *(("FAILURE", "replaced") if overlap == "replace" else ("SUCCESS", None)))]


def test_a_queued_manual_run_gets_a_record_when_the_service_stops(world: World) -> None:
    """The next start would not account for it, because it is not a slot."""
    Gate.may_end.clear()
    world.put(job(overlap="queue"))
    world.scheduler.run_now(job(overlap="queue"), "7")
    wait_until(lambda: Gate.begun)
    world.scheduler.run_now(job(overlap="queue"), "7")
    world.scheduler.stop(0)

    assert [one[:2] for one in manual_records(world)] == [("MISSED", "shutdown"), ("FAILURE", "shutdown")]
    with pytest.raises(RuntimeError, match="stopping"):
        world.scheduler.run_now(job(), "7")


def test_a_paused_job_can_be_run_manually(world: World) -> None:
    """A pause is for slots."""
    world.put(job())
    world.pause("x")
    world.scheduler.run_now(job(), "0")

    wait_until(lambda: manual_records(world))
    assert manual_records(world)[0][0] == "SUCCESS"


def runtime_states(scheduler: Scheduler) -> dict[str, tuple[object, ...]]:
    """Return for each job the seconds after noon of its next slot, what its runs wait for, and whether it is paused."""
    return {
        one.job.id: (
            one.next and (one.next - NOON).total_seconds(),
            tuple(run.waiting_for for run in one.active_runs),
            bool(one.pauses),
        )
        for one in scheduler.runtimes()
    }


def test_the_runtime_state_of_jobs() -> None:
    """Running, waiting for a worker, for their turn, paused, disabled, and deleted with an active run."""
    Gate.may_end.clear()
    world = World(workers=1)
    for one in (job("busy", overlap="queue"), job("late"), job("paused"), job("off", enabled=False), job("gone")):
        world.put(one)
    world.pause("paused")
    world.due("busy", 60)
    wait_until(lambda: Gate.begun)
    world.due("late", 60)
    world.due("gone", 60)
    world.due("busy", 120)
    world.scheduler.drop("gone", world.now)

    assert runtime_states(world.scheduler) == {
        "busy": (180.0, (None, "turn"), False),
        "late": (120.0, ("worker",), False),
        "paused": (None, (), True),
        "off": (None, (), False),
        "gone": (None, ("worker",), False),
    }
    assert [one.job.id for one in world.scheduler.runtimes(["late", "unknown"])] == ["late"]
    Gate.may_end.set()
    world.scheduler.stop(5)


def test_the_next_slots_of_a_job_and_their_starts(world: World) -> None:
    """The start is later by the jitter, which is always the same."""
    world.put(job(jitter=30))
    upcoming = world.scheduler.upcoming("x", 3)

    assert [slot for slot, _ in upcoming] == [NOON + timedelta(minutes=number) for number in (1, 2, 3)]
    assert all(slot <= start < slot + timedelta(seconds=30) for slot, start in upcoming)
    assert upcoming == world.scheduler.upcoming("x", 3)
    assert world.scheduler.upcoming("unknown", 3) == []


def test_the_last_slots_of_deleted_jobs_are_forgotten_in_time(world: World) -> None:
    """Ever new ids do not fill memory; a job deleted a moment ago does not repeat a slot when it is put back."""
    at = NOON + timedelta(seconds=1)
    for number in range(2500):
        world.put(job(f"x{number}", schedule=Once(at), catch_up=5))
        world.due(f"x{number}", 1)
        world.scheduler.drop(f"x{number}", NOON + timedelta(days=3 * number))
    assert len(world.scheduler._engine.registry.memory.last) < 1100

    world.now = NOON
    world.put(job("again", schedule=Once(at)))
    world.due("again", 1)
    world.wait_for_records(1)
    world.scheduler.drop("again", world.now)
    assert world.put(job("again", schedule=Once(at))) is None
