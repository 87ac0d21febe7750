"""The account with each of its requests as a method, for tests that make many of them one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from jobscheduler.cluster import attempts, retention, verdicts
from jobscheduler.cluster.account import Account
from jobscheduler.cluster.claiming import AnsweredClaim, claim_slots
from jobscheduler.cluster.values import AccountRow, Attempt, Claim, Identity, Key, Outcome, Pulse, Term, Verdict

Keys = frozenset[Key]


class AskedAccount(Account):
    """An account. What each method does is said where its request is."""

    def claim(self, term: Term, wanted: Sequence[Claim], new_run_id: Callable[[], str]) -> list[AnsweredClaim]:
        """Claim slots."""
        return claim_slots(self, term, wanted, new_run_id)

    # -- a worker

    def begin(self, identity: Identity, wanted: Sequence[Attempt]) -> Keys:
        """Begin attempts."""
        return self.perform(attempts.begin, self.dialect, identity, wanted)

    def beat(self, identity: Identity) -> Pulse:
        """Say that an instance lives."""
        return self.perform(attempts.beat, identity)

    def finish(self, ended: Mapping[Attempt, Outcome]) -> Keys:
        """End attempts."""
        return self.perform(attempts.finish, self.dialect, ended)

    def give_back(self, given: Sequence[Attempt]) -> None:
        """Give back runs that did not begin."""
        self.perform(attempts.give_back, self.dialect, given)

    def close_former(self, identity: Identity, reason: str) -> None:
        """End what a former instance has left."""
        self.perform(attempts.close_former, identity, reason)

    # -- the leader

    def again(self, term: Term, rows: Sequence[tuple[AccountRow, float]]) -> Keys:
        """Queue further attempts."""
        return self.perform(verdicts.again, self.dialect, term, rows)

    def record(self, term: Term, rows: Sequence[AccountRow]) -> Keys:
        """Make outcomes final."""
        return self.perform(verdicts.record, self.dialect, term, rows)

    def withdraw(self, term: Term, decided: Sequence[tuple[AccountRow, Verdict]]) -> Keys:
        """Give runs that have not begun a final status."""
        return self.perform(verdicts.withdraw, self.dialect, term, decided)

    def stop(self, term: Term, rows: Sequence[AccountRow], why: str, by: str = "") -> None:
        """Ask for the end of runs."""
        self.perform(verdicts.stop, self.dialect, term, rows, why, by)

    def stop_run(self, term: Term, job_id: str, run_id: str, why: str, by: str = "") -> None:
        """Ask for the end of one run."""
        self.perform(verdicts.stop_run, term, job_id, run_id, why, by)

    def judge(self, term: Term, silent: float) -> None:
        """End the attempts of silent workers."""
        self.perform(verdicts.judge, term, silent)

    def remove_old_runs(self, term: Term, seconds: float, passed: str) -> int:
        """Remove old rows."""
        return self.perform(retention.remove_old_runs, self.dialect, term, seconds, passed)

    # -- readers

    def unfinished(self) -> list[AccountRow]:
        """Read all rows that are not final."""
        return self.perform(verdicts.unfinished)

    def rows_of(self, job_id: str) -> list[AccountRow]:
        """Read all rows of a job."""
        return self.perform(verdicts.rows_of, job_id)
