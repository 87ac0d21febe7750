"""Schedulers over the real account, with everything going wrong between any two statements.

A statement or its answer is lost, a node dies with a request half done, and others decide in the midst of one: every
slot has one record all the same, and begins at most once. Nodes do not look at their own clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.accounted_services import Service
from tests.support.cluster_place import ClusterPlace, opened
from tests.support.database_account import DatabaseStore, emptied, lost_after
from tests.support.in_memory import memory_or_disk
from tests.support.properties import examples
from tests.unit.test_accounting import SMALL_STEPS, SharedFate

MAX_GATES = 12  # before and after the first statements of an answer


class FaultyFate(SharedFate):
    """What happens to services over a database that may be away at any time."""

    def __init__(self, store: DatabaseStore) -> None:
        super().__init__(store)
        self.database = store

    def step(self, name: str, which: int) -> None:
        """Let one thing happen to one of the services."""
        word, _, number = name.partition(" ")
        service = self.services[which % len(self.services)]
        match word:
            case "lost":
                self.database.answer_through(service.node, lost_after(int(number)))
            case "died":
                self.database.answer_through(service.node, lost_after(int(number)))
                super().step("crash", which)
            case "unsure":
                self.database.nodes[service.node].is_unsure = number == "1"
            case "notice" if self.database.nodes[service.node].terms.lacks_claims:
                service.scheduler.leadership.stand_by()
            case "amid":
                self._amid(service, int(number), which)
            case _:
                super().step(name, which)

    def end(self) -> None:
        """Have all be sure again."""
        for one in self.database.nodes.values():
            one.is_unsure = False
        super().end()

    def _amid(self, service: Service, number: int, which: int) -> None:
        """Have another service do something amid the statements of this one."""
        others = [one for one in self.services if one is not service]
        gates = iter(range(number))

        def gate() -> None:
            if next(gates, None) is None and others:
                other = others.pop(which % len(others))
                if other.stands_by:
                    other.lead()
                other.due()
                other.answer()
                other.begin()
                others.clear()

        self.database.answer_through(service.node, gate)


NAMES = [*SMALL_STEPS, "wait 20", "wait 60", "wait 150", "crash", "join", "lead", "notice", "news"]
NAMES += [*["unsure 0"] * 3, "unsure 1"]
NAMES += [f"{word} {number}" for word in ("lost", "died", "amid") for number in range(1, MAX_GATES)]


@pytest.fixture(scope="module")
def place() -> Iterator[ClusterPlace]:
    """A database for all tests of this file."""
    with TemporaryDirectory(dir=memory_or_disk()) as folder, opened(f"sqlite:///{folder}/cluster.db") as made:
        yield made


def happen(place: ClusterPlace, happens: list[tuple[str, int]]) -> None:
    """Let all of it happen on an empty database, and judge."""
    with emptied(place) as store:
        fate = FaultyFate(store)
        for name, which in happens:
            fate.step(name, which)
        fate.end()


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 3)), max_size=30))
@examples(40)
def test_any_faults_amid_any_steps_leave_one_record_for_each_slot(
    place: ClusterPlace, happens: list[tuple[str, int]]
) -> None:
    """Small histories."""
    happen(place, happens)


def drawn(seed: int, length: int) -> list[tuple[str, int]]:
    """Return a history of a seed; most steps are those of a slot."""
    draw = random.Random(seed)
    names = [*["due", "answer", "begin", "end"] * 8, *["wait 60"] * 8, *["amid 3", "amid 5", "lead"] * 2, *NAMES]
    return [(draw.choice(names), draw.randrange(4)) for _ in range(length)]


@pytest.mark.parametrize("seed", range(8))
def test_a_history_with_faults_leaves_one_record_for_each_slot(place: ClusterPlace, seed: int) -> None:
    """Longer ones."""
    happen(place, drawn(seed, 80))


@pytest.mark.deep
@pytest.mark.parametrize("first", range(0, 2000, 100))
def test_long_histories_with_faults_leave_one_record_for_each_slot(place: ClusterPlace, first: int) -> None:
    """A hundred seeds each."""
    for seed in range(first, first + 100):
        happen(place, drawn(seed, 110))
