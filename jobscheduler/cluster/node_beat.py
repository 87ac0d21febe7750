"""The beat of a node: it says that it lives and what it has loaded, and looks at the other nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from jobscheduler import __version__
from jobscheduler.cluster import drift
from jobscheduler.cluster.leading import Leading
from jobscheduler.cluster.membership import Membership
from jobscheduler.cluster.node_reports import DriftReport
from jobscheduler.cluster.node_view import NodeViewer
from jobscheduler.cluster.nodes import Loaded, Population
from jobscheduler.cluster.values import WORKER_LOST, Identity
from jobscheduler.cluster.zone_data import zone_data_version
from jobscheduler.model import EventLogger, Level

MAX_INTERVAL_S = 10.0  # seconds from one beat of a node to the next, at most


class LoadedJobs(Protocol):
    """What a node needs of its jobs and of its runs besides what leading takes."""

    def hashes(self) -> Mapping[str, str]:
        """Return the hash of the definition of each job that has slots."""

    def end_runs(self, reason: str) -> object:
        """End the runs at work."""


class NodeBeat:
    """The beat of a node. Thread: that of the account."""

    def __init__(
        self,
        identity: Identity,
        membership: Membership,
        jobs: LoadedJobs,
        leading: Leading,
        viewer: NodeViewer,
        skew: Callable[[], float],
        log_event: EventLogger,
        *,
        on_look: Callable[[float, Population], object],
        lost_after: float,
        slots: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`skew` returns how far this host's clock is ahead; `slots` is how many runs the node takes at once.

        `on_look` gets what each beat finds, and when it was sent.
        """
        self._identity = identity
        self._membership = membership
        self._jobs = jobs
        self._leading = leading
        self._viewer = viewer
        self._skew = skew
        self._log_event = log_event
        self._on_look = on_look
        self._monotonic = monotonic
        self.interval = min(MAX_INTERVAL_S, lost_after / 6)
        self._slots = slots
        self._drift = DriftReport(log_event, jobs.hashes, membership.hashes_of_leader)
        self._has_lost_place = False

    def step(self) -> None:
        """Say that this node lives, and note what the others say.

        Raises:
            Unavailable: the database cannot be used.

        """
        jobset = drift.jobset(self._jobs.hashes())
        loaded = Loaded(__version__, zone_data_version(), jobset, self._slots, round(self._skew(), 3))
        sent_at = self._monotonic()
        population = self._membership.beat(loaded)
        if not population.has(self._identity):
            self._give_place()
            return
        self._on_look(sent_at, population)
        nodes = {row.identity.node: row for row in population.nodes}
        view = self._viewer.view()
        leader = nodes.get(view.leader or "")
        own = nodes.get(self._identity.node)
        is_leader = leader is not None and own is not None and leader.identity == own.identity
        self._drift.note(own, None if is_leader else leader, sent_at)
        self._viewer.note(population, self._drift.drift)

    def _give_place(self) -> None:
        """Lead no more: another service has taken this node's name, because this one was silent for so long."""
        if self._has_lost_place:
            return
        self._has_lost_place = True
        help_ = "stop that service or give one of them another name with `--node NAME`, then restart this one"
        self._log_event(Level.ERROR, "cluster.displaced", node=self._identity.node, help=help_)
        self._leading.leave("displaced")
        self._jobs.end_runs(WORKER_LOST)
