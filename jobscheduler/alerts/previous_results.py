"""How each job ended last, before and since this start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from jobscheduler.model import Status


class PreviousResults:
    """The last result of each job. Those from before the start stand in the log, which is read once, on demand."""

    def __init__(self, read: Callable[[datetime], Mapping[str, Status]], since: datetime) -> None:
        """`read` returns the results before an instant, here `since`; it may be slow."""
        self.by_job: dict[str, Status] = {}
        self._read = read
        self._since = since
        self._is_loaded = False

    def load(self) -> None:
        """Read the log unless it was read before. Results since the start stay: they are newer.

        Raises:
            OSError: the log cannot be read; it is not read again.

        """
        if self._is_loaded:
            return
        self._is_loaded = True
        for job_id, status in self._read(self._since).items():
            self.by_job.setdefault(job_id, status)
