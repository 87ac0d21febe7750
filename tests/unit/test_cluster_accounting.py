"""The account in the database as a scheduler uses it: what it asks, what follows from the answers, and the way back.

`tests/unit/test_accounting.py` has the rules that hold for every place that keeps what was decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import func, select

from jobscheduler.cluster import accounting as accounting_module
from jobscheduler.cluster.beats import news_of
from jobscheduler.cluster.leading_term import LeadingTerm
from jobscheduler.cluster.slot_order import SlotOrder
from jobscheduler.cluster.tables import STATE
from jobscheduler.cluster.values import Term
from jobscheduler.model import Cron, Event, Job, Level, LogEntry, Record, Retry, Status
from jobscheduler.runner import Run
from jobscheduler.runner.attempt_result import AttemptResult
from tests.support.accounted_services import Service, World, job
from tests.support.cluster_place import ClusterPlace, opened
from tests.support.database_account import DatabaseStore, Node, emptied, lost_after
from tests.support.in_memory import memory_or_disk
from tests.support.memory_account import NOON

RETRIED = job(retry=Retry(attempts=3, delay=3600.0), overlap="queue")


@pytest.fixture(scope="module")
def place() -> Iterator[ClusterPlace]:
    """A database for all tests of this file."""
    with TemporaryDirectory(dir=memory_or_disk()) as folder, opened(f"sqlite:///{folder}/cluster.db") as made:
        yield made


@dataclass
class Here:
    """A service that leads, a minute before a slot, and its world."""

    world: World
    store: DatabaseStore
    leader: Service

    @property
    def node(self) -> Node:
        """The node of the leader."""
        return self.store.nodes[self.leader.node]

    def began(self) -> Run:
        """Have the next slot claimed and begun; return its run."""
        for step in (self.leader.due, self.leader.answer, self.leader.begin):
            step()
        (run,) = self.leader.at_work
        return run

    def fail(self, run: Run) -> None:
        """Have the attempt of a run fail, and its next attempt be due."""
        attempt = self.leader.at_work.pop(run)
        pool = self.leader.scheduler._pool
        pool._attempt_ended(run, attempt.end(AttemptResult("exit")))
        pool.submit(run)

    def lines(self, name: str) -> list[dict[str, object]]:
        """Return the pairs of each line of the node: of an event by its name, of a record by its status."""
        return [dict(line.fields()) for line in self.node.lines if name == _name(line)]

    def row(self, slot: str = "2096-11-22T12:01:00Z") -> dict[str, object]:
        """Return what the account says of a slot."""
        names = ("state", "status", "reason", "attempt", "run_id", "corrects", "trigger", "by")
        return {name: self.store.place.column("x", slot, name) for name in names}

    def successor(self) -> Service:
        """Return a service that leads now, and has accounted for the gap."""
        other = self.world.service()
        other.settle()
        return other


def _name(line: LogEntry) -> str:
    return line.status.value if isinstance(line, Record) else line.name


def start(place: ClusterPlace, *jobs: Job) -> Iterator[Here]:
    """Make the service."""
    with emptied(place) as store:
        world = World(store, *jobs)
        leader = world.service()
        leader.settle()
        world.wait(60)
        yield Here(world, store, leader)
        leader.end()
        leader.scheduler.stop(0.0)


@pytest.fixture
def here(place: ClusterPlace) -> Iterator[Here]:
    """A job without further attempts."""
    yield from start(place, job(overlap="queue"))


@pytest.fixture
def retrying(place: ClusterPlace) -> Iterator[Here]:
    """A job with three attempts."""
    yield from start(place, RETRIED)


# --- the order of the steps of a slot ----------------------------------------------------------------------


def test_a_step_is_taken_when_the_one_before_it_was_answered() -> None:
    """Those of another slot do not wait; a step that asks nothing is over at once."""
    order, taken = SlotOrder(), []
    one, two = ("j", "1"), ("j", "2")

    def step(name: str, *, asks: bool = True) -> None:
        order.take(two if name == "other" else one, lambda: taken.append(name) is None and asks)

    for name in ("first", "other"):
        step(name)
    step("second", asks=False)
    step("third")
    assert taken == ["first", "other"]
    order.answered(one)
    assert taken == ["first", "other", "second", "third"]
    assert one in order
    order.answered(one)
    assert one not in order
    step("fourth", asks=False)
    assert one not in order


def test_a_term_counts_only_after_the_gap_before_it_was_accounted_for() -> None:
    """A node that has lost the lease and taken it again decides nothing until its scheduler leads anew."""
    held: list[Term | None] = [Term("a1", 1)]
    term = LeadingTerm(lambda: held[-1])
    assert term() is None
    term.begin(Term("a1", 1))
    assert term() == Term("a1", 1)
    held.append(None)
    assert term() is None
    held.append(Term("a1", 3))
    assert term() is None
    term.begin(Term("a1", 3))
    assert term() == Term("a1", 3)
    term.end()
    assert term() is None


def test_outcomes_of_others_are_taken_when_the_scheduler_leads() -> None:
    """Before, it would forget them when it takes over how the jobs stand."""
    held: list[Term | None] = [Term("a1", 1)]
    term = LeadingTerm(lambda: held[-1])
    term.begin(Term("a1", 1))
    assert term.accounted() is None
    term.note_accounted()
    assert term.accounted() == Term("a1", 1)
    held.append(None)
    assert term.accounted() is None
    held.append(Term("a1", 1))
    term.begin(Term("a1", 1))
    assert term.accounted() is None, "it leads anew, and accounts for the gap anew"
    term.note_accounted()
    term.end()
    assert term.accounted() is None


# --- further attempts --------------------------------------------------------------------------------------


def test_a_further_attempt_begins_with_leave(retrying: Here) -> None:
    """Its number is in the row, which stays at work in between; the outcome is that of the last one."""
    run = retrying.began()
    retrying.fail(run)
    retrying.leader.begin()
    assert not retrying.leader.at_work, "it waits for the answer"
    retrying.leader.answer()
    retrying.leader.begin()
    assert (retrying.row()["state"], retrying.row()["attempt"]) == ("running", 2)
    retrying.leader.settle()
    assert retrying.world.told() == [(1, "SUCCESS", None)]
    assert retrying.lines("SUCCESS")[0]["attempts"] == 2


def test_a_former_leader_goes_on_with_further_attempts(retrying: Here) -> None:
    """For the leader the run is at work elsewhere, and overlaps."""
    run = retrying.began()
    retrying.leader.scheduler.leadership.stand_by()
    other = retrying.successor()
    retrying.fail(run)
    retrying.leader.answer()
    retrying.leader.begin()
    assert run in retrying.leader.at_work
    retrying.leader.settle()
    other.settle()
    assert retrying.world.told() == [(1, "SUCCESS", None)]
    other.crash()


def test_a_run_that_counts_as_lost_makes_no_further_attempt(retrying: Here) -> None:
    """It ends here, and says so; the record in the account is that of the leader that has judged it."""
    run = retrying.began()
    retrying.leader.scheduler.leadership.stand_by()
    other = retrying.successor()
    retrying.store.place.silence(100.0)
    term = retrying.store.nodes[other.node].term
    assert term is not None
    retrying.store.nodes[other.node].account.judge(term, 60.0)
    other.answer()
    retrying.fail(run)
    retrying.leader.settle()
    assert run.record is not None
    assert run.record.reason == "worker_lost"
    assert retrying.world.told() == [(1, "FAILURE", "worker_lost")]
    (late,) = retrying.lines("run.late_result")
    assert (late["run_id"], late["status"], late["reason"]) == (run.run_id, "FAILURE", "worker_lost")
    assert [line.reason for line in retrying.store.nodes[other.node].lines if isinstance(line, Record)] == [
        "worker_lost"
    ]
    other.crash()


def test_a_run_that_is_stopped_while_it_asks_for_its_next_attempt_has_one_record(retrying: Here) -> None:
    """Whichever comes first: the answer or the person."""
    run = retrying.began()
    retrying.fail(run)
    retrying.leader.scheduler.stop_runs({"x": None}, by="1000")
    retrying.leader.settle()
    assert retrying.world.told() == [(1, "FAILURE", "stopped")]
    assert (retrying.row()["state"], retrying.row()["by"]) == ("final", None)


# --- what a beat says --------------------------------------------------------------------------------------


def beat(here: Here) -> None:
    """Have the node beat, and heed what it learns."""
    rows = here.node.decisions.rows
    rows.apply(news_of(rows.own(), dict(here.node.account.beat(here.node.identity).own)))


def test_a_run_ends_that_the_leader_has_asked_to_end(here: Here) -> None:
    """For the reason, and the person, that the account names."""
    run = here.began()
    beat(here)
    assert not here.leader.at_work[run].context.stopping.is_set()
    here.leader.scheduler.leadership.stand_by()
    other = here.successor()
    here.store.nodes[other.node].decisions.rows.stop("x", run.run_id, "stopped", "ann")
    other.answer()
    beat(here)
    context = here.leader.at_work[run].context
    assert (context.stopping.is_set(), context.reason) == (True, "stopped")
    other.crash()


def test_a_run_ends_that_is_lost_to_its_node(here: Here) -> None:
    """Its row was taken away: its outcome does not count."""
    run = here.began()
    here.store.place.silence(100.0)
    assert here.node.term is not None
    here.node.account.judge(here.node.term, 60.0)
    beat(here)
    assert here.leader.at_work[run].context.reason == "worker_lost"
    here.leader.settle()
    assert here.world.told() == [(1, "FAILURE", "worker_lost")]


# --- lines -------------------------------------------------------------------------------------------------


def test_a_record_says_which_node_has_run_it_or_decided(here: Here) -> None:
    """In the log; the columns of the row have it, too."""
    here.leader.scheduler.put(job(overlap="skip"), here.world.now)
    here.began()
    here.world.wait(60)
    here.leader.due()
    here.leader.settle()
    for name in ("SUCCESS", "SKIPPED"):
        (line,) = here.lines(name)
        assert (line["node"], line["queue"], line["term"]) == ("node-1", "local", 1)


def test_the_line_of_a_record_is_written_once_the_account_has_it(here: Here) -> None:
    """The database is away for a while: a result is late in the log, and once."""
    here.began()
    here.leader.end()
    for gates in range(4):
        here.store.answer_through(here.leader.node, lost_after(gates))
    assert len(here.lines("SUCCESS")) <= 1
    here.leader.answer()
    assert len(here.lines("SUCCESS")) == 1
    assert here.world.told() == [(1, "SUCCESS", None)]


def test_the_leader_logs_what_has_ended_elsewhere_and_makes_it_final(here: Here) -> None:
    """The node that has run it no longer leads; both logs have the line, with one run id."""
    run = here.began()
    here.leader.scheduler.leadership.stand_by()
    other = here.successor()
    here.leader.end()
    here.leader.answer()
    assert here.row()["state"] == "ended"
    for _ in range(2):
        other.answer()
    assert (here.row()["state"], here.row()["status"]) == ("final", "SUCCESS")
    lines = [line for line in here.store.nodes[other.node].lines if isinstance(line, Record)]
    assert [line.run_id for line in lines] == [run.run_id]
    assert dict(lines[0].details)["node"] == here.leader.node
    other.crash()


# --- up to where slots are settled -------------------------------------------------------------------------


def test_slots_are_settled_up_to_the_first_claim_without_an_answer(here: Here) -> None:
    """And not before a checkpoint of the term is in the database."""
    decisions, term = here.node.decisions, here.node.term
    assert term is not None
    assert decisions.settled(term) == "2096-11-22T12:00:00Z"
    here.leader.due()
    here.leader.scheduler.write_checkpoint()
    here.leader.answer(1)
    assert decisions.settled(term) == "2096-11-22T12:00:00Z"
    here.leader.answer()
    assert decisions.settled(term) == "2096-11-22T12:01:00Z"
    here.world.wait(60)
    here.leader.scheduler.write_checkpoint()
    here.leader.answer()
    assert decisions.settled(term) == "2096-11-22T12:01:00Z", "the slot of now is due and not decided"
    assert decisions.settled(Term(term.instance, term.number + 1)) is None


def test_rows_about_jobs_do_not_pile_up_while_a_leader_leads_for_months(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After so many checkpoints and changes a full checkpoint takes the place of all of them."""
    monkeypatch.setattr(accounting_module, "MAX_STATE_ROWS", 6)
    counts = []
    for minute in range(24):
        if minute % 3 == 0:
            here.node.decisions.accounting.observe(
                Event.of(NOON, Level.INFO, "job.added", job_id=f"y{minute}", hash="1")
            )
            here.leader.answer()
        here.leader.scheduler.write_checkpoint()
        here.leader.answer()
        counts.append(here.store.place.connection.execute(select(func.count()).select_from(STATE)).scalar_one())
    assert max(counts) <= 8
    assert counts.count(1) >= 3


