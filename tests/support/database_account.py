"""The real account in a database as the store of several services. Every step is the test's; no thread is at work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from jobscheduler.cluster import attempts, lease_rows, records
from jobscheduler.cluster.account import Account
from jobscheduler.cluster.accounting import ClusterAccounting
from jobscheduler.cluster.leading_term import LeadingTerm
from jobscheduler.cluster.other_runs import OtherRuns
from jobscheduler.cluster.recovery import AccountRecovery
from jobscheduler.cluster.values import Identity, Term
from jobscheduler.model import LogEntry, Record, RecoveredState
from jobscheduler.scheduler import Accounting, LogAccounting, SchedulerHost, SchedulerLog
from tests.support.cluster_place import ClusterPlace
from tests.support.memory_account import NOON

JOB_LIMIT = 10_000


@dataclass
class Node:
    """One service: what it asks with, and the term that it believes in. It does not look at its own clock."""

    identity: Identity
    account: Account
    accounting: ClusterAccounting
    term: Term | None = None
    lines: list[LogEntry] = field(default_factory=list)


class DatabaseStore:
    """The account of a database. Of each node the latest service is the one that lives."""

    def __init__(self, place: ClusterPlace) -> None:
        self.place = place
        self.nodes: dict[str, Node] = {}
        self._dead: list[Identity] = []
        self._recovery = AccountRecovery(place.database)
        self._numbers = iter(range(10**9))

    def open(self, node: str) -> tuple[SchedulerLog, Accounting | None]:
        """Return an accounting with a connection of its own."""
        account = self.place.account()
        identity = Identity(node, "scheduler", "local", f"{node}-{next(self._numbers)}")
        lines: list[LogEntry] = []
        log = SchedulerLog(lines.append)
        accounting = ClusterAccounting(
            account,
            identity,
            LeadingTerm(lambda: self.nodes[node].term),
            LogAccounting(log, SchedulerHost()),
            lambda: NOON,
        )
        self.nodes[node] = Node(identity, account, accounting, lines=lines)
        return log, accounting

    def take_lease(self, node: str) -> None:
        """Let a node lead."""
        one = self.nodes[node]
        one.term = self.place.lead(node, one.identity.instance)
        one.accounting.lead(one.term)

    def recovered(self, now: datetime) -> RecoveredState | None:
        """Ask the account. The runs of services that died were ended by then."""
        for identity in self._dead:
            self.place.perform(attempts.close_former(_successor(identity), "interrupted"))
        self._dead.clear()
        return self._recovery.recovered(knows_boot=True)

    def crash(self, node: str) -> None:
        """Lose every request that was not performed."""
        one = self.nodes.pop(node)
        one.account.close()
        self._dead.append(one.identity)

    def answer(self, node: str, count: int | None = None) -> None:
        """Take what a node has asked to the database, and have it look at the runs of others."""
        one = self.nodes.get(node)
        if one is None:
            return
        one.accounting.step()
        self.watch(node)

    def watch(self, node: str) -> None:
        """Have a node look at the runs of others, if it leads."""
        one = self.nodes[node]
        if not self.is_fenced(node):
            rows = one.accounting.rows
            OtherRuns(one.account, lambda: one.term, rows, lambda _: None, one.lines.append).step()

    def is_fenced(self, node: str) -> bool:
        """Return whether another service leads."""
        one = self.nodes[node]
        return one.term is None or self.place.perform(lease_rows.look()).term != one.term

    def at_work(self) -> set[str]:
        """Return the ids of all runs at work."""
        return {row.run_id for row in self.place.perform(records.open_rows()) if row.state == "running"}

    def records(self) -> list[Record]:
        """Return the final records."""
        from sqlalchemy import select

        from jobscheduler.cluster.tables import RUNS

        jobs = [job_id for (job_id,) in self.place.connection.execute(select(RUNS.c.job_id).distinct())]
        return [row.record for row in self.place.perform(records.records_of(jobs, JOB_LIMIT))]

    def close(self) -> None:
        """Close all connections."""
        for one in self.nodes.values():
            one.account.close()


@contextmanager
def emptied(place: ClusterPlace) -> Iterator[DatabaseStore]:
    """Return the store of a database without a row."""
    place.empty()
    store = DatabaseStore(place)
    yield store
    store.close()


def _successor(identity: Identity) -> Identity:
    return Identity(identity.node, identity.role, identity.queue, "successor")
