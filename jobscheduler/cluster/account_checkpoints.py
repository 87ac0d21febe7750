"""The checkpoints of a leader in the account, and up to where its lease may call slots settled.

1. A checkpoint is written after the decisions before it, so its slots have their rows. It is given up when a claim was,
   or when this node leads anew: then it no longer says the truth.
2. The lease says a slot of a checkpoint that is written, and never one whose claim is not answered.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from jobscheduler.cluster.account_requests import AccountRequests
from jobscheduler.cluster.claim_queue import ClaimQueue
from jobscheduler.cluster.slots import slot_text
from jobscheduler.cluster.values import Term
from jobscheduler.model import Checkpoint


class AccountCheckpoints:
    """The checkpoints of one node. Thread: any; `begin_anew` while no slot is decided."""

    def __init__(
        self,
        requests: AccountRequests,
        claims: ClaimQueue,
        term: Callable[[], Term | None],
        now: Callable[[], datetime],
        knows_jobs: Callable[[], bool],
    ) -> None:
        """`term` returns that for which the scheduler decides; `knows_jobs` whether every source of jobs was read once.

        Before that the slots of some jobs are not decided, and a checkpoint would have the next leader take them for
        decided.
        """
        self._requests = requests
        self._claims = claims
        self._term = term
        self._now = now
        self._knows_jobs = knows_jobs
        self._written: tuple[Term, datetime] | None = None
        self._times_led = 0

    def begin_anew(self) -> None:
        """Forget what was written: slots of claims that were given up are decided anew."""
        self._written = None
        self._times_led += 1

    def write(self, checkpoint: Checkpoint) -> None:
        """Have a checkpoint written, on the leader."""
        term, times_led = self._term(), self._times_led
        if term is None or not self._knows_jobs():
            return
        settled = min([checkpoint.settled, *(cursor for _, cursor in checkpoint.lagging)])

        def counts() -> bool:
            return times_led == self._times_led and not self._claims.lacks_any

        def note() -> None:
            self._written = term, settled

        self._requests.write_checkpoint(term, checkpoint, self._now(), counts, note)

    def settled(self, term: Term) -> str | None:
        """Return the slot up to which all are decided in a term and have their rows; None if that is not known yet.

        Thread: any; that of the lease.
        """
        written = self._written
        if written is None or written[0] != term:
            return None
        return slot_text(self._claims.settled(written[1]))
