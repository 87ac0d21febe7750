"""Build the parts that turn jobs into records."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from jobscheduler.alerts import AlertDispatcher, AlertTests, Sender
from jobscheduler.control.last_records import LastRecordLoader
from jobscheduler.control.recent_records import RecentRecords
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.runlog import LogWriter
from jobscheduler.runner import detach_output_pipes
from jobscheduler.scheduler import Scheduler
from jobscheduler.service.clock_monitor import ClockMonitor
from jobscheduler.service.mailbox import Mailbox
from jobscheduler.service.open_log import read_boot_id
from jobscheduler.service.startup_checks import Startup
from jobscheduler.status.run_stats import RunStats
from jobscheduler.status.standings import Standings
from jobscheduler.util.host_id import host_id, host_seed, uptime


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
    alert_tests: AlertTests
    standings: Standings
    last_records: LastRecordLoader
    stats: RunStats
    recent: RecentRecords


def build_parts(startup: Startup, mailbox: Mailbox, log: LogWriter, stack: ExitStack) -> Parts:
    """Build the way of a job: the reconciler activates it, the scheduler has it run, observers see its records."""
    stack.callback(detach_output_pipes)
    clock, stats, recent, standings = ClockMonitor(), RunStats(), RecentRecords(), Standings(uptime)
    scheduler = stack.enter_context(_scheduler(startup, log, clock, standings))
    reconciler = Reconciler(
        startup.sources,
        scheduler,
        startup.context,
        log.event,
        observe_latency=stats.observe_latency,
        is_stopping=mailbox.is_ending,
    )
    counters = [stats.observe, recent.observe] if startup.has_page else [stats.observe]
    last_records = _last_records(startup, stats, recent)
    sender, host = Sender(log.write), os.uname().nodename
    alerts = AlertDispatcher(
        log.write,
        standings,
        startup.default_alerts,
        reconciler.job,
        last_record=last_records.of,
        host=host,
        sender=sender,
    )
    tests = AlertTests(sender.put, lambda: alerts.defaults, host=host)
    log.subscribe(before=[standings.observe, *counters], after=[alerts.observe])
    return Parts(
        startup,
        mailbox,
        log,
        clock,
        scheduler,
        reconciler,
        alerts,
        tests,
        standings,
        last_records,
        stats,
        recent,
    )


def _scheduler(startup: Startup, log: LogWriter, clock: ClockMonitor, standings: Standings) -> Scheduler:
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
        standings=standings,
    )


def _last_records(startup: Startup, stats: RunStats, recent: RecentRecords) -> LastRecordLoader:
    settings = startup.settings
    ask_log = partial(startup.guard.call, startup.log_name)
    noted = recent if startup.has_page else None
    return LastRecordLoader(settings.log_file, settings.log_backups, stats, noted, ask_log)
