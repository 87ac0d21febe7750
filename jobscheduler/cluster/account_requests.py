"""What a service has to say to the account besides its decisions about slots.

It is done in order, each request by itself. It is rare: a pause, a checkpoint, a run that is given back. What changes
the state of jobs is gathered, and becomes one row.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from jobscheduler.cluster import attempts, job_state, verdicts
from jobscheduler.cluster.account import Account
from jobscheduler.cluster.values import Attempt, Fenced, Term
from jobscheduler.model import Checkpoint, LogEntry

MAX_ENTRIES = 2000  # entries of the log in one row

Request = Callable[[Account], object]


class AccountRequests:
    """The requests that wait for the account. `step` takes them there.

    `rows_of_state` is how many rows on how the jobs stand were queued since the last full checkpoint.

    Thread: one for `step`; any for the others, which do not wait.
    """

    def __init__(self, account: Account, wake: threading.Event) -> None:
        """`wake` is set when a request is queued."""
        self.rows_of_state = 0
        self._account = account
        self._wake = wake
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._changes: list[tuple[Term, list[LogEntry]]] = []

    def stop_run(self, term: Term, job_id: str, run_id: str, reason: str, by: str) -> None:
        """Queue that the worker of a run is to end it. It is given up when the term has ended."""
        self._ask(lambda account: account.perform(verdicts.stop_run, term, job_id, run_id, reason, by))

    def give_back(self, attempt: Attempt) -> None:
        """Queue that a run was allowed to begin and did not."""
        self._ask(lambda account: account.perform(attempts.give_back, account.dialect, [attempt]))

    def call(self, then: Callable[[], object]) -> None:
        """Queue a call that is made when all is done that waits now."""
        self._ask(lambda _: then())

    def _ask(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)
        self._wake.set()

    def change(self, term: Term, entry: LogEntry) -> None:
        """Queue an entry of the log that changes how jobs stand."""
        with self._lock:
            last = self._changes[-1] if self._changes else None
            if last is not None and last[0] == term and len(last[1]) < MAX_ENTRIES:
                last[1].append(entry)
                return
            entries = [entry]
            self._changes.append((term, entries))
            self.rows_of_state += 1
            self._requests.append(lambda account: self._write(account, term, entries))
        self._wake.set()

    def write_checkpoint(
        self,
        term: Term,
        checkpoint: Checkpoint,
        at: datetime,
        counts: Callable[[], bool],
        then: Callable[[], object],
    ) -> None:
        """Queue a checkpoint; `then` is called when it is written. What has changed before it is written before it.

        It is given up unless it `counts` when its time comes.
        """

        def write(account: Account) -> None:
            if counts():
                account.perform(job_state.write_checkpoint, account.dialect, term, checkpoint, at)
                then()

        with self._lock:
            self._changes.clear()
            self.rows_of_state = self.rows_of_state + 1 if checkpoint.full is None else 0
            self._requests.append(write)
        self._wake.set()

    def count(self) -> int:
        """Return how many requests wait."""
        with self._lock:
            return len(self._requests)

    def step(self, count: int) -> None:
        """Take so many requests to the account, those that have waited longest.

        Raises:
            Unavailable: the database cannot be used. What is not done still waits.

        """
        for _ in range(count):
            self._do_first()

    def _do_first(self) -> None:
        with self._lock:
            request = self._requests[0]
        with suppress(Fenced):  # the next leader knows better
            request(self._account)
        with self._lock:
            del self._requests[0]

    def _write(self, account: Account, term: Term, entries: list[LogEntry]) -> None:
        with self._lock:  # from now on a further change is a further row
            self._changes = [one for one in self._changes if one[1] is not entries]
        account.perform(job_state.write_changes, account.dialect, term, entries)
