"""Build the parts that turn jobs into records."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from jobscheduler.alerts import AlertDispatcher
from jobscheduler.control.recent_records import RecentRecords
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.output import OutputThread
from jobscheduler.runlog import LogWriter, last_results
from jobscheduler.runner import detach_output_pipes
from jobscheduler.scheduler import Scheduler
from jobscheduler.service.clock_monitor import ClockMonitor
from jobscheduler.service.guarded_calls import raising_os_error
from jobscheduler.service.mailbox import Mailbox
from jobscheduler.service.open_log import read_boot_id
from jobscheduler.service.outputs import ServiceOutputs
from jobscheduler.service.startup_checks import Startup
from jobscheduler.status.run_stats import RunStats
from jobscheduler.util.host_id import host_id, host_seed


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a service that has judged its settings and opened its log."""

    startup: Startup
    mailbox: Mailbox
    log: LogWriter
    clock: ClockMonitor
    scheduler: Scheduler
    reconciler: Reconciler
    alerts: AlertDispatcher
    stats: RunStats
    recent: RecentRecords
    outputs: ServiceOutputs
    output_thread: OutputThread | None


def build_parts(startup: Startup, mailbox: Mailbox, log: LogWriter, stack: ExitStack) -> Parts:
    """Build the way of a job: the reconciler activates it, the scheduler has it run, observers see its records."""
    stack.callback(detach_output_pipes)
    clock, stats, recent = ClockMonitor(), RunStats(), RecentRecords()
    outputs = ServiceOutputs(startup)
    scheduler = stack.enter_context(_scheduler(startup, log, clock, outputs))
    thread = outputs.write(scheduler, log.event, stack)
    reconciler = Reconciler(
        startup.sources,
        scheduler,
        startup.context,
        log.event,
        observe_latency=stats.observe_latency,
        is_stopping=mailbox.is_ending,
    )
    alerts = _alerts(startup, log, reconciler)
    counters = [stats.observe, recent.observe] if startup.has_page else [stats.observe]
    log.subscribe(before=counters, after=[alerts.observe])
    return Parts(startup, mailbox, log, clock, scheduler, reconciler, alerts, stats, recent, outputs, thread)


def _scheduler(startup: Startup, log: LogWriter, clock: ClockMonitor, outputs: ServiceOutputs) -> Scheduler:
    settings = startup.settings
    return Scheduler(
        write=log.write,
        write_checkpoint=startup.database.checkpoint_gate(log.checkpoint),
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


def _alerts(startup: Startup, log: LogWriter, reconciler: Reconciler) -> AlertDispatcher:
    read_results = partial(last_results, startup.settings.log_file, startup.settings.log_backups)
    previous_results = raising_os_error(startup.guard, startup.log_name, read_results)
    host = os.uname().nodename
    return AlertDispatcher(log.write, previous_results, startup.default_alerts, reconciler.job, host=host)
