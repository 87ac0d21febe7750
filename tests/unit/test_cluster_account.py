"""The account of several services: one row and one final status for every slot, and one start for every attempt.

`tests/cluster` runs the same tests on MariaDB and PostgreSQL.
"""

from __future__ import annotations

import random
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.cluster.values import (
    AccountRow,
    Attempt,
    Beat,
    Claim,
    ClaimResult,
    Fenced,
    Identity,
    Outcome,
    State,
    Term,
    Verdict,
)
from tests.support.account_world import AccountWorld
from tests.support.asked_account import AskedAccount
from tests.support.cluster_fixtures import account as account  # noqa: PLC0414 - fixtures, also for the tests on servers
from tests.support.cluster_fixtures import place as place  # noqa: PLC0414
from tests.support.cluster_fixtures import shared as shared  # noqa: PLC0414
from tests.support.cluster_place import ClusterPlace
from tests.support.properties import examples

ONE, TWO, THREE, FOUR = (f"2026-11-22T01:0{minute}:00Z" for minute in range(1, 5))

HERE = Identity("a", "scheduler", "local", "a1")


@pytest.fixture
def term(place: ClusterPlace) -> Term:
    """The term of the leader, which is node a."""
    return place.lead()


def claim_one(account: AskedAccount, term: Term, claim: Claim) -> ClaimResult:
    """Make one claim; return what became of it."""
    ((_, won),) = account.claim(term, [claim], new_run_id=lambda: "never")
    return won


def run(slot: str, run_id: str, **more: object) -> Claim:
    """Return the claim of a run of job `j`."""
    return Claim("j", slot, run_id, "local", "{}", **more)  # type: ignore[arg-type]


def missed(first: str, last: str | None, slots: int, reason: str = "clock", run_id: str = "missed") -> Claim:
    """Return the claim of missed slots of job `j`."""
    return Claim("j", first, run_id, status="MISSED", reason=reason, last_slot=last, slots=slots)


def rows(account: AskedAccount) -> dict[str, AccountRow]:
    """Return the rows of job `j` by slot."""
    return {row.slot: row for row in account.rows_of("j")}


def begin(
    account: AskedAccount, slot: str, attempt: int = 1, begun_by: str = "once", identity: Identity = HERE
) -> bool:
    """Begin an attempt; return whether it may be started."""
    return bool(account.begin(identity, [Attempt("j", slot, attempt, begun_by)]))


def end(account: AskedAccount, slot: str, outcome: Outcome, attempt: int = 1, begun_by: str = "once") -> bool:
    """End an attempt; return whether that counts."""
    return bool(account.finish({Attempt("j", slot, attempt, begun_by): outcome}))


# --- claims ----------------------------------------------------------------------------------------------


def test_a_slot_is_won_once_and_a_repeated_claim_finds_its_own_row(account: AskedAccount, term: Term) -> None:
    """The answer to the first try may have been lost."""
    assert claim_one(account, term, run(ONE, "r1")) is ClaimResult.WON
    assert claim_one(account, term, run(ONE, "r1")) is ClaimResult.WON
    assert claim_one(account, term, run(ONE, "r2")) is ClaimResult.TAKEN
    assert [row.run_id for row in account.rows_of("j")] == ["r1"]


def test_a_term_that_is_over_writes_nothing(account: AskedAccount, place: ClusterPlace, term: Term) -> None:
    """Neither after another node took the lease, nor after it ran out, nor after it was given back."""
    place.end_lease()
    with pytest.raises(Fenced):
        claim_one(account, term, run(ONE, "r1"))
    later = place.lead("b")
    assert later.number == term.number + 1
    with pytest.raises(Fenced):
        claim_one(account, term, run(ONE, "r1"))
    assert account.rows_of("j") == []
    assert claim_one(account, later, run(ONE, "r2")) is ClaimResult.WON


