"""Build what supervises a service: its checks, its reports to systemd, its reload and its end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from jobscheduler.control.administration import ReloadRequests
from jobscheduler.service.alert_defaults import AlertDefaultsReader
from jobscheduler.service.checkpoint_timer import CheckpointTimer
from jobscheduler.service.checks import HealthCheck, HostCheck
from jobscheduler.service.cluster_node import changed_url_files
from jobscheduler.service.file_thread import FileThread
from jobscheduler.service.health import HealthMonitor
from jobscheduler.service.live_settings import LiveSettings
from jobscheduler.service.mailbox import Message
from jobscheduler.service.manager_status import ManagerStatus
from jobscheduler.service.outputs import close_outputs, limit_outputs
from jobscheduler.service.overdue_check import OverdueCheck
from jobscheduler.service.parts import Parts
from jobscheduler.service.reload import Reload
from jobscheduler.service.reloaded_inputs import ReloadedInputs
from jobscheduler.service.sd_notify import Notifier
from jobscheduler.service.service_issues import ServiceIssues
from jobscheduler.service.shutdown import NO_CLUSTER, Shutdown
from jobscheduler.service.source_watch import SourceWatch, request_settle
from jobscheduler.service.supervisor import Supervisor
from jobscheduler.service.sync_requests import SyncRequests
from jobscheduler.service.zone_rules_watch import ZoneRulesWatch
from jobscheduler.service.zone_watch import ZoneWatch
from jobscheduler.util.turn_timer import TurnTimer

if TYPE_CHECKING:
    from jobscheduler.cluster.node import ClusterNode


@dataclass(frozen=True, slots=True)
class Supervision:
    """What supervises the parts. `turns` times the supervising loop, `files` is the file thread.

    `node` is the service as one of several.
    """

    turns: TurnTimer
    files: FileThread
    health: HealthMonitor
    manager: ManagerStatus
    live: LiveSettings
    reloads: ReloadRequests
    zone: ZoneWatch
    rules: ZoneRulesWatch
    alert_defaults: AlertDefaultsReader
    shutdown: Shutdown
    issues: ServiceIssues
    node: ClusterNode | None


def build_supervision(parts: Parts, sources: SourceWatch, node: ClusterNode | None, stack: ExitStack) -> Supervision:
    """Build all but the loop, before the first sync: that may take long, and a signal may end it.

    `node` is the service as one of several that share a database, if it is.
    """
    checked, log, scheduler, reconciler = parts.checked, parts.log, parts.scheduler, parts.reconciler
    files, turns = FileThread(partial(request_settle, reconciler, parts.mailbox)), TurnTimer()
    loops = {"the supervising loop": turns.busy_for, "the thread that reads files": files.busy_for}
    health = HealthMonitor(scheduler, log, sources.watcher, loops, None if node is None else node.health)
    manager = ManagerStatus(_notifier(stack), scheduler, reconciler, health, log)
    apply = partial(limit_outputs, parts.output_thread)
    live = LiveSettings(
        checked.settings, checked.read_settings, log, checked.guard, apply, partial(changed_url_files, checked)
    )
    zone, rules = ZoneWatch(live, checked.context, log, checked.guard), ZoneRulesWatch(log, checked.guard)
    return Supervision(
        turns,
        files,
        health,
        manager,
        live,
        ReloadRequests(partial(parts.mailbox.put, Message.RELOAD)),
        zone,
        rules,
        AlertDefaultsReader(live, zone, parts.alerts, checked.optional, log, checked.guard),
        _shutdown(parts, manager, turns, files, node),
        ServiceIssues(zone, rules, health, parts, sources),
        node,
    )


def build_supervisor(
    parts: Parts,
    sources: SourceWatch,
    supervision: Supervision,
    checkpoints: CheckpointTimer,
    maintain_control: Callable[[float], None],
) -> Supervisor:
    """Build the loop, when all that it checks is there."""
    requests = _sync_requests(parts, sources, supervision, maintain_control)
    overdue = OverdueCheck(parts.standings, parts.scheduler.is_held, parts.alerts.observer, parts.log.event)
    return Supervisor(
        parts.mailbox,
        supervision.turns,
        requests,
        HostCheck(parts.log, parts.clock, parts.scheduler, checkpoints, requests, overdue),
        HealthCheck(supervision.health, requests),
        checkpoints,
        supervision.manager,
        supervision.shutdown,
        rescan_interval=parts.checked.settings.rescan_interval,
    )


def _sync_requests(
    parts: Parts, sources: SourceWatch, supervision: Supervision, maintain_control: Callable[[float], None]
) -> SyncRequests:
    return SyncRequests(
        supervision.files,
        sources.directory,
        parts.reconciler,
        supervision.alert_defaults,
        _reload(parts, sources, supervision),
        maintenance={
            "zone": lambda _: supervision.zone.check(),
            "zone rules": lambda _: supervision.rules.check(),
            "control": maintain_control,
            "output": (lambda _: None) if parts.output_thread is None else parts.output_thread.check,
        },
    )


def _notifier(stack: ExitStack) -> Notifier:
    notifier = Notifier()
    stack.callback(notifier.close)
    return notifier


def _shutdown(
    parts: Parts, manager: ManagerStatus, turns: TurnTimer, files: FileThread, node: ClusterNode | None
) -> Shutdown:
    return Shutdown(
        parts.checked.settings.drain_timeout,
        parts.mailbox,
        parts.log,
        manager,
        turns,
        files,
        parts.scheduler,
        parts.alerts,
        NO_CLUSTER if node is None else node,
        close_outputs(parts.output_thread, parts.checked.database.report_unsent),
    )


def _reload(parts: Parts, sources: SourceWatch, supervision: Supervision) -> Reload:
    inputs = ReloadedInputs(supervision.live, supervision.zone, supervision.rules, supervision.alert_defaults)
    return Reload(
        parts.mailbox,
        parts.log,
        supervision.manager,
        supervision.reloads,
        inputs,
        sources.directory,
        parts.reconciler,
        parts.checked.database.reload,
    )
