"""Two hundred runs a second for a minute: nothing missed or skipped, and how late the runs are.

Two hundred jobs are due each second. With `jitter` each has a moment of its own within the second, always the same for
a slot; the lateness is counted from that moment. Without it all are due at the full second, so the last of them waits
for the others: this is the herd of two hundred again and again, and has no goal.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import fleet
from benchmarks.figures import Goal, Row, percentile
from benchmarks.plan import Plan
from benchmarks.service import Ran, Service, ran, service
from jobscheduler.model import Cron, Job, TaskSpec
from jobscheduler.timetable.timetable import timetable_of

RATE = 200
SCHEDULE = "* * * * * *"


def measure(plan: Plan) -> list[Row]:
    """Spread over the second, and all at its beginning."""
    seconds = plan.pick(60, 15, 3)
    spread, lost = _rounds(plan, seconds, 1, "sustained, spread")
    herds, lost_too = _rounds(plan, seconds, 0, "sustained, at the full second")
    what = f"{RATE} runs a second for {seconds} s"
    both = tuple(map(sum, zip(lost, lost_too, strict=True)))
    return [
        Row("sustained", f"{what}, spread: lateness p99", "ms", spread, goal=Goal(50.0)),
        Row("lost", f"{what}, both ways: not run", "runs", both, goal=Goal(0.0, "worst")),
        Row("sustained-herd", f"{what}, all at the full second: lateness p99", "ms", herds),
    ]


def _rounds(plan: Plan, seconds: int, jitter: int, what: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    late, lost = [], []
    with fleet.workplace() as base:
        more = {"jitter": jitter} if jitter else {}
        fleet.fill(base / "jobs.d", RATE, lambda number: fleet.job(number, SCHEDULE, ["/bin/true"], **more))
        for _ in plan.each_round(what):
            with service(base, "--timezone", "UTC") as started:
                runs, others = during(started, seconds)
            late.append(percentile([one.late for one in _from_their_moments(runs, jitter)], 99) * 1000)
            lost.append(float(others))
    return tuple(late), tuple(lost)


def during(started: Service, seconds: int) -> tuple[list[Ran], int]:
    """Let it run; return the runs, and how many slots have another record than that of a success, or none at all."""
    started.log.wait("SUCCESS", 2 * RATE, pause=0.1)
    time.sleep(seconds)
    words = [(line.split(" ", 2)[1], line) for line in started.log.lines()]
    others = sum(word in {"MISSED", "SKIPPED", "FAILURE"} for word, _ in words)
    runs = [ran(line) for word, line in words if word == "SUCCESS"]
    return runs, others + gaps(runs)


def gaps(runs: Iterable[Ran]) -> int:
    """Count the seconds between the first and the last slot of each job for which there is no run."""
    slots: dict[str, set[float]] = {}
    for one in runs:
        slots.setdefault(one.job_id, set()).add(one.scheduled)
    return sum(round(max(known) - min(known)) + 1 - len(known) for known in slots.values())


def host_id() -> str:
    """Return the host id by which the service spreads starts."""
    known = Path("/etc/machine-id")
    first = known.read_text("ascii").partition("\n")[0].strip() if known.exists() else ""
    return first or os.uname().nodename


def _from_their_moments(runs: Iterable[Ran], jitter: int) -> Iterable[Ran]:
    """Count lateness from the moment within its second that a job has."""
    if not jitter:
        return runs
    starts: dict[str, Callable[[datetime], datetime]] = {}
    task = TaskSpec.from_params("execute_command", {"command": ["/bin/true"]})
    for job_id in {one.job_id for one in runs}:
        job = Job(job_id, Cron(SCHEDULE, "UTC"), task, jitter=jitter)
        starts[job_id] = timetable_of(job, host_id()).start_time
    return [replace(one, scheduled=_moment(starts[one.job_id], one.scheduled)) for one in runs]


def _moment(start_of: Callable[[datetime], datetime], slot: float) -> float:
    return start_of(datetime.fromtimestamp(slot, UTC)).timestamp()
