"""Which node a service is: its options, and what it is in the database."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jobscheduler.cluster.values import Attempt, Identity, Outcome
from jobscheduler.database.engine import Database
from jobscheduler.database.limits import Limits

ROLE = "scheduler"  # of a service among the nodes; workers have another one

QUEUE = "local"  # that of the workers of a service itself

ANSWER_LIMIT_S = 5  # seconds for each answer to the threads of the account and of the node


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What the settings say of a node. Times are in seconds; `slots` is how many runs it takes at once."""

    name: str
    lease: float
    lost_after: float
    keep_runs: float
    slots: int


@dataclass(frozen=True, slots=True)
class FormerInstance:
    """What the log of this node says of the services that were it before.

    `unsent` are outcomes that they could not write into the account. `knows_boot`: one of them ran in this boot of the
    host.
    """

    unsent: Mapping[Attempt, Outcome] = field(default_factory=dict)
    knows_boot: bool = False


@dataclass(frozen=True, slots=True)
class ThisNode:
    """This service among the nodes. `monotonic` is the clock of its threads, which is never set."""

    options: NodeOptions
    identity: Identity
    database: Database
    monotonic: Callable[[], float] = field(default=time.monotonic)

    @property
    def name(self) -> str:
        """The name that no other node has."""
        return self.options.name


def this_node(url: str, options: NodeOptions, monotonic: Callable[[], float] = time.monotonic) -> ThisNode:
    """Return a service as a node that has not joined yet.

    Raises:
        DatabaseConfigError: the URL cannot be used.

    """
    identity = Identity(options.name, ROLE, QUEUE, secrets.token_hex(8))
    database = Database(url, Limits(ANSWER_LIMIT_S, ANSWER_LIMIT_S, "READ COMMITTED"))
    return ThisNode(options, identity, database, monotonic)
