"""What is done, asked of the account: a new leader accounts for the gap as a start does that reads the log.

`tests/unit/test_scheduler.py` has the same rules with the log.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from jobscheduler.cluster import lease_rows, takeover
from jobscheduler.cluster.job_state import JobState
from jobscheduler.cluster.slots import slot_text
from jobscheduler.cluster.values import AccountRow, Attempt, Claim, Identity, Outcome, Term
from jobscheduler.model import FullCheckpoint, Job
from tests.support.asked_account import AskedAccount
from tests.support.cluster_fixtures import account as account  # noqa: PLC0414 - fixtures, also for the tests on servers
from tests.support.cluster_fixtures import place as place  # noqa: PLC0414
from tests.support.cluster_fixtures import shared as shared  # noqa: PLC0414
from tests.support.cluster_place import ClusterPlace
from tests.unit.test_scheduler import NOON, World, full_checkpoint_of, job
from tests.unit.test_scheduler import gate as gate  # noqa: PLC0414 - fixtures, also for the tests on servers
from tests.unit.test_scheduler_standby import world as world  # noqa: PLC0414

HERE = Identity("a", "scheduler", "local", "a1")


@pytest.fixture
def former(place: ClusterPlace) -> Term:
    """The term of a leader that had every slot decided at noon."""
    term = place.lead()
    place.perform(lease_rows.renew(term, 60.0, slot_text(NOON)))
    return term


def at(seconds: float) -> datetime:
    """Return the instant so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def claim(account: AskedAccount, term: Term, seconds: float, **more: object) -> AccountRow:
    """Claim a slot of job `x`; return its row."""
    slot = slot_text(at(seconds))
    account.claim(term, [Claim("x", slot, f"r{seconds}", "local", "{}", **more)], lambda: "never")  # type: ignore[arg-type]
    (row,) = (row for row in account.rows_of("x") if row.slot == slot)
    return row


def begin(account: AskedAccount, row: AccountRow) -> Attempt:
    """Begin an attempt."""
    attempt = Attempt(row.job_id, row.slot, row.attempt, row.run_id)
    assert account.begin(HERE, [attempt]) == {row.key}
    return attempt


def take_over(world: World, place: ClusterPlace, *jobs: Job, full: FullCheckpoint | None = None) -> takeover.Takeover:
    """Have a node that stood by take the lease, and its scheduler account for the gap; return what it took over."""
    place.lead("b")
    found = place.perform(takeover.read_takeover())
    assert found is not None
    state = takeover.recovered_state(
        found, JobState(full or full_checkpoint_of(*jobs)), lambda *about: place.perform(takeover.last_decided(*about))
    )
    for one in jobs:
        world.put(one)
    world.scheduler.leadership.lead(state, world.now)
    return found


def test_the_latest_slot_of_the_gap_is_caught_up_and_the_others_are_one_record(
    world: World, place: ClusterPlace, former: Term
) -> None:
    """Nobody led for ten minutes."""
    world.now = at(630)
    take_over(world, place, job())
    assert sorted(world.wait_for_records(2)) == [(60, "MISSED", "down"), (600, "SUCCESS", None)]
    assert world.scheduler.next_slot("x") == at(660)


def test_slots_with_a_row_stay_decided(world: World, place: ClusterPlace, account: AskedAccount, former: Term) -> None:
    """Those that are final, as those that have ended or are at work on another node."""
    claim(account, former, 60, status="SKIPPED", reason="overlap")
    ended = begin(account, claim(account, former, 120))
    account.finish({ended: Outcome("SUCCESS")})
    begin(account, claim(account, former, 180))
    world.now = at(260)
    found = take_over(world, place, job(overlap="allow"))
    assert world.wait_for_records(1) == [(240, "SUCCESS", None)]
    assert [row.state.value for row in found.unfinished] == ["ended", "running"]


def test_a_run_at_work_on_another_node_overlaps(
    world: World, place: ClusterPlace, account: AskedAccount, former: Term
) -> None:
    """As one that a start finds at work."""
    begin(account, claim(account, former, 60))
    world.now = at(130)
    take_over(world, place, job())
    assert world.wait_for_records(1) == [(120, "SKIPPED", "overlap")]


