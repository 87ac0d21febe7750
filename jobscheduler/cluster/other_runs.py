"""Watches the runs of other nodes, on the leader: which are at work, and which have ended without their last word.

1. A run of a worker that was lost, or whose node no longer leads, has ended in the account. The leader writes its
   record into the log, and only then makes the row final: a crash in between repeats the line and loses none.
2. Before the scheduler leads, the line would be observed by what then takes over how the jobs stand, and be forgotten:
   no alert would come of it, or a second one.
3. Once nothing was found in a term, only a beat that sees something makes the leader look again.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from jobscheduler.cluster import records, verdicts
from jobscheduler.cluster.account import Account
from jobscheduler.cluster.records import RecordedRow
from jobscheduler.cluster.slots import manual_slot, slot_text
from jobscheduler.cluster.values import AccountRow, Key, State, Term
from jobscheduler.model import Record


class OtherRuns:
    """The runs of other nodes. Call `step` every few seconds on the thread of the account."""

    def __init__(
        self,
        account: Account,
        term: Callable[[], Term | None],
        own: Container[Key],
        has_others: Callable[[], bool],
        on_at_work: Callable[[frozenset[str]], object],
        on_record: Callable[[Record], object],
    ) -> None:
        """`term` returns that for which the scheduler leads, once it has accounted for the gap before.

        `own` has the slots of which this node is taking a step itself; `has_others` is what the last beat has seen.

        `on_at_work` gets the ids of all runs at work, `on_record` the record of a run that has ended elsewhere.
        """
        self._account = account
        self._term = term
        self._own = own
        self._has_others = has_others
        self._quiet: Term | None = None
        self._on_at_work = on_at_work
        self._on_record = on_record

    def step(self) -> None:
        """Look at the runs of all nodes, if this one leads.

        Raises:
            Unavailable: the database cannot be used.
            Fenced: this node does not lead any more.

        """
        term = self._term()
        if term is None or (term == self._quiet and not self._has_others()):
            return
        rows = self._account.perform(records.open_rows)
        self._quiet = term if all(row.instance == term.instance for row in rows) else None
        self._on_at_work(frozenset(row.run_id for row in rows if row.state is State.RUNNING))
        if any(row.state is State.ENDED and (row.job_id, row.slot) not in self._own for row in rows):
            self._record_ended(term)

    def _record_ended(self, term: Term) -> None:
        ended = [row for row in self._account.perform(records.ended_records) if _row_of(row).key not in self._own]
        for row in ended:
            self._on_record(row.line)
        self._account.perform(verdicts.record, self._account.dialect, term, [_row_of(row) for row in ended])


def _row_of(row: RecordedRow) -> AccountRow:
    record = row.record
    run_id = record.run_id or ""
    slot = manual_slot(run_id) if record.scheduled is None else slot_text(record.scheduled)
    return AccountRow(record.job_id, slot, run_id, row.state, row.attempt, row.term)
