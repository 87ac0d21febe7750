"""Every way in which a slot can fail to run, or a run to succeed, writes its reason: one row for each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from jobscheduler.model import Checkpoint, Cron, InFlightRun, Job, Once, RecoveredState, Retry, TaskSpec
from tests.support.service import wait_until
from tests.unit.test_scheduler import NOON, Gate, World, gate, job, restart

__all__ = ["gate"]

SLOT = NOON + timedelta(seconds=60)
Scenario = Callable[[World], object]


def long_run(world: World, **fields: object) -> None:
    """Let the first slot begin and not end."""
    Gate.may_end.clear()
    world.put(job(**fields))
    world.due("x", 60)
    wait_until(lambda: Gate.begun)


def overlapping(world: World, overlap: str) -> None:
    """Two slots, the second while the first goes on, then the end."""
    long_run(world, overlap=overlap)
    world.due("x", 120)
    Gate.may_end.set()


def after(world: World, seconds: int, *jobs: Job, **past: object) -> None:
    """Start so many seconds after noon, with a log whose last checkpoint is from noon."""
    world.now = NOON + timedelta(seconds=seconds)
    restart(world, *(jobs or [job(catch_up=0)]), **past)


def late(world: World, cause: str) -> None:
    """Look an hour too late, for this cause."""
    world.late_reason = cause
    world.put(job(catch_up=0))
    world.due("x", 3600)


def waiting(world: World, change: Callable[[], object]) -> None:
    """Let a second slot wait for the first, and change the job then."""
    long_run(world, overlap="queue")
    world.due("x", 120)
    change()
    Gate.may_end.set()


def command(world: World, text: str | list[str], **fields: object) -> None:
    """Run a command at a slot."""
    world.put(Job("x", Cron("* * * * *", "UTC"), TaskSpec.from_params("execute_command", {"command": text}), **fields))  # type: ignore[arg-type]
    world.due("x", 60)


def no_thread(world: World) -> None:
    """A pool that has no worker and cannot get one."""

    def submit(_: object) -> None:
        raise RuntimeError("can't start new thread")

    world.scheduler._waker.submit = submit  # type: ignore[method-assign]
    world.put(job())
    world.due("x", 60)


def crashed(world: World) -> None:
    """A run that the log knows began and does not know ended."""
    after(world, 90, in_flight=(InFlightRun("x", "abc", SLOT, SLOT),))


def unclean(world: World) -> None:
    """Another boot, and no word of a stop."""
    after(world, 30, job(schedule=Cron("* * * * * *", "UTC"), catch_up=0), checkpoint=Checkpoint(NOON, "another boot"))


def expired(world: World) -> None:
    """A one-time job whose slot fell into the outage."""
    world.scheduler.restore(
        RecoveredState(Checkpoint(NOON, "boot-1"), NOON, clean_stop=True), NOON + timedelta(seconds=300)
    )
    assert world.scheduler.expire(job(schedule=Once(SLOT), modified_at=NOON), NOON + timedelta(seconds=300))


TABLE: list[tuple[str, str, Scenario]] = [
    ("SKIPPED", "overlap", lambda world: overlapping(world, "skip")),
    ("FAILURE", "replaced", lambda world: overlapping(world, "replace")),
    ("MISSED", "down", lambda world: after(world, 630)),
    ("MISSED", "down", expired),
    ("MISSED", "asleep", lambda world: late(world, "asleep")),
    ("MISSED", "clock", lambda world: late(world, "clock")),
    ("MISSED", "unknown", unclean),
    ("MISSED", "deleted", lambda world: waiting(world, lambda: world.scheduler.drop("x", world.now))),
    ("MISSED", "disabled", lambda world: waiting(world, lambda: world.put(job(enabled=False)))),
    ("FAILURE", "interrupted", crashed),
    ("FAILURE", "start", no_thread),
    ("FAILURE", "start", lambda world: command(world, ["/no/such/program"])),
    ("FAILURE", "exit", lambda world: command(world, "exit 3")),
    ("FAILURE", "timeout", lambda world: command(world, "sleep 60", timeout=0.1)),
    ("FAILURE", "task", lambda world: (world.put(job(task={"fails": True})), world.due("x", 60))),
    ("FAILURE", "task", lambda world: (world.put(job(task={"fails": True}, retry=Retry(2, 0.01))), world.due("x", 60))),
    ("FAILURE", "shutdown", lambda world: (long_run(world, retry=Retry(3, 60.0)), world.scheduler.stop(0.0))),
]


@pytest.mark.parametrize(("status", "reason", "scenario"), TABLE, ids=[f"{row[0]}-{row[1]}" for row in TABLE])
def test_what_did_not_run_or_succeed_says_why(status: str, reason: str, scenario: Scenario) -> None:
    """One record with this status and reason, and no slot with two."""
    world = World()
    try:
        scenario(world)
        wait_until(lambda: (status, reason) in {record[1:] for record in world.records()}, why=str(world.records()))
        slots = [record[0] for record in world.records()]
        assert len(slots) == len(set(slots))
    finally:
        Gate.may_end.set()
        world.scheduler.stop(5)
