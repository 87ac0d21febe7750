"""What a service decides reaches the account in batches, and its runs live as long as it can say so.

`tests/cluster` runs the same tests on MariaDB and PostgreSQL.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from jobscheduler.cluster import attempts, claims, retention
from jobscheduler.cluster.account_thread import AccountThread, Chore
from jobscheduler.cluster.account_work import AccountWork
from jobscheduler.cluster.beats import QUIET_INTERVALS, Beats, RunNews, news_of
from jobscheduler.cluster.decision_queue import DecisionQueue
from jobscheduler.cluster.unsent import UnsentOutcomes
from jobscheduler.cluster.upkeep import Upkeep
from jobscheduler.cluster.values import Attempt, Beat, Claim, ClaimResult, Fenced, Identity, Outcome, State, Term
from jobscheduler.database.errors import Unavailable
from tests.support.cluster_fixtures import place as place  # noqa: PLC0414 - fixtures, also for the tests on servers
from tests.support.cluster_fixtures import shared as shared  # noqa: PLC0414
from tests.support.cluster_place import ClusterPlace
from tests.support.service import wait_until

HERE = Identity("a", "scheduler", "local", "a1")

LOST_AFTER_S = 60.0

NOON = datetime.fromisoformat("2026-11-22T12:00:00Z")


class Here:
    """A node whose database can go away, whose clock a test moves, and what it was told."""

    def __init__(self, place: ClusterPlace) -> None:
        self.place = place
        self.account = place.account()
        self.term: Term | None = place.lead()
        self.now = 1000.0
        self.told: list[Any] = []
        self.is_away = False
        self.kept = 0
        self.asked: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        perform = self.account.perform

        def perform_if_there(request: Callable[..., Any], *args: Any, **more: Any) -> Any:
            if self.is_away:
                raise Unavailable("away")
            self.asked.append((request, args, more))
            return perform(request, *args, **more)

        self.account.perform = perform_if_there  # type: ignore[method-assign]
        self.is_accounted = True
        self.unsent = UnsentOutcomes(lambda _: None, lambda: NOON)
        accounted = lambda: self.term if self.is_accounted else None  # noqa: E731
        self.work = AccountWork(self.account, HERE, lambda: self.term, accounted, lambda: "never", self.unsent)
        self.beats = Beats(self.account, HERE, LOST_AFTER_S, lambda: self.term, lambda: self.now)
        self.at_work: list[Attempt] = []
        self.chores = [Chore(60.0, lambda: self.told.append("chore"))]

    def thread(self) -> AccountThread:
        """Return the thread, for its steps or to be started."""
        trouble = lambda reason: self.told.append(str(reason))  # noqa: E731
        return AccountThread(self, self.beats, self, trouble, self.chores, lambda: self.now)

    # -- as the work and the runs of the thread

    @property
    def waiting(self) -> threading.Event:
        """Set while something waits."""
        return self.work.waiting

    def step(self) -> None:
        """Take it to the account."""
        self.work.step()

    def keep_unsent(self) -> None:
        """Note that outcomes are kept."""
        self.kept += 1

    def own(self) -> list[Attempt]:
        """Return the runs at work."""
        return self.at_work

    def apply(self, news: RunNews) -> None:
        """Note what has become of them."""
        self.told.append(news)

    # -- what a test does

    def claim(self, number: int) -> bool:
        """Decide that a slot is to run."""
        claim = Claim("j", f"2026-11-22T01:{number:02}:00Z", f"r{number}", "local", "{}")
        return self.work.claims.put(claim, self.told.append)

    def begun(self, number: int) -> Attempt:
        """Claim a slot and begin it; return the attempt."""
        assert self.claim(number)
        self.work.step()
        attempt = Attempt("j", f"2026-11-22T01:{number:02}:00Z", 1, f"begin{number}")
        self.work.begins.put(attempt, self.told.append)
        self.work.step()
        assert self.told[-1] is True
        self.told.clear()
        return attempt

    def beaten(self) -> list[bool]:
        """Return of each beat whether it had runs to speak of."""
        return [more["has_own"] for request, _, more in self.asked if request is attempts.beat]

    def fates(self) -> list[ClaimResult | None]:
        """Return what the claims were told."""
        return [None if one is None else one[1] for one in self.told]

    def states(self) -> list[str]:
        """Return the states of all rows."""
        return [row.state.value for row in self.account.rows_of("j")]


@pytest.fixture
def here(place: ClusterPlace) -> Iterator[Here]:
    """A node that leads."""
    made = Here(place)
    yield made
    made.account.close()


# --- decisions -------------------------------------------------------------------------------------------


def test_a_slot_goes_through_the_account_from_its_claim_to_its_final_row(here: Here) -> None:
    """Each step when the one before it was answered."""
    attempt = here.begun(1)
    here.work.outcomes.put(attempt, Outcome("SUCCESS"), here.told.append)
    here.work.step()
    (ended,) = here.account.unfinished()
    here.work.records.put(ended, here.told.append)
    here.work.step()
    assert here.told == [True, True]
    assert here.states() == ["final"]


def test_an_outcome_that_the_scheduler_does_not_know_yet_is_not_final(here: Here) -> None:
    """It takes over how jobs stand a moment after its term begins. What is left is logged again, and told, then."""
    attempt = here.begun(1)
    here.work.outcomes.put(attempt, Outcome("FAILURE", "exit"), here.told.append)
    here.work.step()
    (ended,) = here.account.unfinished()
    here.is_accounted = False
    here.work.records.put(ended, here.told.append)
    here.work.step()
    assert here.told == [True, False]
    assert here.states() == ["ended"]


def test_many_decisions_are_one_statement_of_each_kind(here: Here) -> None:
    """A thousand slots that are due together cost no more round trips than one."""
    for number in range(50):
        here.claim(number)
    here.work.step()
    assert [len(args[-1]) for request, args, _ in here.asked if request is claims.claim] == [50]
    assert len(here.asked) == 1
    assert here.fates() == [ClaimResult.WON] * 50


def test_a_fault_of_ours_loses_no_decision() -> None:
    """What was not answered is taken at the next step, before what was decided since."""
    told: list[str] = []
    failures: list[Exception] = [ValueError("odd")]

    def ask(wanted: list[str]) -> list[str]:
        if failures:
            raise failures.pop()
        return wanted

    queue: DecisionQueue[str, str] = DecisionQueue(threading.Event(), ask)
    queue.put("first", told.append)
    with pytest.raises(ValueError, match="odd"):
        queue.step()
    queue.put("second", told.append)
    queue.step()
    assert told == ["first", "second"]


def test_a_claim_of_a_term_that_is_over_is_given_up(here: Here) -> None:
    """By the node's own clock before it is sent, and by the database if the node does not know it yet."""
    here.claim(1)
    here.term = None
    here.work.step()
    assert here.fates() == [None]
    assert not here.claim(2)
    here.term = Term("a1", 1)
    here.claim(3)
    here.place.lead("b")
    here.work.step()
    assert here.fates() == [None, None]
    assert here.states() == []


