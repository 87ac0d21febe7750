"""Measure the processor time of a service with many jobs and nothing due, its rescans included.

The floor is a program that wakes up as often and only asks the system what the service asks. Both wait side by side, so
that a machine on which it costs much to wake up at all shows that in both figures.
"""

from __future__ import annotations

import time

from benchmarks import fleet, floors
from benchmarks.figures import Goal, Row
from benchmarks.plan import Plan
from benchmarks.processes import processor_time, settle
from benchmarks.service import service


def measure(plan: Plan) -> list[Row]:
    """Ten thousand jobs, none due."""
    return of_size(plan, plan.pick(10_000, 10_000, 20))


def of_size(plan: Plan, size: int) -> list[Row]:
    """Percent of one core, over a time with whole rounds of rescans (every 30 s as a service has them)."""
    seconds = plan.pick(60, 30, 2)
    ours, floor = [], []
    with fleet.workplace() as base:
        fleet.fill(base / "jobs.d", size, fleet.never)
        with service(base) as started, floors.looking(base / "jobs.d") as looker:
            settle(started.pid, quiet=0.2)
            for _ in plan.each_round(f"idle with {size}"):
                used = processor_time(started.pid), processor_time(looker)
                time.sleep(seconds)
                ours.append((processor_time(started.pid) - used[0]) / seconds * 100)
                floor.append((processor_time(looker) - used[1]) / seconds * 100)
    what = f"idle with {size:,} jobs, none due"
    return [Row("idle", what, "% of a core", tuple(ours), tuple(floor), goal=Goal(0.2), size=size)]
