"""How many statements an idle node asks of its database in a minute, with all that its threads do.

Counted is each statement that a cursor executes, by an event of SQLAlchemy. `tests/cluster` has this for real services,
where a server counts what it is asked, too.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.cluster import node as node_module
from jobscheduler.cluster.account_thread import AccountThread
from jobscheduler.cluster.lease_thread import LeaseThread
from jobscheduler.cluster.node import ClusterNode, NodeAccount
from jobscheduler.cluster.this_node import FormerInstance, NodeOptions
from jobscheduler.model import Level, RecoveredState
from jobscheduler.scheduler import LogAccounting
from jobscheduler.scheduler.surroundings import SchedulerHost, SchedulerLog
from tests.support.cluster_place import ClusterPlace, opened
from tests.support.statements import counted

MAX_LEADER, MAX_STANDBY = 120, 60
"""Statements a minute."""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[ClusterPlace]:
    """A database with the tables."""
    with opened(f"sqlite:///{tmp_path / 'cluster.db'}") as made:
        yield made


class Idle:
    """A scheduler without a job that is due."""

    def sync(self) -> None:
        """Find nothing new."""

    def lead(self, state: RecoveredState | None, still_leads: Callable[[], bool]) -> bool:
        """Lead."""
        return still_leads()

    def stand_by(self) -> None:
        """Decide nothing."""

    def end_runs(self, reason: str) -> None:
        """End no run."""

    def keep_elsewhere(self, at_work: Container[str]) -> None:
        """Note nothing."""

    def end_processes(self, run_ids: Iterable[str]) -> None:
        """End nothing."""

    def follow_seed(self) -> None:
        """Compute no start anew."""

    def hashes(self) -> Mapping[str, str]:
        """Return the jobs."""
        return {"j": "0123"}


class Stepped:
    """A node as a service makes it, whose threads take their steps when a test lets time pass."""

    def __init__(self, place: ClusterPlace, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.told: list[str] = []
        threads: list[Any] = []
        monkeypatch.setattr(node_module, "NodeThreads", lambda *made: threads.extend(made) or nullcontext())
        log = LogAccounting(SchedulerLog(lambda _: None), SchedulerHost("host", "boot"))
        options = NodeOptions(name, 6.0, 60.0, 3600.0, 4)
        self.account = NodeAccount(
            place.url, options, log, self._tell, FormerInstance(knows_boot=True), monotonic=lambda: self.now
        )
        self.node = ClusterNode(self.account, Idle(), self._tell)
        self.lease: LeaseThread = threads[0]
        self.thread: AccountThread = threads[1]
        assert self.node._place.take()
        self._account_at = self.now

    def _tell(self, level: Level, name: str, /, **_: Any) -> None:
        if level is not Level.INFO:
            self.told.append(name)

    def step(self, seconds: float) -> None:
        """Let time pass, and have each thread do what is due."""
        self.now += seconds
        self.lease.step()
        self.node._leading.step(self.now)
        if self.now >= self._account_at or self.account.decisions.waiting.is_set():
            self._account_at = self.now + self.thread.step()


def minute(one: Stepped, other: Stepped) -> tuple[list[str], list[str]]:
    """Return the statements of each node in a minute."""
    found: tuple[list[str], list[str]] = [], []
    for _ in range(1200):
        for node, asked in zip((one, other), found, strict=True):
            with counted() as statements:
                node.step(0.05)
            asked.extend(statements)
    return found


def test_an_idle_leader_and_an_idle_standby_keep_to_their_budgets(
    place: ClusterPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the times of the defaults. The first minute has what each start needs, and does not count."""
    leader, standby = Stepped(place, "a", monkeypatch), Stepped(place, "b", monkeypatch)
    minute(leader, standby)
    asked, asked_by_standby = minute(leader, standby)
    assert (leader.node.leads, standby.node.leads) == (True, False)
    assert (leader.told, standby.told) == ([], [])
    assert 100 <= len(asked) <= MAX_LEADER
    assert 40 <= len(asked_by_standby) <= MAX_STANDBY
    assert not [one for one in asked if one.startswith(("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA"))]
