"""What the page is given to show of the service (a `web.Face`): it reads, and changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from jobscheduler.config import Settings
from jobscheduler.desk.snapshots import Snapshots, Supervising
from jobscheduler.hang_guard import Hung
from jobscheduler.model import Status
from jobscheduler.results import Results
from jobscheduler.runlog.history import lines_back
from jobscheduler.runlog.wanted import Wanted
from jobscheduler.scheduler import Scheduler
from jobscheduler.status import Detail, Snapshot

Lines = list[dict[str, str]]

FRESH = 1.0
"""How long a snapshot serves everybody who looks at the page, in seconds."""


class ServiceFace:
    """The service, as far as it is shown."""

    def __init__(
        self,
        settings: Settings,
        snapshots: Snapshots,
        scheduler: Scheduler,
        results: Results,
        supervising: Supervising,
        ask: Callable[[Callable[[], Lines]], Lines] = lambda question: question(),
    ) -> None:
        """`ask` makes the call that reads the log, and raises `Hung` when that does not answer."""
        self._ask = ask
        self._log = settings.log_file, settings.log_backups
        self._snapshots = snapshots
        self._scheduler = scheduler
        self._supervising = supervising
        self._results = results
        self._lock = threading.Lock()
        self._taken: tuple[float, Snapshot] | None = None

    @property
    def results(self) -> Results:
        """What has become of runs since the start."""
        return self._results

    def snapshot(self) -> Snapshot:
        """How everything stands; at most a second old, however many ask."""
        with self._lock:
            now = time.monotonic()
            if self._taken is None or now - self._taken[0] > FRESH:
                self._taken = now, self._snapshots.take()
            return self._taken[1]

    def detail(self, job_id: str) -> Detail | None:
        """More about one job, None if no job of this id is in force."""
        return self._snapshots.detail(job_id)

    def upcoming(self, job_ids: Sequence[str], until: datetime, most: int) -> Mapping[str, Sequence[datetime]]:
        """The slots of these jobs from now to `until`, in order, at most the next `most` of each."""
        return {
            job_id: [slot for slot, _ in self._scheduler.upcoming(job_id, most) if slot <= until] for job_id in job_ids
        }

    def records(
        self, job_id: str | None, since: datetime, most: int, statuses: Collection[Status] = tuple(Status)
    ) -> Sequence[Mapping[str, Any]]:
        """The newest `most` records with these statuses in the log since then, newest first, as in JSON log lines."""
        words = frozenset(status.value for status in statuses)
        wanted = Wanted(job_id, words, since)
        try:
            found = self._ask(lambda: list(islice(lines_back(*self._log, wanted), most)))
        except Hung:  # the page says so elsewhere
            return []
        return [{**line, "status": line["word"]} for line in found]

    def output(self, run_id: str) -> bytes | None:
        """All that was kept of what a run printed, None if that is no longer kept."""
        return self._scheduler.outputs.get(run_id)

    def health(self) -> str | None:
        """What is wrong with the scheduling loop or the watcher, None if both are alive and on time."""
        late = self._supervising.late()
        if late is not None:
            return f"{late} is not on time"
        return next(iter(self._supervising.troubles()), None)
