"""The claims of slots on their way to the account, and up to where slots count as settled.

1. A claim needs the lease. Without it, or with another term than before, the claim is given up: its slot is decided
   anew by the leader that accounts for the gap. Nothing is lost, because nothing has begun.
2. Slots count as settled only up to the first one whose claim is not answered: what the lease calls settled has a row.
   The slot of a claim that was given up stays open, until this service accounts for the time since then anew.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from jobscheduler.cluster.account import Account
from jobscheduler.cluster.claiming import AnsweredClaim, claim_slots
from jobscheduler.cluster.decision_queue import DecisionQueue
from jobscheduler.cluster.slots import slot_instant
from jobscheduler.cluster.values import Claim, Fenced, Term

_TICK = timedelta(milliseconds=1)  # slots differ by no less

Answer = Callable[[AnsweredClaim | None], object]  # gets what became of a claim; None if it was given up


class OpenSlots:
    """The slots whose claims are queued, on their way or given up. `lacks_any`: some were given up. Thread: any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: Counter[datetime] = Counter()
        self.lacks_any = False

    def add(self, claim: Claim) -> None:
        """Note a claim that is queued; a run by hand has no slot."""
        self._count(claim, 1)

    def give_up(self, claim: Claim) -> None:
        """Note a claim that is given up at once."""
        self._count(claim, 1)
        self.lacks_any = True

    def closing(self, claim: Claim, then: Answer) -> Answer:
        """Return a function that notes that a claim was answered, after `then`; None: that it was given up."""

        def close(fate: AnsweredClaim | None) -> None:
            then(fate)
            if fate is None:
                self.lacks_any = True
            else:
                self._count(claim, -1)

        return close

    def first(self) -> datetime | None:
        """Return the earliest of these slots, None if there is none."""
        with self._lock:
            return min(self._slots, default=None)

    def _count(self, claim: Claim, by: int) -> None:
        slot = slot_instant(claim.slot)
        if slot is None:
            return
        with self._lock:
            self._slots[slot] += by
            if not self._slots[slot]:
                del self._slots[slot]


class ClaimQueue:
    """The claims that wait for the account, each of the term in which it was decided.

    Thread: one for `give_up_former` and `step`; any for the others.
    """

    def __init__(
        self,
        account: Account,
        term: Callable[[], Term | None],
        new_run_id: Callable[[], str],
        wake: threading.Event,
    ) -> None:
        """`term` returns the term for which this node leads now; `wake` is set when a claim is queued."""
        self._account = account
        self._term = term
        self._new_run_id = new_run_id
        self._open = OpenSlots()
        self._queue: DecisionQueue[tuple[Term, Claim], AnsweredClaim | None] = DecisionQueue(wake, self._claim)

    def put(self, claim: Claim, then: Answer) -> bool:
        """Queue a claim for the present term; return False if this node does not lead.

        `then` gets the claim, whose run id may have changed, with what came of it; None if it was given up.
        """
        term, open_ = self._term(), self._open
        if term is None:
            open_.give_up(claim)
            return False
        open_.add(claim)
        self._queue.put((term, claim), open_.closing(claim, then))
        return True

    @property
    def lacks_any(self) -> bool:
        """Whether claims were given up since `begin_anew`: this service has to account for their slots anew."""
        return self._open.lacks_any

    def begin_anew(self) -> None:
        """Forget the claims that were given up. Call it while no slot is decided, before they are decided anew."""
        self._open = OpenSlots()

    def settled(self, until: datetime) -> datetime:
        """Return up to when every slot has its row, given until when every slot is decided.

        Lock: call it under the one under which slots are decided and claims are queued, or one may be in between.
        """
        first = self._open.first()
        return until if first is None else min(until, first - _TICK)

    def give_up_former(self) -> None:
        """Give up the claims of a term that is over by this node's own clock."""
        term = self._term()
        for item in self._queue.remove(lambda claim: claim[0] != term):
            item.then(None)

    def step(self) -> None:
        """Take the claims to the account.

        Raises:
            Unavailable: the database cannot be used. The claims still wait.

        """
        self._queue.step()

    def _claim(self, wanted: list[tuple[Term, Claim]]) -> list[AnsweredClaim | None]:
        """Claim what was decided in the latest term. That may have begun just now: the rest is given up."""
        latest = max((term for term, _ in wanted), key=lambda term: term.number)
        claims = [claim for term, claim in wanted if term == latest]
        try:
            fates = iter(claim_slots(self._account, latest, claims, self._new_run_id))
        except Fenced:
            return [None] * len(wanted)
        return [next(fates) if term == latest else None for term, _ in wanted]
