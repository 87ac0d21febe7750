"""A snapshot is made of what has changed: the status of any other job stays the same object."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jobscheduler.control.snapshot_builder import SnapshotBuilder
from jobscheduler.model import Job, Record, Status
from jobscheduler.status.run_stats import RunStats
from jobscheduler.status.snapshot import JobState, JobStatus
from jobscheduler.status.standings import Standings
from tests.unit.test_scheduler import NOON, World, gate, job, world

__all__ = ["gate", "world"]


class Built:
    """A builder over a scheduler that the test moves."""

    def __init__(self, world: World) -> None:
        self.world, self.jobs, self.results = world, dict[str, Job](), RunStats()
        self.standings = Standings(lambda: 0.0)
        definitions = SimpleNamespace(active_state=lambda: (self.jobs, {}))
        service = SimpleNamespace(build=lambda: None)
        parts: Any = service, world.scheduler, definitions, self.results, self.standings
        self._builder = SnapshotBuilder(*cast("Any", parts))

    def put(self, definition: Job) -> None:
        """Bring a definition into force."""
        self.jobs[definition.id] = definition
        self.world.put(definition)

    def observe(self, status: Status) -> None:
        """Have a run of the job `x` end."""
        record = Record(NOON, status, "x", "5f3c2a9d0b1e", NOON, NOON, 1.0)
        self.results.observe(record)
        self.standings.observe(record)

    def status(self, job_id: str = "x") -> JobStatus:
        """Return the status of a job in a new snapshot."""
        (found,) = [one for one in self._builder.build().jobs if one.id == job_id]
        return found


@pytest.fixture
def built(world: World) -> Built:
    """Two jobs."""
    made = Built(world)
    made.put(job("x"))
    made.put(job("y"))
    return made


def test_the_status_of_a_job_of_which_nothing_changes_is_made_once(built: Built) -> None:
    """Ten thousand of them would cost each page a fifth of a second."""
    former = built.status(), built.status("y")
    built.observe(Status.SUCCESS)
    assert built.status("y") is former[1]
    assert built.status() is not former[0]
    assert built.status() is built.status()


def test_each_change_is_in_the_next_snapshot(built: Built) -> None:
    """Results, decisions, pauses and edits."""
    assert (built.status().last, built.status().failures) == (None, 0)
    built.observe(Status.FAILURE)
    assert (built.status().failures, built.status().last_success) == (1, None)
    built.observe(Status.SUCCESS)
    assert (built.status().failures, built.status().last_success) == (0, NOON)
    built.world.due("x", 60)
    built.world.wait_until_idle()
    assert built.status().next == NOON + timedelta(seconds=120)
    built.world.pause("x")
    assert built.status().state is JobState.PAUSED
    built.world.resume("x")
    assert built.status().state is JobState.SCHEDULED
    built.put(job("x", description="new"))
    assert built.status().job == job("x", description="new")


def test_a_job_that_is_gone_is_forgotten(built: Built) -> None:
    """A service may see thousands come and go."""
    built.status()
    del built.jobs["y"]
    built.world.scheduler.drop("y", built.world.now)
    built.status()
    assert set(built._builder._made) == {"x"}
