"""The runtime states of jobs: what did not change is the same object, so that ten thousand of them cost little."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from jobscheduler.status.snapshot import JobRuntime
from tests.support.service import wait_until
from tests.unit.test_scheduler import NOON, Gate, World, gate, job, world

__all__ = ["gate", "world"]


def runtime(world: World) -> JobRuntime:
    """The state of the only job."""
    (one,) = world.scheduler.runtimes()
    return one


def test_the_state_of_a_job_of_which_nothing_changes_is_made_once(world: World) -> None:
    """Whatever the clock says; its next slot is that until the next decision."""
    world.put(job())
    former = runtime(world)
    world.now = NOON + timedelta(seconds=30)
    assert runtime(world) is former


CHANGES: dict[str, tuple[Callable[[World], object], Callable[[JobRuntime], bool]]] = {
    "a run began and ended": (
        lambda w: (w.due("x", 60), w.wait_until_idle()),
        lambda one: one.next == NOON + timedelta(seconds=120),
    ),
    "slots were missed": (lambda w: w.due("x", 7230), lambda one: one.next == NOON + timedelta(seconds=7260)),
    "an edit": (lambda w: w.put(job(description="new")), lambda one: one.job.description == "new"),
    "disabled": (lambda w: w.put(job(enabled=False)), lambda one: one.next is None),
    "paused": (lambda w: w.pause("x"), lambda one: len(one.pauses) == 1 and one.next is None),
    "paused by its tag": (lambda w: w.pause("tag:a"), lambda one: len(one.pauses) == 1),
}


@pytest.mark.parametrize(("change", "is_seen"), CHANGES.values(), ids=CHANGES)
def test_each_change_is_seen_at_once(
    world: World, change: Callable[[World], object], is_seen: Callable[[JobRuntime], bool]
) -> None:
    """A state is not remembered beyond what it was made of."""
    world.put(job(tags=("a",), catch_up=0.0))
    assert not is_seen(runtime(world))
    change(world)
    assert is_seen(runtime(world))


def test_a_pause_ends_with_time_alone(world: World) -> None:
    """No line and no call says so."""
    world.put(job())
    world.pause("x", seconds=90)
    assert runtime(world).pauses
    world.now = NOON + timedelta(seconds=91)
    assert not runtime(world).pauses


def test_a_run_is_seen_as_long_as_it_goes_on(world: World) -> None:
    """The state of a job at work is made for each question: its attempt and its process change."""
    Gate.may_end.clear()
    world.put(job())
    runtime(world)
    world.due("x", 60)
    wait_until(lambda: Gate.begun)
    assert runtime(world).active_runs
    Gate.may_end.set()
    wait_until(lambda: not runtime(world).active_runs)


def test_jobs_that_are_gone_are_forgotten(world: World) -> None:
    """A service may see thousands come and go."""
    for number in range(3):
        world.put(job(f"x{number}"))
    world.scheduler.runtimes()
    world.scheduler.drop("x1", world.now)
    assert len(world.scheduler.runtimes()) == 2
    assert len(world.scheduler._runtimes) == 2
