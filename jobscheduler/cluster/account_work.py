"""Takes what a service decides to the account, many decisions with one statement, and says what came of each.

1. Decisions are queued by any thread and taken by one, which is the only one that waits for the database.
2. A claim needs the lease. Without it, or with another term than before, the claim is given up: its slot is decided
   anew by the leader that accounts for the gap. Nothing is lost, because nothing has begun.
3. A begin or an outcome needs no lease, and is tried until the database answers: the row tells whether it counts.
4. For one slot each step is queued when the one before it was answered, so their order stands.
5. Slots count as settled only up to the first one whose claim is not answered: what the lease calls settled has a row.
   The slot of a claim that was given up stays open, until this service accounts for the time since then anew.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from jobscheduler.cluster import attempts, verdicts
from jobscheduler.cluster.account import Account
from jobscheduler.cluster.claiming import claim_slots
from jobscheduler.cluster.slots import slot_instant
from jobscheduler.cluster.unsent import UnsentOutcomes
from jobscheduler.cluster.values import AccountRow, Attempt, Claim, Fenced, Identity, Key, Outcome, Term, Won
from jobscheduler.database.errors import Unavailable

_TICK = timedelta(milliseconds=1)  # slots differ by no less

MAX_AT_ONCE = 1000  # begins, outcomes or records in one statement

T = TypeVar("T")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class _Item(Generic[T, A]):
    """One decision, and the function that gets what came of it."""

    what: T
    then: Callable[[A], object]


class _Queue(Generic[T, A]):
    """Decisions of one kind that wait. Thread: any."""

    def __init__(self, wake: threading.Event) -> None:
        self._lock = threading.Lock()
        self._items: list[_Item[T, A]] = []
        self._wake = wake

    def put(self, what: T, then: Callable[[A], object]) -> None:
        """Add a decision, and wake the thread that takes it."""
        with self._lock:
            self._items.append(_Item(what, then))
        self._wake.set()

    def take(self) -> list[_Item[T, A]]:
        """Take all."""
        with self._lock:
            items, self._items = self._items, []
        return items

    def put_back(self, items: Sequence[_Item[T, A]]) -> None:
        """Add decisions that could not be taken to the account yet, before all later ones."""
        with self._lock:
            self._items[:0] = items


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

    def closing(self, claim: Claim, then: Callable[[A | None], object]) -> Callable[[A | None], object]:
        """Return a function that notes that a claim was answered, after `then`; None: that it was given up."""

        def close(answer: A | None) -> None:
            then(answer)
            if answer is None:
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


class AccountWork:
    """The decisions that wait for the account. `step` takes them there; `unsent` are the outcomes among them.

    Thread: one for `step`; any for the others. The functions are called on the thread of `step`, and must not wait.
    """

    def __init__(
        self,
        account: Account,
        identity: Identity,
        term: Callable[[], Term | None],
        new_run_id: Callable[[], str],
        *,
        accounted: Callable[[], Term | None] | None = None,
    ) -> None:
        """`term` returns the term for which this node leads now, `accounted` only once it knows how the jobs stand."""
        self._account = account
        self._identity = identity
        self._term = term
        self._accounted = accounted or term
        self._new_run_id = new_run_id
        self.waiting = threading.Event()
        self._claims: _Queue[tuple[Term, Claim], tuple[Claim, Won] | None] = _Queue(self.waiting)
        self._open = OpenSlots()
        self._begins: _Queue[Attempt, bool] = _Queue(self.waiting)
        self._ends: _Queue[tuple[Attempt, Outcome], bool] = _Queue(self.waiting)
        self._records: _Queue[AccountRow, bool] = _Queue(self.waiting)
        self.unsent = UnsentOutcomes()

    def claim(self, claim: Claim, then: Callable[[tuple[Claim, Won] | None], object]) -> bool:
        """Queue a claim for the present term; return False if this node does not lead.

        `then` gets the claim, whose run id may have changed, with what came of it; None if it was given up.
        """
        term, open_ = self._term(), self._open
        if term is None:
            open_.give_up(claim)
            return False
        open_.add(claim)
        self._claims.put((term, claim), open_.closing(claim, then))
        return True

    @property
    def lacks_claims(self) -> bool:
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

    def begin(self, attempt: Attempt, then: Callable[[bool], object]) -> None:
        """Queue the begin of an attempt; `then` gets whether it may be started."""
        self._begins.put(attempt, then)

    def finish(self, attempt: Attempt, outcome: Outcome, then: Callable[[bool], object]) -> None:
        """Queue the outcome of an attempt; `then` gets whether it counts."""
        self.unsent.add(attempt, outcome)

        def answered(counts: bool) -> None:
            self.unsent.taken(attempt)
            then(counts)

        self._ends.put((attempt, outcome), answered)

    def record(self, row: AccountRow, then: Callable[[bool], object]) -> None:
        """Queue a run that has ended and has its line in the log; `then` gets whether its row is final."""
        self._records.put(row, then)

    def step(self) -> None:
        """Take all that waits to the account.

        Raises:
            Unavailable: the database cannot be used. What waits still waits, except for claims of a term that is over.

        """
        self.waiting.clear()
        self._give_up_claims()
        self._do(self._ends, self._finish)
        self._do(self._claims, self._claim)
        self._do(self._begins, self._begin)
        self._do(self._records, self._record)

    def _do(self, queue: _Queue[T, A], ask: Callable[[list[T]], list[A]]) -> None:
        """Take the decisions of one kind to the account, and tell what came of them."""
        items = queue.take()
        while items:
            batch = items[:MAX_AT_ONCE]
            try:
                answers = ask([item.what for item in batch])
            except Unavailable:
                queue.put_back(items)
                raise
            del items[:MAX_AT_ONCE]
            for item, answer in zip(batch, answers, strict=True):
                item.then(answer)

    def _give_up_claims(self) -> None:
        """Give up the claims of a term that is over by this node's own clock."""
        term, items = self._term(), self._claims.take()
        self._claims.put_back([item for item in items if item.what[0] == term])
        for item in items:
            if item.what[0] != term:
                item.then(None)

    def _claim(self, wanted: list[tuple[Term, Claim]]) -> list[tuple[Claim, Won] | None]:
        """Claim what was decided in the latest term. That may have begun just now: the rest is given up."""
        latest = max((term for term, _ in wanted), key=lambda term: term.number)
        claims = [claim for term, claim in wanted if term == latest]
        try:
            fates = iter(claim_slots(self._account, latest, claims, self._new_run_id))
        except Fenced:
            return [None] * len(wanted)
        return [next(fates) if term == latest else None for term, _ in wanted]

    def _begin(self, wanted: list[Attempt]) -> list[bool]:
        begun = self._account.perform(attempts.begin, self._account.dialect, self._identity, wanted)
        return [attempt.key in begun for attempt in wanted]

    def _finish(self, ended: list[tuple[Attempt, Outcome]]) -> list[bool]:
        counted = self._account.perform(attempts.finish, self._account.dialect, dict(ended))
        return [attempt.key in counted for attempt, _ in ended]

    def _record(self, rows: list[AccountRow]) -> list[bool]:
        term = self._accounted()  # before, the row is left to `OtherRuns`, so that the standing of its job has it
        final: frozenset[Key] = frozenset()
        if term is not None:
            try:
                final = self._account.perform(verdicts.record, self._account.dialect, term, rows)
            except Fenced:
                final = frozenset()
        return [row.key in final for row in rows]
