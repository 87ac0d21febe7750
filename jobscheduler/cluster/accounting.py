"""The account in the database as the place that keeps what a scheduler decides.

1. Decisions about slots are rows of the account, through `RunRows`. Pauses, definitions and what else a next leader
   has to know are lines in `js_state`, of the form that the log has.
2. All of it is queued under the scheduler's lock, and taken to the database by one thread in `step`.
3. The log of the node has each record, too, once the account has it, and says who ran it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

from jobscheduler.cluster.account import Account
from jobscheduler.cluster.account_requests import AccountRequests
from jobscheduler.cluster.account_work import AccountWork
from jobscheduler.cluster.job_state import STANDING_EVENTS
from jobscheduler.cluster.leading_term import LeadingTerm
from jobscheduler.cluster.run_rows import RunRows
from jobscheduler.cluster.slots import slot_text
from jobscheduler.cluster.values import Identity, Term
from jobscheduler.model import Checkpoint, Event, Level, LogEntry, LogFields, Pause, Record, RecoveredState, Status
from jobscheduler.runner import Run, new_run_id
from jobscheduler.scheduler import (
    CORRECTS,
    Claims,
    ClockSetbackState,
    LogAccounting,
    Resumed,
    Trusted,
    decided_events,
    paused_event,
    pending_event,
    resumed_event,
)

MAX_STATE_ROWS = 500  # rows after which a checkpoint is full: with one a minute, those of eight hours

_CHANGES = frozenset({"job.added", "job.updated"}) | STANDING_EVENTS
"""The events that change which jobs a next leader expects, or how these stand: an alert is not given twice."""


class ClusterAccounting:
    """The account as `Accounting`: `claims` gives leave to runs, `step` takes what waits to the database.

    Thread: one for `step`. The scheduler calls the others under its lock; they only queue.
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
        """`term` is that for which the scheduler decides, `log` the one of this node, `now` the clock of the host.

        `knows_jobs` returns whether every source of jobs was read once. Before that the slots of some jobs are not
        decided, and a checkpoint would have the next leader take them for decided.
        """
        self._knows_jobs = knows_jobs
        self._identity = identity
        self._term = term
        self._log = log
        self._now = now
        self.accounted = term.accounted
        self._work = AccountWork(account, identity, term, new_id, accounted=term.accounted)
        self._requests = AccountRequests(account, self._work)
        self.rows = RunRows(self._work, self._requests, term, new_id, self._taken, identity.queue)
        self.claims: Claims | None = self.rows
        self._settled: tuple[Term, datetime] | None = None
        self._times_led = 0

    # -- the thread of the account

    @property
    def waiting(self) -> threading.Event:
        """Set while something waits for `step`."""
        return self._requests.waiting

    def step(self) -> None:
        """Take all that waits to the account.

        Raises:
            Unavailable: the database cannot be used. What waits still waits, except for claims of a term that is over.

        """
        self._requests.step()
        for event in self._work.unsent.sent(self._now()):
            self._log.note(event)

    def keep_unsent(self) -> None:
        """Keep the outcomes that have not reached the account in the log, for the next start of this node.

        Thread: any. Call it while the database is away, and at last.
        """
        for event in self._work.unsent.unkept(self._now()):
            self._log.note(event)

    def settled(self, term: Term) -> str | None:
        """Return the slot up to which all are decided in a term and have their rows; None if that is not known yet.

        Thread: any; that of the lease.
        """
        known = self._settled
        if known is None or known[0] != term:
            return None
        return slot_text(self._work.settled(known[1]))

    # -- who decides

    def lead(self, term: Term) -> None:
        """Decide in this term from now on. Call it before the scheduler leads."""
        self.rows.forget_waiting()
        self._settled = None  # slots of claims that were given up are decided anew
        self._times_led += 1
        self._work.begin_anew()
        self._term.begin(term)

    def note_led(self) -> None:
        """Note that the scheduler leads, and has taken over how the jobs stand."""
        self._term.note_accounted()

    @property
    def lacks_claims(self) -> bool:
        """Whether claims were given up since `lead`: the scheduler has to account for their slots anew."""
        return self._work.lacks_claims

    def stand_by(self) -> None:
        """Decide no more. Call it before the scheduler stands by."""
        self._term.end()

    # -- decisions

    def record(self, record: Record) -> None:
        """Keep the one record of a run, or of slots that do not run."""
        self.rows.record(record)
        if record.status is Status.MISSED or CORRECTS[0] in record.details:
            self._change(record)

    def pending(
        self, job_id: str, slot: datetime, now: datetime, starts: datetime | None = None, extra: LogFields = ()
    ) -> None:
        """Keep that a slot is due; its row says so once it is decided."""
        self._log.pending(job_id, slot, now, starts, extra)
        if starts is not None or extra:
            self._change(pending_event(job_id, slot, now, starts, extra))

    def requested(self, run: Run, now: datetime) -> None:
        """Write that a manual run was requested. Its row keeps it."""
        self._log.requested(run, now)

    def decided_ahead(self, job_id: str, ahead: ClockSetbackState, now: datetime) -> None:
        """Keep which slots to come are decided, and which only a wrong clock missed."""
        self._log.decided_ahead(job_id, ahead, now)
        for event in decided_events(job_id, ahead, now):
            self._change(event)

    def paused(self, pause: Pause, now: datetime, *, again: bool = False) -> None:
        """Keep that a pause begins, or that the clock was set back into it."""
        self._log.paused(pause, now, again=again)
        self._change(paused_event(pause, now, again=again))

    def resumed(self, change: Resumed, now: datetime) -> None:
        """Keep that a pause ends, or that jobs are exempt from it."""
        self._log.resumed(change, now)
        self._change(resumed_event(change, now))

    def note(self, event: Event) -> None:
        """Write a line that no start needs."""
        self._log.note(event)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep up to where every slot is decided, and how every job stands."""
        self._log.checkpoint(checkpoint)
        term = self._term()
        if term is not None and self._knows_jobs():
            settled = min([checkpoint.settled, *(cursor for _, cursor in checkpoint.lagging)])
            self._requests.write_checkpoint(
                term,
                checkpoint,
                self._now(),
                partial(self._counts, self._times_led),
                partial(self._note, term, settled),
            )

    @property
    def wants_full(self) -> bool:
        """Whether so many rows follow the last full checkpoint that the next one should take their place."""
        return self._requests.rows_of_state >= MAX_STATE_ROWS

    def _counts(self, times_led: int) -> bool:
        """Return whether a checkpoint still says the truth: no claim before it was given up."""
        return times_led == self._times_led and not self._work.lacks_claims

    def _note(self, term: Term, settled: datetime) -> None:
        """Note up to where slots are decided by the last checkpoint in the database."""
        self._settled = term, settled

    def trusted(self, state: RecoveredState | None, now: datetime) -> Trusted:
        """Trust the account: it is that of all nodes."""
        return Trusted(state)

    def observe(self, entry: LogEntry) -> None:
        """Keep which definitions come and go, and which alerts were given. Subscribe this to the log of the node."""
        if isinstance(entry, Event) and entry.name in _CHANGES:
            self._change(entry)

    def _change(self, entry: LogEntry) -> None:
        term = self._term()
        if term is not None:
            self._requests.change(term, entry)

    def _taken(self, record: Record, counts: bool) -> None:
        """Write the line of a record that the account has, or that it came too late."""
        if counts:
            self._log.record(replace(record, details=(*record.details, *self._origin())))
        elif record.started is not None:
            values = {"job_id": record.job_id, "run_id": record.run_id, "scheduled": record.scheduled}
            late = {"status": record.status.value, "reason": record.reason, "node": self._identity.node}
            self._log.note(Event.of(self._now(), Level.WARNING, "run.late_result", **values, **late))

    def _origin(self) -> LogFields:
        """Return the node, queue and term of a record, for its line in the log."""
        term = self._term()
        number: LogFields = () if term is None else (("term", term.number),)
        return ("node", self._identity.node), ("queue", self._identity.queue), *number