def test_of_a_batch_each_claim_has_its_own_answer(account: AskedAccount, term: Term) -> None:
    """A row of another claim, a range, and a run id that another slot has: that one is claimed again."""
    account.claim(term, [run(ONE, "r1"), missed(THREE, FOUR, 2)], new_run_id=lambda: "never")
    numbers = count()
    wanted = [run(ONE, "r2"), run(TWO, "r1"), run(FOUR, "r3"), Claim("other", ONE, "r4")]
    done = account.claim(term, wanted, new_run_id=lambda: f"new{next(numbers)}")
    assert [won for _, won in done] == [ClaimResult.TAKEN, ClaimResult.WON, ClaimResult.COVERED, ClaimResult.WON]
    assert done[1][0].run_id == "new0" == rows(account)[TWO].run_id


def test_a_thousand_large_definitions_are_claimed_in_parts(account: AskedAccount, term: Term) -> None:
    """A statement is never larger than a server takes, and texts come back as they were."""
    text = '{"command": "echo \\"ä😀\\" \\\\ %s :x"}' + "x" * 2500
    wanted = [Claim(f"j{number}", ONE, f"r{number}", "local", text) for number in range(1001)]
    assert {won for _, won in account.claim(term, wanted, new_run_id=lambda: "never")} == {ClaimResult.WON}
    assert {row.definition for row in account.unfinished()} == {text}
    assert len(account.unfinished()) == 1001


def test_a_slot_in_a_range_of_missed_ones_is_refused(account: AskedAccount, term: Term) -> None:
    """So is a range that would have one of its slots; a slot before or after it is free."""
    assert claim_one(account, term, missed(TWO, THREE, 2, "down")) is ClaimResult.WON
    assert claim_one(account, term, run(THREE, "r1")) is ClaimResult.COVERED
    assert claim_one(account, term, run(THREE, "r1", corrects="clock")) is ClaimResult.COVERED
    assert claim_one(account, term, missed(ONE, TWO, 2, run_id="m2")) is ClaimResult.COVERED
    assert claim_one(account, term, run(ONE, "r2")) is ClaimResult.WON
    assert claim_one(account, term, run(FOUR, "r3")) is ClaimResult.WON


def test_a_skipped_slot_is_final_at_once(account: AskedAccount, term: Term) -> None:
    """It has no attempt and waits for nothing."""
    assert claim_one(account, term, Claim("j", ONE, "r1", status="SKIPPED", reason="overlap")) is ClaimResult.WON
    row = rows(account)[ONE]
    assert (row.state, row.status, row.reason, row.attempt) == (State.FINAL, "SKIPPED", "overlap", 0)
    assert account.unfinished() == []


# --- a clock that was wrong ------------------------------------------------------------------------------


def test_a_run_corrects_a_slot_that_only_the_clock_missed(account: AskedAccount, term: Term) -> None:
    """Its row becomes that of the run, once; a repeated claim finds its own row."""
    claim_one(account, term, missed(ONE, None, 1))
    assert claim_one(account, term, run(ONE, "r1")) is ClaimResult.TAKEN
    for _ in range(2):
        assert claim_one(account, term, run(ONE, "r1", corrects="clock")) is ClaimResult.WON
    assert claim_one(account, term, run(ONE, "r2", corrects="clock")) is ClaimResult.TAKEN
    row = rows(account)[ONE]
    assert (row.run_id, row.state, row.status, row.corrects) == ("r1", State.QUEUED, None, "clock")


def test_a_run_corrects_the_first_slot_of_a_range_and_the_rest_stays_missed(account: AskedAccount, term: Term) -> None:
    """The rest is a range of its own, or a single slot; an amid slot leaves the range as it is."""
    claim_one(account, term, missed(ONE, FOUR, 4))
    assert claim_one(account, term, run(THREE, "r3", corrects="clock")) is ClaimResult.WON
    assert claim_one(account, term, run(ONE, "r1", corrects="clock", next_slot=TWO)) is ClaimResult.WON
    told = {slot: (row.run_id, row.status, row.last_slot, row.slots) for slot, row in rows(account).items()}
    assert told == {
        ONE: ("r1", None, None, 1),
        TWO: ("r1r", "MISSED", FOUR, 3),
        THREE: ("r3", None, None, 1),
    }
    assert claim_one(account, term, run(FOUR, "r4")) is ClaimResult.COVERED


