"""The place of a service among the nodes of a cluster: taken at its start, kept by its beats, given back at its end.

Only with its place a service takes the lease. What a former instance of this name has left is ended first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from jobscheduler.cluster import attempts, nodes, verdicts
from jobscheduler.cluster.account import Account
from jobscheduler.cluster.identity import is_process_gone, take_identity, this_process
from jobscheduler.cluster.jitter_seed import read_seed
from jobscheduler.cluster.job_state import read_state
from jobscheduler.cluster.nodes import Loaded, NodeRow, Population
from jobscheduler.cluster.values import AccountRow, Attempt, Identity, Key, Outcome, State
from jobscheduler.database.engine import Database

INTERRUPTED = "interrupted"  # the reason of runs that a former instance has left

NO_OUTCOMES: Mapping[Attempt, Outcome] = MappingProxyType({})

FORGET_AFTER = 100.0  # `lost-after`, until a silent node is forgotten


class Membership:
    """The place of one node, asked for on a connection of its own. Thread: one.

    Raises:
        Unavailable: any method, when the database cannot be used.

    """

    def __init__(self, database: Database, identity: Identity, lost_after: float) -> None:
        self._account = Account(database)
        self._identity = identity
        self._lost_after = lost_after

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        self._account.close()

    def join(
        self, end_processes: Callable[[Iterable[str]], object], kept: Mapping[Attempt, Outcome] = NO_OUTCOMES
    ) -> frozenset[Key]:
        """Take the place, and close the runs of a former instance. `end_processes` ends what is left of these.

        `kept` are outcomes that this one could not write. Return which of these count: the others were judged since.

        Raises:
            IdentityInUse: another service has the place, and lives.

        """
        take_identity(self._identity, this_process(), self._register, is_process_gone)
        account = self._account
        count = account.perform(attempts.finish, account.dialect, kept) if kept else frozenset()
        left = [row.run_id for row in account.perform(verdicts.unfinished) if self._is_left(row)]
        if left:
            end_processes(left)
        account.perform(attempts.close_former, self._identity, INTERRUPTED)
        return count

    def beat(self, loaded: Loaded) -> Population:
        """Say that this instance lives, and what it has loaded; return what the database knows of all nodes.

        An instance that has lost its place is not among them.
        """
        return self._account.perform(nodes.beat_node, self._identity, loaded, FORGET_AFTER * self._lost_after)

    def hashes_of_leader(self) -> Mapping[str, str]:
        """Return the hash of the definition of each job that the leader has."""
        return self._account.perform(read_state).hashes

    def seed(self) -> str | None:
        """Return the text that seeds `jitter` on all nodes."""
        return self._account.perform(read_seed)

    def leave(self) -> None:
        """Give the place back."""
        self._account.perform(nodes.leave, self._identity)

    def _is_left(self, row: AccountRow) -> bool:
        is_former = row.node == self._identity.node and row.instance != self._identity.instance
        return is_former and row.state is State.RUNNING

    def _register(self, former: str | None) -> NodeRow:
        account = self._account
        return account.perform(
            nodes.register, account.dialect, self._identity, this_process(), self._lost_after, former=former
        )
