"""The one door to APScheduler: what is in force, and what becomes of its slots."""

from jobscheduler.scheduler.run_chain import Endless
from jobscheduler.scheduler.scheduler import ACCEPTED, Scheduler

__all__ = ["ACCEPTED", "Endless", "Scheduler"]
