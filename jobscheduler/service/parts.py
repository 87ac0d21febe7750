"""Build the parts that turn jobs into records."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from jobscheduler.alerts import AlertDispatcher, AlertSenderPool, AlertTests
from jobscheduler.control.recent_record_times import RecentRecordTimes
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.model import Record, Status
from jobscheduler.output import OutputThread
from jobscheduler.runlog import LogWriter, last_record
from jobscheduler.scheduler import Clocks, LogAccounting, Scheduler, SchedulerHost, SchedulerLog
from jobscheduler.scheduler.leadership import Leadership
from jobscheduler.service.checked_settings import CheckedSettings
from jobscheduler.service.clock_monitor import ClockMonitor
from jobscheduler.service.cluster_node import open_account
from jobscheduler.service.mailbox import Mailbox
from jobscheduler.service.open_log import OpenLog, read_boot_id
from jobscheduler.service.outputs import ServiceOutputs
from jobscheduler.status.run_stats import RunStats
from jobscheduler.status.standings import Standings
from jobscheduler.tasks.command.reaper_thread import REAPER
from jobscheduler.util.hang_guard import CallHung
from jobscheduler.util.host_id import host_id, host_seed, uptime

if TYPE_CHECKING:
    from jobscheduler.cluster.node import NodeAccount


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a service that has judged its settings and opened its log. `account` is that of a cluster."""

    checked: CheckedSettings
    mailbox: Mailbox
    log: LogWriter
    clock: ClockMonitor
    scheduler: Scheduler
    reconciler: Reconciler
    alerts: AlertDispatcher
    alert_tests: AlertTests
    standings: Standings
    stats: RunStats
    recent: RecentRecordTimes
    outputs: ServiceOutputs
    output_thread: OutputThread | None
    account: NodeAccount | None


def build_parts(checked: CheckedSettings, mailbox: Mailbox, opened: OpenLog, stack: ExitStack) -> Parts:
    """Build the way of a job: the reconciler activates it, the scheduler has it run, observers see its records.

    Raises:
        StartupError: the URL of the cluster cannot be used.

    """
    log = opened.log
    stack.callback(REAPER.pipes.detach)  # background processes go on writing when this process has ended
    clock, stats, recent, standings = ClockMonitor(), RunStats(), RecentRecordTimes(), Standings(uptime)
    outputs = ServiceOutputs(checked)
    surroundings = _surroundings(checked, log)
    account = _account(checked, opened, LogAccounting(*surroundings))
    scheduler = stack.enter_context(_scheduler(checked, surroundings, account, clock, standings, outputs))
    thread = outputs.write(scheduler, log.event, stack)
    reconciler = Reconciler(
        checked.sources,
        scheduler,
        checked.context,
        log.event,
        observe_latency=stats.observe_latency,
        is_stopping=mailbox.is_ending,
    )
    counters = [stats.observe, recent.observe] if checked.has_page else [stats.observe]
    alerts, tests = _alerts(checked, log, standings, reconciler, stats, scheduler.leadership)
    log.subscribe(before=[standings.observe, *counters], after=[alerts.observer.observe])
    log.subscribe(after=[] if account is None else [account.decisions.accounting.observe])
    return Parts(
        checked,
        mailbox,
        log,
        clock,
        scheduler,
        reconciler,
        alerts,
        tests,
        standings,
        stats,
        recent,
        outputs,
        thread,
        account,
    )


def _surroundings(checked: CheckedSettings, log: LogWriter) -> tuple[SchedulerLog, SchedulerHost]:
    settings = checked.settings
    gate = checked.database.checkpoint_gate(log.checkpoint)
    folder = settings.log_file.parent
    host = SchedulerHost(
        seed=host_seed(settings.host_id, folder), id=host_id(settings.host_id, folder), boot=read_boot_id(log)
    )
    return SchedulerLog(log.write, gate, log.write_and_call, log.warn_behind), host


def _scheduler(
    checked: CheckedSettings,
    surroundings: tuple[SchedulerLog, SchedulerHost],
    account: NodeAccount | None,
    clock: ClockMonitor,
    standings: Standings,
    outputs: ServiceOutputs,
) -> Scheduler:
    """Build the scheduler; in a cluster it stands by until its node leads."""
    log, host = surroundings
    return Scheduler(
        log,
        max_workers=checked.settings.max_workers,
        host=host if account is None else replace(host, shared_seed=account.seed),
        clocks=Clocks(late_reason=clock.late_reason, standstills=clock.standstills),
        standings=standings,
        outputs=outputs.recent,
        accounting=None if account is None else account.decisions.accounting,
        stands_by=account is not None,
    )


def _account(checked: CheckedSettings, opened: OpenLog, log: LogAccounting) -> NodeAccount | None:
    """Return the account of the cluster, if the service is one of several."""
    if checked.cluster_url is None:
        return None
    return open_account(checked.cluster_url, checked, opened, log)


def _alerts(
    checked: CheckedSettings,
    log: LogWriter,
    standings: Standings,
    reconciler: Reconciler,
    stats: RunStats,
    leadership: Leadership,
) -> tuple[AlertDispatcher, AlertTests]:
    """Build what sends alerts about jobs, and what sends a test of them."""
    sender, host = AlertSenderPool(log.write), os.uname().nodename
    alerts = AlertDispatcher(
        log.write,
        standings,
        checked.default_alerts,
        reconciler.job,
        last_record=partial(_last_record, checked, stats),
        host=host,
        sender=sender,
        stands_by=lambda: leadership.stands_by,
    )
    return alerts, AlertTests(sender.put, lambda: alerts.defaults, host=host)


def _last_record(checked: CheckedSettings, stats: RunStats, job_id: str, statuses: Collection[Status]) -> Record | None:
    """Return the last record of a job with its output; without it if the log does not answer or is not a file."""
    settings = checked.settings
    read = partial(last_record, settings.log_file, settings.log_backups, job_id, statuses)
    with suppress(CallHung, OSError):
        found = checked.guard.call(checked.log_name, read)
        if found is not None:
            return found
    return stats.last_record(job_id)
