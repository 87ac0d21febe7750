"""New rules of a zone under a running scheduler: no slot runs twice, and none is lost without a record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler.model import Cron, Event
from jobscheduler.timetable import timezones
from tests.support.zone_tree import HOUR, ZoneTree, zones_of
from tests.unit.test_scheduler import NOON, World, gate, job, world

__all__ = ["gate", "world"]

MINUTE = 60


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[ZoneTree]:
    """One zone whose clock shows UTC."""
    made = ZoneTree(tmp_path / "zoneinfo", Here=0)
    with zones_of(made):
        yield made


def start(world: World, schedule: str, **fields: object) -> None:
    """Have a job active since an hour before noon; it is noon then."""
    world.now = NOON - timedelta(hours=1)
    world.scheduler.start()
    world.scheduler.put(job(schedule=Cron(schedule, "Test/Here"), **fields), world.now)
    for seconds in (-30 * MINUTE, 0):
        world.due("x", seconds)
        world.wait_until_idle()


def change(world: World, tree: ZoneTree, offset: int, seconds: float, schedule: str, **fields: object) -> datetime:
    """Apply other rules at `seconds` after noon, as a reload does; return the next slot."""
    tree.write("Here", offset)
    timezones.reload_rules()
    world.due("x", seconds)
    upcoming = world.scheduler.put(job(schedule=Cron(schedule, "Test/Here"), **fields), world.now)
    assert upcoming is not None
    return upcoming


def test_a_time_of_day_that_the_new_rules_show_again_does_not_run_again(world: World, tree: ZoneTree) -> None:
    """It has run by the former rules; so it is due tomorrow, also after a crash."""
    start(world, "30 11 * * *")
    world.wait_for_records(1)
    upcoming = change(world, tree, -HOUR, 10 * MINUTE, "30 11 * * *")
    assert upcoming == NOON + timedelta(days=1, minutes=30)
    (decided,) = (entry for entry in world.written if isinstance(entry, Event) and entry.name == "job.decided")
    assert "2096-11-22T12:30:00Z" in str(dict(decided.values)["decided"])
    world.due("x", 40 * MINUTE)
    assert world.records() == [(-30 * MINUTE, "SUCCESS", None)]
    assert world.scheduler.behind_clock() is None
    world.due("x", 24 * 3600 + 30 * MINUTE)
    assert world.wait_for_records(2)[-1] == (24 * 3600 + 30 * MINUTE, "SUCCESS", None)


def test_a_time_of_day_before_the_job_was_active_is_not_taken_for_decided(world: World, tree: ZoneTree) -> None:
    """It has not run, so it runs when the new rules show it."""
    start(world, "30 10 * * *")
    assert change(world, tree, -2 * HOUR, 10 * MINUTE, "30 10 * * *") == NOON + timedelta(minutes=30)


def test_a_time_of_day_that_the_new_rules_skip_is_accounted_for(world: World, tree: ZoneTree) -> None:
    """As when the clock is set ahead: missed with the reason."""
    start(world, "30 12 * * *")
    assert change(world, tree, HOUR, 10 * MINUTE, "30 12 * * *") == NOON + timedelta(days=1, minutes=-30)
    assert world.records() == [(-30 * MINUTE, "MISSED", "clock")]


def test_a_skipped_time_of_day_runs_within_catch_up(world: World, tree: ZoneTree) -> None:
    """Several make one run and one record of the others."""
    start(world, "20,30 12 * * *", catch_up=3600.0)
    change(world, tree, HOUR, 10 * MINUTE, "20,30 12 * * *", catch_up=3600.0)
    assert sorted(world.wait_for_records(2)) == [(-40 * MINUTE, "MISSED", "clock"), (-30 * MINUTE, "SUCCESS", None)]


def test_an_instant_that_was_decided_by_the_former_rules_is_neither_run_nor_missed(
    world: World, tree: ZoneTree
) -> None:
    """A slot is a job and an instant: 12:30 by the new rules is 11:30 by the former ones."""
    start(world, "30 11,12 * * *", catch_up=3600.0)
    world.wait_for_records(1)
    change(world, tree, HOUR, 10 * MINUTE, "30 11,12 * * *", catch_up=3600.0)
    assert world.records() == [(-30 * MINUTE, "SUCCESS", None)]


@pytest.mark.parametrize("offset", [-HOUR, HOUR])
def test_a_job_of_real_time_goes_on_without_a_gap(world: World, tree: ZoneTree, offset: int) -> None:
    """It follows instants, whatever the clock shows."""
    start(world, "*/30 * * * *")
    assert change(world, tree, offset, 10 * MINUTE, "*/30 * * * *") == NOON + timedelta(minutes=30)
    assert {status for _, status, _ in world.wait_for_records(1)} <= {"SUCCESS", "MISSED"}
    assert all(reason != "clock" for _, _, reason in world.records())


def test_a_paused_job_has_its_skipped_slot_skipped(world: World, tree: ZoneTree) -> None:
    """Nothing of a pause is caught up."""
    start(world, "30 12 * * *", catch_up=3600.0)
    world.pause("x")
    change(world, tree, HOUR, 10 * MINUTE, "30 12 * * *", catch_up=3600.0)
    assert world.records() == [(-30 * MINUTE, "SKIPPED", "paused")]
