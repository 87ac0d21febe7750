"""How a node joins a cluster: it takes its place, writes what its former instance could not, and learns the seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from jobscheduler.cluster.jitter_seed import JitterSeed
from jobscheduler.cluster.membership import Membership
from jobscheduler.cluster.unsent import SENT
from jobscheduler.cluster.values import Attempt, Key, Outcome
from jobscheduler.model import EventLogger, Level


class JoiningSchedule(Protocol):
    """What joining needs of the jobs and of the runs of a service."""

    def end_processes(self, run_ids: Iterable[str]) -> object:
        """End what is left of the processes of runs of a former instance."""

    def follow_seed(self) -> object:
        """Compute the starts of slots with `jitter` anew: their seed is another one. May wait for a sync."""


class Joining:
    """Joins; it may be tried again after a failure. Thread: that of the node."""

    def __init__(
        self,
        node: str,
        membership: Membership,
        schedule: JoiningSchedule,
        seed: JitterSeed,
        unsent: Mapping[Attempt, Outcome],
        log_event: EventLogger,
    ) -> None:
        """`unsent` are the outcomes that the log of the node has for the account."""
        self._node = node
        self._membership = membership
        self._schedule = schedule
        self._seed = seed
        self._unsent = dict(unsent)
        self._log_event = log_event

    def join(self) -> None:
        """Take the place of the node, and learn the seed of the cluster.

        Raises:
            Unavailable: the database cannot be used.
            IdentityInUse: another service has the place, and lives.

        """
        count = self._membership.join(self._schedule.end_processes, self._unsent)
        if self._unsent:
            self._report_sent(count)
            self._unsent.clear()
        if self._seed.note(self._membership.seed()):
            self._schedule.follow_seed()

    def _report_sent(self, count: frozenset[Key]) -> None:
        """Log which outcomes came too late, and that the account has all of them."""
        for attempt, outcome in self._unsent.items():
            if attempt.key not in count:
                values = {"job_id": attempt.job_id, "slot": attempt.slot, "node": self._node}
                late = {"status": outcome.status, "reason": outcome.reason}
                self._log_event(Level.WARNING, "run.late_result", **values, **late)
        self._log_event(Level.INFO, SENT, runs=len(self._unsent))