def test_a_correction_that_died_half_way_is_completed_by_the_next(
    account: AskedAccount, place: ClusterPlace, term: Term
) -> None:
    """Between its two statements no slot lacks its status."""
    from jobscheduler.cluster.corrections import correct
    from jobscheduler.cluster.steps import execute

    claim_one(account, term, missed(ONE, THREE, 3))
    half = correct(place.dialect, term, run(ONE, "r1", corrects="clock", next_slot=TWO))
    half.send(execute(place.connection, next(half)))
    half.close()
    again = correct(place.dialect, term, run(ONE, "r1", corrects="clock", next_slot=TWO))
    insertion = again.send(execute(place.connection, next(again)))
    execute(place.connection, insertion)
    again.close()
    assert [(row.slot, row.last_slot) for row in account.rows_of("j")] == [(ONE, THREE), (TWO, THREE)]
    assert claim_one(account, term, run(ONE, "r2", corrects="clock", next_slot=TWO)) is ClaimResult.WON
    assert [(row.slot, row.last_slot) for row in account.rows_of("j")] == [(ONE, None), (TWO, THREE)]


# --- attempts --------------------------------------------------------------------------------------------


def test_an_attempt_begins_once_whoever_is_told_of_it(account: AskedAccount, term: Term) -> None:
    """A repetition of the same request is told the same; a second delivery, or another worker, may not start it."""
    claim_one(account, term, run(ONE, "r1"))
    assert begin(account, ONE)
    assert begin(account, ONE)
    assert not begin(account, ONE, begun_by="again")
    assert not begin(account, ONE, begun_by="other", identity=Identity("b", "worker", "local", "b1"))
    assert not begin(account, ONE, attempt=2)
    assert rows(account)[ONE].node == "a"


def test_a_run_that_must_wait_does_not_begin_yet(account: AskedAccount, term: Term) -> None:
    """Its time is the database's."""
    claim_one(account, term, run(ONE, "r1", wait=60.0))
    claim_one(account, term, run(TWO, "r2", wait=0.0))
    assert not begin(account, ONE)
    assert begin(account, TWO, begun_by="other")


def test_an_outcome_counts_for_the_worker_that_has_the_attempt(
    account: AskedAccount, place: ClusterPlace, term: Term
) -> None:
    """Text that no database holds as it is, is changed; large numbers and fractions are kept."""
    claim_one(account, term, run(ONE, "r1"))
    begin(account, ONE)
    outcome = Outcome("FAILURE", "exit", 3, 1.25, 0.5, 5_000_000_000, '{"a": 1}', "bye \0 ä😀\n")
    assert not end(account, ONE, outcome, begun_by="other")
    assert end(account, ONE, outcome)
    assert end(account, ONE, outcome)
    stored = [place.column("j", ONE, name) for name in ("status", "exit_code", "duration", "cpu", "max_rss", "output")]
    assert stored == ["FAILURE", 3, 1.25, 0.5, 5_000_000_000, "bye \N{REPLACEMENT CHARACTER} ä😀\n"]


def test_a_worker_that_was_silent_learns_that_its_run_is_lost(
    account: AskedAccount, place: ClusterPlace, term: Term
) -> None:
    """Its late outcome is refused, and its beat no longer has the run; one that beats is not judged."""
    claim_one(account, term, run(ONE, "r1"))
    claim_one(account, term, run(TWO, "r2"))
    begin(account, ONE)
    begin(account, TWO, begun_by="other")
    place.silence(61)
    end(account, TWO, Outcome("SUCCESS"), begun_by="other")
    assert account.beat(HERE).own == {("j", ONE): Beat(1)}
    account.judge(term, 60)
    assert rows(account)[ONE].state is State.RUNNING
    place.silence(61)
    account.judge(term, 60)
    assert account.beat(HERE).own == {}
    assert not end(account, ONE, Outcome("SUCCESS"))
    assert rows(account)[ONE].reason == "worker_lost"


