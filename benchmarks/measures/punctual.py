"""One job each second in a service that has nothing else to do: how late its runs are.

The floor is a loop that sleeps until each full second and notes when it woke up.
"""

from __future__ import annotations

import time

from benchmarks import fleet
from benchmarks.figures import Goal, Row, percentile
from benchmarks.plan import Plan
from benchmarks.service import ran, service


def measure(plan: Plan) -> list[Row]:
    """Measure the 99th percentile, which is the worst of so few, and the median."""
    seconds = plan.pick(40, 20, 3)
    rounds, floor = [], []
    with fleet.workplace() as base:
        fleet.fill(base / "jobs.d", 1, lambda number: fleet.job(number, "* * * * * *", ["/bin/true"]))
        for _ in plan.each_round("punctuality"):
            with service(base) as started:
                lines = started.log.wait("SUCCESS", seconds, pause=0.2)
            rounds.append([ran(line).late * 1000 for line in lines])
            floor.append(percentile([_sleep() for _ in range(seconds)], 99))
    what = "one job each second, otherwise idle: lateness"
    half, most = (tuple(percentile(late, percent) for late in rounds) for percent in (50, 99))
    return [
        Row("punctual", f"{what}, p99", "ms", most, tuple(floor), goal=Goal(5.0)),
        Row("punctual-p50", f"{what}, p50", "ms", half),
    ]


def _sleep() -> float:
    """Sleep until the next full second; return by how many milliseconds that was late."""
    now = time.time()
    time.sleep(1 - now % 1)
    return (time.time() - int(now) - 1) * 1000
