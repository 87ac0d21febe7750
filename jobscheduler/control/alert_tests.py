"""Requests to send an alert as a test, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from jobscheduler.model import EventLogger, Job, Level, Problem
from jobscheduler.status.snapshot import Conflict, NotFound
from jobscheduler.util.text import did_you_mean


class Tests(Protocol):
    """Sends alerts as tests (see `alerts.alert_test.AlertTests`)."""

    def begin(self, job: Job | None) -> str:
        """Send the alerts of a job, or of the service. Raises: LookupError if there are none."""

    def result(self, test_id: str, wait: float) -> list[Mapping[str, Any]] | None: ...  # noqa: D102


class AlertTestRequests:
    """Answers the requests of `alert test`. Thread: any."""

    def __init__(
        self,
        tests: Tests,
        find_job: Callable[[str], Job | None],
        job_ids: Callable[[], Sequence[str]],
        log_event: EventLogger,
    ) -> None:
        """`job_ids` are all jobs, for a suggestion."""
        self._tests = tests
        self._find_job = find_job
        self._job_ids = job_ids
        self._log_event = log_event

    def begin(self, job_id: str, by: str) -> Mapping[str, Any]:
        """Begin a test of the alerts of a job; of those of the service if `job_id` is empty.

        Raises:
            NotFound: no job has this id.
            Conflict: there is no alert to send.

        """
        job = self._find_job(job_id) if job_id else None
        if job_id and job is None:
            help_ = did_you_mean(job_id, self._job_ids()) or "`jobscheduler list` shows all jobs"
            raise NotFound(Problem(f"there is no job `{job_id}`", help=help_))
        try:
            test_id = self._tests.begin(job)
        except LookupError:
            raise Conflict(_no_alert(job_id)) from None
        self._log_event(Level.INFO, "alert.tested", job_id=job_id or None, by=by)
        return {"test_id": test_id}

    def result(self, test_id: str, wait: float) -> Mapping[str, Any]:
        """Return what came of each alert of a test; wait up to `wait` seconds for the end of all.

        Raises:
            NotFound: there is no such test.

        """
        ends = self._tests.result(test_id, wait)
        if ends is None:
            raise NotFound(Problem(f"no test `{test_id}` was requested recently"))
        return {"test_id": test_id, "alerts": ends}


def _no_alert(job_id: str) -> Problem:
    if job_id:
        help_ = "give it `on_failure`, or the service one for all jobs with `--on-failure FILE`"
        return Problem(f"`{job_id}` has no alert, and neither has the service", help=help_)
    help_ = "name a job that has `on_failure`, or set `--on-failure FILE`"
    return Problem("the service has no alert for all jobs", help=help_)