def test_a_range_of_missed_slots_stays_decided(
    world: World, place: ClusterPlace, account: AskedAccount, former: Term
) -> None:
    """Also one that began before the instant up to which all are decided."""
    claim(account, former, -60, status="MISSED", reason="down", last_slot=slot_text(at(120)), slots=4)
    world.now = at(200)
    take_over(world, place, job())
    assert world.wait_for_records(1) == [(180, "SUCCESS", None)]


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([job(catch_up=600)], [(60, "SUCCESS", None)]),
        ([job(catch_up=5)], [(60, "MISSED", "down")]),
        ([], [(60, "MISSED", "deleted")]),
    ],
)
def test_a_slot_that_was_claimed_and_did_not_begin_is_accounted_for(
    world: World,
    place: ClusterPlace,
    account: AskedAccount,
    former: Term,
    jobs: list[Job],
    expected: list[tuple[int, str, str | None]],
) -> None:
    """The former leader died between its claim and the start; the row is there to be begun or withdrawn."""
    row = claim(account, former, 60)
    place.perform(lease_rows.renew(former, 60.0, slot_text(at(90))))
    world.now = at(100)
    found = take_over(world, place, *jobs)
    assert world.wait_for_records(1) == expected
    assert found.unfinished == (row,)


def test_a_run_by_hand_and_a_further_attempt_are_no_pending_slots(
    world: World, place: ClusterPlace, account: AskedAccount, former: Term
) -> None:
    """They are taken over as they are."""
    account.claim(former, [Claim("x", "manual-m1", "m1", "local", "{}", trigger="manual")], lambda: "never")
    ended = begin(account, claim(account, former, 60))
    account.finish({ended: Outcome("FAILURE", "exit")})
    account.again(former, [(row, 0.0) for row in account.unfinished() if row.state.value == "ended"])
    world.now = at(100)
    found = take_over(world, place, job())
    world.due("x", 120)
    assert world.wait_for_records(1) == [(120, "SUCCESS", None)]
    assert sorted(row.slot for row in found.unfinished) == [slot_text(at(60)), "manual-m1"]


def test_slots_of_a_clock_that_was_ahead_are_not_run_again(
    world: World, place: ClusterPlace, account: AskedAccount, former: Term
) -> None:
    """The former leader's clock was set back, or the new one's is behind."""
    claim(account, former, 60, status="SKIPPED", reason="overlap")
    claim(account, former, 120, status="SKIPPED", reason="overlap")
    place.perform(lease_rows.renew(former, 60.0, slot_text(at(130))))
    world.now = at(30)
    take_over(world, place, job())
    for seconds in (60, 120, 180):
        world.due("x", seconds)
    assert world.wait_for_records(1) == [(180, "SUCCESS", None)]


def test_nothing_is_missed_before_the_first_leader(place: ClusterPlace, account: AskedAccount) -> None:
    """A leader that ended before its first renewal has left its rows: from there on slots are open."""
    assert place.perform(takeover.read_takeover()) is None
    claim(account, place.lead(), 60, status="SKIPPED", reason="overlap")
    found = place.perform(takeover.read_takeover())
    assert found is not None
    assert found.settled == at(60)


def test_the_latest_decided_slot_of_a_job_is_known_also_when_its_row_is_gone(
    place: ClusterPlace, account: AskedAccount, former: Term
) -> None:
    """So a one-time job whose file comes back does not run twice."""
    claim(account, former, 60, status="SKIPPED", reason="overlap")
    claim(account, former, 120, status="MISSED", reason="down", last_slot=slot_text(at(240)), slots=3)
    ask = [at(30), at(230), at(240)]
    expected = [at(240), at(240), None]
    assert [place.perform(takeover.last_decided("x", after)) for after in ask] == expected
    place.age(61)
    assert account.remove_old_runs(former, 60.0, "2100") == 2
    assert [place.perform(takeover.last_decided("x", after)) for after in ask] == expected
    assert place.perform(takeover.last_decided("other", at(0))) is None
