"""Changes of a file while thousands of jobs are due in that second."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from benchmarks import fleet
from benchmarks.figures import Goal, Row, percentile
from benchmarks.measures.change import change
from benchmarks.plan import Plan
from benchmarks.service import Service, service

PAUSE = 0.1
"""How long after one change the next is made, in seconds."""


def measure(plan: Plan) -> list[Row]:
    """Five thousand jobs due; changes from their second on, as long as there are runs."""
    size = plan.pick(5_000, 5_000, 50)
    rounds = []
    with fleet.workplace() as base:
        for _ in plan.each_round(f"changes while {size} are due"):
            rounds.append(fleet.patiently(partial(_once, base, size)))
    what = f"a change while {size:,} jobs are due in that second"
    half, most = (tuple(percentile(late, percent) for late in rounds) for percent in (50, 100))
    return [
        Row("busy", f"{what}: until it is active, median of the changes", "ms", half, size=size),
        Row("busy-most", f"{what}: until it is active, the slowest", "ms", most, goal=Goal(100.0, "worst"), size=size),
    ]


def _once(base: Path, size: int, slack: float) -> list[float]:
    due = fleet.lead(size, slack)
    schedule = fleet.at_second(due)
    fleet.fill(base / "jobs.d", size, lambda number: fleet.job(number, schedule, ["/bin/true"]))
    fleet.put(base / "jobs.d" / f"{size:06}.json", fleet.never(size))
    time.sleep(fleet.SETTLED)
    with service(base) as started:
        fleet.await_second(due)
        return _changes(base, started, size)


def _changes(base: Path, started: Service, size: int) -> list[float]:
    """Change a file that is not due, again and again, until the herd is over; a few times at least."""
    late: list[float] = []
    ends = time.time() + size / 1000
    while len(late) < 5 or time.time() < ends:
        late.append(change(base, started, size, fleet.never(size, len(late) + 1)))
        time.sleep(PAUSE)
    return late