def test_nothing_is_written_for_a_term_that_is_over(here: Here) -> None:
    """Neither a checkpoint, nor a pause, nor a definition."""
    accounting = here.node.decisions.accounting
    here.node.terms.end()
    here.leader.scheduler.write_checkpoint(full=True)
    here.leader.pause("x")
    accounting.observe(Event.of(NOON, Level.INFO, "job.added", job_id="y", hash="1"))
    assert not here.node.decisions.waiting.is_set()


# --- the way back ------------------------------------------------------------------------------------------


def test_a_manual_run_that_has_not_begun_is_missed_by_the_next_leader(here: Here) -> None:
    """Its person is told so by the record, which names that person."""
    here.began()
    here.leader.scheduler.run_now(job(overlap="queue"), "1000")
    here.leader.answer()
    here.leader.crash()
    other = here.successor()
    (record,) = [one for one in here.store.records() if one.scheduled is None]
    assert (record.status, record.reason) == (Status.MISSED, "down")
    assert dict(record.details) == {"trigger": "manual", "by": "1000"}
    other.crash()


def test_a_former_instance_that_came_back_has_its_runs_interrupted(here: Here) -> None:
    """And the leader logs them, whoever it is."""
    here.began()
    here.leader.crash()
    other = here.successor()
    assert here.world.told() == [(1, "FAILURE", "interrupted")]
    other.crash()


