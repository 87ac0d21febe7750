"""One service of a cluster: what of it knows the database, put together. No rules of its own.

1. `NodeAccount` is made before the scheduler, which gets its `accounting`.
2. `ClusterNode` is made when the scheduler is there. As a context manager it joins the cluster, and leads when it may.

Each thread has a connection of its own: that of the lease, that of the account, and that of the node itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol, Self

from jobscheduler.cluster.account import Account
from jobscheduler.cluster.account_terms import AccountTerms
from jobscheduler.cluster.account_thread import AccountThread, Chore
from jobscheduler.cluster.beats import Beats
from jobscheduler.cluster.boot_knowledge import BootKnowledge
from jobscheduler.cluster.cut_off import CutOff
from jobscheduler.cluster.database_watch import DatabaseWatch
from jobscheduler.cluster.decisions import Decisions
from jobscheduler.cluster.identity import IdentityInUse
from jobscheduler.cluster.jitter_seed import JitterSeed
from jobscheduler.cluster.joining import Joining, JoiningSchedule
from jobscheduler.cluster.leading import Leading, Schedule
from jobscheduler.cluster.leading_term import LeadingTerm
from jobscheduler.cluster.lease_news import LeaseNews
from jobscheduler.cluster.lease_thread import LeaseThread, lease_database
from jobscheduler.cluster.membership import Membership
from jobscheduler.cluster.node_beat import LostPlace, NodeBeat, loaded_now
from jobscheduler.cluster.node_health import NodeHealth
from jobscheduler.cluster.node_place import NodePlace
from jobscheduler.cluster.node_reports import DriftReport, SkewReport
from jobscheduler.cluster.node_thread import NodeThread
from jobscheduler.cluster.node_view import NodeViewer
from jobscheduler.cluster.nodes import Population
from jobscheduler.cluster.other_runs import OtherRuns
from jobscheduler.cluster.recovery import AccountRecovery
from jobscheduler.cluster.this_node import FormerInstance, NodeOptions, ThisNode, this_node
from jobscheduler.cluster.upkeep import INTERVAL_S as UPKEEP_INTERVAL_S
from jobscheduler.cluster.upkeep import Upkeep
from jobscheduler.cluster.values import Term
from jobscheduler.model import EventLogger
from jobscheduler.model.cluster_view import ClusterView
from jobscheduler.scheduler import LogAccounting
from jobscheduler.util.host_id import uptime
from jobscheduler.util.instants import utc_now

OTHER_RUNS_INTERVAL_S = 2.0  # seconds from one look of the leader at the runs of other nodes to the next


class NodeSchedule(Schedule, JoiningSchedule, Protocol):
    """What a node needs of its scheduler and of its jobs."""

    def hashes(self) -> Mapping[str, str]:
        """Return the hash of the definition of each job that has slots."""

    def end_runs(self, reason: str) -> object:
        """End the runs at work."""

    def keep_elsewhere(self, at_work: Container[str]) -> object:
        """Note which runs of other nodes are still at work, by their ids."""


class NodeAccount:
    """The account and the lease as one node has them, without a thread yet.

    `decisions.accounting` is for the scheduler, and `seed` what nodes have in common of `jitter`. `news` has what the
    thread of the lease learns, and `watch` whether the database is away.
    """

    def __init__(
        self,
        url: str,
        options: NodeOptions,
        log: LogAccounting,
        log_event: EventLogger,
        former: FormerInstance,
        knows_jobs: Callable[[], bool] = lambda: True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect to nothing yet. `log` is that of this node; for `knows_jobs` see `AccountCheckpoints`.

        Raises:
            DatabaseConfigError: the URL cannot be used.

        """
        self.this = this_node(url, options, monotonic)
        self.log = log
        self.former = former
        self.seed = JitterSeed()
        self.watch = DatabaseWatch(str(self.this.database), log_event)
        self.boot = BootKnowledge(self.this.identity.instance, is_known=former.knows_boot, uptime=uptime)
        self.news = LeaseNews(self.watch, SkewReport(log_event), self.boot)
        self.lease = LeaseThread(
            lease_database(url),
            options.name,
            self.this.identity.instance,
            options.lease,
            settled=self._settled,
            on_change=self.news.note,
            monotonic=monotonic,
        )
        self.account = Account(self.this.database)
        self.decisions = Decisions(
            self.account, self.this.identity, LeadingTerm(self.lease.term), log, utc_now, knows_jobs=knows_jobs
        )

    def _settled(self, term: Term) -> str | None:
        return self.decisions.settled(term)


