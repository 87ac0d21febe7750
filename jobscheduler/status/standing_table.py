"""Keep how each job stands as the log tells it: standings, last successes, and what the next checkpoint names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from jobscheduler.model import Status
from jobscheduler.model.standing import NO_STANDING, LoggedResult, ResultState, Standing
from jobscheduler.status.standing_changes import moved, replayed

V = TypeVar("V")


class StandingTable:
    """The standings of all jobs; a job that is not in `standings` has `NO_STANDING`.

    `successes` has the time of each job's last success, `undefined` the jobs that the log alone knows.

    Lock: `lock`, a leaf, which the caller of a change holds; to look at one job needs none.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.standings: dict[str, Standing] = {}
        self.successes: dict[str, datetime] = {}
        self.undefined: set[str] = set()
        self._changed: set[str] = set()  # jobs that the next checkpoint names

    def of(self, job_id: str) -> Standing:
        """Return how a job stands."""
        return self.standings.get(job_id, NO_STANDING)

    def set(self, job_id: str, standing: Standing) -> None:
        """Change how a job stands, and have the next checkpoint say so. Lock: held by the caller."""
        self._changed.add(job_id)
        if standing == NO_STANDING:
            self.standings.pop(job_id, None)
        else:
            self.standings[job_id] = standing

    def remove(self, job_id: str) -> None:
        """Forget a job. Lock: held by the caller."""
        self.standings.pop(job_id, None)
        self.successes.pop(job_id, None)
        self.undefined.discard(job_id)
        self._changed.discard(job_id)

    def for_checkpoint(self, active: Iterable[str] | None = None) -> ResultState:
        """Return what a checkpoint has to name: what has changed since the last one, or, if it is full, `active` jobs.

        Lock: the scheduler's is held too, until the checkpoint is queued.
        """
        with self.lock:
            named = self._changed if active is None else {*active, *self.undefined}
            known = {job_id: self.of(job_id) for job_id in named}
            if active is not None:
                known = {job_id: standing for job_id, standing in known.items() if standing is not NO_STANDING}
            successes = {job_id: self.successes[job_id] for job_id in named if job_id in self.successes}
            self._changed = set()
        return ResultState(known, successes)

    def restore(
        self, state: ResultState, results: Iterable[LoggedResult], up_at: Callable[[datetime], float], moved_by: float
    ) -> None:
        """Take over what the log says of the time before this start.

        `results` are the lines after its last checkpoint, in their order. `up_at` returns the seconds of the former
        service's clock for a line, and `moved_by` is what the clock of this one is ahead of it.
        """
        with self.lock:
            _replace(self.standings, state.standings)
            _replace(self.successes, state.successes)
            for result in results:
                self._replay(result, up_at(result.at))
            standings = {job_id: moved(one, moved_by) for job_id, one in self.standings.items() if one != NO_STANDING}
            _replace(self.standings, standings)
            self.undefined = {*self.standings, *self.successes}
            self._changed = set()

    def _replay(self, result: LoggedResult, up: float) -> None:
        if result.word == "job.removed":
            self.remove(result.job_id)
            return
        if result.word == Status.SUCCESS:
            self.successes[result.job_id] = result.at
        self.set(result.job_id, replayed(self.of(result.job_id), result, up))


def _replace(known: dict[str, V], content: Mapping[str, V]) -> None:
    """Give a dictionary, which others hold, another content."""
    known.clear()
    known.update(content)
