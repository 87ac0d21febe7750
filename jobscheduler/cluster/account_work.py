"""Takes what a service decides about slots to the account, and says what came of each decision.

1. There is a queue for each kind of decision. Any thread fills them; one takes what waits to the account, in `step`.
2. A begin or an outcome needs no lease, and is tried until the database answers: the row tells whether it counts.
3. For one slot each step is queued when the one before it was answered, so their order stands.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from jobscheduler.cluster import attempts, verdicts
from jobscheduler.cluster.account import Account
from jobscheduler.cluster.claim_queue import ClaimQueue
from jobscheduler.cluster.decision_queue import DecisionQueue
from jobscheduler.cluster.unsent import UnsentOutcomes
from jobscheduler.cluster.values import AccountRow, Attempt, Fenced, Identity, Outcome, Term


class OutcomeQueue:
    """The outcomes of attempts that wait for the account; `unsent` knows them until it has them."""

    def __init__(self, account: Account, unsent: UnsentOutcomes, wake: threading.Event) -> None:
        """`wake` is set when an outcome is queued."""
        self._account = account
        self._unsent = unsent
        self._queue: DecisionQueue[tuple[Attempt, Outcome], bool] = DecisionQueue(wake, self._finish)

    def put(self, attempt: Attempt, outcome: Outcome, then: Callable[[bool], object]) -> None:
        """Queue the outcome of an attempt; `then` gets whether it counts. Thread: any."""
        self._unsent.add(attempt, outcome)

        def answered(counts: bool) -> None:
            self._unsent.taken(attempt)
            then(counts)

        self._queue.put((attempt, outcome), answered)

    def step(self) -> None:
        """Take the outcomes to the account.

        Raises:
            Unavailable: the database cannot be used. The outcomes still wait.

        """
        self._queue.step()

    def _finish(self, ended: list[tuple[Attempt, Outcome]]) -> list[bool]:
        counted = self._account.perform(attempts.finish, self._account.dialect, dict(ended))
        return [attempt.key in counted for attempt, _ in ended]


class AccountWork:
    """What waits for the account about slots, by its kind.

    `claims` are those of slots. `begins` has attempts that want to begin, and answers whether they may. `outcomes` are
    those of attempts. `records` has rows of runs whose record is in the log, and answers whether they are final.
    `waiting` is set while something waits.

    Thread: one for `step`; any to queue. The functions are called on the thread of `step`, and must not wait.
    """

    def __init__(
        self,
        account: Account,
        identity: Identity,
        term: Callable[[], Term | None],
        accounted: Callable[[], Term | None],
        new_run_id: Callable[[], str],
        unsent: UnsentOutcomes,
    ) -> None:
        """`term` returns the term for which this node leads now, `accounted` only once it knows how the jobs stand."""
        self._account = account
        self._identity = identity
        self._accounted = accounted
        self.waiting = threading.Event()
        self.claims = ClaimQueue(account, term, new_run_id, self.waiting)
        self.begins: DecisionQueue[Attempt, bool] = DecisionQueue(self.waiting, self._begin)
        self.outcomes = OutcomeQueue(account, unsent, self.waiting)
        self.records: DecisionQueue[AccountRow, bool] = DecisionQueue(self.waiting, self._record)

    def step(self) -> None:
        """Take all that waits to the account.

        Raises:
            Unavailable: the database cannot be used. What waits still waits, except for claims of a term that is over.

        """
        self.waiting.clear()
        self.claims.give_up_former()
        for queue in (self.outcomes, self.claims, self.begins, self.records):
            queue.step()

    def _begin(self, wanted: list[Attempt]) -> list[bool]:
        begun = self._account.perform(attempts.begin, self._account.dialect, self._identity, wanted)
        return [attempt.key in begun for attempt in wanted]

    def _record(self, rows: list[AccountRow]) -> list[bool]:
        term = self._accounted()  # before, the row is left to `OtherRuns`, so that the standing of its job has it
        if term is None:
            return [False] * len(rows)
        try:
            final = self._account.perform(verdicts.record, self._account.dialect, term, rows)
        except Fenced:
            return [False] * len(rows)
        return [row.key in final for row in rows]
