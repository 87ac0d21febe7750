"""The rows that the runs of this service have in the account: what `Claims` asks for, and how a run ends.

1. The steps of one slot are taken in their order: its claim, the begin of each attempt, its end.
2. A run is known here from its claim to its end. What has begun is `own`, and a beat says what has become of it.
3. `on_record` gets a record when the account has it. One that the account refuses is about a run that another service
   has decided about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from jobscheduler.cluster.account_requests import AccountRequests
from jobscheduler.cluster.account_work import AccountWork
from jobscheduler.cluster.beats import RunNews
from jobscheduler.cluster.claiming import AnsweredClaim
from jobscheduler.cluster.records import outcome_of
from jobscheduler.cluster.run_claims import claim_of_record, claim_of_run, key_of_run
from jobscheduler.cluster.slot_order import SlotOrder
from jobscheduler.cluster.slots import manual_slot, slot_text
from jobscheduler.cluster.values import WORKER_LOST, AccountRow, Attempt, ClaimResult, Key, State, Term
from jobscheduler.model import Record
from jobscheduler.runner import Run
from jobscheduler.scheduler import Answer

Taken = Callable[[Record, bool], object]  # gets a record, and whether the account has taken it


@dataclass(slots=True)
class OwnRun:
    """A run that has a row, with the run id that stands there. `attempt` is the one that has begun, if any."""

    run: Run
    run_id: str
    attempt: Attempt | None = None


class RunRows:
    """The rows of the runs of this service, as `Claims`.

    Thread: any; answers come on the thread of the account, which `own` and `apply` are called on.
    """

    def __init__(
        self,
        work: AccountWork,
        requests: AccountRequests,
        term: Callable[[], Term | None],
        new_run_id: Callable[[], str],
        on_record: Taken,
        queue: str,
    ) -> None:
        """`term` returns the term for which this node decides, `queue` is that of its own workers."""
        self._work = work
        self._requests = requests
        self._term = term
        self._new_run_id = new_run_id
        self._on_record = on_record
        self._queue = queue
        self._order = SlotOrder()
        self._runs: dict[Key, OwnRun] = {}

    # -- leave for runs

    def claim(self, run: Run, answer: Answer) -> None:
        """Ask for the slot of a new run."""
        claim = claim_of_run(run, self._queue)

        def answered(fate: AnsweredClaim | None) -> None:
            if fate is not None:
                if fate[1] is ClaimResult.WON:
                    self._runs[claim.key] = OwnRun(run, fate[0].run_id)
                answer(fate[1] is ClaimResult.WON)
            self._order.answered(claim.key)

        self._order.take(claim.key, lambda: self._work.claims.put(claim, answered))

    def begin(self, run: Run, answer: Answer) -> None:
        """Ask whether a run may make its next attempt."""
        key, number = key_of_run(run), run.attempts + 1

        def ask() -> bool:
            own = self._runs.get(key)
            if own is None or own.run is not run:  # given up meanwhile: its run is cancelled, and waits for nothing
                return False
            former = None if own.attempt is None else own.attempt.begun_by
            attempt = Attempt(*key, number, f"{run.run_id}-{number}", own.run_id, former)
            self._work.begins.put(attempt, lambda may_begin: self._begun(own, attempt, answer, may_begin))
            return True

        self._order.take(key, ask)

    def _begun(self, own: OwnRun, attempt: Attempt, answer: Answer, may_begin: bool) -> None:
        if may_begin:
            own.attempt = attempt
        elif own.attempt is None:
            self._runs.pop(attempt.key, None)
        answer(may_begin)
        self._order.answered(attempt.key)

    def stop(self, job_id: str, run_id: str, reason: str, by: str = "") -> None:
        """Ask another service to end a run that is at work there."""
        term = self._term()
        if term is not None:
            self._requests.stop_run(term, job_id, run_id, reason, by)

    def give_back(self, run: Run) -> None:
        """Give back the slot of a run that was allowed to begin here, and did not."""
        key = key_of_run(run)

        def ask() -> bool:
            own = self._runs.get(key)
            if own is not None and own.run is run and own.attempt is not None:
                del self._runs[key]
                self._requests.give_back(own.attempt)
            return False

        self._order.take(key, ask)

    # -- records

    def record(self, record: Record) -> None:
        """Keep a record: the outcome of a run that has begun, else the final status of what does not run."""
        run_id = record.run_id or self._new_run_id()
        slot = manual_slot(run_id) if record.scheduled is None else slot_text(record.scheduled)
        key = record.job_id, slot

        def ask() -> bool:
            own = self._runs.pop(key, None)
            if own is not None and own.attempt is not None:
                return self._finish(own.attempt, own.run_id, record)
            claim = claim_of_record(record, run_id if own is None else own.run_id)
            return self._work.claims.put(replace(claim, slot=slot), lambda fate: self._decided(key, record, fate))

        self._order.take(key, ask)

    def _decided(self, key: Key, record: Record, fate: AnsweredClaim | None) -> None:
        if fate is not None:  # else it was given up, and the next leader decides
            self._on_record(record, fate[1] is ClaimResult.WON)
        self._order.answered(key)

    def _finish(self, attempt: Attempt, run_id: str, record: Record) -> bool:
        finished = partial(self._finished, attempt, run_id, record)
        self._work.outcomes.put(attempt, outcome_of(record), finished)
        return True

    def _finished(self, attempt: Attempt, run_id: str, record: Record, counts: bool) -> None:
        self._on_record(record, counts)
        if not counts:
            self._order.answered(attempt.key)
            return
        row = AccountRow(*attempt.key, run_id, State.ENDED, attempt.attempt, 0)
        self._work.records.put(row, lambda _: self._order.answered(attempt.key))  # else the leader does it

    # -- what the account says of them

    def __contains__(self, key: object) -> bool:
        """Return whether a step of this slot is under way here."""
        return key in self._order

    def own(self) -> list[Attempt]:
        """Return the attempts that have begun here and have not ended."""
        return [own.attempt for own in list(self._runs.values()) if own.attempt is not None]

    def apply(self, news: RunNews) -> None:
        """End the runs that are lost to this node, and those that have to end."""
        for attempt in news.lost:
            self._stop(attempt, WORKER_LOST, None)
        for attempt, beat in news.stop:
            self._stop(attempt, beat.stop or WORKER_LOST, beat.by or None)

    def _stop(self, attempt: Attempt, reason: str, by: str | None) -> None:
        own = self._runs.get(attempt.key)
        if own is not None and own.attempt == attempt:
            own.run.stop(reason, by)

    def forget_waiting(self) -> None:
        """Forget the runs that have not begun: this service decides no more, and they are cancelled."""
        for key, own in list(self._runs.items()):
            if own.attempt is None and key not in self._order:
                self._runs.pop(key, None)