def test_a_new_instance_closes_the_runs_of_the_former_one_of_its_identity_alone(
    account: AskedAccount, term: Term
) -> None:
    """Neither those of another node, nor those of another queue, nor its own."""
    others = [Identity("b", "worker", "local", "b1"), Identity("a", "worker", "gpu", "a2")]
    former = Identity("a", "scheduler", "local", "a0")
    for number, identity in enumerate([former, HERE, *others]):
        claim = Claim("j", f"2026-11-22T02:0{number}:00Z", f"r{number}", identity.queue)
        claim_one(account, term, claim)
        assert begin(account, claim.slot, begun_by=str(number), identity=identity)
    account.close_former(HERE, "interrupted")
    told = [(row.node, row.queue, row.reason) for row in account.rows_of("j")]
    assert told == [("a", "local", "interrupted"), ("a", "local", None), ("b", "local", None), ("a", "gpu", None)]


def test_a_run_that_is_to_stop_is_told_so_with_the_next_beat(account: AskedAccount, term: Term) -> None:
    """The first reason stands, and there is no further attempt."""
    claim_one(account, term, run(ONE, "r1"))
    begin(account, ONE)
    account.stop(term, account.unfinished(), "operator", "jürgen")
    account.stop(term, account.unfinished(), "replace")
    assert account.beat(HERE).own == {("j", ONE): Beat(1, "operator", "jürgen")}
    end(account, ONE, Outcome("FAILURE", "stopped"))
    assert account.again(term, [(account.unfinished()[0], 0.0)]) == frozenset()
    assert rows(account)[ONE].state is State.ENDED


# --- verdicts --------------------------------------------------------------------------------------------


def test_a_further_attempt_waits_and_begins_like_the_first(
    account: AskedAccount, place: ClusterPlace, term: Term
) -> None:
    """Nothing of the former outcome is left, and the former worker cannot end it."""
    claim_one(account, term, run(ONE, "r1"))
    begin(account, ONE)
    end(account, ONE, Outcome("FAILURE", "exit", 1, output="out"))
    (ended,) = account.unfinished()
    assert account.again(term, [(ended, 0.0)]) == {("j", ONE)}
    assert account.again(term, [(ended, 0.0)]) == {("j", ONE)}
    assert [place.column("j", ONE, name) for name in ("attempt", "status", "exit_code", "output")] == [
        2,
        None,
        None,
        None,
    ]
    assert begin(account, ONE, attempt=2, begun_by="second")
    assert not end(account, ONE, Outcome("SUCCESS"), attempt=1)
    assert end(account, ONE, Outcome("SUCCESS"), attempt=2, begun_by="second")


def test_a_final_row_has_no_definition_and_never_changes(
    account: AskedAccount, place: ClusterPlace, term: Term
) -> None:
    """Also when it is recorded twice, by two leaders."""
    claim_one(account, term, run(ONE, "r1"))
    begin(account, ONE)
    end(account, ONE, Outcome("SUCCESS"))
    (ended,) = account.unfinished()
    assert account.record(term, [ended]) == {("j", ONE)}
    place.end_lease()
    assert account.record(term, [ended]) == {("j", ONE)}
    assert account.record(place.lead("b"), [ended]) == {("j", ONE)}
    final = rows(account)[ONE]
    assert (final.state, final.status, final.definition) == (State.FINAL, "SUCCESS", None)


