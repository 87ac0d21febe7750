"""What the scheduler tells of its jobs: when they came into force, whether their time counts, and in checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from jobscheduler.model import Checkpoint, FullCheckpoint, Job, Once, RecoveredState
from jobscheduler.model.standing import LoggedResult, ResultState, Standing
from jobscheduler.scheduler import Scheduler, SchedulerLog
from jobscheduler.service.checks import HostCheck
from jobscheduler.status.standings import Standings
from jobscheduler.timetable.definition_hash import definition_hash
from tests.unit.test_scheduler import NOON, World, gate, job, world

__all__ = ["gate", "world"]


def standings(world: World) -> Standings:
    return world.scheduler._engine.checkpoints._standings


def test_a_job_is_in_force_from_when_it_was_put(world: World) -> None:
    """An edit does not change that; a job that was removed and comes back begins anew."""
    world.put(job())
    world.now = NOON + timedelta(hours=1)
    world.put(job(description="other words"))
    assert standings(world).in_force_since("x") == NOON
    world.scheduler.drop("x", world.now)
    standings(world)._remove("x")  # as the line about it has it
    world.now = NOON + timedelta(hours=9)
    world.put(job())
    assert standings(world).in_force_since("x") == world.now


@pytest.mark.parametrize(
    ("definition", "held"),
    [
        (job(), False),
        (job(enabled=False), True),
        (job(not_after=NOON - timedelta(seconds=1)), True),
        (job(not_after=NOON + timedelta(days=1)), False),
        (job(schedule=Once(NOON + timedelta(seconds=1))), False),
    ],
    ids=["active", "disabled", "past its end", "before its end", "once, to come"],
)
def test_the_time_of_a_job_counts_while_it_may_run(world: World, definition: Job, held: bool) -> None:
    """Not while it is disabled, nor after its last slot."""
    world.put(definition)
    assert world.scheduler.is_held("x") is held
    assert world.scheduler.is_held("unknown")


def test_the_time_of_a_paused_job_does_not_count(world: World) -> None:
    """Until it is resumed, or the pause is over by itself; whichever selection paused it."""
    world.put(job(tags=("shop",)))
    world.pause("tag:shop", seconds=3600)
    assert world.scheduler.is_held("x")
    world.now = NOON + timedelta(hours=2)
    assert not world.scheduler.is_held("x")
    world.pause("*")
    assert world.scheduler.is_held("x")
    world.resume("x")
    assert not world.scheduler.is_held("x")


def test_a_start_takes_over_how_jobs_stood(world: World) -> None:
    """From the last full checkpoint and the lines after it, as it was at the clock that is never set."""
    definition = job(success_within=3600.0)
    hashes = {"x": definition_hash(definition)}
    stood = ResultState({"x": Standing(failures=2, failed_since=NOON, counted_from=-100.0)}, {"x": NOON})
    full = FullCheckpoint(hashes=hashes, accounted_since=NOON - timedelta(days=9), results=stood)
    mark = Checkpoint(NOON, "boot-0", uptime=500.0, full=full)
    state = RecoveredState(
        mark,
        NOON,
        clean_stop=True,
        full=full,
        checkpoint_written_at=NOON,
        results=(LoggedResult("x", "FAILURE", NOON),),
    )
    world.now = NOON + timedelta(seconds=60)
    world.scheduler.restore(state, world.now)
    world.put(definition)

    found = standings(world).of("x")
    assert found.failures == 3
    assert found.without_success(standings(world)._elapsed()) == pytest.approx(660, abs=5)
    assert standings(world).last_success("x") == NOON


def test_checkpoints_carry_how_jobs_stand(world: World) -> None:
    """A full one all jobs, the others what has changed since."""
    marks = world.checkpoints
    marks.clear()
    world.put(job(success_within=3600.0))
    world.scheduler.write_checkpoint(full=True)
    world.scheduler.write_checkpoint()
    standings(world)._table.set("x", Standing(failures=1))
    world.scheduler.write_checkpoint()
    assert [[*mark.results.standings] for mark in marks] == [["x"], [], ["x"]]


@dataclass
class FakeParts:
    """A log that fails when the test wants it, and whatever else a check asks for."""

    failing: bool = False
    written: list[dict[str, Any]] = field(default_factory=list)

    @property
    def runs(self) -> FakeParts:
        return self

    def is_failing(self) -> bool:
        return self.failing

    def is_silent(self) -> bool:
        return False

    def write(self, now: float, **how: Any) -> None:
        self.written.append({"now": now, **how})

    def check(self, *_: object) -> None:
        return None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *_: None


def test_a_log_that_can_be_written_again_gets_a_full_checkpoint() -> None:
    """What the checkpoints in between have said of changes may be lost."""
    parts: Any = FakeParts()
    check = HostCheck(parts, parts, parts, parts, parts, parts)
    for second, failing in enumerate((False, True, True, False, False)):
        parts.failing = failing
        check.run(float(second))
    assert parts.written == [{"now": 3.0, "full": True}]


def test_a_scheduler_without_standings_has_its_own() -> None:
    """So that it needs none in a test or a tool."""
    with Scheduler(SchedulerLog(lambda _: None), max_workers=1) as scheduler:
        assert scheduler.is_held("x")
