"""A scheduler that stands by while another service leads, leads, and stands by again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from jobscheduler.model import Checkpoint, Cron, Job, RecoveredState
from jobscheduler.scheduler.standby import StandsBy
from tests.support.service import wait_until
from tests.unit.test_scheduler import NOON, Gate, World, full_checkpoint_of, gate, job

__all__ = ["gate"]


@pytest.fixture
def world() -> Iterator[World]:
    """Give a scheduler that stands by."""
    made = World(stands_by=True)
    yield made
    Gate.may_end.set()
    made.scheduler.stop(5)


def lead(world: World, *jobs: Job, settled: float = 0.0, **state: object) -> None:
    """Let it lead: every slot up to so many seconds after noon was decided by others."""
    at = NOON + timedelta(seconds=settled)
    past = {"checkpoint": Checkpoint(at), "last_line_at": at, "clean_stop": True, "full": full_checkpoint_of(*jobs)}
    world.scheduler.leadership.lead(RecoveredState(**{**past, **state}), world.now)  # type: ignore[arg-type]


def test_a_scheduler_that_stands_by_knows_its_jobs_and_decides_nothing(world: World) -> None:
    """Neither when a slot is due, nor when a job is edited, nor when it goes; and nothing is written."""
    world.put(job("x"))
    world.put(job("y"))
    assert world.scheduler.next_slot("x") == NOON + timedelta(seconds=60)
    world.due("x", 60)
    world.put(job("x", timeout=5.0))
    world.scheduler.drop("y", world.now)
    world.scheduler.write_checkpoint(full=True)
    assert world.written == []
    assert world.checkpoints == []
    assert world.scheduler.next_slot("y") is None


def test_on_leading_it_accounts_for_the_gap_and_goes_on(world: World) -> None:
    """From where the former leader had every slot decided, without those that have a row."""
    world.put(job("x"))
    world.now = NOON + timedelta(seconds=250)
    slot = NOON + timedelta(seconds=120)
    lead(world, job("x"), settled=30, recorded={"x": ((slot, slot),)})
    world.wait_for_records(3)
    world.due("x", 300)
    expected = [(60, "MISSED", "down"), (180, "MISSED", "down"), (240, "SUCCESS", None), (300, "SUCCESS", None)]
    assert sorted(world.wait_for_records(4)) == expected
    assert world.checkpoints


def test_what_has_not_begun_is_let_go_without_a_record_and_what_has_goes_on(world: World) -> None:
    """The run at work gets its record when it ends; what waited for a turn is the new leader's."""
    lead(world)
    Gate.may_end.clear()
    world.put(job("x", overlap="queue"))
    world.due("x", 60)
    wait_until(lambda: Gate.begun)
    world.due("x", 120)
    world.scheduler.leadership.stand_by()
    world.due("x", 180)
    Gate.may_end.set()
    assert world.wait_for_records(1) == [(60, "SUCCESS", None)]
    assert len(Gate.begun) == 1


def test_leading_again_repeats_nothing_that_others_decided(world: World) -> None:
    """Nor what it decided itself before; a job that came while it stood by is there."""
    lead(world)
    world.put(job("x"))
    world.due("x", 60)
    world.wait_for_records(1)
    world.scheduler.leadership.stand_by()
    world.put(job("new"))
    world.now = NOON + timedelta(seconds=200)
    lead(world, job("x"), job("new"), settled=190)
    world.due("x", 240)
    world.due("new", 240)
    assert sorted(world.wait_for_records(3)) == [(60, "SUCCESS", None), (240, "SUCCESS", None), (240, "SUCCESS", None)]


def test_a_job_still_overlaps_with_its_own_run_of_an_earlier_term(world: World) -> None:
    """It went on all the while."""
    lead(world)
    Gate.may_end.clear()
    world.put(job("x"))
    world.due("x", 60)
    wait_until(lambda: Gate.begun)
    world.scheduler.leadership.stand_by()
    world.now = NOON + timedelta(seconds=100)
    lead(world, job("x"), settled=95)
    world.due("x", 120)
    assert world.records() == [(120, "SKIPPED", "overlap")]


def test_people_are_sent_to_the_leader(world: World) -> None:
    """For runs and pauses; after it leads, it does them itself."""
    world.put(job("x"))
    with pytest.raises(StandsBy):
        world.scheduler.run_now(job("x"), "ann")
    with pytest.raises(StandsBy):
        world.pause("x")
    lead(world, job("x"))
    world.scheduler.run_now(job("x"), "ann")
    wait_until(lambda: len(world.written) >= 2)


def test_a_slot_of_the_outage_is_not_decided_by_a_file_that_comes_while_it_stands_by(world: World) -> None:
    """What was known of the time before its first term is out of date by then."""
    world.now = NOON + timedelta(seconds=100)
    lead(world)
    world.scheduler.leadership.stand_by()
    world.written.clear()
    world.put(job("late", modified_at=NOON))
    assert world.written == []


def test_a_slot_whose_claim_was_given_up_is_decided_anew(world: World) -> None:
    """This service had decided it, and the lease was lost before its row was there."""
    lead(world)
    world.put(job("x"))
    world.due("x", 60)
    world.wait_for_records(1)
    world.scheduler.leadership.stand_by()
    world.written.clear()
    world.now = NOON + timedelta(seconds=130)
    lead(world, job("x"), settled=30)
    assert sorted(world.wait_for_records(2)) == [(60, "MISSED", "down"), (120, "SUCCESS", None)]


def test_an_edit_while_it_stands_by_starts_no_slot_whose_jitter_is_running(world: World) -> None:
    """The leader starts it."""
    world.put(job("x", jitter=30.0))
    world.now = NOON + timedelta(seconds=61)
    world.put(job("x", Cron("*/2 * * * *", "UTC"), jitter=30.0))
    world.put(job("x", enabled=False))
    assert world.written == []
    assert Gate.begun == []


def test_what_a_wrong_clock_decided_here_in_vain_does_not_count(world: World) -> None:
    """The database refused it: the clock was an hour ahead. The account knows nothing of it, and has the last word."""
    lead(world)
    world.put(job("x"))
    world.due("x", 3600)
    world.wait_for_records(2)
    world.scheduler.leadership.stand_by()
    world.written.clear()
    world.now = NOON + timedelta(seconds=130)
    lead(world, job("x"), settled=70)
    world.wait_for_records(1)
    world.due("x", 180)
    assert world.wait_for_records(2) == [(120, "SUCCESS", None), (180, "SUCCESS", None)]
