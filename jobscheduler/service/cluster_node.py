"""The service as one node of several that share a database: what it takes to be one, and how its scheduler leads.

Only this module imports what needs the extra, and only when the settings name a database of a cluster.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from jobscheduler.config import Settings
from jobscheduler.database import DatabaseConfigError, load_url
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.model import EventLogger, Job, Problem, RecoveredState
from jobscheduler.runner import kill_leftovers
from jobscheduler.scheduler import LogAccounting, Scheduler
from jobscheduler.service.database_jobs import warn_if_exposed
from jobscheduler.service.errors import StartupError
from jobscheduler.service.guarded_calls import call_at_startup
from jobscheduler.util.hang_guard import HangGuard
from jobscheduler.util.host_id import boot_id, is_same_boot
from jobscheduler.util.instants import utc_now
from jobscheduler.util.standard_output import is_standard_output

if TYPE_CHECKING:
    from jobscheduler.cluster.node import ClusterNode, NodeAccount
    from jobscheduler.service.checked_settings import CheckedSettings
    from jobscheduler.service.open_log import OpenLog

JOIN_WAIT_S = 10.0  # limit of a start's wait for the database; then it stands by until that answers
_POLL_S = 0.1  # between two checks whether a signal ends the service meanwhile


def read_cluster_url(settings: Settings, guard: HangGuard) -> str | None:
    """Return the URL of the database that services share; None for a service on its own.

    A service that is to be one of several must not run jobs on its own: it does not start without the URL.

    Raises:
        StartupError: the extra is missing, or the file with the URL cannot be used.

    """
    read = partial(load_url, settings.cluster_url, settings.cluster_url_file, "--cluster-url", "cluster")
    try:
        return call_at_startup(guard, "the file with the URL of the cluster", read)
    except DatabaseConfigError as error:
        raise StartupError(error.problem) from None


def changed_url_files(checked: CheckedSettings) -> frozenset[str]:
    """Return the name of the setting whose file names another database, or another password, than at the start.

    Raises:
        DatabaseConfigError: the file cannot be used now.
        CallHung: it does not answer.

    """
    file = checked.settings.cluster_url_file
    if file is None:
        return frozenset()
    read = partial(load_url, None, file, "--cluster-url", "cluster")
    now = checked.guard.call("the file with the URL of the cluster", read)
    return frozenset() if now == checked.cluster_url else frozenset({"cluster_url_file"})


def open_account(url: str, checked: CheckedSettings, opened: OpenLog, log: LogAccounting) -> NodeAccount:
    """Return the account that the services share, without asking the database yet.

    Raises:
        StartupError: the URL cannot be used, or the log does not answer.

    """
    from jobscheduler.cluster.node import NodeAccount  # noqa: PLC0415 - an extra
    from jobscheduler.cluster.this_node import FormerInstance, NodeOptions  # noqa: PLC0415
    from jobscheduler.cluster.unsent import unsent_in  # noqa: PLC0415

    settings, recovered = checked.settings, opened.recovered
    times = settings.lease, settings.lost_after, settings.keep_runs
    options = NodeOptions(settings.node or os.uname().nodename[:64], *times, settings.max_workers)
    knows_boot = recovered is not None and is_same_boot(recovered.checkpoint.boot, boot_id())
    read = partial(unsent_in, settings.log_file, settings.log_backups)
    is_file = not is_standard_output(settings.log_file)
    unsent = call_at_startup(checked.guard, checked.log_name, read) if is_file else {}
    former, knows_jobs = FormerInstance(unsent, knows_boot), checked.database.is_known
    try:
        return NodeAccount(url, options, log, opened.log.event, former, knows_jobs)
    except DatabaseConfigError as error:
        raise StartupError(error.problem) from None


class NodeOfService:
    """The scheduler and the jobs of the service, as its node uses them. Thread: that of the node or of the account."""

    def __init__(
        self,
        scheduler: Scheduler,
        reconciler: Reconciler,
        run_sync: Callable[[Callable[[], None]], None],
        refresh: Callable[[], object],
    ) -> None:
        """`run_sync` runs a sync, whose failure it reports; `refresh` reads the jobs of a database anew."""
        self._refresh = refresh
        self._scheduler = scheduler
        self._reconciler = reconciler
        self._run_sync = run_sync

    def sync(self) -> None:
        """Sync all that has changed, also in a database that another node has read last."""
        self._refresh()
        self._run_sync(self._reconciler.sync_all)

    def lead(self, state: RecoveredState | None, still_leads: Callable[[], bool]) -> bool:
        """Have the scheduler lead when no sync is under way, if the node still has the lease then."""
        leads = False

        def begin(over: list[Job]) -> None:
            nonlocal leads
            if still_leads():
                self._scheduler.leadership.lead(state, utc_now(), over)
                leads = True

        self._reconciler.lead(begin)
        return leads

    def stand_by(self) -> None:
        """Have the scheduler stand by."""
        self._scheduler.leadership.stand_by()

    def hand_over(self) -> None:
        """Have the scheduler write a last checkpoint and stand by."""
        self._scheduler.leadership.hand_over()

    def end_runs(self, reason: str) -> None:
        """End the runs at work."""
        self._scheduler.leadership.end_runs(reason)

    def keep_elsewhere(self, at_work: Container[str]) -> None:
        """Note which runs of other nodes are still at work."""
        self._scheduler.leadership.keep_elsewhere(at_work)

    def hashes(self) -> Mapping[str, str]:
        """Return the hash of the definition of each job that has slots."""
        return self._scheduler.definition_hashes()

    def follow_seed(self) -> None:
        """Compute the starts of slots with `jitter` anew: their seed is another one."""
        self._reconciler.follow_seed()

    def end_processes(self, run_ids: Iterable[str]) -> None:
        """End what is left of the processes of runs."""
        kill_leftovers(run_ids)


def join_cluster(
    account: NodeAccount,
    schedule: NodeOfService,
    log_event: EventLogger,
    stack: ExitStack,
    is_ending: Callable[[], bool],
) -> ClusterNode:
    """Join the other services; wait a little for the database. If it does not answer, the service stands by.

    Raises:
        StartupError: another service has the name of this node.

    """
    from jobscheduler.cluster.node import ClusterNode  # noqa: PLC0415 - an extra

    node = stack.enter_context(ClusterNode(account, schedule, log_event))
    deadline = time.monotonic() + JOIN_WAIT_S
    while not node.wait_joined(_POLL_S) and not is_ending() and time.monotonic() < deadline:
        pass
    if node.refused is not None:
        raise StartupError(Problem(str(node.refused), help=node.refused.help))
    warn_if_exposed(account.this.database, "cluster.exposed", log_event)
    return node