def test_nothing_counts_as_settled_before_it_has_its_row(here: Here) -> None:
    """A leader that dies then leaves no slot that the next one takes for decided. A run by hand is no slot."""
    until = datetime.fromisoformat("2026-11-22T02:00:00Z")
    assert here.work.claims.settled(until) == until
    here.claim(3)
    here.claim(2)
    here.work.claims.put(Claim("j", "manual-m1", "m1"), here.told.append)
    here.is_away = True
    with pytest.raises(Unavailable):
        here.work.step()
    assert here.work.claims.settled(until) == datetime.fromisoformat("2026-11-22T01:01:59.999Z")
    assert here.work.claims.settled(datetime.fromisoformat("2026-11-22T01:00:00Z")) < until
    here.is_away = False
    here.work.step()
    assert here.work.claims.settled(until) == until


def test_a_slot_whose_claim_was_given_up_stays_open(here: Here) -> None:
    """Or the lease would call it settled, and no leader would decide about it. To lead anew is to decide it anew."""
    until = datetime.fromisoformat("2026-11-22T02:00:00Z")
    here.claim(5)
    here.term, held = None, here.term
    assert not here.claim(4)
    here.work.step()
    assert here.work.claims.lacks_any
    here.term = held
    here.claim(6)
    here.work.step()
    assert here.work.claims.settled(until) == datetime.fromisoformat("2026-11-22T01:03:59.999Z")
    here.work.claims.begin_anew()
    assert not here.work.claims.lacks_any
    assert here.work.claims.settled(until) == until


