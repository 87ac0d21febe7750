"""Stopping runs by hand: each state that a run can be in, and what its record says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobscheduler.model import Event, Job, LogFields, Record, Retry
from jobscheduler.runner import stopped_fields
from jobscheduler.scheduler.definition_changes import Phase
from tests.support.service import wait_until
from tests.unit.test_scheduler import NOON, Gate, World, gate, job, world

__all__ = ["gate", "world"]


def stop(world: World, job_id: str = "x", *run_ids: str) -> list[tuple[str, bool]]:
    """Stop runs of a job; return the id of each, and whether it was skipped."""
    stopped = world.scheduler.stop_runs({job_id: run_ids or None}, "1000")
    return [(one.run_id, one.is_skipped) for one in stopped]


def details(world: World, job_id: str = "x") -> list[tuple[str, str | None, LogFields]]:
    """Return each record of a job: status, reason and details."""
    records = [one for one in world.written if isinstance(one, Record) and one.job_id == job_id]
    return [(one.status.value, one.reason, one.details) for one in records]


def runs_of(world: World, job_id: str = "x") -> list[str]:
    return [run.run_id for runtime in world.scheduler.runtimes([job_id]) for run in runtime.active_runs]


def busy_world(waiting: Job) -> World:
    """Return a scheduler with a job whose one worker is at a run of `busy`, which does not end by itself."""
    world = World(workers=1)
    Gate.may_end.clear()
    world.put(job("busy"))
    world.put(waiting)
    world.due("busy", 60)
    wait_until(lambda: Gate.begun)
    return world


@pytest.fixture
def closed(world: World) -> World:
    """A scheduler whose tasks do not end by themselves."""
    Gate.may_end.clear()
    return world


def test_a_run_at_work_fails_and_names_who_stopped_it(closed: World) -> None:
    """A task that is no command gets its stopping event. The next slot stays, and the request is logged."""
    upcoming = closed.put(job())
    closed.due("x", 60)
    wait_until(lambda: Gate.begun)
    (run_id,) = runs_of(closed)

    assert stop(closed) == [(run_id, False)]
    assert closed.wait_for_records(1) == [(60, "FAILURE", "stopped")]
    assert details(closed) == [("FAILURE", "stopped", (("by", "1000"),))]
    assert Gate.begun[0].reason == "stopped"
    assert closed.scheduler.next_slot("x") == upcoming + timedelta(minutes=1)  # type: ignore[operator]
    (asked,) = [one for one in closed.written if isinstance(one, Event) and one.name == "run.stop_requested"]
    assert dict(asked.values) == {
        "job_id": "x",
        "run_id": run_id,
        "scheduled": NOON + timedelta(minutes=1),
        "by": "1000",
    }


def test_a_stopped_run_makes_no_further_attempt(closed: World) -> None:
    """Neither the one at work nor one that waits for its next attempt, whose record comes at once."""
    closed.put(job(task={"fails": True}, retry=Retry(3, delay=600)))
    closed.due("x", 60)
    wait_until(lambda: Gate.begun)
    stop(closed)
    closed.wait_for_records(1)
    Gate.may_end.set()
    closed.due("x", 120)
    wait_until(lambda: any(isinstance(one, Event) and one.name == "run.attempt_failed" for one in closed.written))
    wait_until(lambda: closed.scheduler.runtimes(["x"])[0].active_runs[0].waiting_for == "retry")
    stop(closed)

    assert closed.records() == [(60, "FAILURE", "stopped"), (120, "FAILURE", "stopped")]
    assert len(Gate.begun) == 2
    assert closed.scheduler.runs.count() == 0


def test_what_waits_for_a_worker_is_skipped_and_waits_no_longer() -> None:
    """Also a further attempt that waits for one fails at once, and nothing counts as waiting any more."""
    world = busy_world(job())
    world.due("x", 60)
    assert world.scheduler.runs.queued() == 1

    assert [is_skipped for _, is_skipped in stop(world)] == [True]
    assert details(world) == [("SKIPPED", "stopped", (("by", "1000"),))]
    assert (world.scheduler.runs.queued(), runs_of(world)) == (0, [])
    Gate.may_end.set()
    world.wait_for_records(2)
    assert len(Gate.begun) == 1
    world.scheduler.stop(5)


def test_a_run_that_waits_for_its_turn_is_skipped_with_the_one_before_it(closed: World) -> None:
    """It does not begin when that one ends."""
    closed.put(job(overlap="queue"))
    closed.due("x", 60)
    wait_until(lambda: Gate.begun)
    closed.due("x", 120)
    assert [is_skipped for _, is_skipped in stop(closed)] == [True, False]

    assert closed.wait_for_records(2) == [(120, "SKIPPED", "stopped"), (60, "FAILURE", "stopped")]
    assert len(Gate.begun) == 1


def test_one_run_of_several_can_be_stopped(closed: World) -> None:
    """The other goes on."""
    closed.put(job(overlap="allow"))
    for seconds in (60, 120):
        closed.due("x", seconds)
    wait_until(lambda: len(Gate.begun) == 2)
    second = Gate.begun[1].run_id
    assert stop(closed, "x", second) == [(second, False)]
    closed.wait_for_records(1)
    assert runs_of(closed) == [Gate.begun[0].run_id]


def test_the_run_behind_a_stopped_one_begins(closed: World) -> None:
    """Whether that had begun or waited for a worker itself."""
    closed.put(job(overlap="queue"))
    closed.due("x", 60)
    wait_until(lambda: Gate.begun)
    closed.due("x", 120)
    stop(closed, "x", Gate.begun[0].run_id)
    wait_until(lambda: len(Gate.begun) == 2)
    assert Gate.begun[1].scheduled == NOON + timedelta(minutes=2)


def test_the_run_behind_one_that_waits_for_a_worker_begins_when_that_is_stopped() -> None:
    """It waits for the worker in its place. A stopped one makes room for the next to wait."""
    world = busy_world(job(overlap="queue"))
    for seconds in (60, 120):
        world.due("x", seconds)
    first, second = (run.run_id for runtime in world.scheduler.runtimes(["x"]) for run in runtime.active_runs)
    assert stop(world, "x", second) == [(second, True)]
    world.due("x", 180)
    assert stop(world, "x", first) == [(first, True)]
    Gate.may_end.set()
    world.wait_for_records(4)
    assert [one.scheduled for one in Gate.begun[1:]] == [NOON + timedelta(minutes=3)]
    assert (60, "SKIPPED", "stopped") in world.records()
    assert (120, "SKIPPED", "stopped") in world.records()
    world.scheduler.stop(5)


def test_nothing_is_left_of_a_removed_job_whose_run_is_stopped_before_it_began() -> None:
    """It was known only for that run."""
    world = busy_world(job())
    world.scheduler.run_now(job(), "0")
    world.scheduler.drop("x", world.now)
    assert runs_of(world)
    assert [is_skipped for _, is_skipped in stop(world)] == [True]
    assert list(world.scheduler.runtimes(["x"])) == []
    Gate.may_end.set()
    world.scheduler.stop(5)


def test_the_record_of_a_stopped_run_by_hand_names_both_people(closed: World) -> None:
    """`by` is who stopped it, `requested_by` who asked for it; it has an id even if it never began."""
    closed.put(job(overlap="queue"))
    for _ in range(2):
        closed.scheduler.run_now(job(overlap="queue"), "0")
    wait_until(lambda: Gate.begun)
    stop(closed)
    wait_until(lambda: len(details(closed)) == 2)
    extra = (("by", "1000"), ("trigger", "manual"), ("requested_by", "0"))
    assert details(closed) == [("SKIPPED", "stopped", extra), ("FAILURE", "stopped", extra)]
    assert all(one.run_id for one in closed.written if isinstance(one, Record))
    assert stopped_fields((("corrects", "clock"),), "7") == (("by", "7"), ("corrects", "clock"))


def test_a_run_that_has_ended_and_a_job_without_a_run_are_not_stopped(world: World) -> None:
    """Nothing is written about them."""
    world.put(job())
    world.due("x", 60)
    world.wait_for_records(1)
    before = len(world.written)
    assert stop(world) == stop(world, "gone") == stop(world, "x", "0123456789ab") == []
    assert len(world.written) == before


def test_while_the_service_stops_what_has_begun_can_be_stopped_and_the_rest_is_left_to_the_next_start() -> None:
    """A slot that has not begun gets no record now: the next start decides about it."""
    world = World(workers=1)
    Gate.may_end.clear()
    for job_id in ("x", "y"):
        world.put(job(job_id))
    world.due("x", 60)
    wait_until(lambda: Gate.begun)
    world.due("y", 60)
    world.scheduler._engine.phase = Phase.STOPPED
    assert [is_skipped for _, is_skipped in stop(world)] == [False]
    assert stop(world, "y") == []
    wait_until(lambda: details(world))
    assert (details(world)[0][:2], details(world, "y")) == (("FAILURE", "stopped"), [])
    world.scheduler._engine.phase = Phase.RUNNING
    Gate.may_end.set()
    world.scheduler.stop(5)


def test_a_second_stop_and_a_later_shutdown_change_nothing(closed: World) -> None:
    """The first one who asked counts."""
    closed.put(job())
    closed.due("x", 60)
    wait_until(lambda: Gate.begun)
    (run,) = closed.scheduler._pool.runner.active_runs
    run._state.stop("stopped")  # the task has not been asked yet
    closed.scheduler.stop_runs({"x": None}, "1000")
    run.stop("shutdown")
    closed.wait_for_records(1)
    assert details(closed) == [("FAILURE", "stopped", (("by", "1000"),))]
