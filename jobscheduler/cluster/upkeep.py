"""Removes what is older than it is kept, a little at a time: a chore of the leader that needs no person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from jobscheduler.cluster import retention
from jobscheduler.cluster.account import Account
from jobscheduler.cluster.slots import slot_text
from jobscheduler.cluster.values import Term

INTERVAL_S = 10.0  # seconds from one step to the next

MAX_SPELL_S = 0.2  # seconds that a step may take: claims wait for it

_REST_S = 3600.0  # seconds to the next look when nothing is left to remove


class Upkeep:
    """Removes old rows. Call `step` each `INTERVAL_S` on the thread of the account."""

    def __init__(
        self,
        account: Account,
        term: Callable[[], Term | None],
        keep_runs: float,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        """`keep_runs` is how many seconds rows are kept; `now` is the clock of the host, by which slots have passed."""
        self._account = account
        self._term = term
        self._keep_runs = keep_runs
        self._now = now
        self._monotonic = monotonic
        self._next_at = 0.0

    def step(self) -> None:
        """Remove some rows, on the leader.

        Raises:
            Unavailable: the database cannot be used.
            Fenced: this node does not lead any more.

        """
        account, term, began = self._account, self._term(), self._monotonic()
        if term is None or began < self._next_at:
            return
        passed = slot_text((self._now() - timedelta(seconds=self._keep_runs)).replace(microsecond=0))
        while account.perform(retention.remove_old_runs, account.dialect, term, self._keep_runs, passed):
            if self._monotonic() - began >= MAX_SPELL_S:
                return
        account.perform(retention.remove_old_requests, term, self._keep_runs)
        self._next_at = began + _REST_S
