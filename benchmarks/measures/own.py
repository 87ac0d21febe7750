"""Measure the processor time that the service itself uses for a run, without that of the commands."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks import fleet, floors
from benchmarks.figures import Goal, Row
from benchmarks.plan import Plan
from benchmarks.processes import processor_time
from benchmarks.service import Service, service

JOBS = 100
HERD = 1_000
COMMAND = ["/bin/true"]


def measure(plan: Plan) -> list[Row]:
    """Measure a hundred jobs each second, with a pause after each hundred, and many at once without a pause.

    Of those each second also how much more a run costs whose output is kept.
    """
    return [*_each_second(plan), *_printing(plan), *_at_once(plan)]


def _each_second(plan: Plan) -> list[Row]:
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


def _printing(plan: Plan) -> list[Row]:
    """Measure a run that prints a line, as a multiple of the same run whose line goes to /dev/null."""
    seconds = plan.pick(20, 10, 2)
    printing, silent = [], []
    for _ in plan.each_round("own processor time of runs that print"):
        printing.append(_of_shell("echo 'all is well'", seconds))
        silent.append(_of_shell("echo 'all is well' >/dev/null", seconds))
    what = f"own processor time of a run that prints, {JOBS} runs a second"
    return [Row("own-print", what, "µs", tuple(printing), tuple(silent), goal=Goal(1.15, "ratio"))]


def _of_shell(command: str, seconds: float) -> float:
    with fleet.workplace() as base:
        fleet.fill(base / "jobs.d", JOBS, lambda number: fleet.job(number, "* * * * * *", ["/bin/sh", "-c", command]))
        with service(base) as started:
            started.log.wait("SUCCESS", JOBS, pause=0.1)
            return cost(started, seconds) * 1e6


def _at_once(plan: Plan) -> list[Row]:
    size = plan.pick(HERD, HERD, 20)
    ours = []
    with fleet.workplace() as base:
        for _ in plan.each_round("own processor time in a herd"):
            ours.append(fleet.patiently(lambda slack: _of_herd(base, size, slack)) * 1e6)
    what = f"own processor time of a run, {size:,} due in one second"
    return [Row("own-herd", what, "µs", tuple(ours), goal=Goal(500.0))]


def _of_herd(base: Path, size: int, slack: float) -> float:
    due = fleet.lead(size, slack)
    schedule = fleet.at_second(due)
    fleet.fill(base / "jobs.d", size, lambda number: fleet.job(number, schedule, COMMAND))
    with service(base) as started:
        fleet.await_second(due - 0.1)
        used = processor_time(started.pid)
        started.log.wait("SUCCESS", size, pause=0.1)
        return (processor_time(started.pid) - used) / size


def cost(started: Service, seconds: float) -> float:
    """Return the seconds of processor time for each run, over some seconds of running."""
    time.sleep(0.6 - time.time() % 1 + 1)  # in the pause after a herd
    started.log.skip()
    before, runs = processor_time(started.pid), 0
    while not runs:  # on a busy host few seconds may go by without one
        time.sleep(seconds)
        runs = sum(line.split(" ", 2)[1] == "SUCCESS" for line in started.log.lines())
    return (processor_time(started.pid) - before) / runs


def _floor(base: Path, seconds: int) -> float:
    return floors.spawn(0, [COMMAND] * (JOBS * seconds), base)
