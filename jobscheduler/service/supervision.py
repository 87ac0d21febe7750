"""Build what supervises a service: its checks, its reports to systemd, its reload and its end."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from jobscheduler.control.administration import ReloadRequests
from jobscheduler.service.alert_defaults import AlertDefaultsReader
from jobscheduler.service.checkpoint_timer import CheckpointTimer
from jobscheduler.service.checks import HealthCheck, HostCheck
from jobscheduler.service.condition import ServiceCondition
from jobscheduler.service.file_thread import FileThread
from jobscheduler.service.file_work import FileWork
from jobscheduler.service.health import HealthMonitor, TurnTimer
from jobscheduler.service.live_settings import LiveSettings
from jobscheduler.service.mailbox import Message
from jobscheduler.service.manager_status import ManagerStatus
from jobscheduler.service.outputs import close_outputs
from jobscheduler.service.parts import Parts
from jobscheduler.service.reload import Reload
from jobscheduler.service.sd_notify import Notifier
from jobscheduler.service.shutdown import Shutdown
from jobscheduler.service.source_watch import SourceWatch, request_settle
from jobscheduler.service.supervisor import Supervisor
from jobscheduler.service.zone_rules_watch import ZoneRulesWatch
from jobscheduler.service.zone_watch import ZoneWatch


@dataclass(frozen=True, slots=True)
class Supervision:
    """What supervises the parts. `turns` times the supervising loop, and `files` is the file thread."""

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
    condition: ServiceCondition


def build_supervision(parts: Parts, sources: SourceWatch, stack: ExitStack) -> Supervision:
    """Build all but the loop, before the first sync: that may take long, and a signal may end it."""
    startup, log, scheduler, reconciler = parts.startup, parts.log, parts.scheduler, parts.reconciler
    files, turns = FileThread(partial(request_settle, reconciler, parts.mailbox)), TurnTimer()
    loops = {"the supervising loop": turns.busy_for, "the thread that reads files": files.busy_for}
    health = HealthMonitor(scheduler, log, sources.watcher, loops)
    manager = ManagerStatus(_notifier(stack), scheduler, reconciler, health, log)
    live = LiveSettings(startup.settings, startup.read_settings, log, startup.guard)
    zone, rules = ZoneWatch(live, startup.context, log, startup.guard), ZoneRulesWatch(log, startup.guard)
    return Supervision(
        turns,
        files,
        health,
        manager,
        live,
        ReloadRequests(partial(parts.mailbox.put, Message.RELOAD)),
        zone,
        rules,
        AlertDefaultsReader(live, zone, parts.alerts, startup.optional, log, startup.guard),
        _shutdown(parts, manager, turns, files),
        ServiceCondition(zone, rules, health, parts, sources),
    )


def build_supervisor(
    parts: Parts,
    sources: SourceWatch,
    supervision: Supervision,
    checkpoints: CheckpointTimer,
    maintain_control: Callable[[float], None],
) -> Supervisor:
    """Build the loop, when all that it checks is there."""
    work = _file_work(parts, sources, supervision, maintain_control)
    return Supervisor(
        parts.mailbox,
        supervision.turns,
        work,
        HostCheck(parts.log, parts.clock, parts.scheduler, checkpoints, work),
        HealthCheck(supervision.health, work),
        checkpoints,
        supervision.manager,
        supervision.shutdown,
        rescan_interval=parts.startup.settings.rescan_interval,
    )


def _file_work(
    parts: Parts, sources: SourceWatch, supervision: Supervision, maintain_control: Callable[[float], None]
) -> FileWork:
    return FileWork(
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


def _shutdown(parts: Parts, manager: ManagerStatus, turns: TurnTimer, files: FileThread) -> Shutdown:
    return Shutdown(
        parts.startup.settings.drain_timeout,
        parts.mailbox,
        parts.log,
        manager,
        turns,
        files,
        parts.scheduler,
        parts.alerts,
        close_outputs(parts.output_thread, parts.startup.database.report_unsent),
    )


def _reload(parts: Parts, sources: SourceWatch, supervision: Supervision) -> Reload:
    return Reload(
        parts.mailbox,
        parts.log,
        supervision.manager,
        supervision.live,
        supervision.reloads,
        supervision.zone,
        supervision.rules,
        supervision.alert_defaults,
        sources.directory,
        parts.reconciler,
        parts.startup.database.reload,
    )