def test_a_run_that_has_begun_is_not_withdrawn(account: AskedAccount, place: ClusterPlace, term: Term) -> None:
    """What has not begun gets its status, and the name of the person who asked for the run or for its end."""
    claim_one(account, term, run(ONE, "r1"))
    claim_one(account, term, Claim("j", "manual-r2", "r2", "local", "{}", trigger="manual", by="ann"))
    decided = [(row, Verdict("SKIPPED", "stopped", "ben")) for row in account.unfinished()]
    begin(account, ONE)
    assert account.withdraw(term, decided) == {("j", "manual-r2")}
    assert rows(account)[ONE].state is State.RUNNING
    assert place.column("j", "manual-r2", "by") == "ben"


@pytest.mark.parametrize("request_", ["again", "record", "withdraw", "judge", "stop"])
def test_a_term_that_is_over_decides_nothing(
    account: AskedAccount, place: ClusterPlace, term: Term, request_: str
) -> None:
    """The rows stay as they are."""
    for slot in (ONE, TWO, THREE):
        claim_one(account, term, run(slot, f"r{slot}"))
    begin(account, ONE, begun_by="1")
    begin(account, TWO, begun_by="2")
    end(account, TWO, Outcome("FAILURE", "exit"), begun_by="2")
    place.silence(100)
    before = {row.state: row for row in account.unfinished()}
    place.lead("b")
    match request_:
        case "again":
            assert account.again(term, [(before[State.ENDED], 0.0)]) == frozenset()
        case "record":
            with pytest.raises(Fenced):
                account.record(term, [before[State.ENDED]])
        case "withdraw":
            with pytest.raises(Fenced):
                account.withdraw(term, [(before[State.QUEUED], Verdict("SKIPPED", "paused"))])
        case "judge":
            account.judge(term, 60.0)
        case _:
            account.stop(term, [before[State.RUNNING]], "operator")
    assert {row.state: row for row in account.unfinished()} == before


# --- what is no longer kept ------------------------------------------------------------------------------


def test_a_slot_whose_row_is_gone_never_runs_again(account: AskedAccount, place: ClusterPlace, term: Term) -> None:
    """Rows go by themselves; a later slot, and another job, are free."""
    account.claim(term, [run(TWO, "r2"), missed(THREE, FOUR, 2)], new_run_id=lambda: "never")
    account.withdraw(term, [(row, Verdict("SKIPPED", "paused")) for row in account.unfinished()])
    assert account.remove_old_runs(term, 60.0, "2027") == 0
    place.age(61)
    assert account.remove_old_runs(term, 60.0, "2027") == 2
    assert account.rows_of("j") == []
    for slot in (ONE, TWO, THREE, FOUR):
        assert claim_one(account, term, run(slot, f"new{slot}")) is ClaimResult.COVERED
    assert claim_one(account, term, run("2026-11-22T01:05:00Z", "r5")) is ClaimResult.WON
    assert claim_one(account, term, Claim("other", ONE, "r6")) is ClaimResult.WON


def test_the_row_of_a_slot_to_come_is_kept(account: AskedAccount, place: ClusterPlace, term: Term) -> None:
    """Its clock was ahead. Without its row every slot up to it would count as over, and the job would stand still."""
    claim_one(account, term, Claim("j", "2028-01-01T00:00:00Z", "r1", status="SKIPPED", reason="overlap"))
    claim_one(account, term, Claim("j", "manual-r2", "r2", status="SKIPPED", reason="stopped"))
    place.age(61)
    assert account.remove_old_runs(term, 60.0, "2027") == 1
    assert [row.slot for row in account.rows_of("j")] == ["2028-01-01T00:00:00Z"]
    assert claim_one(account, term, run(ONE, "r3")) is ClaimResult.WON


def test_rows_go_in_small_batches_and_marks_only_rise(account: AskedAccount, place: ClusterPlace, term: Term) -> None:
    """So no statement locks for long."""
    numbers = range(600)
    slots = [f"2026-11-22T{n // 60:02}:{n % 60:02}:00Z" for n in numbers]
    skipped = [Claim("j", slots[n], f"r{n}", status="SKIPPED", reason="overlap") for n in reversed(numbers)]
    account.claim(term, skipped, new_run_id=lambda: "never")
    place.age(61)
    assert [account.remove_old_runs(term, 60.0, "2027") for _ in range(3)] == [500, 100, 0]
    assert claim_one(account, term, run(slots[-1], "again")) is ClaimResult.COVERED


