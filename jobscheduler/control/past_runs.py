"""What the page shows of single runs: their lines in the log and what they have printed, also while they run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime

from jobscheduler.control.logged_runs import LoggedRuns, place_of
from jobscheduler.control.outputs import StoredOutputs
from jobscheduler.control.requested_runs import RequestedRuns
from jobscheduler.model import StoredAttempt
from jobscheduler.output.names import day_of, is_run_id
from jobscheduler.runner import Run
from jobscheduler.status.run_detail import RunDetail
from jobscheduler.util.hang_guard import CallHung


class PastRuns:
    """Reads runs for the page. What does not answer is left out: the page says elsewhere that it does not.

    Thread: any.
    """

    def __init__(self, logged: LoggedRuns, stored: StoredOutputs, requested: RequestedRuns) -> None:
        self._logged = logged
        self._stored = stored
        self._requested = requested

    def detail(self, run_id: str) -> RunDetail | None:
        """Return one run, None if it is not known."""
        if not is_run_id(run_id):
            return None
        run = self._requested.find(run_id)
        try:
            lines = self._logged.lines_of(run_id)
        except (OSError, CallHung):
            lines = ()
        place = place_of(lines)
        if run is None and place is None:
            return None
        job_id = run.job.id if run is not None else place.job_id if place is not None else ""
        started = None if run is None else run.started_at
        day = place.day if place is not None else None if started is None else day_of(started)
        attempts = {attempt.attempt: attempt for attempt in self._of_day(job_id, day, [run_id]).get(run_id, ())}
        live = _live(run)
        if live is not None:
            attempts[live.attempt] = live
        running = None if run is None else run.running_attempt
        return RunDetail(
            job_id,
            run_id,
            [line.pairs for line in reversed(lines)],
            [attempts[number] for number in sorted(attempts)],
            None if running is None else running.number,
            is_active=run is not None and run.record is None and not run.is_cancelled,
        )

    def outputs(self, job_id: str, runs: Mapping[str, datetime | None]) -> dict[str, bytes]:
        """Return what was kept of the last attempts of runs of a job, by run. `runs` says when each began."""
        found: dict[str, bytes] = {}
        by_day: dict[str, list[str]] = defaultdict(list)
        for run_id, started in runs.items():
            live = _live(self._requested.find(run_id))
            if live is not None:
                found[run_id] = live.kept.text
            elif started is not None:
                by_day[day_of(started)].append(run_id)
        for day, run_ids in by_day.items():
            of_runs = self._of_day(job_id, day, run_ids)
            found |= {run_id: attempts[-1].kept.text for run_id, attempts in of_runs.items()}
        return found

    def _of_day(self, job_id: str, day: str | None, run_ids: list[str]) -> dict[str, list[StoredAttempt]]:
        try:
            return {} if day is None else self._stored.attempts_of_runs(job_id, day, run_ids)
        except (OSError, CallHung):  # the page then shows the runs without their outputs
            return {}


def _live(run: Run | None) -> StoredAttempt | None:
    attempt = None if run is None else run.running_attempt
    return None if attempt is None else attempt.live_output()
