"""One service of a cluster: what of it knows the database, put together. No rules of its own.

1. `NodeAccount` is made before the scheduler, which gets its `accounting`.
2. `ClusterNode` is made when the scheduler is there. As a context manager it joins the cluster, and leads when it may.

Each thread has a connection of its own: that of the lease, that of the account, and that of the node itself.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Protocol, Self

from jobscheduler.cluster.account import Account
from jobscheduler.cluster.account_past import AccountPast, BootKnowledge
from jobscheduler.cluster.account_thread import AccountThread, Chore
from jobscheduler.cluster.accounting import ClusterAccounting
from jobscheduler.cluster.beats import Beats
from jobscheduler.cluster.database_watch import DatabaseWatch
from jobscheduler.cluster.identity import IdentityInUse
from jobscheduler.cluster.jitter_seed import JitterSeed
from jobscheduler.cluster.leading import Leading, Schedule
from jobscheduler.cluster.leading_term import LeadingTerm
from jobscheduler.cluster.lease import Standing
from jobscheduler.cluster.lease_thread import LeaseThread, lease_database
from jobscheduler.cluster.membership import NO_OUTCOMES, Membership
from jobscheduler.cluster.node_beat import LoadedJobs, NodeBeat
from jobscheduler.cluster.node_health import NodeHealth
from jobscheduler.cluster.node_reports import SkewReport
from jobscheduler.cluster.node_thread import NodeThread
from jobscheduler.cluster.node_view import NodeViewer
from jobscheduler.cluster.other_runs import OtherRuns
from jobscheduler.cluster.recovery import AccountRecovery
from jobscheduler.cluster.unsent import SENT
from jobscheduler.cluster.upkeep import INTERVAL_S as UPKEEP_INTERVAL_S
from jobscheduler.cluster.upkeep import Upkeep
from jobscheduler.cluster.values import Attempt, Identity, Outcome, Term
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.database.limits import Limits
from jobscheduler.model import EventLogger, Level
from jobscheduler.model.cluster_view import ClusterView
from jobscheduler.scheduler import LogAccounting
from jobscheduler.util.host_id import uptime
from jobscheduler.util.instants import utc_now

ROLE = "scheduler"  # of a service among the nodes; workers have another one

QUEUE = "local"  # that of the workers of a service itself

OTHER_RUNS_INTERVAL_S = 2.0  # seconds from one look of the leader at the runs of other nodes to the next

ANSWER_LIMIT_S = 5  # seconds for each answer to the thread of the account


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """What the settings say of a node. Times are in seconds; `slots` is how many runs it takes at once."""

    name: str
    lease: float
    lost_after: float
    keep_runs: float
    slots: int


class NodeSchedule(Schedule, LoadedJobs, Protocol):
    """What a node needs of its scheduler and of its jobs."""

    def keep_elsewhere(self, at_work: Container[str]) -> object:
        """Note which runs of other nodes are still at work, by their ids."""

    def end_processes(self, run_ids: Iterable[str]) -> object:
        """End what is left of the processes of runs of a former instance."""

    def follow_seed(self) -> object:
        """Compute the starts of slots with `jitter` anew: their seed is another one. May wait for a sync."""


class NodeAccount:
    """The account and the lease as one node has them, without a thread yet. `accounting` is for the scheduler.

    `changed` is set when the lease has changed, `asked` while people ask something of this node as the leader.
    """

    def __init__(
        self,
        url: str,
        options: NodeOptions,
        log: LogAccounting,
        log_event: EventLogger,
        knows_jobs: Callable[[], bool] = lambda: True,
        kept: Mapping[Attempt, Outcome] = NO_OUTCOMES,
        *,
        knows_boot: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect to nothing yet. `log` is that of this node; `knows_boot`: it shows a service of this boot.

        `knows_jobs` returns whether every source of jobs was read once; `kept` are the outcomes that the log has for
        the account.

        Raises:
            DatabaseConfigError: the URL cannot be used.

        """
        self.options = options
        self.log = log
        self.monotonic = monotonic
        self.database = Database(url, Limits(ANSWER_LIMIT_S, ANSWER_LIMIT_S, "READ COMMITTED"))
        self.identity = Identity(options.name, ROLE, QUEUE, secrets.token_hex(8))
        self.watch = DatabaseWatch(str(self.database), log_event)
        self.changed = threading.Event()
        self.asked = threading.Event()
        self.lease = LeaseThread(
            lease_database(url),
            options.name,
            self.identity.instance,
            options.lease,
            settled=self._settled,
            on_change=self._lease_changed,
            monotonic=monotonic,
        )
        self.seed = JitterSeed()
        self.kept = dict(kept)
        self.boot = BootKnowledge(self.identity.instance, is_known=knows_boot, uptime=uptime)
        self.account = Account(self.database)
        self.accounting = ClusterAccounting(
            self.account, self.identity, LeadingTerm(self.lease.term), log, utc_now, knows_jobs=knows_jobs
        )
        self._skew = SkewReport(log_event)

    def _settled(self, term: Term) -> str | None:
        return self.accounting.settled(term)

    def _lease_changed(self, before: Standing, after: Standing, failure: Unavailable | None) -> None:
        self.watch.note("lease", failure)
        if failure is None:
            self._skew.note(after.skew)
            self.boot.note_standing(after)
            if after.term is not None and after.seen is not None and after.seen.has_requests:
                self.asked.set()
        if before.term != after.term:
            self.changed.set()