def test_what_jobs_have_become_since_the_checkpoint_is_known(here: Here) -> None:
    """A file that came, and one that went: the log of the node tells it to the account."""
    accounting = here.node.decisions.accounting
    here.leader.scheduler.put(job("y"), here.world.now)
    accounting.observe(Event.of(here.world.now, Level.INFO, "job.added", job_id="y", hash="0123"))
    accounting.observe(Event.of(here.world.now, Level.INFO, "job.removed", job_id="x"))
    accounting.observe(Event.of(here.world.now, Level.INFO, "pool.full"))
    here.leader.answer()
    state = here.store.recovered(here.world.now)
    assert state is not None
    assert state.full is not None
    assert state.full.hashes == {"y": "0123"}


def test_results_since_the_checkpoint_are_those_of_the_rows(here: Here) -> None:
    """A skipped slot says nothing about how a job stands."""
    for _ in range(2):
        here.leader.settle()
        here.world.wait(60)
    here.leader.pause("x")
    here.leader.settle()
    state = here.store.recovered(here.world.now)
    assert state is not None
    assert [(one.job_id, one.word) for one in state.results] == [("x", "SUCCESS")] * 2
    here.leader.scheduler.write_checkpoint()
    here.leader.settle()
    state = here.store.recovered(here.world.now)
    assert state is not None
    assert state.results == ()


