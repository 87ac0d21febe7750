"""The parts that turn jobs into records."""

from __future__ import annotations

from dataclasses import dataclass

from jobscheduler.alerts import AlertDispatcher
from jobscheduler.config import Settings
from jobscheduler.control.recent_records import RecentRecords
from jobscheduler.jobs.reconciler import Reconciler
from jobscheduler.runlog import LogWriter
from jobscheduler.scheduler import Scheduler
from jobscheduler.service.mailbox import Mailbox
from jobscheduler.service.startup_checks import Startup
from jobscheduler.status.run_stats import RunStats
from jobscheduler.util.hang_guard import HangGuard


@dataclass(frozen=True, slots=True)
class Parts:
    """What `main.serve` has built when supervision and clients are to be added."""

    settings: Settings
    startup: Startup
    mailbox: Mailbox
    guard: HangGuard
    log: LogWriter
    scheduler: Scheduler
    reconciler: Reconciler
    alerts: AlertDispatcher
    stats: RunStats
    recent: RecentRecords
