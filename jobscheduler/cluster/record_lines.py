"""Writes the records of this node into its log, once the account has them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from jobscheduler.cluster.records import with_origin
from jobscheduler.cluster.values import Identity, Term
from jobscheduler.model import Event, Level, Record
from jobscheduler.scheduler import LogAccounting


class RecordLines:
    """The lines of records, each with where it was made. Thread: that of the account."""

    def __init__(
        self,
        log: LogAccounting,
        identity: Identity,
        term: Callable[[], Term | None],
        now: Callable[[], datetime],
    ) -> None:
        """`term` returns that for which this node decides; `now` is the clock of the host."""
        self._log = log
        self._identity = identity
        self._term = term
        self._now = now

    def write(self, record: Record, counts: bool) -> None:
        """Write the line of a record that the account has (`counts`), or that it came too late."""
        if counts:
            term = self._term()
            number = None if term is None else term.number
            self._log.record(with_origin(record, self._identity.node, self._identity.queue, number))
        elif record.started is not None:
            self._log.note(self._late_result(record))

    def _late_result(self, record: Record) -> Event:
        values = {"job_id": record.job_id, "run_id": record.run_id, "scheduled": record.scheduled}
        late = {"status": record.status.value, "reason": record.reason, "node": self._identity.node}
        return Event.of(self._now(), Level.WARNING, "run.late_result", **values, **late)