def test_what_was_told_of_a_job_is_not_told_again_by_the_next_leader(here: Here) -> None:
    """Alerts and overdue jobs since the checkpoint come between the results that they are about."""
    here.leader.settle()
    here.world.wait(60)
    here.leader.settle()
    accounting = here.store.nodes[here.leader.node].decisions.accounting
    accounting.observe(Event.of(here.world.now, Level.INFO, "alert.sent", job_id="x", on="failure"))
    accounting.observe(Event.of(here.world.now, Level.WARNING, "job.overdue", job_id="x"))
    here.leader.answer()
    here.world.wait(60)
    here.leader.settle()
    state = here.store.recovered(here.world.now)
    assert state is not None
    told = [(one.word, one.reason) for one in state.results]
    first = told.index(("alert.sent", "failure"))
    assert told[first + 1] == ("job.overdue", None)
    assert [word for word, _ in (*told[:first], *told[first + 2 :])] == ["SUCCESS"] * (len(told) - 2)
    assert 0 < first < len(told) - 2


@pytest.mark.parametrize("knows_boot", [False, True])
def test_at_reboot_is_decided_by_what_is_known_of_this_boot(place: ClusterPlace, knows_boot: bool) -> None:
    """The checkpoint may be of another host, whose boot says nothing."""
    with emptied(place) as store:
        reboot = replace(job("x"), schedule=Cron("@reboot", "UTC"))
        world = World(store, reboot)
        first = world.service()
        first.settle()
        assert len(store.records()) == 1, "nothing is known before the first leader"
        store.knows_boot = knows_boot
        world.wait(600)
        second = world.service()
        second.settle()
        assert len(store.records()) == (1 if knows_boot else 2)
        first.crash()
        second.crash()


