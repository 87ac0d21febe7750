"""The thread that keeps the lease: it asks the questions of `Standing` on a connection of its own.

Its connection waits only `ANSWER_LIMIT_S` for an answer, so that another renewal can be tried in time. Whether this
node leads is asked of the value and the clock, and so never depends on this thread being alive.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Self

from jobscheduler.cluster import lease_rows
from jobscheduler.cluster.lease import LeaseTimes, Question, Standing
from jobscheduler.cluster.lease_rows import LeaseRow
from jobscheduler.cluster.node_health import NodeLoop
from jobscheduler.cluster.schema import check_version
from jobscheduler.cluster.steps import Steps, perform
from jobscheduler.cluster.values import Term
from jobscheduler.database.cached_connection import CachedConnection
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.database.limits import Limits
from jobscheduler.util.instants import utc_now
from jobscheduler.util.text import format_error

ANSWER_LIMIT_S = 2  # seconds for each answer to the thread of the lease, and to connect

_IDLE_S = 3600.0  # seconds to wait when there is nothing to ask


def lease_database(url: str) -> Database:
    """Return the database as the thread of the lease uses it.

    Raises:
        DatabaseConfigError: as `Database`.

    """
    return Database(url, Limits(ANSWER_LIMIT_S, ANSWER_LIMIT_S, "READ COMMITTED"))


class LeaseThread:
    """Takes the lease when it is free, renews it, and gives it back at the end. A context manager.

    `on_change` is called on this thread with the standing before and after an answer; it must not wait.
    """

    def __init__(
        self,
        database: Database,
        node: str,
        instance: str,
        lease: float,
        *,
        settled: Callable[[Term], str | None] = lambda _: None,
        on_change: Callable[[Standing, Standing, Unavailable | None], object] = lambda *_: None,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`lease` is its length in seconds; `settled` returns the slot up to which all are decided in a term.

        It returns None until the leader of that term has accounted for the gap before it: what a former one has left
        undecided would else be lost.

        `monotonic` is a clock that is never set, `now` the clock of the host.
        """
        self._node = node
        self._settled = settled
        self._on_change = on_change
        self._monotonic = monotonic
        self._now = now
        self._connection = CachedConnection(database, database.polling, check=check_version)
        self._standing = Standing(instance, LeaseTimes(lease), monotonic())
        self._closing = threading.Event()
        self.loop = NodeLoop("lease", self._run, self._closing.is_set)

    @property
    def standing(self) -> Standing:
        """How this node stands to the lease. Thread: any."""
        return self._standing

    def term(self) -> Term | None:
        """Return the term for which this node leads now, None if it does not. Thread: any."""
        return self._standing.term_at(self._monotonic())

    def __enter__(self) -> Self:
        self.loop.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.hand_over()
        self.loop.join(2 * ANSWER_LIMIT_S)

    def hand_over(self) -> None:
        """Give the lease back, and take none again. Waits for nothing. Thread: any."""
        self._closing.set()

    def _run(self) -> None:
        while not self._closing.is_set():
            self.loop.turn.begin()
            self.step()
            self.loop.turn.end()
            self._closing.wait(max(0.0, min(_IDLE_S, self._standing.next_at - self._monotonic())))
        self._standing = self._standing.closing()
        self.step()
        self._connection.drop()

    def step(self) -> None:
        """Ask the database what is to be asked now, if anything."""
        question = self._standing.question(self._monotonic())
        if question is None:
            return
        before = self._standing
        failure: Unavailable | None = None
        try:
            self._standing = self._ask(question)
        except Unavailable as reason:
            failure = reason
        except Exception as error:  # a fault of ours, or of a driver: another node may have better luck
            failure = Unavailable(format_error(error))
        if failure is not None:
            self._connection.drop()
            self._standing = before.failed(self._monotonic())
        with suppress(Exception):  # an observer that fails must not end the lease
            self._on_change(before, self._standing, failure)

    def _ask(self, question: Question) -> Standing:
        sent_at, sent = self._monotonic(), self._now()
        row = perform(self._connection.get(), self._steps(question))
        answered_at = self._monotonic()
        ahead = 0.0 if row.at is None else (sent - row.at).total_seconds()
        skew = least_skew(ahead, ahead + answered_at - sent_at)
        is_renewed = question in {Question.TAKE, Question.RENEW}
        return self._standing.answered(sent_at, row, answered_at, skew, is_renewed=is_renewed)

    def _steps(self, question: Question) -> Steps[LeaseRow]:
        standing = self._standing
        if question is Question.TAKE:
            return lease_rows.take(self._node, standing.instance, standing.times.lease)
        if question is Question.LOOK or standing.term is None:
            return lease_rows.look()
        if question is Question.RENEW:
            return lease_rows.renew(standing.term, standing.times.lease, self._settled(standing.term))
        return lease_rows.release(standing.term, self._settled(standing.term))


def least_skew(least: float, most: float) -> float:
    """Return how far a clock is ahead, in seconds, when it is known to be between two values: the one nearest zero."""
    return 0.0 if least <= 0.0 <= most else min(least, most, key=abs)
