"""The account of slots, in the log of a host or in a database: each slot has one record, and runs at most once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.accounted_services import AccountStore, LogStore, Service, Store, World, job
from tests.support.memory_account import Door, Row

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


@pytest.fixture(params=["log", "account"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Both places that keep what was decided."""
    return LogStore(tmp_path) if request.param == "log" else AccountStore()


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


@dataclass
class Shared:
    """A world with an account, and one service that leads."""

    world: World
    store: AccountStore
    leader: Service

    @property
    def door(self) -> Door:
        """What the first leader asks the account with."""
        return self.store.doors[self.leader.node]


@pytest.fixture
def shared() -> Iterator[Shared]:
    """An account with one service, a minute before a slot."""
    store = AccountStore()
    world = World(store, job(overlap="queue"))
    made = Shared(world, store, started(world))
    world.wait(60)
    yield made
    made.leader.end()
    made.leader.scheduler.stop(0.0)


def test_a_run_begins_only_after_both_answers(shared: Shared) -> None:
    """First its slot is claimed, then it may begin on its worker. No step waits."""
    shared.leader.due()
    shared.leader.begin()
    assert not shared.leader.at_work
    shared.door.answer(1)
    shared.leader.begin()
    assert not shared.leader.at_work
    shared.door.answer(1)
    shared.leader.begin()
    assert shared.leader.at_work


def test_an_answer_that_comes_twice_counts_once(shared: Shared) -> None:
    """A request is repeated when its answer was lost."""
    shared.leader.due()
    for _ in range(3):
        shared.door.answer(twice=True)
        shared.leader.begin()
    shared.leader.settle()
    assert shared.world.told() == [(1, "SUCCESS", None)]
    shared.world.judge()


def test_a_slot_that_another_service_has_is_refused(shared: Shared) -> None:
    """Its run is forgotten without a record. The one behind it begins instead, and the job is not busy."""
    taken = Row("x", shared.world.now, "other", "elsewhere", 0, state="final")
    shared.store.account.rows["x", shared.world.now] = taken
    shared.leader.due()
    shared.world.wait(60)
    shared.leader.due()
    assert shared.leader.scheduler.runtimes()[0].active_runs
    shared.leader.settle()
    assert shared.world.told() == [(2, "SUCCESS", None)]
    assert not shared.leader.scheduler.runtimes()[0].active_runs
    assert shared.leader.scheduler.runs.count() == 0


def test_a_slot_that_was_taken_away_before_its_run_began_does_not_begin(shared: Shared) -> None:
    """The leader froze between the claim and the start. Another one leads by then and has run the slot."""
    shared.leader.due()
    shared.leader.answer()
    other = started(shared.world)
    shared.leader.answer()
    shared.leader.begin()
    assert not shared.leader.at_work
    assert shared.leader.scheduler.runs.count() == 0
    shared.world.judge()
    other.crash()


def test_what_a_former_leader_decides_has_no_effect(shared: Shared) -> None:
    """It does not know yet that another one leads."""
    other = started(shared.world)
    for _ in range(2):
        shared.leader.settle()
        shared.world.wait(60)
        other.settle()
    assert shared.door.is_fenced
    shared.world.judge()
    other.crash()


def test_a_turn_that_comes_before_the_answer_is_kept(shared: Shared) -> None:
    """The run before has ended when the slot of the queued one is claimed at last."""
    for step in (shared.leader.due, shared.leader.answer, shared.leader.answer, shared.leader.begin):
        step()
    shared.world.wait(60)
    shared.leader.due()
    shared.leader.end()
    assert len(shared.leader.scheduler.runtimes()[0].active_runs) == 1
    assert len(shared.door.requests) == 2, "the claim and the record; a run without its slot takes no worker"
    shared.leader.settle()
    assert shared.world.told() == [(1, "SUCCESS", None), (2, "SUCCESS", None)]
    shared.world.judge()


@pytest.mark.parametrize("meanwhile", ["nothing", "taken", "stopped"])
def test_a_run_is_replaced_once_the_slot_of_the_next_is_claimed(shared: Shared, meanwhile: str) -> None:
    """A slot that another service has replaces nothing here, and neither does one that a person has stopped."""
    shared.leader.scheduler.put(job(overlap="replace"), shared.world.now)
    for step in (shared.leader.due, shared.leader.answer, shared.leader.answer, shared.leader.begin):
        step()
    (run,) = shared.leader.at_work
    shared.world.wait(60)
    if meanwhile == "taken":
        taken = Row("x", shared.world.now, "other", "elsewhere", 0, state="final")
        shared.store.account.rows["x", shared.world.now] = taken
    shared.leader.due()
    if meanwhile == "stopped":
        (_, replacement) = shared.leader.scheduler.runtimes()[0].active_runs
        shared.leader.scheduler.stop_runs({"x": [replacement.run_id]}, by="1000")
    stopping = shared.leader.at_work[run].context.stopping
    assert not stopping.is_set()
    shared.leader.answer()
    assert stopping.is_set() is (meanwhile == "nothing")


def test_a_run_that_was_stopped_before_the_answer_never_begins(shared: Shared) -> None:
    """Its record stands, whichever answer comes."""
    shared.leader.due()
    shared.leader.scheduler.stop_runs({"x": None}, by="1000")
    shared.leader.settle()
    assert shared.world.told() == [(1, "SKIPPED", "stopped")]
    shared.world.judge()


def test_a_run_that_was_allowed_to_begin_and_did_not_is_given_back(shared: Shared) -> None:
    """The service was stopping by then. The next leader runs it."""
    shared.leader.due()
    shared.leader.answer()
    shared.leader.scheduler.stop(0.0)
    shared.leader.answer()
    shared.leader.begin()
    other = started(shared.world)
    assert shared.world.told() == [(1, "SUCCESS", None)]
    shared.world.judge()
    other.crash()


def test_a_run_that_waits_for_leave_is_not_overdue(shared: Shared) -> None:
    """The database may be away for long; a restart of the service would not help."""
    shared.leader.due()
    shared.door.answer(1)
    for second in range(100):
        shared.leader.scheduler.runs.check(float(second))
    assert shared.leader.scheduler.runs.stuck_run() is None
