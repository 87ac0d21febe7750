"""Remember the instants of each job's last records, so that they are found in the log without reading all of it."""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from datetime import UTC, datetime

from jobscheduler.model import Event, LogEntry

MAX_RECORDS_OF_JOB = 50  # instants kept of one job, 8 bytes each

EXTRA_RECORDS = 14  # instants above the limit before the oldest are deleted: so that is not done for each record

MAX_REMOVED_JOBS = 1000  # removed jobs whose instants are kept


class RecentRecordTimes:
    """Keep the instants of each job's last records. `observe` never raises and never waits for long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, array[float]] = {}
        self._removed: OrderedDict[str, array[float]] = OrderedDict()

    def observe(self, entry: LogEntry) -> None:
        """Note a record that is on its way to the log, and that a job was removed."""
        if isinstance(entry, Event):
            if entry.name == "job.removed":
                self._discard(str(dict(entry.values)["job_id"]))
            return
        with self._lock:
            instants = self._jobs.get(entry.job_id)
            if instants is None:
                instants = self._jobs[entry.job_id] = self._removed.pop(entry.job_id, array("d"))
            instants.append(entry.at.timestamp())
            if len(instants) > MAX_RECORDS_OF_JOB + EXTRA_RECORDS:
                del instants[:-MAX_RECORDS_OF_JOB]

    def restore(self, job_id: str, at: datetime) -> None:
        """Remember a record from before this start. Call it with the newest first."""
        with self._lock:
            instants = self._jobs.setdefault(job_id, array("d"))
            if len(instants) < MAX_RECORDS_OF_JOB:
                instants.insert(0, at.timestamp())

    def of(self, job_id: str) -> list[datetime]:
        """Return the instants of a job's last records, newest first."""
        with self._lock:
            instants = self._jobs.get(job_id) or self._removed.get(job_id) or ()
            return [datetime.fromtimestamp(timestamp, UTC) for timestamp in reversed(instants[-MAX_RECORDS_OF_JOB:])]

    def _discard(self, job_id: str) -> None:
        """Move a removed job to those of which only the latest are remembered."""
        with self._lock:
            instants = self._jobs.pop(job_id, None)
            if instants is not None:
                self._removed[job_id] = instants
                if len(self._removed) > MAX_REMOVED_JOBS:
                    self._removed.popitem(last=False)
