"""The start-up story: which parts the service has, started and stopped in order. No rules of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from jobscheduler.config import Settings
from jobscheduler.model import Level, LogValue, RecoveredState
from jobscheduler.runner import kill_leftovers
from jobscheduler.service import process
from jobscheduler.service.checked_settings import check_settings
from jobscheduler.service.checkpoint_timer import CheckpointTimer
from jobscheduler.service.cluster_node import NodeOfService, join_cluster
from jobscheduler.service.directory_lock import lock_directory
from jobscheduler.service.listeners import open_listeners
from jobscheduler.service.mailbox import Mailbox, Message
from jobscheduler.service.open_log import OpenLog, open_log
from jobscheduler.service.own_service import warn_of_no_lingering
from jobscheduler.service.parts import Parts, build_parts
from jobscheduler.service.source_watch import SourceWatch, watch_sources
from jobscheduler.service.supervision import Supervision, build_supervision, build_supervisor
from jobscheduler.util.hang_guard import HangGuard
from jobscheduler.util.instants import utc_now

if TYPE_CHECKING:
    from jobscheduler.cluster.node import ClusterNode


def serve(settings: Settings, read_settings: Callable[[], Settings]) -> int:
    """Run the service until a signal ends it; return its exit status. Leaving the stack stops what it started.

    `read_settings` reads the settings again, for a reload; it raises SettingsError.

    Raises:
        StartupError: a part that the service needs is missing, or another service uses it.
        SettingsError: something in the settings file is wrong.

    """
    process.prepare_process()
    mailbox = Mailbox()
    checked = check_settings(settings, read_settings, HangGuard(partial(mailbox.put, Message.HUNG_CALL_ENDED)))
    with ExitStack() as stack:
        process.pause_gc(stack)
        process.receive_signals(stack, mailbox, settings.drain_timeout)
        lock = lock_directory(checked, stack)
        opened = open_log(checked, mailbox, stack)
        parts = build_parts(checked, mailbox, opened, stack)
        sources = watch_sources(parts, lock, stack)
        fault = _run(parts, sources, opened, stack)
        if fault is not None:
            process.abort(parts.scheduler, parts.log)
    return process.exit_status(parts.log, parts.scheduler)


def _run(parts: Parts, sources: SourceWatch, opened: OpenLog, stack: ExitStack) -> str | None:
    """Make the first sync, begin to schedule, open the service to clients, and supervise it to its end.

    Return None after an end in order, or which part died.
    """
    node = _join_cluster(parts, sources, stack)
    supervision = build_supervision(parts, sources, node, stack)
    if parts.checked.hung_alerts is not None:
        supervision.alert_defaults.report_hung(parts.checked.hung_alerts)

    # The first sync reads every file. Only then does scheduling begin: nothing is due before all jobs are known.
    recovered = _recover(parts, opened)
    _restore_zone_rules(parts, supervision, recovered)
    sources.directory.check()
    if parts.mailbox.is_stopping():
        supervision.shutdown.run_before_start(parts.mailbox.take(0.0) or "")
        return None
    checkpoints = _begin_scheduling(parts, supervision, recovered)

    # The service is open to its clients, and ready.
    maintain_control = open_listeners(parts, supervision, opened, stack)
    process.tune_gc()
    supervision.manager.ready()
    if node is not None:
        node.allow_lead()
    return build_supervisor(parts, sources, supervision, checkpoints, maintain_control).run()


def _settled(parts: Parts, recovered: RecoveredState | None) -> LogValue:
    """Return up to where slots are decided, or why that is not known."""
    if parts.account is not None:
        return "this node stands by"
    return recovered.checkpoint.settled if recovered else "nothing is known of the time before"


def _join_cluster(parts: Parts, sources: SourceWatch, stack: ExitStack) -> ClusterNode | None:
    """Join the services with which this one shares a database, if it is one of several.

    Raises:
        StartupError: another service has the name of this one.

    """
    if parts.account is None:
        return None
    schedule = NodeOfService(
        parts.scheduler, parts.reconciler, sources.directory.run_sync, parts.checked.database.refresh
    )
    return join_cluster(parts.account, schedule, parts.log.event, stack, parts.mailbox.is_stopping)


def _recover(parts: Parts, opened: OpenLog) -> RecoveredState | None:
    """Take over what the log says of the service before. In a cluster the account says it, when this service leads.

    What a crash has left of its processes is ended in any case.
    """
    if parts.account is None:
        return parts.scheduler.restore(opened.recovered, utc_now())
    if opened.recovered is not None:
        kill_leftovers([run.run_id for run in opened.recovered.in_flight])
    return None


def _restore_zone_rules(parts: Parts, supervision: Supervision, recovered: RecoveredState | None) -> None:
    """Account for the outage by the zone rules of the service before, and apply those on disk as a reload does."""
    full = recovered and recovered.full
    if full and supervision.rules.restore(full.zones, utc_now()):
        parts.mailbox.put(Message.RELOAD)


def _begin_scheduling(parts: Parts, supervision: Supervision, recovered: RecoveredState | None) -> CheckpointTimer:
    """Start the threads that schedule and read files; let the database change the schedule from now on.

    The start of the scheduler writes a checkpoint, and the next ones count from that.
    """
    jobs, refused, _ = parts.reconciler.counts()
    parts.scheduler.start()
    parts.alerts.start()
    supervision.files.start()
    checkpoints = CheckpointTimer(parts.scheduler, parts.reconciler, time.monotonic())
    supervision.zone.warn_of_odd_zone()
    supervision.live.warn_of_exposed_secrets()
    parts.checked.optional.log(parts.log.event)
    warn_of_no_lingering(parts.checked.settings, parts.log.event)
    parts.log.event(
        Level.INFO, "service.started", jobs=jobs, refused=refused, pid=os.getpid(), settled=_settled(parts, recovered)
    )
    parts.checked.database.allow_sync()
    return checkpoints
