"""Reads back what a new leader has to know, as a start of one host does from its log."""

from __future__ import annotations

from datetime import datetime

from jobscheduler.cluster import job_state, takeover
from jobscheduler.cluster.steps import Steps, perform
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.model import RecoveredState


class AccountRecovery:
    """The way back from the account. Every call opens a connection of its own, and waits for the database.

    Thread: any but the scheduling thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def recovered(self, *, knows_boot: bool) -> RecoveredState | None:
        """Return what former leaders have decided; None if there was none. Call it while this node has the lease.

        `knows_boot`: `@reboot` was decided for this boot of this host, or its time is over.

        Raises:
            Unavailable: the database cannot be used.

        """
        with self._database.polling() as connection:
            return perform(connection, self._read(knows_boot))

    def _read(self, knows_boot: bool) -> Steps[RecoveredState | None]:
        jobs = yield from job_state.read_job_state()
        found = yield from takeover.read_takeover(None if jobs.last is None else jobs.last.checkpoint)
        if found is None:
            return None
        results = yield from takeover.results_since(jobs.written_at, jobs.changes)
        return takeover.recovered_state(found, jobs, self.last_decided_slot, results, knows_boot=knows_boot)

    def last_decided_slot(self, job_id: str, after: datetime) -> datetime | None:
        """Return the latest decided slot of a job that is later than an instant, None if there is none.

        Raises:
            LookupError: the database cannot be used, so it is not known.

        """
        try:
            with self._database.polling() as connection:
                return perform(connection, takeover.last_decided(job_id, after))
        except Unavailable as reason:
            raise LookupError(str(reason)) from reason
