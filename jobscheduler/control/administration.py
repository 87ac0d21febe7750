"""What the control socket offers on the service itself: its settings, and a reload that tells what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobscheduler.control.alert_tests import AlertTestRequests
from jobscheduler.model import EventLogger, Level, Problem
from jobscheduler.model.cluster_view import ClusterView
from jobscheduler.status.cluster_json import cluster_json
from jobscheduler.status.snapshot import Conflict

RELOAD_WAIT_S = 45.0  # limit of a client's wait for a reload; it is less than the client's own limit for an answer


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """What a reload has led to: the jobs and zone in force, the settings that it applied, and what is wrong.

    `zones` have new rules, by which `moved` jobs have another next slot. Of `refused` items nothing is in force, of
    `stale` ones their last good version.
    """

    jobs: int
    refused: int
    timezone: str
    applied: tuple[str, ...] = ()
    need_restart: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = field(default=())
    zones: tuple[str, ...] = ()
    moved: int = 0
    stale: int = 0

    def as_json(self) -> Mapping[str, Any]:
        """Return it as the answer of the control socket."""
        problems = [
            {
                "message": problem.message,
                "file": problem.file,
                "line": problem.line,
                "column": problem.column,
                "excerpt": problem.excerpt,
                "caret": problem.caret,
                "width": problem.width,
                "notes": list(problem.notes),
                "help": problem.help,
            }
            for problem in self.problems
        ]
        return {
            "jobs": self.jobs,
            "refused": self.refused,
            "stale": self.stale,
            "timezone": self.timezone,
            "applied": list(self.applied),
            "need_restart": list(self.need_restart),
            "problems": problems,
            "zones": list(self.zones),
            "moved": self.moved,
        }


class ReloadRequests:
    """Requests for a reload, each answered with the outcome of a reload that began after it.

    Lock: `_changed` guards the counters and the outcome.
    """

    def __init__(self, ask: Callable[[], object]) -> None:
        """`ask` orders a reload and does not wait for it."""
        self._ask = ask
        self._changed = threading.Condition()
        self._begun = 0
        self._ended = 0
        self._outcome: ReloadOutcome | None = None

    def begin(self) -> None:
        """Note that a reload begins: it answers every request so far."""
        with self._changed:
            self._begun += 1

    def end(self, outcome: ReloadOutcome) -> None:
        """Note the outcome of the reload that began last."""
        with self._changed:
            self._ended, self._outcome = self._begun, outcome
            self._changed.notify_all()

    def request(self, wait: float = RELOAD_WAIT_S) -> ReloadOutcome | None:
        """Order a reload and wait up to `wait` seconds for its end; return None if it takes longer."""
        with self._changed:
            wanted = self._begun + 1
        self._ask()
        with self._changed:
            is_over = self._changed.wait_for(lambda: self._ended >= wanted, wait)
            return self._outcome if is_over else None


class Administration:
    """The settings and the reload of the service, and tests of its alerts.

    Thread: any.
    """

    def __init__(
        self,
        settings: Callable[[], Mapping[str, Any]],
        reloads: ReloadRequests,
        log_event: EventLogger,
        alert_tests: AlertTestRequests,
        waiting_rules: Callable[[], Sequence[str]],
        cluster: Callable[[], ClusterView | None] = lambda: None,
    ) -> None:
        """`waiting_rules` returns the zones whose rules have changed on disk and wait for a reload.

        `cluster` returns the cluster as this node knows it, None for a service that is alone.
        """
        self._cluster = cluster
        self._waiting_rules = waiting_rules
        self._alert_tests = alert_tests
        self._settings = settings
        self._reloads = reloads
        self._log_event = log_event

    def settings(self) -> Mapping[str, Any]:
        """Return every setting with its value and where it stands."""
        return self._settings()

    def zone_rules(self) -> Mapping[str, Any]:
        """Return the zones whose rules have changed on disk and wait for a reload."""
        return {"new_rules": list(self._waiting_rules())}

    def cluster(self) -> Mapping[str, Any]:
        """Return the cluster as this node knows it; null for a service that is alone."""
        return {"cluster": cluster_json(self._cluster())}

    def reload(self, by: str) -> Mapping[str, Any]:
        """Reload, and return what came of it.

        Raises:
            Conflict: the reload has not ended in time.

        """
        self._log_event(Level.INFO, "service.reload_requested", by=by)
        outcome = self._reloads.request()
        if outcome is None:
            help_ = "`jobscheduler status` says what does not answer"
            raise Conflict(Problem(f"the reload has not ended within {RELOAD_WAIT_S:.0f} s; it goes on", help=help_))
        return outcome.as_json()

    def test_alerts(self, job_id: str, by: str) -> Mapping[str, Any]:
        """Begin a test of the alerts of a job, or of the service if `job_id` is empty.

        Raises:
            NotFound: no job has this id.
            Conflict: there is no alert to send.

        """
        return self._alert_tests.begin(job_id, by)

    def alert_test(self, test_id: str, wait: float) -> Mapping[str, Any]:
        """Return what came of a test; wait for its end up to `wait` seconds.

        Raises:
            NotFound: there is no such test.

        """
        return self._alert_tests.result(test_id, wait)
