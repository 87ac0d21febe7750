"""The real account in a database as the store of several services. Every step is the test's; no thread is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import ParamSpec, TypeVar

from sqlalchemy import select

from jobscheduler.cluster import attempts, lease_rows, records
from jobscheduler.cluster.account_terms import AccountTerms
from jobscheduler.cluster.boot_knowledge import BootKnowledge
from jobscheduler.cluster.decisions import Decisions
from jobscheduler.cluster.leading_term import LeadingTerm
from jobscheduler.cluster.other_runs import OtherRuns
from jobscheduler.cluster.recovery import AccountRecovery
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import RUNS
from jobscheduler.cluster.values import Fenced, Identity, Term
from jobscheduler.database.errors import Unavailable
from jobscheduler.model import LogEntry, Record, RecoveredState
from jobscheduler.scheduler import Accounting, LogAccounting, SchedulerHost, SchedulerLog
from tests.support.asked_account import AskedAccount
from tests.support.cluster_place import ClusterPlace
from tests.support.memory_account import NOON

P = ParamSpec("P")
T = TypeVar("T")


class GatedAccount(AskedAccount):
    """An account that calls `gate` before it sends a statement, and after it was executed.

    The gate may do anything meanwhile; when it raises `Unavailable`, the statement, or its answer, is lost.
    After `limit` requests the database is away.
    """

    gate: Callable[[], object] = staticmethod(lambda: None)
    limit = 10**9

    def perform(self, request: Callable[P, Steps[T]], *args: P.args, **more: P.kwargs) -> T:
        """Perform a request through the gate."""
        if not self.limit:
            raise Unavailable("the database is away")
        self.limit -= 1
        return super().perform(lambda: self._gated(request(*args, **more)))

    def _gated(self, steps: Steps[T]) -> Steps[T]:
        try:
            statement = next(steps)
            while True:
                self.gate()
                rows = yield statement
                self.gate()
                statement = steps.send(rows)
        except StopIteration as end:
            answer: T = end.value
            return answer


@dataclass
class Node:
    """One service: what it asks with, and the term that it believes in. It does not look at its own clock."""

    identity: Identity
    account: GatedAccount
    decisions: Decisions
    terms: AccountTerms
    term: Term | None = None
    lines: list[LogEntry] = field(default_factory=list)
    is_unsure: bool = False

    @property
    def held(self) -> Term | None:
        """The term of its lease, unless it is not sure just now."""
        return None if self.is_unsure else self.term


class DatabaseStore:
    """The account of a database. Of each node the latest service is the one that lives."""

    def __init__(self, place: ClusterPlace) -> None:
        self.place = place
        self.nodes: dict[str, Node] = {}
        self.knows_boot = True
        self.knows_jobs = True
        self._dead: list[Identity] = []
        self._recovery = AccountRecovery(place.database)
        self._numbers = iter(range(10**9))

    def open(self, node: str) -> tuple[SchedulerLog, Accounting | None]:
        """Return an accounting with a connection of its own."""
        account = GatedAccount(self.place.database)
        identity = Identity(node, "scheduler", "local", f"{node}-{next(self._numbers)}")
        lines: list[LogEntry] = []
        log = SchedulerLog(lines.append)
        term = LeadingTerm(lambda: self.nodes[node].held if node in self.nodes else None)
        kept_in = LogAccounting(log, SchedulerHost())
        knows_jobs = lambda: self.knows_jobs  # noqa: E731
        decisions = Decisions(account, identity, term, kept_in, lambda: NOON, knows_jobs=knows_jobs)
        boot = BootKnowledge(identity.instance, is_known=True, uptime=lambda: 0.0)
        terms = AccountTerms(decisions, self._recovery, boot)
        self.nodes[node] = Node(identity, account, decisions, terms, lines=lines)
        return log, decisions.accounting

    def take_lease(self, node: str) -> None:
        """Let a node lead."""
        one = self.nodes[node]
        one.term = self.place.lead(node, one.identity.instance)
        one.terms.begin(one.term)
        one.terms.note_led()

    def recovered(self, now: datetime) -> RecoveredState | None:
        """Ask the account. The runs of services that died were ended by then."""
        for identity in self._dead:
            self.place.perform(attempts.close_former(_successor(identity), "interrupted"))
        self._dead.clear()
        return self._recovery.recovered(knows_boot=self.knows_boot)

    def crash(self, node: str) -> None:
        """Lose every request that was not performed."""
        one = self.nodes.pop(node)
        one.account.close()
        self._dead.append(one.identity)

    def answer(self, node: str, count: int | None = None) -> None:
        """Take what a node has asked to the database, and have it look at the runs of others.

        With a count the database is away after so many requests.
        """
        one = self.nodes.get(node)
        if one is None:
            return
        if count is None:
            one.decisions.step()  # what an earlier try has left waits without a sign
            while one.decisions.waiting.is_set():
                one.decisions.step()
            self.watch(node)
            return
        one.account.limit = count
        with suppress(Unavailable):
            one.decisions.step()
        one.account.limit = 10**9

    def answer_through(self, node: str, gate: Callable[[], object]) -> None:
        """Take what a node has asked to the database, through a gate."""
        one = self.nodes[node]
        one.account.gate = gate
        with suppress(Unavailable):
            one.decisions.step()
        one.account.gate = lambda: None

    def watch(self, node: str) -> None:
        """Have a node look at the runs of others, if it leads."""
        one = self.nodes[node]
        rows, lines = one.decisions.rows, one.lines
        with suppress(Fenced):
            OtherRuns(one.account, lambda: one.term, rows, lambda: True, lambda _: None, lines.append).step()

    def is_fenced(self, node: str) -> bool:
        """Return whether another service leads."""
        one = self.nodes[node]
        return one.term is None or self.place.perform(lease_rows.look()).term != one.term

    def at_work(self) -> set[str]:
        """Return the ids of all runs at work."""
        return {row.run_id for row in self.place.perform(records.open_rows()) if row.state == "running"}

    def to_stop(self) -> set[str]:
        """Return the ids of the runs that were asked to end."""
        return set(self.place.connection.execute(select(RUNS.c.run_id).where(RUNS.c.stop.is_not(None))).scalars())

    def records(self) -> list[Record]:
        """Return the final records."""
        jobs = list(self.place.connection.execute(select(RUNS.c.job_id).distinct()).scalars())
        return [row.record for row in self.place.records_of(*jobs)]

    def close(self) -> None:
        """Close all connections."""
        for one in self.nodes.values():
            one.account.close()


def lost_after(gates: int) -> Callable[[], None]:
    """Return a gate that lets so much pass: first a statement, then its answer, and so on."""
    passed = iter(range(gates))

    def gate() -> None:
        if next(passed, None) is None:
            raise Unavailable("the database is away")

    return gate


@contextmanager
def emptied(place: ClusterPlace) -> Iterator[DatabaseStore]:
    """Return the store of a database without a row."""
    place.empty()
    store = DatabaseStore(place)
    yield store
    store.close()


def _successor(identity: Identity) -> Identity:
    return Identity(identity.node, identity.role, identity.queue, "successor")
