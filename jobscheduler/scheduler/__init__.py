"""The one door to APScheduler: what is in force, and what becomes of its slots."""

from jobscheduler.scheduler.run_chain import ChainTooLong
from jobscheduler.scheduler.scheduler import MAX_CLOCK_SET_BACK, Scheduler

__all__ = ["MAX_CLOCK_SET_BACK", "ChainTooLong", "Scheduler"]
