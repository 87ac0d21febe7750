"""The account of slots in the database: a row for each slot, from its claim to its one final status.

Each method is one request, of a few single statements. It can be repeated after `Unavailable`, which leaves unknown
whether it was done: a repetition finds out, and changes nothing twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from jobscheduler.cluster import attempts, claims, corrections, job_state, records, retention, verdicts
from jobscheduler.cluster.records import OpenRow, RecordedRow
from jobscheduler.cluster.schema import check_version
from jobscheduler.cluster.steps import Steps, perform
from jobscheduler.cluster.values import (
    AccountRow,
    Attempt,
    Claim,
    Identity,
    Key,
    Outcome,
    Pulse,
    Term,
    Verdict,
    Won,
)
from jobscheduler.database.cached_connection import CachedConnection
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.model import Checkpoint, LogEntry

MAX_TRIES = 5  # tries of a request that conflicts with those of others

_PAUSE_S = 0.02  # before the second try, at most; each further pause may be twice as long

T = TypeVar("T")


class Account:
    """The account, on a connection of its own.

    Thread: one.

    Raises:
        Unavailable: any method, when the database cannot be used.
        Fenced: any method that takes a term, when the lease is no longer of it.

    """

    def __init__(self, database: Database, sleep: Callable[[float], object] = time.sleep) -> None:
        self._dialect = database.kind
        self._connection = CachedConnection(database, database.polling, check=check_version)
        self._sleep = sleep

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        self._connection.drop()

    # -- the leader

    def claim(self, term: Term, wanted: Sequence[Claim], new_run_id: Callable[[], str]) -> list[tuple[Claim, Won]]:
        """Write slots that have no row yet; return what became of each claim, in their order.

        A claim whose run id another slot has is made again with another one, and returned with that.
        """
        plain = [claim for claim in wanted if claim.corrects is None]
        fates = {claim.key: (claim, won) for claim, won in self._claim_all(term, plain, new_run_id)}
        for claim in wanted:
            if claim.corrects is not None:
                fates[claim.key] = claim, self._correct(term, claim)
        return [fates[claim.key] for claim in wanted]

    def _claim_all(
        self, term: Term, wanted: Sequence[Claim], new_run_id: Callable[[], str]
    ) -> Iterator[tuple[Claim, Won]]:
        for batch in claims.batches(wanted):
            fates = list(zip(batch, self._claim(term, batch), strict=True))
            yield from (fate for fate in fates if fate[1] is not Won.CLASH)
            again = [replace(claim, run_id=new_run_id()) for claim, won in fates if won is Won.CLASH]
            yield from self._claim_all(term, again, new_run_id)

    def _claim(self, term: Term, batch: Sequence[Claim]) -> list[Won]:
        return self._perform(lambda: claims.claim(self._dialect, term, batch))

    def _correct(self, term: Term, claim: Claim) -> Won:
        return self._perform(lambda: corrections.correct(self._dialect, term, claim))

    def again(self, term: Term, rows: Sequence[tuple[AccountRow, float]]) -> frozenset[Key]:
        """Queue a further attempt of runs that have ended, each after a wait in seconds; return those keys."""
        return self._perform(lambda: verdicts.again(self._dialect, term, rows))

    def record(self, term: Term, rows: Sequence[AccountRow]) -> frozenset[Key]:
        """Make the outcome of runs that have ended final; return the keys that are final."""
        return self._perform(lambda: verdicts.record(self._dialect, term, rows))

    def withdraw(self, term: Term, decided: Sequence[tuple[AccountRow, Verdict]]) -> frozenset[Key]:
        """Give runs that have not begun a final status; return the keys that are final."""
        return self._perform(lambda: verdicts.withdraw(self._dialect, term, decided))

    def stop(self, term: Term, rows: Sequence[AccountRow], why: str, by: str = "") -> None:
        """Ask the workers of runs to end them."""
        self._perform(lambda: verdicts.stop(self._dialect, term, rows, why, by))

    def stop_run(self, term: Term, job_id: str, run_id: str, why: str, by: str = "") -> None:
        """Ask the worker of a run to end it, given its id."""
        self._perform(lambda: verdicts.stop_run(term, job_id, run_id, why, by))

    def judge(self, term: Term, silent: float) -> None:
        """End the attempts whose worker has been silent for so many seconds."""
        self._perform(lambda: verdicts.judge(term, silent))

    def remove_old_runs(self, term: Term, seconds: float, passed: str) -> int:
        """Remove some rows that are older than `seconds`, of slots before `passed`; return their number."""
        return self._perform(lambda: retention.remove_old_runs(self._dialect, term, seconds, passed))

    def remove_old_requests(self, term: Term, seconds: float) -> None:
        """Remove requests that were made more than `seconds` ago."""
        self._perform(lambda: retention.remove_old_requests(term, seconds))

    # -- a worker, as which the leader itself runs jobs

    def begin(self, identity: Identity, wanted: Sequence[Attempt]) -> frozenset[Key]:
        """Begin attempts; return the keys of those that may be started now, which no other worker starts."""
        return self._perform(lambda: attempts.begin(self._dialect, identity, wanted))

    def beat(self, identity: Identity, *, has_own: bool = True) -> Pulse:
        """Say that this instance is alive; return its runs. A run that is not among them is lost to it."""
        return self._perform(lambda: attempts.beat(identity, has_own=has_own))

    def finish(self, ended: Mapping[Attempt, Outcome]) -> frozenset[Key]:
        """Write how attempts have ended; return the keys of those that count."""
        return self._perform(lambda: attempts.finish(self._dialect, ended))

    def give_back(self, given: Sequence[Attempt]) -> None:
        """Queue runs again that were allowed to begin and did not; miss those that another leader took for begun."""
        self._perform(lambda: attempts.give_back(self._dialect, given))

    def close_former(self, identity: Identity, reason: str) -> None:
        """End the runs that a former instance of this identity has left."""
        self._perform(lambda: attempts.close_former(identity, reason))

    # -- the state of jobs

    def write_checkpoint(self, term: Term, checkpoint: Checkpoint, at: datetime) -> None:
        """Write how all jobs stand, or what has changed since a checkpoint."""
        self._perform(lambda: job_state.write_checkpoint(self._dialect, term, checkpoint, at))

    def write_changes(self, term: Term, entries: Sequence[LogEntry]) -> None:
        """Write entries of the log that change how jobs stand."""
        self._perform(lambda: job_state.write_changes(self._dialect, term, entries))

    # -- readers

    def unfinished(self) -> list[AccountRow]:
        """Return all rows that are not final."""
        return self._perform(verdicts.unfinished)

    def open_rows(self) -> list[OpenRow]:
        """Return the runs that are at work, and those that have ended and are still to be logged."""
        return self._perform(records.open_rows)

    def ended_records(self) -> list[RecordedRow]:
        """Return the records of runs that have ended and are still to be logged."""
        return self._perform(records.ended_records)

    def rows_of(self, job_id: str) -> list[AccountRow]:
        """Return all rows of a job in the order of their slots."""
        return self._perform(lambda: verdicts.rows_of(job_id))

    def _perform(self, request: Callable[[], Steps[T]]) -> T:
        """Perform a request; repeat it while only the transactions of others are in its way."""
        for number in range(MAX_TRIES):
            try:
                return perform(self._connection.get(), request())
            except Unavailable as reason:
                self._connection.drop()
                if not reason.retryable or number == MAX_TRIES - 1:
                    raise
            self._sleep(random.uniform(0, _PAUSE_S * 2**number))  # noqa: S311 - so that two do not meet again
        raise AssertionError("the last try returns or raises")