def test_without_the_database_claims_wait_as_long_as_the_lease(here: Here) -> None:
    """Then they are given up: the next leader decides about their slots."""
    here.claim(1)
    here.is_away = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            here.work.step()
    assert here.told == []
    here.is_away = False
    here.work.step()
    assert here.fates() == [ClaimResult.WON]
    here.is_away = True
    here.claim(2)
    with pytest.raises(Unavailable):
        here.work.step()
    here.term = None
    here.work.step()
    assert here.fates() == [ClaimResult.WON, None]


def test_an_outcome_is_written_when_the_database_is_back(here: Here) -> None:
    """Also by a node that does not lead any more."""
    attempt = here.begun(1)
    here.work.outcomes.put(attempt, Outcome("SUCCESS"), here.told.append)
    here.is_away, here.term = True, None
    with pytest.raises(Unavailable):
        here.work.step()
    here.place.lead("b")
    here.is_away = False
    here.work.step()
    assert here.told == [True]
    assert here.states() == ["ended"]


def test_what_another_node_decided_is_told(here: Here) -> None:
    """A row that is taken, an attempt that was begun, an outcome that is too late, a record without the lease."""
    first = here.begun(1)
    here.claim(1)
    here.work.begins.put(Attempt("j", first.slot, 1, "second"), here.told.append)
    here.work.step()
    assert (here.told[0][1], here.told[1]) == (ClaimResult.WON, False)
    here.place.silence(61)
    assert here.term is not None
    here.account.judge(here.term, 60.0)
    here.work.outcomes.put(first, Outcome("SUCCESS"), here.told.append)
    here.work.step()
    assert here.told[-1] is False
    here.place.lead("b")
    here.work.records.put(here.account.unfinished()[0], here.told.append)
    here.work.step()
    assert here.told[-1] is False
    assert here.states() == ["ended"]


# --- beats -----------------------------------------------------------------------------------------------


def test_runs_that_are_not_in_the_account_are_lost_and_others_may_have_to_stop() -> None:
    """A pure comparison: another attempt in the row is not this one."""
    one, two, three, four = (Attempt("j", f"2026-11-22T01:0{number}:00Z", 1, "b") for number in range(4))
    alive = {one.key: Beat(1), two.key: Beat(1, "operator", "ann"), three.key: Beat(2)}
    found = news_of([one, two, three, four], alive)
    assert found == RunNews(lost=(three, four), stop=((two, Beat(1, "operator", "ann")),))


def test_a_beat_keeps_a_run_and_tells_what_has_become_of_it(here: Here) -> None:
    """The account has the last word."""
    attempt = here.begun(1)
    here.place.silence(61)
    assert here.beats.step([attempt]) == RunNews()
    here.place.end_lease()
    later = here.place.lead("b")
    here.account.judge(later, 60.0)
    assert here.account.unfinished()[0].state is State.RUNNING
    here.place.silence(61)
    here.account.judge(later, 60.0)
    assert here.beats.step([attempt]) == RunNews(lost=(attempt,))


def test_a_node_without_its_database_ends_its_runs_before_they_are_judged(here: Here) -> None:
    """After three quarters of the time; the last beat counts from before it was sent."""
    here.beats.step([])
    here.is_away = True
    with pytest.raises(Unavailable):
        here.beats.step([])
    assert not here.beats.is_cut_off(here.now + 44.9)
    assert here.beats.is_cut_off(here.now + 45.0)


def test_a_node_without_runs_need_not_look_when_its_other_beat_has_just_seen_that_none_is_at_work(here: Here) -> None:
    """It looks with its own first run, when something was seen, after a while, and after the database was away."""
    here.beats.note_look(here.now, is_quiet=True)
    assert not here.beats.has_others
    here.beats.step([])
    assert here.beaten() == []
    attempt = here.begun(1)
    here.beats.step([attempt])
    here.beats.note_look(here.now, is_quiet=False)
    here.beats.step([])
    here.beats.note_look(here.now, is_quiet=True)
    here.beats.note_silence()
    here.beats.step([])
    here.beats.note_look(here.now, is_quiet=True)
    here.now += QUIET_INTERVALS * here.beats.interval
    assert not here.beats.is_cut_off(here.now)
    here.beats.step([])
    assert here.beaten() == [True, False, False, False]


