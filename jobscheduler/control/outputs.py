"""The outputs of ended attempts, wherever they are: in memory while they are new, else on disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from jobscheduler.model import StoredAttempt
from jobscheduler.output import OutputReader, RecentOutputs, RunPlace

SEARCH_S = 5.0  # limit of a search of all files for a run that the log does not know


class SearchTooLong(Exception):
    """A search of all files took too long."""


class StoredOutputs:
    """Finds outputs. Any method but `recent` may raise `OSError` or `CallHung`.

    Thread: any.
    """

    def __init__(
        self, recent: RecentOutputs, reader: OutputReader | None, ask: Callable[[Callable[[], Any]], Any]
    ) -> None:
        """`reader` reads the output directory, if there is one; `ask` makes its calls."""
        self._recent = recent
        self._reader = reader
        self._ask = ask
        self._searching = threading.Lock()

    def recent(self, run_id: str) -> list[StoredAttempt]:
        """Return the attempts of a run that are in memory."""
        return list(self._recent.of(run_id))

    def place(self, run_id: str) -> RunPlace | None:
        """Search for a run of which only the id is known; one search at a time."""
        reader, until = self._reader, time.monotonic() + SEARCH_S
        if reader is None or not self._searching.acquire(timeout=SEARCH_S):
            return None

        def check() -> None:
            if time.monotonic() > until:
                raise SearchTooLong

        try:
            with suppress(SearchTooLong):
                found: RunPlace | None = self._ask(lambda: reader.find(run_id, check))
                return found
            return None
        finally:
            self._searching.release()

    def newest(self, job_id: str) -> RunPlace | None:
        """Return the newest run of a job that has an output on disk."""
        reader = self._reader
        found: RunPlace | None = None if reader is None else self._ask(lambda: reader.newest(job_id))
        return found

    def attempts(self, place: RunPlace) -> list[StoredAttempt]:
        """Return what is kept of each attempt of a run, in order."""
        return self.attempts_of_runs(place.job_id, place.day, [place.run_id]).get(place.run_id, [])

    def attempts_of_runs(self, job_id: str, day: str, run_ids: Collection[str]) -> dict[str, list[StoredAttempt]]:
        """Return what is kept of each attempt of runs of one job that began on one day, by run."""
        reader = self._reader
        stored: dict[str, list[StoredAttempt]] = (
            {} if reader is None else self._ask(lambda: reader.attempts_of_runs(job_id, day, run_ids))
        )
        found = {}
        for run_id in run_ids:
            attempts = {attempt.attempt: attempt for attempt in (*stored.get(run_id, ()), *self.recent(run_id))}
            if attempts:
                found[run_id] = [attempts[number] for number in sorted(attempts)]
        return found
