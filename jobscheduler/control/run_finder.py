"""Find the run that a client means: an active one, one with a record, or one of which only the output is left."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jobscheduler.control.logged_runs import LoggedRuns, is_record, place_of
from jobscheduler.control.outputs import StoredOutputs
from jobscheduler.control.requested_runs import RequestedRuns
from jobscheduler.model import Problem
from jobscheduler.model.standing import is_failure
from jobscheduler.output import RunPlace
from jobscheduler.output.names import day_of, is_run_id
from jobscheduler.runner import Run
from jobscheduler.scheduler import Scheduler
from jobscheduler.status.run_stats import RunStats
from jobscheduler.status.snapshot import ActiveRun, NotFound
from jobscheduler.status.snapshot_json import record_json

MAX_PLACES = 256  # former runs whose places are remembered: one is asked for in several parts


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A run. `run` is set while it is active, and shortly after; `place` says where its output is after its end."""

    job_id: str
    run_id: str
    run: Run | None = None
    place: RunPlace | None = None
    record: Mapping[str, Any] | None = None

    def known_place(self) -> RunPlace | None:
        """Return where its output is on disk, as far as that is known."""
        if self.run is not None and self.run.started_at is not None:
            return RunPlace(self.job_id, self.run_id, day_of(self.run.started_at))
        return self.place

    def known_record(self) -> Mapping[str, Any] | None:
        """Return its record, None while it has none."""
        record = None if self.run is None else self.run.record
        return self.record if record is None else record_json(record)


class RunFinder:
    """Finds runs.

    Thread: any. What reads the log or the output directory may raise `OSError` or `CallHung`.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        results: RunStats,
        requested: RequestedRuns,
        logged: LoggedRuns,
        stored: StoredOutputs,
    ) -> None:
        self._scheduler = scheduler
        self._results = results
        self._requested = requested
        self._logged = logged
        self._stored = stored
        self._lock = threading.Lock()
        self._former: OrderedDict[str, FoundRun] = OrderedDict()

    def last(self, job_id: str | None, *, failed: bool = False) -> FoundRun | None:
        """Return the last run of a job, an active one first; with `failed` the last failure, of a job or of all.

        A run that a person or the service ended is not a failure.
        """
        if job_id is not None and not failed and (active := self._active(job_id)) is not None:
            return FoundRun(job_id, active.run_id, active)
        last = None if job_id is None else self._results.last_record(job_id)
        if last is not None and last.run_id and last.started and (not failed or is_failure(last.status, last.reason)):
            place = RunPlace(last.job_id, last.run_id, day_of(last.started))
            return self._remember(FoundRun(last.job_id, last.run_id, None, place, record_json(last)))
        line = self._logged.last_run(job_id, failed=failed)
        if line is not None and "run_id" in line.pairs and "job_id" in line.pairs:
            pairs = line.pairs
            return self._remember(FoundRun(pairs["job_id"], pairs["run_id"], None, place_of([line]), line.object))
        left = None if job_id is None or failed else self._stored.newest(job_id)
        return None if left is None else self._remember(FoundRun(left.job_id, left.run_id, None, left))

    def run(self, run_id: str) -> FoundRun:
        """Return the run of an id.

        Raises:
            NotFound: there is no such run.

        """
        found = self._run(run_id) if is_run_id(run_id) else None
        if found is None:
            help_ = "`jobscheduler history` shows the runs of the log"
            raise NotFound(Problem(f"no run `{run_id}` is known", help=help_))
        return found

    def _run(self, run_id: str) -> FoundRun | None:
        run = self._requested.find(run_id)
        if run is not None:
            return FoundRun(run.job.id, run_id, run)
        with self._lock:
            known = self._former.get(run_id)
        if known is not None:
            return known
        lines = self._logged.lines_of(run_id)
        place = place_of(lines) or self._stored.place(run_id)
        if place is None:
            return None
        record = next((line.object for line in lines if is_record(line)), None)
        return self._remember(FoundRun(place.job_id, run_id, None, place, record))

    def _active(self, job_id: str) -> Run | None:
        """Return the active run of a job that began last, else one that waits."""
        runtime = next(iter(self._scheduler.runtimes([job_id])), None)
        active = () if runtime is None else runtime.active_runs
        for run in sorted(active, key=_begin_of, reverse=True):
            found = self._requested.find(run.run_id)
            if found is not None:
                return found
        return None

    def _remember(self, found: FoundRun) -> FoundRun:
        with self._lock:
            self._former[found.run_id] = found
            while len(self._former) > MAX_PLACES:
                self._former.popitem(last=False)
        return found


def _begin_of(run: ActiveRun) -> float:
    return 0.0 if run.started is None else run.started.timestamp()
