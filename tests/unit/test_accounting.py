"""The account of slots, in the log of a host or in a database: each slot has one record, and runs at most once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.model import EPOCH, Once
from jobscheduler.model.selection import selectors
from jobscheduler.scheduler.clock_progress import ClockProgress
from jobscheduler.scheduler.handover import forget_decisions
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.standby import StandsBy
from jobscheduler.timetable.timetable import timetable_of
from tests.support.accounted_services import MINUTE, AccountStore, LogStore, Service, SharedStore, Store, World, job
from tests.support.cluster_place import ClusterPlace, opened
from tests.support.database_account import emptied
from tests.support.in_memory import memory_or_disk
from tests.support.memory_account import NOON, Door, Row
from tests.support.properties import examples

STEPS: dict[str, Callable[[Service], object]] = {
    "due": Service.due,
    "claimed": Service.answer,
    "may begin": Service.answer,
    "begun": Service.begin,
    "ended": Service.end,
    "recorded": Service.answer,
    "checkpoint": lambda service: service.scheduler.write_checkpoint(),
    "kept": Service.answer,
}
"""The way of a slot; a service may die after each of these."""


@pytest.fixture(scope="module")
def place() -> Iterator[ClusterPlace]:
    """A database for all tests of this file."""
    with TemporaryDirectory(dir=memory_or_disk()) as folder, opened(f"sqlite:///{folder}/cluster.db") as made:
        yield made


@pytest.fixture(params=["log", "account", "database"])
def store(request: pytest.FixtureRequest, tmp_path: Path, place: ClusterPlace) -> Iterator[Store]:
    """All places that keep what was decided."""
    match request.param:
        case "log":
            yield LogStore(tmp_path)
        case "account":
            yield AccountStore()
        case _:
            with emptied(place) as made:
                yield made


def started(world: World) -> Service:
    """Return a service whose first checkpoint is kept."""
    service = world.service()
    service.settle()
    return service


def test_a_slot_runs_and_has_one_record(store: Store) -> None:
    """The usual case."""
    world = World(store)
    service = started(world)
    for _ in range(3):
        world.wait(60)
        service.settle()
    assert world.told() == [(minute, "SUCCESS", None) for minute in (1, 2, 3)]
    world.judge()
    service.crash()


@pytest.mark.parametrize("away", [10, 300])
@pytest.mark.parametrize("died_after", STEPS)
def test_a_crash_between_any_two_steps_loses_and_repeats_nothing(store: Store, died_after: str, away: int) -> None:
    """The next service runs what has not begun and is young enough; it runs nothing again."""
    world = World(store)
    first = started(world)
    world.wait(60)
    for name, step in STEPS.items():
        step(first)
        if name == died_after:
            break
    first.crash()
    world.wait(away)
    second = started(world)
    world.judge()
    world.wait(60)
    second.settle()
    world.judge()
    second.crash()


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace", "allow"])
@pytest.mark.parametrize("died_after", ["due", "claimed", "may begin", "begun"])
def test_a_slot_that_overlaps_is_decided_once_whoever_dies(store: Store, overlap: str, died_after: str) -> None:
    """The run before is at work when the service dies, or has just begun."""
    world = World(store, job(overlap=overlap))
    first = started(world)
    world.wait(60)
    for step in (first.due, first.answer, first.answer, first.begin):
        step()
    assert first.at_work
    world.wait(60)
    for name in ("due", "claimed", "may begin", "begun"):
        STEPS[name](first)
        if name == died_after:
            break
    first.crash()
    world.wait(10)
    second = started(world)
    world.judge()
    second.crash()


# --- leave that is refused, late or never given ------------------------------------------------------------------


AnyAccount_co = TypeVar("AnyAccount_co", bound=SharedStore, covariant=True)


@dataclass
class Shared(Generic[AnyAccount_co]):
    """A world with an account, and one service that leads."""

    world: World
    store: AnyAccount_co
    leader: Service


Team = Shared[SharedStore]
Remembered = Shared[AccountStore]


@contextmanager
def led(store: AnyAccount_co) -> Iterator[Shared[AnyAccount_co]]:
    """Return an account with one service, a minute before a slot."""
    world = World(store, job(overlap="queue"))
    made = Shared(world, store, started(world))
    world.wait(60)
    yield made
    made.leader.end()
    made.leader.scheduler.stop(0.0)


@pytest.fixture(params=["account", "database"])
def account(request: pytest.FixtureRequest, place: ClusterPlace) -> Iterator[SharedStore]:
    """Both accounts that several services share."""
    if request.param == "account":
        yield AccountStore()
    else:
        with emptied(place) as made:
            yield made


@pytest.fixture
def shared(account: SharedStore) -> Iterator[Team]:
    """A service that leads, on either account."""
    with led(account) as made:
        yield made


@pytest.fixture
def remembered() -> Iterator[Remembered]:
    """A service that leads, on the account in memory: it answers one request at a time, late, twice or never."""
    with led(AccountStore()) as made:
        yield made


def door_of(remembered: Remembered) -> Door:
    """Return what the first leader asks the account with."""
    return remembered.store.doors[remembered.leader.node]


def test_a_run_begins_only_after_both_answers(remembered: Remembered) -> None:
    """First its slot is claimed, then it may begin on its worker. No step waits."""
    remembered.leader.due()
    remembered.leader.begin()
    assert not remembered.leader.at_work
    door_of(remembered).answer(1)
    remembered.leader.begin()
    assert not remembered.leader.at_work
    door_of(remembered).answer(1)
    remembered.leader.begin()
    assert remembered.leader.at_work


def test_an_answer_that_comes_twice_counts_once(remembered: Remembered) -> None:
    """A request is repeated when its answer was lost."""
    remembered.leader.due()
    for _ in range(3):
        door_of(remembered).answer(twice=True)
        remembered.leader.begin()
    remembered.leader.settle()
    assert remembered.world.told() == [(1, "SUCCESS", None)]
    remembered.world.judge()


def test_a_slot_that_another_service_has_is_refused(remembered: Remembered) -> None:
    """Its run is forgotten without a record. The one behind it begins instead, and the job is not busy."""
    taken = Row("x", remembered.world.now, "other", "elsewhere", 0, state="final")
    remembered.store.account.rows["x", remembered.world.now] = taken
    remembered.leader.due()
    remembered.world.wait(60)
    remembered.leader.due()
    assert remembered.leader.scheduler.runtimes()[0].active_runs
    remembered.leader.settle()
    assert remembered.world.told() == [(2, "SUCCESS", None)]
    assert not remembered.leader.scheduler.runtimes()[0].active_runs
    assert remembered.leader.scheduler.runs.count() == 0


def test_a_slot_that_was_taken_away_before_its_run_began_does_not_begin(shared: Team) -> None:
    """The leader froze between the claim and the start. Another one leads by then and has run the slot."""
    shared.leader.due()
    shared.leader.answer(1)
    other = started(shared.world)
    shared.leader.answer()
    shared.leader.begin()
    assert not shared.leader.at_work
    assert shared.leader.scheduler.runs.count() == 0
    shared.world.judge()
    other.crash()


def test_what_a_former_leader_decides_has_no_effect(shared: Team) -> None:
    """It does not know yet that another one leads."""
    other = started(shared.world)
    for _ in range(2):
        shared.leader.settle()
        shared.world.wait(60)
        other.settle()
    assert shared.store.is_fenced(shared.leader.node)
    shared.world.judge()
    other.crash()


def test_a_turn_that_comes_before_the_answer_is_kept(remembered: Remembered) -> None:
    """The run before has ended when the slot of the queued one is claimed at last."""
    for step in (remembered.leader.due, remembered.leader.answer, remembered.leader.answer, remembered.leader.begin):
        step()
    remembered.world.wait(60)
    remembered.leader.due()
    remembered.leader.end()
    assert len(remembered.leader.scheduler.runtimes()[0].active_runs) == 1
    assert len(door_of(remembered).requests) == 2, "the claim and the record; a run without its slot takes no worker"
    remembered.leader.settle()
    assert remembered.world.told() == [(1, "SUCCESS", None), (2, "SUCCESS", None)]
    remembered.world.judge()


@pytest.mark.parametrize("meanwhile", ["nothing", "taken", "stopped"])
def test_a_run_is_replaced_once_the_slot_of_the_next_is_claimed(remembered: Remembered, meanwhile: str) -> None:
    """A slot that another service has replaces nothing here, and neither does one that a person has stopped."""
    remembered.leader.scheduler.put(job(overlap="replace"), remembered.world.now)
    for step in (remembered.leader.due, remembered.leader.answer, remembered.leader.answer, remembered.leader.begin):
        step()
    (run,) = remembered.leader.at_work
    remembered.world.wait(60)
    if meanwhile == "taken":
        taken = Row("x", remembered.world.now, "other", "elsewhere", 0, state="final")
        remembered.store.account.rows["x", remembered.world.now] = taken
    remembered.leader.due()
    if meanwhile == "stopped":
        (_, replacement) = remembered.leader.scheduler.runtimes()[0].active_runs
        remembered.leader.scheduler.stop_runs({"x": [replacement.run_id]}, by="1000")
    stopping = remembered.leader.at_work[run].context.stopping
    assert not stopping.is_set()
    remembered.leader.answer()
    assert stopping.is_set() is (meanwhile == "nothing")


def test_a_run_that_was_stopped_before_the_answer_never_begins(shared: Team) -> None:
    """Its record stands, whichever answer comes."""
    shared.leader.due()
    shared.leader.scheduler.stop_runs({"x": None}, by="1000")
    shared.leader.settle()
    assert shared.world.told() == [(1, "SKIPPED", "stopped")]
    shared.world.judge()


def test_a_run_that_was_allowed_to_begin_and_did_not_is_given_back(shared: Team) -> None:
    """The service was stopping by then. The next leader runs it."""
    shared.leader.due()
    shared.leader.answer(1)
    shared.leader.scheduler.stop(0.0)
    shared.leader.answer()
    shared.leader.begin()
    shared.leader.answer()
    other = started(shared.world)
    assert shared.world.told() == [(1, "SUCCESS", None)]
    shared.world.judge()
    other.crash()


@pytest.mark.parametrize("is_led_elsewhere", [False, True])
def test_a_run_that_ended_while_it_waited_for_leave_gives_its_slot_back(
    remembered: Remembered, is_led_elsewhere: bool
) -> None:
    """It was replaced before the answer. Its record counts, unless another service leads by then."""
    remembered.leader.scheduler.put(job(overlap="replace"), remembered.world.now)
    remembered.leader.due()
    door_of(remembered).answer(1)
    begin = door_of(remembered).requests.pop()
    remembered.leader.scheduler.run_now(job(overlap="replace"), "1000")
    door_of(remembered).answer(1)
    if is_led_elsewhere:
        door_of(remembered).requests.clear()
        remembered.store.account.term += 1
    door_of(remembered).requests.append(begin)
    remembered.leader.settle()
    assert remembered.world.told() == [(1, *(("MISSED", "down") if is_led_elsewhere else ("FAILURE", "replaced")))]
    remembered.world.judge()


def test_a_run_that_waits_for_leave_is_not_overdue(remembered: Remembered) -> None:
    """The database may be away for long; a restart of the service would not help."""
    remembered.leader.due()
    door_of(remembered).answer(1)
    for second in range(100):
        remembered.leader.scheduler.runs.check(float(second))
    assert remembered.leader.scheduler.runs.stuck_run() is None


# --- a service that stands by, leads, and stands by again ---------------------------------------------------------


def test_a_service_that_stands_by_is_loaded_and_decides_nothing(remembered: Remembered) -> None:
    """It shows what comes, follows its files, asks for nothing and writes no checkpoint."""
    standby = remembered.world.standby()
    for _ in range(3):
        standby.settle()
        standby.scheduler.write_checkpoint(full=True)
        assert standby.scheduler.next_slot("x") == remembered.world.now + MINUTE
        remembered.world.wait(60)
    standby.scheduler.put(job("late"), remembered.world.now)
    standby.scheduler.drop("late", remembered.world.now)
    for request in (lambda: standby.scheduler.run_now(job(), "1000"), lambda: standby.scheduler.pauses.pause([])):
        with pytest.raises(StandsBy):
            request()
    assert not remembered.store.doors[standby.node].requests
    assert standby.scheduler.is_held("x"), "the leader counts the time without a success"
    standby.crash()


@pytest.mark.parametrize("away", [10, 300])
@pytest.mark.parametrize("died_after", STEPS)
def test_a_service_that_stood_by_goes_on_where_the_leader_died(shared: Team, died_after: str, away: int) -> None:
    """It accounts for the gap as a start does, and goes on."""
    standby = shared.world.standby()
    for name, step in STEPS.items():
        step(shared.leader)
        standby.due()
        if name == died_after:
            break
    shared.leader.crash()
    shared.world.wait(away)
    standby.due()
    standby.lead()
    standby.settle()
    shared.world.judge()
    shared.world.wait(60)
    standby.settle()
    shared.world.judge()
    standby.crash()


def test_a_leader_that_stands_by_begins_nothing_more_and_its_runs_go_on(shared: Team) -> None:
    """What waits is cancelled without a record, and the next leader runs it. A run at work ends as ever."""
    for step in (shared.leader.due, shared.leader.answer, shared.leader.answer, shared.leader.begin):
        step()
    shared.world.wait(60)
    shared.leader.due()
    shared.leader.answer(1)
    shared.leader.scheduler.leadership.stand_by()
    assert shared.leader.scheduler.runs.count() == 1
    other = started(shared.world)
    assert [run.scheduled for run in other.scheduler.runtimes()[0].active_runs] == [NOON + MINUTE, NOON + 2 * MINUTE]
    assert shared.world.told() == [], "a run at work elsewhere is not interrupted, and counts as overlap"
    shared.leader.end()
    shared.leader.settle()
    other.answer()
    assert shared.world.told() == [(1, "SUCCESS", None)]
    other.scheduler.leadership.keep_elsewhere(shared.store.at_work())
    other.settle()
    assert shared.world.told() == [(1, "SUCCESS", None), (2, "SUCCESS", None)]
    shared.world.judge()
    other.crash()


def test_a_run_at_work_elsewhere_is_stopped_there(shared: Team) -> None:
    """Its service learns it with its next beat. A service that stops asks for nothing more."""
    shared.world.wait(60)
    for step in (shared.leader.due, shared.leader.answer, shared.leader.answer, shared.leader.begin):
        step()
    shared.leader.scheduler.leadership.stand_by()
    other = started(shared.world)
    (at_work,) = shared.store.at_work()
    assert other.scheduler.stop_runs({"x": ["another"]}, by="1000") == []
    (stopped,) = other.scheduler.stop_runs({"x": [at_work]}, by="1000")
    assert (stopped.job_id, stopped.run_id, stopped.run, stopped.is_skipped) == ("x", at_work, None, False)
    other.settle()
    assert shared.store.to_stop() == {at_work}
    shared.leader.end()
    shared.leader.settle()
    other.answer()
    other.scheduler.leadership.keep_elsewhere(shared.store.at_work())
    assert other.scheduler.stop_runs({"x": None}, by="1000") == []
    shared.world.judge()
    other.crash()


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace", "allow"])
def test_a_run_at_work_elsewhere_overlaps_as_one_here_does(overlap: str, account: SharedStore) -> None:
    """It is skipped, queued, replaced or not minded; an old answer about what is at work changes nothing."""
    world = World(account, job(overlap=overlap))
    first = started(world)
    world.wait(60)
    for step in (first.due, first.answer, first.answer, first.begin):
        step()
    first.scheduler.leadership.stand_by()
    other = started(world)
    at_work = account.at_work()
    world.wait(60)
    other.settle()
    other.scheduler.leadership.keep_elsewhere(at_work)
    other.settle()
    told = {"skip": [(2, "SKIPPED", "overlap")], "allow": [(2, "SUCCESS", None)]}
    assert world.told() == told.get(overlap, [])
    assert account.to_stop() == (at_work if overlap == "replace" else set())
    first.end()
    first.settle()
    other.scheduler.leadership.keep_elsewhere(account.at_work())
    other.settle()
    world.judge()
    first.crash()
    other.crash()


def test_a_service_that_leads_again_keeps_its_own_runs(shared: Team) -> None:
    """They overlap with slots to come, and are not taken for runs of others."""
    for step in (shared.leader.due, shared.leader.answer, shared.leader.answer, shared.leader.begin):
        step()
    shared.leader.scheduler.leadership.stand_by()
    shared.world.wait(60)
    shared.leader.lead()
    shared.leader.due()
    shared.leader.answer()
    assert len(shared.leader.scheduler.runtimes()[0].active_runs) == 2
    assert len(shared.leader.at_work) == 1
    shared.leader.settle()
    assert shared.world.told() == [(1, "SUCCESS", None), (2, "SUCCESS", None)]
    shared.world.judge()


@pytest.mark.parametrize("answered", [0, 1])
def test_a_service_that_leads_again_runs_what_had_not_begun(remembered: Remembered, answered: int) -> None:
    """It stood by for a moment. A run that had asked to begin waits for the answer, which may be late."""
    remembered.leader.due()
    door_of(remembered).answer(answered)
    remembered.leader.scheduler.leadership.stand_by()
    assert remembered.leader.scheduler.runs.count() == answered
    remembered.leader.lead()
    remembered.leader.settle()
    assert remembered.world.told() == [(1, "SUCCESS", None)]
    assert remembered.store.account.checkpoint is not None
    assert remembered.store.account.checkpoint.settled == remembered.world.now


def test_a_claim_without_an_answer_is_forgotten_by_a_service_that_stands_by(remembered: Remembered) -> None:
    """The answer is lost. Whoever leads next finds out from the row."""
    remembered.leader.due()
    door_of(remembered).answer(1, is_lost=True)
    remembered.leader.scheduler.leadership.stand_by()
    assert not remembered.leader.scheduler.leadership._starts._held
    other = started(remembered.world)
    assert remembered.world.told() == [(1, "SUCCESS", None)]
    remembered.world.judge()
    other.crash()


def test_what_waits_for_a_worker_waits_no_longer_on_a_service_that_stands_by(account: SharedStore) -> None:
    """It would ask to begin when a worker is free."""
    world = World(account, job("a"), job("b"))
    first = world.service(workers=1)
    first.settle()
    world.wait(60)
    for step in (first.due, first.answer, first.answer, first.begin):
        step()
    assert first.scheduler.runs.queued() == 1
    first.scheduler.leadership.stand_by()
    assert first.scheduler.runs.queued() == 0
    other = started(world)
    first.end()
    first.settle()
    other.settle()
    world.judge()
    other.crash()
    first.crash()


def test_a_service_that_leads_again_goes_by_what_the_leader_before_knew(shared: Team) -> None:
    """Also for a job with a run at work: a slot to come may be decided, because a clock was wrong."""
    for step in (shared.leader.due, shared.leader.answer, shared.leader.answer, shared.leader.begin):
        step()
    shared.leader.scheduler.leadership.stand_by()
    state = shared.store.recovered(shared.world.now)
    assert state is not None
    assert state.full is not None
    coming = shared.world.now + MINUTE
    full = replace(state.full, decided_ahead={"x": ((coming, coming),)})
    shared.store.take_lease(shared.leader.node)
    shared.leader.scheduler.leadership.lead(replace(state, full=full), shared.world.now)
    registry = shared.leader.scheduler._engine.registry
    assert registry.jobs["x"].setback.decided == ((coming, coming),)
    assert not registry.is_new("x")
    shared.world.wait(60)
    shared.leader.settle()
    assert shared.world.told() == [(1, "SUCCESS", None)]


def test_a_service_forgets_what_it_decided_before_another_one_led() -> None:
    """As if it had just started: only what the account says counts."""
    registry = JobRegistry(lambda: 0.0)
    entry = registry.get_or_create(job(), timetable_of(job(), ""), NOON)
    registry.decide(entry, NOON + MINUTE)
    gone = registry.get_or_create(job("gone"), timetable_of(job(), ""), NOON)
    registry.remove(gone, NOON)
    assert [one.id for one in forget_decisions(registry)] == ["x"]
    assert not registry.jobs
    assert registry.memory.last_decided("x") == EPOCH
    assert registry.is_new("gone")
    progress = ClockProgress(lambda event: None)
    progress.restore(NOON, NOON + MINUTE)
    progress.restore(NOON, NOON)
    assert not progress.is_behind(NOON)


def test_a_service_that_stands_by_after_leading_accounts_for_nothing(remembered: Remembered) -> None:
    """Neither for a job that was refused until now, nor for one that is over, nor for a slot that its jitter delays."""
    world = remembered.world
    remembered.leader.crash()
    world.wait(300)
    service = started(world)
    service.scheduler.leadership.stand_by()
    service.scheduler.put(job("refused"), world.now)
    assert not service.scheduler.expire(replace(job("over"), schedule=Once(world.now - 2 * MINUTE)), world.now)
    service.scheduler.put(job("delayed", jitter=50.0), world.now)
    world.wait(60)
    service.scheduler.drop("delayed", world.now)
    assert not remembered.store.doors[service.node].requests
    service.crash()


def test_a_service_without_an_answer_ends_its_runs(shared: Team) -> None:
    """Others take them for lost by then, and may begin them again where the job allows it."""
    for step in (shared.leader.due, shared.leader.answer, shared.leader.answer, shared.leader.begin):
        step()
    shared.leader.scheduler.leadership.stand_by()
    shared.leader.scheduler.leadership.end_runs("worker_lost")
    (attempt,) = shared.leader.at_work.values()
    assert attempt.context.stopping.is_set()
    assert attempt.context.reason == "worker_lost"


def test_a_manual_run_that_a_stop_cancels_has_its_record_in_the_account(shared: Team) -> None:
    """It has no slot that a later start could find."""
    for step in (shared.leader.due, shared.leader.answer, shared.leader.answer, shared.leader.begin):
        step()
    shared.leader.scheduler.run_now(job(overlap="queue"), "1000")
    shared.leader.answer()
    shared.leader.end()
    shared.leader.scheduler.stop(0.0)
    shared.leader.answer()
    manual = [one for one in shared.store.records() if one.scheduled is None]
    assert [(one.status.value, one.reason) for one in manual] == [("MISSED", "shutdown")]


def test_only_a_service_that_stands_by_can_begin_to_lead(shared: Team) -> None:
    """It would decide twice; a service that ends does not come back."""
    with pytest.raises(RuntimeError, match="does not stand by"):
        shared.leader.lead()
    shared.leader.scheduler.stop(0.0)
    shared.leader.scheduler.leadership.stand_by()
    with pytest.raises(RuntimeError, match="does not stand by"):
        shared.leader.lead()


def test_a_slot_that_begins_after_all_is_not_in_one_record_with_missed_ones(remembered: Remembered) -> None:
    """The former leader begins it while the next one misses what is too old by now."""
    standby = remembered.world.standby()
    remembered.leader.due()
    door_of(remembered).answer(1)
    remembered.world.wait(300)
    standby.lead()
    remembered.leader.settle()
    standby.settle()
    assert remembered.world.told() == [(1, "SUCCESS", None), (2, "MISSED", "down"), (6, "SUCCESS", None)]
    remembered.world.judge()
    standby.crash()


@pytest.mark.parametrize("ran", [False, True])
def test_a_one_time_job_that_is_over_by_now_has_one_record(ran: bool, account: SharedStore) -> None:
    """Its instant came when the leader was dead, or just before. Here it was expired meanwhile."""
    once = replace(job("once"), schedule=Once(NOON + MINUTE))
    world = World(account, once)
    first, standby = started(world), world.standby()
    if ran:
        world.wait(60)
        first.settle()
    first.crash()
    world.wait(400)
    standby.scheduler.drop("once", world.now)
    assert not standby.scheduler.expire(once, world.now)
    account.take_lease(standby.node)
    standby.scheduler.leadership.lead(account.recovered(world.now), world.now, [once])
    standby.settle()
    assert world.told("once") == [(1, "SUCCESS", None) if ran else (1, "MISSED", "down")]
    standby.crash()


def test_pauses_are_those_of_the_leader_before(shared: Team) -> None:
    """What it has paused is skipped by the next one, also in the gap."""
    standby = shared.world.standby()
    shared.leader.scheduler.pauses.pause(selectors(["x"]), by="1000")
    shared.leader.answer()
    shared.leader.crash()
    shared.world.wait(60)
    standby.lead()
    standby.settle()
    assert [one[1:] for one in shared.world.told()] == [("SKIPPED", "paused")]
    shared.world.judge()
    standby.crash()


# --- any order of steps, of several services ----------------------------------------------------------------------

JOBS = [job(overlap, overlap=overlap) for overlap in ("skip", "queue", "replace", "allow")]

SMALL_STEPS: dict[str, Callable[[Service], object]] = {
    "due": Service.due,
    "answer": Service.answer,
    "answer one": lambda service: service.answer(1),
    "begin": Service.begin,
    "end": Service.end,
    "checkpoint": lambda service: service.scheduler.write_checkpoint(),
    "pause": lambda service: service.pause("skip"),
    "resume": lambda service: service.resume("skip"),
}


class AnsweredClaim:
    """What happens to services over one store, one thing after the other."""

    def __init__(self, store: Store) -> None:
        self.world = World(store, *JOBS)
        self.services = [started(self.world)]

    def step(self, name: str, which: int) -> None:
        """Let one thing happen to one of the services."""
        service = self.services[which % len(self.services)]
        if name.startswith("wait"):
            self.world.wait(float(name.removeprefix("wait ")))
        elif name == "crash":
            service.crash()
            self.services.remove(service)
            if not self.services:
                self.services.append(self.world.service())
        else:
            SMALL_STEPS[name](service)

    def end(self) -> None:
        """Let all that is at work end, and the last leader account for the rest; then judge."""
        for service in self.services:
            service.settle()
        self.world.wait(60)
        for service in self.services:
            service.settle()
        self.world.judge()
        for service in self.services:
            service.crash()


class SharedFate(AnsweredClaim):
    """The same with an account: another service may lead, and the leader before may not know it for long."""

    def __init__(self, store: SharedStore) -> None:
        super().__init__(store)
        self.account = store

    def step(self, name: str, which: int) -> None:
        """Let one thing happen to one of the services."""
        service = self.services[which % len(self.services)]
        match name:
            case "join":
                self.services.append(self.world.standby())
            case "lead":
                if service.stands_by:
                    service.lead()
            case "notice":
                if self.account.is_fenced(service.node):
                    service.scheduler.leadership.stand_by()
            case "news":
                service.scheduler.leadership.keep_elsewhere(self.account.at_work())
            case _:
                super().step(name, which)

    def end(self) -> None:
        """Have the others stand by, and one lead that did not before."""
        for service in self.services:
            service.scheduler.leadership.stand_by()
            for _ in range(3):
                for step in (service.answer, service.begin, service.end, service.answer):
                    step()
        last = self.world.standby()
        last.lead()
        self.services.append(last)
        super().end()


def steps(*more: str) -> st.SearchStrategy[list[tuple[str, int]]]:
    """Return a strategy for what happens, and to which service."""
    names = st.sampled_from([*SMALL_STEPS, "wait 20", "wait 60", "wait 150", "crash", *more])
    return st.lists(st.tuples(names, st.integers(0, 3)), max_size=40)


@given(steps())
@examples(200)
def test_any_order_of_steps_and_crashes_leaves_one_record_for_each_slot_in_the_log(
    happens: list[tuple[str, int]],
) -> None:
    """One service after the other, each on the log of the one before."""
    with TemporaryDirectory(dir=memory_or_disk()) as folder:
        fate = AnsweredClaim(LogStore(Path(folder)))
        for name, which in happens:
            fate.step(name, which)
        fate.end()


@given(steps("join", "lead", "notice", "news"))
@examples(200)
def test_any_order_of_steps_of_several_services_leaves_one_record_for_each_slot(happens: list[tuple[str, int]]) -> None:
    """Leaders die, freeze, are replaced without knowing it, and come back."""
    fate = SharedFate(AccountStore())
    for name, which in happens:
        fate.step(name, which)
    fate.end()


@pytest.mark.deep
@pytest.mark.parametrize("first", range(0, 1000, 100))
def test_long_histories_of_several_services_leave_one_record_for_each_slot(first: int) -> None:
    """A hundred seeds each; most steps are those of a slot."""
    own = [*SMALL_STEPS, "due", "answer", "begin", "end"] * 3
    names = [*own, "wait 20", *["wait 60"] * 3, "wait 150", "crash", "join", "lead", "notice", "news"]
    for seed in range(first, first + 100):
        draw = random.Random(seed)
        fate = SharedFate(AccountStore())
        for _ in range(110):
            fate.step(draw.choice(names), draw.randrange(4))
        fate.end()