# --- a former leader's queued rows, further attempts, and runs that are given back -----------------------------------


def test_a_later_leader_adopts_what_a_former_one_has_queued(place: ClusterPlace, account: AskedAccount) -> None:
    """Its own run begins there, and the former one no longer does."""
    account.claim(place.lead(), [Claim("j", ONE, "r1"), Claim("j", TWO, "r2")], lambda: "never")
    later = place.lead("b")
    adopting = Claim("j", ONE, "r3")
    for _ in range(2):
        assert account.claim(later, [adopting], lambda: "never") == [(adopting, ClaimResult.WON)]
    missing = Claim("j", TWO, "r4", status="MISSED", reason="down")
    for _ in range(2):
        assert account.claim(later, [missing], lambda: "never") == [(missing, ClaimResult.WON)]
    assert account.begin(HERE, [Attempt("j", ONE, 1, "b1", run_id="r1"), Attempt("j", TWO, 1, "b2")]) == set()
    assert account.begin(HERE, [Attempt("j", ONE, 1, "b3", run_id="r3")]) == {("j", ONE)}
    first, second = account.rows_of("j")
    assert (first.run_id, first.term, first.state) == ("r3", later.number, State.RUNNING)
    assert (second.status, second.reason, second.attempt) == ("MISSED", "down", 0)


def test_a_final_status_takes_the_queued_row_of_its_own_term_and_a_run_does_not(
    place: ClusterPlace, account: AskedAccount
) -> None:
    """The leader has cancelled its run."""
    term = place.lead()
    account.claim(term, [Claim("j", ONE, "r1")], lambda: "never")
    again = Claim("j", ONE, "r2")
    assert account.claim(term, [again], lambda: "never") == [(again, ClaimResult.TAKEN)]
    skipped = Claim("j", ONE, "r1", status="SKIPPED", reason="stopped", by="ann")
    assert account.claim(term, [skipped], lambda: "never") == [(skipped, ClaimResult.WON)]
    (row,) = account.rows_of("j")
    assert (row.state, row.status, row.by) == (State.FINAL, "SKIPPED", "ann")


def test_a_former_leader_adopts_nothing(place: ClusterPlace, account: AskedAccount) -> None:
    """Neither with a run nor with a final status."""
    former = place.lead()
    account.claim(former, [Claim("j", ONE, "r1")], lambda: "never")
    later = place.lead("b")
    account.claim(later, [Claim("j", ONE, "r2"), Claim("j", TWO, "r3")], lambda: "never")
    for late in (Claim("j", ONE, "r4"), Claim("j", TWO, "r5", status="SKIPPED", reason="overlap")):
        assert account.claim(former, [late], lambda: "never") == [(late, ClaimResult.TAKEN)]
    assert [row.run_id for row in account.rows_of("j")] == ["r2", "r3"]


def test_what_has_begun_is_never_adopted(place: ClusterPlace, account: AskedAccount) -> None:
    """Not even when it has ended and is still to be logged."""
    account.claim(place.lead(), [Claim("j", slot, f"r{slot[15]}") for slot in (ONE, TWO)], lambda: "never")
    assert len(account.begin(HERE, [Attempt("j", slot, 1, "b1") for slot in (ONE, TWO)])) == 2
    account.finish({Attempt("j", TWO, 1, "b1"): Outcome("SUCCESS")})
    later = place.lead("b")
    late = [Claim("j", ONE, "r4"), Claim("j", TWO, "r5", status="MISSED", reason="down")]
    assert [won for _, won in account.claim(later, late, lambda: "never")] == [ClaimResult.TAKEN, ClaimResult.TAKEN]


