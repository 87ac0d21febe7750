"""Turns the slots of active jobs into runs. The only package that imports APScheduler."""

from jobscheduler.scheduler.accounting import Accounting, Answer, Claims, Trusted
from jobscheduler.scheduler.pauses import MAX_PAUSES, Resumed, TooManyPauses
from jobscheduler.scheduler.pausing import Pausing
from jobscheduler.scheduler.run_chain import ChainTooLong
from jobscheduler.scheduler.scheduler import Scheduler
from jobscheduler.scheduler.standby import StandsBy
from jobscheduler.scheduler.stop_actions import StoppedRun, StopTargets
from jobscheduler.scheduler.surroundings import Clocks, SchedulerHost, SchedulerLog

__all__ = [
    "MAX_PAUSES",
    "Accounting",
    "Answer",
    "ChainTooLong",
    "Claims",
    "Clocks",
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
]
