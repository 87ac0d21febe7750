"""The account of slots in the database: a row for each slot, from its claim to its one final status.

Its requests are functions that yield single statements, in the modules of what they are about: `claims`, `attempts`,
`verdicts`, `records`, `job_state`, `retention`. Each can be repeated after `Unavailable`, which leaves unknown whether
it was done: a repetition finds out, and changes nothing twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from jobscheduler.cluster.schema import check_version
from jobscheduler.cluster.steps import Steps, perform
from jobscheduler.database.cached_connection import CachedConnection
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable

MAX_TRIES = 5  # tries of a request that conflicts with those of others

_PAUSE_S = 0.02  # before the second try, at most; each further pause may be twice as long

P = ParamSpec("P")
T = TypeVar("T")


class Account:
    """Performs requests to the account, on a connection of its own. `dialect` is the kind of its database.

    Thread: one.
    """

    def __init__(self, database: Database, sleep: Callable[[float], object] = time.sleep) -> None:
        self.dialect = database.kind
        self._connection = CachedConnection(database, database.polling, check=check_version)
        self._sleep = sleep

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        self._connection.drop()

    def perform(self, request: Callable[P, Steps[T]], *args: P.args, **more: P.kwargs) -> T:
        """Perform a request, given its arguments; repeat it while only the transactions of others are in its way.

        Raises:
            Unavailable: the database cannot be used.
            Fenced: the request is of a term that is over.

        """
        for number in range(MAX_TRIES):
            try:
                return perform(self._connection.get(), request(*args, **more))
            except Unavailable as reason:
                self._connection.drop()
                if not reason.retryable or number == MAX_TRIES - 1:
                    raise
            self._sleep(random.uniform(0, _PAUSE_S * 2**number))  # noqa: S311 - so that two do not meet again
        raise AssertionError("the last try returns or raises")