class ClusterNode:
    """One service as a node. A context manager: leaving it writes what is still to be written, and leaves the cluster.

    `view` says how the cluster stands, for people; `health` knows whether its threads are alive and on time.
    """

    def __init__(self, account: NodeAccount, schedule: NodeSchedule, log_event: EventLogger) -> None:
        self.name = account.this.name
        this, lease, lost_after = account.this, account.lease, account.this.options.lost_after
        self._keep_unsent = account.decisions.keep_unsent
        beats = Beats(account.account, this.identity, lost_after, lease.term, this.monotonic)
        self._viewer = NodeViewer(this.name, account.watch, lambda: lease.standing, lost_after, account.seed)
        self._leading = _leading(account, schedule, beats, self._viewer, log_event)
        self._place = _place(account, schedule, log_event)
        node_beat = _node_beat(account, schedule, beats, self._viewer, self._leading, log_event)
        account_thread = _account_thread(account, schedule, beats, node_beat)
        self._thread = NodeThread(
            self._leading,
            self._place,
            NodeThreads(lease, account_thread),
            release=lease.hand_over,
            wake=account.news.changed,
            log_event=log_event,
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
        return self._place.wait_tried(seconds)

    @property
    def refused(self) -> IdentityInUse | None:
        """The other service that has the name of this node, if one has."""
        return self._place.refused

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


class NodeThreads:
    """The threads of the lease and of the account, as one context manager.

    At the end the lease is given back first. Then what is still to be written is written.
    """

    def __init__(self, lease: LeaseThread, account: AccountThread) -> None:
        self._lease = lease
        self._account = account
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._account)
        self._stack.enter_context(self._lease)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()


def _leading(
    account: NodeAccount, schedule: NodeSchedule, beats: Beats, viewer: NodeViewer, log_event: EventLogger
) -> Leading:
    """Build what has the scheduler lead and stand by."""
    this, decisions, lease = account.this, account.decisions, account.lease
    terms = AccountTerms(decisions, AccountRecovery(this.database), account.boot)
    cut_off = CutOff(beats.is_cut_off, decisions.rows.own, schedule.end_runs, log_event)
    return Leading(this.name, schedule, terms, lambda: lease.standing, cut_off, viewer.note_role, log_event)


def _membership(this: ThisNode) -> Membership:
    return Membership(this.database, this.identity, this.options.lost_after)


def _place(account: NodeAccount, schedule: NodeSchedule, log_event: EventLogger) -> NodePlace:
    """Build what joins the cluster and leaves it."""
    this, membership = account.this, _membership(account.this)
    joining = Joining(this.name, membership, schedule, account.seed, account.former.unsent, log_event)
    return NodePlace(joining.join, membership.leave, lambda reason: account.watch.note("node", reason), log_event)


def _node_beat(
    account: NodeAccount,
    schedule: NodeSchedule,
    beats: Beats,
    viewer: NodeViewer,
    leading: Leading,
    log_event: EventLogger,
) -> NodeBeat:
    """Build what says that this node lives, and looks at the others."""
    this, lease, membership = account.this, account.lease, _membership(account.this)

    def note_look(sent_at: float, found: Population) -> None:
        beats.note_look(sent_at, is_quiet=not found.running and not found.ended)

    return NodeBeat(
        this,
        membership,
        lambda: loaded_now(schedule.hashes(), this.options.slots, lease.standing.skew),
        DriftReport(log_event, schedule.hashes, membership.hashes_of_leader),
        viewer,
        LostPlace(this.name, leading, schedule.end_runs, log_event),
        note_look,
    )


def _account_thread(account: NodeAccount, schedule: NodeSchedule, beats: Beats, node_beat: NodeBeat) -> AccountThread:
    """Build the thread that speaks with the account."""
    this, decisions = account.this, account.decisions
    upkeep = Upkeep(account.account, account.lease.term, this.options.keep_runs, utc_now, this.monotonic)
    others = OtherRuns(
        account.account,
        decisions.term.accounted,
        decisions.rows,
        lambda: beats.has_others,
        schedule.keep_elsewhere,
        account.log.record,
    )
    chores = [
        Chore(node_beat.interval, node_beat.step),
        Chore(OTHER_RUNS_INTERVAL_S, others.step),
        Chore(UPKEEP_INTERVAL_S, upkeep.step),
    ]
    note = lambda reason: account.watch.note("account", reason)  # noqa: E731
    return AccountThread(decisions, beats, decisions.rows, note, chores, this.monotonic)
