"""The account in the database as the place that keeps what a scheduler decides.

1. Decisions about slots are rows of the account, through `RunRows`. Pauses, definitions and what else a next leader
   has to know are lines in `js_state`, of the form that the log has.
2. All of it is only queued here. `Decisions` takes it to the database, on another thread.
3. The log of the node has each decision, too. It has a record once the account has it, and says who ran it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from jobscheduler.cluster.account_checkpoints import AccountCheckpoints
from jobscheduler.cluster.account_requests import AccountRequests
from jobscheduler.cluster.job_state import STANDING_EVENTS
from jobscheduler.cluster.run_rows import RunRows
from jobscheduler.cluster.values import Term
from jobscheduler.model import Checkpoint, Event, LogEntry, LogFields, Pause, Record, RecoveredState, Status
from jobscheduler.runner import Run
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
    """The account as `Accounting`; `claims` gives leave to runs.

    Lock: the scheduler's, as `Accounting` says. Nothing here waits.
    """

    def __init__(
        self,
        rows: RunRows,
        requests: AccountRequests,
        checkpoints: AccountCheckpoints,
        term: Callable[[], Term | None],
        log: LogAccounting,
    ) -> None:
        """`term` returns that for which the scheduler decides; `log` is the one of this node."""
        self.claims: Claims | None = rows
        self._rows = rows
        self._requests = requests
        self._checkpoints = checkpoints
        self._term = term
        self._log = log

    def record(self, record: Record) -> None:
        """Keep the one record of a run, or of slots that do not run."""
        self._rows.record(record)
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
        self._checkpoints.write(checkpoint)

    @property
    def wants_full(self) -> bool:
        """Whether so many rows follow the last full checkpoint that the next one should take their place."""
        return self._requests.rows_of_state >= MAX_STATE_ROWS

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