def test_a_leader_judges_only_when_the_database_was_there_for_long_enough(here: Here) -> None:
    """Right after an outage everybody is silent, also those that live."""
    other = Identity("b", "worker", "local", "b1")
    here.claim(1)
    here.work.step()
    here.account.begin(other, [Attempt("j", "2026-11-22T01:01:00Z", 1, "b")])

    def beat(seconds: float) -> list[str]:
        here.now += seconds
        here.place.silence(61)
        here.beats.step([])
        return here.states()

    assert beat(0) == ["running"]
    assert beat(40) == ["running"]
    here.is_away = True
    here.now += 10
    with pytest.raises(Unavailable):
        here.beats.step([])
    here.is_away = False
    assert beat(10) == ["running"]
    assert beat(30) == ["running"]
    assert beat(29) == ["running"]
    assert beat(1) == ["ended"]


def test_a_node_that_was_frozen_begins_to_count_anew(here: Here) -> None:
    """It knows of no outage, and of nothing else either."""
    other = Identity("b", "worker", "local", "b1")
    here.claim(1)
    here.work.step()
    here.account.begin(other, [Attempt("j", "2026-11-22T01:01:00Z", 1, "b")])
    here.beats.step([])
    here.now += 3600
    here.place.silence(61)
    here.beats.step([])
    assert here.states() == ["running"]
    here.now += 30
    here.beats.step([])
    here.now += 30
    here.beats.step([])
    assert here.states() == ["ended"]


# --- the thread ------------------------------------------------------------------------------------------


def test_the_thread_beats_and_does_its_chores_when_they_are_due(here: Here) -> None:
    """And says after how long the next of them is."""
    thread = here.thread()
    assert thread.step() == 5.0
    assert here.told == ["chore"]
    here.now += 4
    assert thread.step() == 1.0
    here.now += 60
    thread.step()
    assert here.told == ["chore", "chore"]


def test_the_thread_tells_what_has_become_of_its_runs(here: Here) -> None:
    """With the next beat."""
    here.at_work = [here.begun(1)]
    thread = here.thread()
    thread.step()
    assert here.term is not None
    here.account.stop(here.term, here.account.unfinished(), "operator", "ann")
    here.now += 5
    thread.step()
    assert here.told == ["chore", RunNews(stop=((here.at_work[0], Beat(1, "operator", "ann")),))]


def test_the_thread_tells_once_that_the_database_is_away_and_once_that_it_is_back(here: Here) -> None:
    """Meanwhile it tries each second, and what is decided waits."""
    thread = here.thread()
    thread.step()
    here.is_away = True
    here.claim(1)
    assert [thread.step(), thread.step()] == [1.0, 1.0]
    assert here.kept == 2
    here.is_away = False
    thread.step()
    assert [here.told[1], here.told[2][1], here.told[3]] == ["away", ClaimResult.WON, "None"]


def test_a_chore_that_needs_the_lease_is_left_to_the_next_leader(here: Here) -> None:
    """It does not end the thread, and is not tried in a loop."""

    def fenced() -> None:
        here.told.append("tried")
        raise Fenced(Term("a1", 1))

    here.chores = [Chore(60.0, fenced)]
    thread = here.thread()
    thread.step()
    here.now += 1
    thread.step()
    assert here.told == ["tried"]


def test_the_end_of_the_thread_writes_what_still_waits(here: Here) -> None:
    """Outcomes, above all."""
    attempt = here.begun(1)
    with here.thread():
        wait_until(lambda: here.told)
        here.work.outcomes.put(attempt, Outcome("SUCCESS"), here.told.append)
    assert here.told == ["chore", True]


# --- what is no longer kept ------------------------------------------------------------------------------


def test_old_rows_go_by_themselves_a_little_at_a_time(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the leader alone; when nothing is left, it looks again after an hour."""
    asked: list[int] = []
    left = [500, 500, 200, 0]

    def perform(request: Callable[..., Any], *args: Any) -> int:
        if request is retention.remove_old_requests:
            return 0
        assert request is retention.remove_old_runs
        seconds, passed = args[-2:]
        here.now += 0.15
        asked.append(left[0])
        assert (seconds, passed) == (60.0, "2026-11-22T11:59:00Z")
        return left.pop(0)

    noon = datetime.fromisoformat("2026-11-22T12:00:00.5Z")
    monkeypatch.setattr(here.account, "perform", perform)
    upkeep = Upkeep(here.account, lambda: here.term, 60.0, lambda: noon, lambda: here.now)
    term, here.term = here.term, None
    upkeep.step()
    assert asked == []
    here.term = term
    upkeep.step()
    assert asked == [500, 500]
    upkeep.step()
    upkeep.step()
    assert asked == [500, 500, 200, 0]
    left.append(0)
    here.now += 3600
    upkeep.step()
    assert asked == [500, 500, 200, 0, 0]
