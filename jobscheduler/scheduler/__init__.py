"""Turns the slots of active jobs into runs. The only package that imports APScheduler."""

from jobscheduler.scheduler.accounting import Accounting, Answer, Claims, Trusted
from jobscheduler.scheduler.clock_setback import ClockSetbackState
from jobscheduler.scheduler.log_accounting import LogAccounting
from jobscheduler.scheduler.log_lines import decided_events, paused_event, pending_event, resumed_event
from jobscheduler.scheduler.pauses import MAX_PAUSES, Resumed, TooManyPauses
from jobscheduler.scheduler.pausing import Pausing
from jobscheduler.scheduler.records import CORRECTS
from jobscheduler.scheduler.run_chain import ChainTooLong
from jobscheduler.scheduler.scheduler import Scheduler
from jobscheduler.scheduler.standby import StandsBy
from jobscheduler.scheduler.stop_actions import StoppedRun, StopTargets
from jobscheduler.scheduler.surroundings import Clocks, SchedulerHost, SchedulerLog

__all__ = [
    "CORRECTS",
    "MAX_PAUSES",
    "Accounting",
    "Answer",
    "ChainTooLong",
    "Claims",
    "ClockSetbackState",
    "Clocks",
    "LogAccounting",
    "Pausing",
    "Resumed",
    "Scheduler",
    "SchedulerHost",
    "SchedulerLog",
    "StandsBy",
    "StopTargets",
    "StoppedRun",
    "TooManyPauses",
    "Trusted",
    "decided_events",
    "paused_event",
    "pending_event",
    "resumed_event",
]
