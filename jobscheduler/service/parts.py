"""Build the parts that turn jobs into records."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from jobscheduler.alerts import AlertDispatcher
from jobscheduler.control.recent_record_times import RecentRecordTimes
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.output import OutputThread
from jobscheduler.runlog import LogWriter, last_results
from jobscheduler.scheduler import Scheduler
from jobscheduler.service.checked_settings import CheckedSettings
from jobscheduler.service.clock_monitor import ClockMonitor
from jobscheduler.service.guarded_calls import raising_os_error
from jobscheduler.service.mailbox import Mailbox
from jobscheduler.service.open_log import read_boot_id
from jobscheduler.service.outputs import ServiceOutputs
from jobscheduler.status.run_stats import RunStats
from jobscheduler.tasks.command.reaper_thread import REAPER
from jobscheduler.util.host_id import host_id, host_seed


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a service that has judged its settings and opened its log."""

    checked: CheckedSettings
    mailbox: Mailbox
    log: LogWriter
    clock: ClockMonitor
    scheduler: Scheduler
    reconciler: Reconciler
    alerts: AlertDispatcher
    stats: RunStats
    recent: RecentRecordTimes
    outputs: ServiceOutputs
    output_thread: OutputThread | None


def build_parts(checked: CheckedSettings, mailbox: Mailbox, log: LogWriter, stack: ExitStack) -> Parts:
    """Build the way of a job: the reconciler activates it, the scheduler has it run, observers see its records."""
    stack.callback(REAPER.pipes.detach)  # background processes go on writing when this process has ended
    clock, stats, recent = ClockMonitor(), RunStats(), RecentRecordTimes()
    outputs = ServiceOutputs(checked)
    scheduler = stack.enter_context(_scheduler(checked, log, clock, outputs))
    thread = outputs.write(scheduler, log.event, stack)
    reconciler = Reconciler(
        checked.sources,
        scheduler,
        checked.context,
        log.event,
        observe_latency=stats.observe_latency,
        is_stopping=mailbox.is_ending,
    )
    alerts = _alerts(checked, log, reconciler)
    counters = [stats.observe, recent.observe] if checked.has_page else [stats.observe]
    log.subscribe(before=counters, after=[alerts.observe])
    return Parts(checked, mailbox, log, clock, scheduler, reconciler, alerts, stats, recent, outputs, thread)


def _scheduler(checked: CheckedSettings, log: LogWriter, clock: ClockMonitor, outputs: ServiceOutputs) -> Scheduler:
    settings = checked.settings
    return Scheduler(
        write=log.write,
        write_checkpoint=checked.database.checkpoint_gate(log.checkpoint),
        log_then=log.write_and_call,
        on_behind=log.warn_behind,
        max_workers=settings.max_workers,
        host=host_seed(settings.host_id, settings.log_file.parent),
        host_id=host_id(settings.host_id, settings.log_file.parent),
        boot=read_boot_id(log),
        late_reason=clock.late_reason,
        standstills=clock.standstills,
        outputs=outputs.recent,
    )


def _alerts(checked: CheckedSettings, log: LogWriter, reconciler: Reconciler) -> AlertDispatcher:
    read_results = partial(last_results, checked.settings.log_file, checked.settings.log_backups)
    previous_results = raising_os_error(checked.guard, checked.log_name, read_results)
    host = os.uname().nodename
    return AlertDispatcher(log.write, previous_results, checked.default_alerts, reconciler.job, host=host)
