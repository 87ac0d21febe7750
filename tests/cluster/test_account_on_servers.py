"""The account on MariaDB and PostgreSQL: the tests of `tests/unit/test_cluster_account.py`, and real concurrency."""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest

from jobscheduler.cluster import lease_rows
from jobscheduler.cluster.steps import perform
from jobscheduler.cluster.values import (
    AccountRow,
    Attempt,
    Claim,
    Fenced,
    Identity,
    Key,
    Outcome,
    State,
    Term,
    Verdict,
)
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.database.limits import Limits
from tests.support.asked_account import AskedAccount
from tests.support.cluster_place import ClusterPlace, opened
from tests.support.cluster_servers import Server, cluster_server
from tests.unit.test_cluster_account import *  # noqa: F403 - the same tests on servers

__all__ = ["cluster_server"]


@pytest.fixture(scope="module")
def shared(cluster_server: Server) -> Iterator[ClusterPlace]:
    """A database of the server, instead of a file."""
    with opened(cluster_server.fresh()) as place:
        yield place


def test_services_at_full_speed_keep_the_account(place: ClusterPlace) -> None:
    """Four of them at once, on connections of their own, while the lease runs out again and again."""
    services = [BusyService(place, f"n{number}") for number in range(4)]
    with ThreadPoolExecutor(5) as threads:
        done = [threads.submit(service.work, 60) for service in services]
        while not all(future.done() for future in done):
            place.end_lease()
            sleep(0.05)
        for future in done:
            future.result()
    begun = Counter(key for service in services for key in service.begun)
    assert begun
    assert {key: number for key, number in begun.items() if number > 1} == {}
    assert sum(service.refused for service in services) > 0
    last = BusyService(place, "last")
    last.end_all()
    assert last.account.unfinished() == []
    final = {(row.job_id, row.slot): row for job_id in BusyService.JOBS for row in last.account.rows_of(job_id)}
    for key, row in final.items():
        assert (row.status == "SKIPPED") == ((key, 1) not in begun), row


class BusyService:
    """A service that claims, begins, ends and decides as fast as it can, and never gives up its term."""

    JOBS = tuple(f"j{number}" for number in range(4))

    def __init__(self, place: ClusterPlace, node: str) -> None:
        self._place = place
        self._identity = Identity(node, "scheduler", "local", f"{node}1")
        self._chosen = random.Random(node)
        self._term: Term | None = None
        self.account = AskedAccount(Database(place.url, Limits(5, 10, "READ COMMITTED")))
        self.begun: list[tuple[tuple[str, str], int]] = []
        self.refused = 0

    def work(self, rounds: int) -> None:
        """Do so many rounds of requests."""
        for _ in range(rounds):
            try:
                self._round()
            except Fenced:
                self.refused += 1
                self._take()
            except Unavailable as reason:
                assert reason.retryable, reason
        self.account.close()

    def _round(self) -> None:
        if self._term is None:
            self._take()
        rows = self.account.unfinished()
        self._begin_and_end(rows)
        if self._term is None:
            return
        slots = [f"2026-11-22T01:{minute:02}:00Z" for minute in self._chosen.sample(range(60), 5)]
        wanted = [Claim(self._chosen.choice(self.JOBS), slot, new_id(), "local", "{}") for slot in slots]
        self.account.claim(self._term, wanted, new_id)
        ended = [row for row in rows if row.state is State.ENDED]
        self.account.again(self._term, [(row, 0.0) for row in ended[::5]])
        self.account.record(self._term, ended[1:])

    def _begin_and_end(self, rows: list[AccountRow]) -> None:
        queued = [row for row in rows if row.state is State.QUEUED]
        wanted = [Attempt(*row.key, row.attempt, new_id()) for row in self._chosen.sample(queued, min(4, len(queued)))]
        keys = self.account.begin(self._identity, wanted) if wanted else frozenset()
        self.begun += [(one.key, one.attempt) for one in wanted if one.key in keys]
        own = {one: Outcome("SUCCESS") for one in wanted if one.key in keys}
        counted = self.account.finish(own) if own else frozenset()
        for one in own:  # before the answer is read, a leader may have queued a further attempt
            assert one.key in counted or self._attempt(one.key) > one.attempt

    def _attempt(self, key: Key) -> int:
        return next(row.attempt for row in self.account.rows_of(key[0]) if row.slot == key[1])

    def _take(self) -> None:
        with self._place.database.polling() as connection:
            row = perform(connection, lease_rows.take(self._identity.node, self._identity.instance, 60.0))
        if row.term.instance == self._identity.instance:
            self._term = row.term

    def end_all(self) -> None:
        """Take the lease and end all that is left."""
        self._place.end_lease()
        self._take()
        assert self._term is not None
        rows = self.account.unfinished()
        paused = Verdict("SKIPPED", "paused")
        self.account.withdraw(
            self._term, [(row, paused) for row in rows if row.state is State.QUEUED and row.attempt == 1]
        )
        failed = Verdict("FAILURE", "exit")
        self.account.withdraw(
            self._term, [(row, failed) for row in rows if row.state is State.QUEUED and row.attempt > 1]
        )
        self.account.record(self._term, [row for row in rows if row.state is State.ENDED])


def new_id() -> str:
    """Return an id that was not used."""
    return secrets.token_hex(8)