def test_a_run_goes_on_with_its_next_attempt_as_long_as_its_row_is_its_own(
    place: ClusterPlace, account: AskedAccount
) -> None:
    """Without a lease, and also when the answer was lost; not when it counts as lost."""
    account.claim(place.lead(), [Claim("j", ONE, "r1")], lambda: "never")
    account.begin(HERE, [Attempt("j", ONE, 1, "b1", run_id="r1")])
    (begun,) = account.rows_of("j")
    place.lead("b")
    second = Attempt("j", ONE, 2, "b2", "r1", former="b1")
    for _ in range(2):
        assert account.begin(HERE, [second]) == {("j", ONE)}
    assert account.begin(HERE, [Attempt("j", ONE, 2, "other", "r1", former="b1")]) == set()
    (row,) = account.rows_of("j")
    assert (row.state, row.attempt, row.started_at) == (State.RUNNING, 2, begun.started_at)
    place.silence(100)
    account.judge(place.lead("b"), 60.0)
    assert account.begin(HERE, [Attempt("j", ONE, 3, "b3", "r1", former="b2")]) == set()


def test_a_run_that_is_given_back_is_queued_again_within_its_term(place: ClusterPlace, account: AskedAccount) -> None:
    """Another leader took it for begun: then its slot is missed."""
    term = place.lead()
    account.claim(term, [Claim("j", slot, f"r{slot[15]}") for slot in (ONE, TWO, THREE)], lambda: "never")
    one, two, three = (Attempt("j", slot, 1, "b1") for slot in (ONE, TWO, THREE))
    account.begin(HERE, [one, two, three])
    account.finish({three: Outcome("SUCCESS")})
    for _ in range(2):
        account.give_back([one, three])
    place.lead("b")
    for _ in range(2):
        account.give_back([one, two, three])
    states = [(row.state.value, row.status, row.reason) for row in account.rows_of("j")]
    assert states == [("queued", None, None), ("final", "MISSED", "down"), ("ended", "SUCCESS", None)]
    assert account.begin(HERE, [Attempt("j", ONE, 1, "b2")]) == {one.key}


def test_a_run_is_asked_to_end_by_its_id(place: ClusterPlace, account: AskedAccount) -> None:
    """Its worker learns it with its next beat. The first reason stands."""
    term = place.lead()
    account.claim(term, [Claim("j", ONE, "r1"), Claim("j", TWO, "r2")], lambda: "never")
    account.begin(HERE, [Attempt("j", slot, 1, "b1") for slot in (ONE, TWO)])
    account.stop_run(term, "j", "r1", "stopped", "ann")
    account.stop_run(term, "j", "r1", "replaced")
    place.lead("b")
    account.stop_run(term, "j", "r2", "stopped", "ann")
    assert account.beat(HERE).own == {("j", ONE): Beat(1, "stopped", "ann"), ("j", TWO): Beat(1)}


# --- all of it, in any order -----------------------------------------------------------------------------

MOVES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 19), st.integers(0, 5)), max_size=60)


@examples(100)
@given(moves=MOVES)
def test_every_slot_has_one_final_status_and_every_attempt_one_start(
    shared: ClusterPlace, moves: list[tuple[int, int, int]]
) -> None:
    """Four services mix their statements, die, repeat requests, and never look at their own clock."""
    world = AccountWorld(shared.connection, shared.dialect)
    for move in moves:
        world.move(*move)
    world.settle()
    world.check_end()


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(3, 100))])
def test_long_histories_keep_the_account(shared: ClusterPlace, seed: int) -> None:
    """With all that happens in them: claims are refused to former leaders, and runs are retried, lost and corrected."""
    chosen = random.Random(seed)
    world = AccountWorld(shared.connection, shared.dialect)
    for _ in range(600):
        world.move(chosen.randrange(4), chosen.choice([0, 1, *range(2, 20), *range(2, 20)]), chosen.randrange(6))
    world.settle()
    world.check_end()
    if seed <= 2:  # in some of the others no former leader claims
        assert world.fenced > 0
        assert world.fates[ClaimResult.TAKEN] > 0
        assert sum(world.started.values()) > 0