class ClusterNode:
    """One service as a node. A context manager: leaving it writes what is still to be written, and leaves the cluster.

    `view` says how the cluster stands, for people; `health` knows whether its threads are alive and on time.
    """

    def __init__(self, account: NodeAccount, schedule: NodeSchedule, log_event: EventLogger) -> None:
        options, lease, accounting = account.options, account.lease, account.accounting
        self.name = options.name
        beats = Beats(account.account, account.identity, options.lost_after, lease.term, account.monotonic)
        self._leading = Leading(
            options.name,
            schedule,
            AccountPast(accounting, AccountRecovery(account.database), account.boot),
            lambda: lease.standing,
            log_event,
            runs=accounting.rows.own,
            is_cut_off=beats.is_cut_off,
        )
        self._viewer = NodeViewer(
            options.name,
            account.watch,
            lambda: lease.standing,
            lambda: self._leading.role,
            options.lost_after,
            account.seed,
        )
        membership = Membership(account.database, account.identity, options.lost_after)
        node_beat = NodeBeat(
            account.identity,
            Membership(account.database, account.identity, options.lost_after),
            schedule,
            self._leading,
            self._viewer,
            lambda: lease.standing.skew,
            log_event,
            on_look=lambda sent_at, found: beats.note_look(sent_at, is_quiet=not found.running and not found.ended),
            lost_after=options.lost_after,
            slots=options.slots,
            monotonic=account.monotonic,
        )
        self._keep_unsent = accounting.keep_unsent
        account_thread = _account_thread(account, beats, node_beat, schedule)
        self._thread = NodeThread(
            self._leading,
            partial(_join, membership, account, schedule, log_event),
            membership.leave,
            _threads(lease, account_thread),
            release=lease.hand_over,
            wake=account.changed,
            log_event=log_event,
            note=lambda reason: account.watch.note("node", reason),
        )

        loops = {"node": self._thread.loop, "lease": lease.loop, "account": account_thread.loop}
        self.health = NodeHealth({f"the thread of the {name}": loop for name, loop in loops.items()})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Write what is still to be written, and leave the cluster; wait some seconds for that, and no longer."""
        self._thread.close()
        self._keep_unsent()

    def wait_joined(self, seconds: float) -> bool:
        """Wait until the first try to join is over, at most so many seconds; return whether it is."""
        return self._thread.wait_tried(seconds)

    @property
    def refused(self) -> IdentityInUse | None:
        """The other service that has the name of this node, if one has."""
        return self._thread.refused

    def allow_lead(self) -> None:
        """Let the node lead from now on: the first sync is over, and the scheduler has started."""
        self._thread.allow_lead()

    def hand_over(self) -> None:
        """Let another node lead, because this one ends. Waits for nothing; runs at work go on."""
        self._thread.hand_over()

    @property
    def leads(self) -> bool:
        """Whether the scheduler of this node leads."""
        return self._leading.term is not None

    def view(self) -> ClusterView:
        """Return how the cluster stands, as this node knows it. Waits for nothing."""
        return self._viewer.view()


def _join(membership: Membership, account: NodeAccount, schedule: NodeSchedule, log_event: EventLogger) -> None:
    """Take the place of the node, with what its former instance could not write, and learn the seed of the cluster."""
    count = membership.join(schedule.end_processes, account.kept)
    for attempt, outcome in account.kept.items():
        if attempt.key not in count:
            values = {"job_id": attempt.job_id, "slot": attempt.slot, "node": account.options.name}
            log_event(Level.WARNING, "run.late_result", **values, status=outcome.status, reason=outcome.reason)
    if account.kept:
        log_event(Level.INFO, SENT, runs=len(account.kept))
        account.kept.clear()
    if account.seed.note(membership.seed()):
        schedule.follow_seed()


def _account_thread(account: NodeAccount, beats: Beats, node_beat: NodeBeat, schedule: NodeSchedule) -> AccountThread:
    options, rows = account.options, account.accounting.rows
    upkeep = Upkeep(account.account, account.lease.term, options.keep_runs, utc_now, account.monotonic)
    others = OtherRuns(
        account.account,
        account.lease.term,
        rows,
        lambda: beats.has_others,
        schedule.keep_elsewhere,
        account.log.record,
    )
    return AccountThread(
        account.accounting,
        beats,
        rows.own,
        rows.apply,
        lambda reason: account.watch.note("account", reason),
        [
            Chore(node_beat.interval, node_beat.step),
            Chore(OTHER_RUNS_INTERVAL_S, others.step),
            Chore(UPKEEP_INTERVAL_S, upkeep.step),
        ],
        account.monotonic,
        account.accounting.keep_unsent,
    )


@contextmanager
def _threads(lease: LeaseThread, account: AccountThread) -> Iterator[None]:
    """Run both threads. The lease is given back first, then what is still to be written is written."""
    with account, lease:
        yield
