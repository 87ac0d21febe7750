"""The place of a service among the nodes of a cluster: taken at its start, kept by its beats, given back at its end.

Only with its place a service takes the lease. What a former instance of this name has left is ended first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TypeVar

from sqlalchemy import ColumnElement, and_, select

from jobscheduler.cluster import attempts, nodes, verdicts
from jobscheduler.cluster.identity import is_process_gone, take_identity, this_process
from jobscheduler.cluster.jitter_seed import read_seed
from jobscheduler.cluster.job_state import read_state
from jobscheduler.cluster.nodes import Loaded, NodeRow, Population
from jobscheduler.cluster.schema import check_version
from jobscheduler.cluster.steps import Steps, perform
from jobscheduler.cluster.tables import RUNS
from jobscheduler.cluster.values import AccountRow, Attempt, Identity, Key, Outcome, State
from jobscheduler.database.cached_connection import CachedConnection
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable

INTERRUPTED = "interrupted"  # the reason of runs that a former instance has left

NO_OUTCOMES: Mapping[Attempt, Outcome] = MappingProxyType({})

T = TypeVar("T")

FORGET_AFTER = 100.0  # `lost-after`, until a silent node is forgotten


class Membership:
    """The place of one node, on a connection of its own. Thread: one.

    Raises:
        Unavailable: any method, when the database cannot be used.

    """

    def __init__(self, database: Database, identity: Identity, lost_after: float) -> None:
        self._dialect = database.kind
        self._connection = CachedConnection(database, database.polling, check=check_version)
        self._identity = identity
        self._lost_after = lost_after

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        self._connection.drop()

    def join(
        self, end_processes: Callable[[Iterable[str]], object], kept: Mapping[Attempt, Outcome] = NO_OUTCOMES
    ) -> frozenset[Key]:
        """Take the place, and close the runs of a former instance. `end_processes` ends what is left of these.

        `kept` are outcomes that this one could not write. Return which of these count: the others were judged since.

        Raises:
            IdentityInUse: another service has the place, and lives.

        """
        take_identity(self._identity, this_process(), self._register, is_process_gone)
        count = self._perform(attempts.finish(self._dialect, kept)) if kept else frozenset()
        left = [row.run_id for row in self._perform(verdicts.unfinished()) if self._is_left(row)]
        if left:
            end_processes(left)
        self._perform(attempts.close_former(self._identity, INTERRUPTED))
        return count

    def beat(self, loaded: Loaded) -> Population:
        """Say that this instance lives, and what it has loaded; return what the database knows of all nodes.

        An instance that has lost its place is not among them.
        """
        return self._perform(nodes.beat_node(self._identity, loaded, FORGET_AFTER * self._lost_after))

    def at_work_elsewhere(self) -> frozenset[str]:
        """Return the ids of the runs that are at work on other nodes."""
        is_elsewhere = and_(RUNS.c.state == State.RUNNING.value, RUNS.c.instance != self._identity.instance)
        return self._perform(_run_ids(is_elsewhere))

    def hashes_of_leader(self) -> Mapping[str, str]:
        """Return the hash of the definition of each job that the leader has."""
        return self._perform(read_state()).hashes

    def seed(self) -> str | None:
        """Return the text that seeds `jitter` on all nodes."""
        return self._perform(read_seed())

    def leave(self) -> None:
        """Give the place back."""
        self._perform(nodes.leave(self._identity))

    def _is_left(self, row: AccountRow) -> bool:
        is_former = row.node == self._identity.node and row.instance != self._identity.instance
        return is_former and row.state is State.RUNNING

    def _register(self, former: str | None) -> NodeRow:
        steps = nodes.register(self._dialect, self._identity, this_process(), self._lost_after, former=former)
        return self._perform(steps)

    def _perform(self, steps: Steps[T]) -> T:
        try:
            return perform(self._connection.get(), steps)
        except Unavailable:
            self._connection.drop()
            raise


def _run_ids(condition: ColumnElement[bool]) -> Steps[frozenset[str]]:
    rows = yield select(RUNS.c.run_id).where(condition)
    return frozenset(run_id for (run_id,) in rows)
