"""What one node decides, and how its runs end: on its way from the scheduler to the account.

1. The scheduler hands it to `accounting`, which queues it. One thread takes it to the database in `step`.
2. Of what waits when a step begins, the decisions about slots come first. So a checkpoint is written only when the
   slots that were decided before it have their rows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from jobscheduler.cluster.account import Account
from jobscheduler.cluster.account_checkpoints import AccountCheckpoints
from jobscheduler.cluster.account_requests import AccountRequests
from jobscheduler.cluster.account_work import AccountWork
from jobscheduler.cluster.accounting import ClusterAccounting
from jobscheduler.cluster.leading_term import LeadingTerm
from jobscheduler.cluster.record_lines import RecordLines
from jobscheduler.cluster.run_rows import RunRows
from jobscheduler.cluster.unsent import UnsentOutcomes
from jobscheduler.cluster.values import Identity, Term
from jobscheduler.runner import new_run_id
from jobscheduler.scheduler import LogAccounting


class Decisions:
    """The decisions of a node. `rows` are those of its runs, `term` is the one for which it decides.

    Thread: one for `step`; any for the others, of which only `wait_taken` waits.
    """

    def __init__(
        self,
        account: Account,
        identity: Identity,
        term: LeadingTerm,
        log: LogAccounting,
        now: Callable[[], datetime],
        new_id: Callable[[], str] = new_run_id,
        *,
        knows_jobs: Callable[[], bool] = lambda: True,
    ) -> None:
        """`log` is that of this node, `now` the clock of the host; for `knows_jobs` see `AccountCheckpoints`."""
        self.term = term
        self._unsent = UnsentOutcomes(log.note, now)
        self._work = AccountWork(account, identity, term, term.accounted, new_id, self._unsent)
        self._requests = AccountRequests(account, self._work.waiting)
        self._checkpoints = AccountCheckpoints(self._requests, self._work.claims, term, now, knows_jobs)
        lines = RecordLines(log, identity, term, now)
        self.rows = RunRows(self._work, self._requests, term, new_id, lines.write, identity.queue)
        self.accounting = ClusterAccounting(self.rows, self._requests, self._checkpoints, term, log)

    @property
    def waiting(self) -> threading.Event:
        """Set while something waits for `step`."""
        return self._work.waiting

    def step(self) -> None:
        """Take all that waits to the account.

        Raises:
            Unavailable: the database cannot be used. What waits still waits, except for claims of a term that is over.

        """
        count = self._requests.count()  # what is asked during this step may belong to slots that it does not take
        self._work.step()
        self._requests.step(count)

    def wait_taken(self, seconds: float) -> bool:
        """Wait until the account has all that waits now, at most so many seconds; return whether it has."""
        taken = threading.Event()
        self._requests.call(taken.set)
        return taken.wait(seconds)

    def keep_unsent(self) -> None:
        """Keep the outcomes that have not reached the account in the log, for the next start of this node.

        Call it while the database is away, and at last.
        """
        self._unsent.keep()

    def begin(self, term: Term) -> None:
        """Decide in this term from now on. Call it before the scheduler leads, while it decides no slot."""
        self.rows.forget_waiting()
        self._checkpoints.begin_anew()
        self._work.claims.begin_anew()
        self.term.begin(term)

    @property
    def lacks_claims(self) -> bool:
        """Whether claims were given up since `begin`: the scheduler has to account for their slots anew."""
        return self._work.claims.lacks_any

    def settled(self, term: Term) -> str | None:
        """Return the slot up to which all are decided in a term and have their rows; None if that is not known yet."""
        return self._checkpoints.settled(term)
