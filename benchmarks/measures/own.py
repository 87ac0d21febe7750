"""The processor time that the service itself uses for a run; what the commands use is not in it."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks import fleet, floors
from benchmarks.figures import Goal, Row
from benchmarks.plan import Plan
from benchmarks.processes import processor_time
from benchmarks.service import Service, service

JOBS = 100
COMMAND = ["/bin/true"]


def measure(plan: Plan) -> list[Row]:
    """A hundred jobs each second."""
    seconds = plan.pick(20, 10, 2)
    ours, floor = [], []
    with fleet.workplace() as base:
        fleet.fill(base / "jobs.d", JOBS, lambda number: fleet.job(number, "* * * * * *", COMMAND))
        for _ in plan.each_round("own processor time"):
            with service(base) as started:
                started.log.wait("SUCCESS", JOBS, pause=0.1)
                ours.append(cost(started, seconds) * 1e6)
            floor.append(_floor(base, seconds) * 1e6)
    what = f"own processor time of a run, {JOBS} runs a second"
    return [Row("own", what, "µs", tuple(ours), tuple(floor), goal=Goal(500.0))]


def cost(started: Service, seconds: float) -> float:
    """Return the seconds of processor time for each run, over some seconds of running."""
    time.sleep(0.6 - time.time() % 1 + 1)  # in the pause after a herd
    started.log.skip()
    used = processor_time(started.pid)
    time.sleep(seconds)
    used = processor_time(started.pid) - used
    runs = sum(line.split(" ", 2)[1] == "SUCCESS" for line in started.log.lines())
    return used / runs


def _floor(base: Path, seconds: int) -> float:
    return floors.spawn(0, [COMMAND] * (JOBS * seconds), base)