def test_a_slot_that_waits_for_its_jitter_keeps_its_definition(place: ClusterPlace) -> None:
    """Its file is written anew meanwhile; the next leader runs it all the same."""
    with emptied(place) as store:
        world = World(store, job(jitter=50.0))
        first = world.service()
        first.settle()
        world.wait(60)
        world.jobs["x"] = job(jitter=50.0, modified_at=world.now)
        first.scheduler.source_changed("x", world.now)
        first.scheduler.put(world.jobs["x"], world.now)
        first.answer()
        first.crash()
        world.wait(59)
        second = world.service()
        second.settle()
        assert (1, "SUCCESS", None) in world.told()
        second.crash()


@pytest.mark.parametrize("after", [-20.0, -1.0, 0.0, 30.0], ids=lambda after: f"{after:+.0f}s")
@pytest.mark.parametrize("is_claimed", [False, True], ids=["", "claimed"])
def test_a_slot_that_waits_for_its_jitter_has_the_same_start_on_the_next_leader(
    place: ClusterPlace, after: float, *, is_claimed: bool
) -> None:
    """The leader dies meanwhile. The next one leads so many seconds after the start, or else waits for it as before."""
    with emptied(place) as store:
        world = World(store, job(jitter=50.0))
        first, second = world.service(), world.standby()
        first.settle()
        ((slot, start),) = first.scheduler.upcoming("x", 1)
        assert [(slot, start)] == second.scheduler.upcoming("x", 1)
        assert slot + timedelta(seconds=25) < start
        world.wait((start - NOON).total_seconds() - 25)
        first.settle()
        assert world.began == {}
        world.wait(25 + min(after, 0))
        if is_claimed:
            first.due()
            first.answer(1)
        world.wait(max(after, 0))
        first.crash()
        second.lead()
        second.settle()
        if after < 0:
            world.wait(-after - 0.001)
            second.settle()
            assert world.began == {}
            world.wait(0.001)
            second.settle()
        assert world.began == {("x", slot): 1}
        assert world.told() == [(1, "SUCCESS", None)]
        second.crash()


# --- a clock that was wrong --------------------------------------------------------------------------------


def test_a_slot_that_only_a_wrong_clock_missed_runs_after_all(place: ClusterPlace) -> None:
    """The first of a range, again and again, also under the next leader. The rest of it stays missed."""
    with emptied(place) as store:
        world = World(store, job())
        first = world.service(late_reason=lambda: "clock")
        first.settle()
        world.wait(600)
        first.settle()
        assert world.told() == [(1, "MISSED", "clock"), (10, "SUCCESS", None)]
        world.now -= timedelta(seconds=600)
        first.scheduler.check_clock()
        for _ in range(2):
            world.wait(60)
            first.settle()
        assert world.told()[:2] == [(1, "SUCCESS", None), (2, "SUCCESS", None)]
        first.crash()
        second = world.service()
        world.wait(60)
        second.settle()
        expected = [(1, "SUCCESS", None), (2, "SUCCESS", None), (3, "SUCCESS", None), (4, "MISSED", "clock")]
        assert world.told() == [*expected, (10, "SUCCESS", None)]
        second.crash()


def test_a_checkpoint_after_a_claim_that_was_given_up_is_not_written(here: Here) -> None:
    """Its node was not sure of its lease for a moment. The next leader accounts for the slot."""
    here.node.is_unsure = True
    here.leader.due()
    here.node.is_unsure = False
    assert here.node.terms.lacks_claims
    here.leader.scheduler.write_checkpoint(full=True)
    here.leader.answer()
    here.leader.crash()
    other = here.successor()
    assert here.world.told() == [(1, "SUCCESS", None)]
    other.crash()


def test_a_leader_that_has_not_read_all_jobs_settles_nothing(here: Here) -> None:
    """The jobs of a database that is away have slots that nobody decides; whoever leads next accounts for them."""
    known = here.store.recovered(here.world.now)
    here.store.knows_jobs = False
    here.world.wait(60)
    here.leader.settle()
    here.leader.scheduler.write_checkpoint(full=True)
    here.leader.answer()
    found = here.store.recovered(here.world.now)
    assert known is not None
    assert found is not None
    assert found.checkpoint.settled == known.checkpoint.settled
