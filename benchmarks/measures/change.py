"""Measure the time from the rename of a job file until it is active, by the log's own time of `job.updated`.

The log has whole milliseconds; each counts as over, so a figure is up to one too large. The floor is what the kernel
takes for it: the same rename and the reading of its event, by one program, which does not have to be woken up.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks import fleet, floors
from benchmarks.figures import Goal, Row, percentile
from benchmarks.plan import Plan
from benchmarks.processes import settle
from benchmarks.service import Service, moment, service


def measure(plan: Plan) -> list[Row]:
    """One file after the other, and a thousand at once, with ten thousand loaded."""
    return of_size(plan, plan.pick(10_000, 10_000, 20))


def of_size(plan: Plan, size: int) -> list[Row]:
    """Measure the median and the 99th percentile of single changes, and the last of many."""
    single, many = plan.pick(300, 100, 5), min(size, 1_000)
    singles, trips, bulk = [], [], []
    with fleet.workplace() as base:
        fleet.fill(base / "jobs.d", size, fleet.never)
        with service(base, "--rescan-interval", "1h") as started:
            settle(started.pid, quiet=0.2)
            for number in plan.each_round(f"changes with {size}"):
                trips.append(percentile([_round_trip(base) for _ in range(single)], 50))
                singles.append(one_by_one(base, started, single, number))
                bulk.append(at_once(base, started, many, plan.rounds + number))
    return _rows(size, many, singles, trips, bulk)


def _rows(size: int, many: int, singles: list[list[float]], trips: list[float], bulk: list[float]) -> list[Row]:
    what = f"{size:,} jobs: a changed file until its job is active"
    half, most = (tuple(percentile(late, percent) for late in singles) for percent in (50, 99))
    return [
        Row("change", f"{what}, p50", "ms", half, tuple(trips), goal=Goal(10.0), size=size),
        Row("change-p99", f"{what}, p99", "ms", most, goal=Goal(50.0), size=size),
        Row(
            "bulk",
            f"{size:,} jobs: {many:,} changed at once, until the last is active",
            "s",
            tuple(bulk),
            goal=Goal(1.0),
            size=size,
        ),
    ]


def one_by_one(base: Path, started: Service, count: int, version: int) -> list[float]:
    """Change one file after the other; return how long each took, in milliseconds."""
    return [change(base, started, number, fleet.never(number, version)) for number in range(count)]


def change(base: Path, started: Service, number: int, definition: fleet.Definition) -> float:
    """Replace one file; return the milliseconds until it is active."""
    began = _replace(base, number, definition)
    line = started.log.wait("job.updated")[0]
    return (moment(line) - began) * 1000


def at_once(base: Path, started: Service, count: int, version: int) -> float:
    """Move many new files over old ones; return the seconds from the first rename until the last is active."""
    new = base / "new"
    new.mkdir(exist_ok=True)
    for number in range(count):
        fleet.put(new / f"{number:06}.json", fleet.never(number, version))
    began = time.time()
    for number in range(count):
        (new / f"{number:06}.json").rename(base / "jobs.d" / f"{number:06}.json")
    return moment(started.log.wait("job.updated", count, pause=0.05)[-1]) - began


def _replace(base: Path, number: int, definition: fleet.Definition) -> float:
    temporary = base / "one"
    fleet.put(temporary, definition)
    began = time.time()
    temporary.rename(base / "jobs.d" / f"{number:06}.json")
    return began


def _round_trip(base: Path) -> float:
    """Return the milliseconds of a rename and of reading its event, in a directory of its own."""
    place = base / "watched"
    place.mkdir(exist_ok=True)
    (base / "one").touch()
    with floors.watching(place) as descriptor:
        began = time.perf_counter()
        (base / "one").rename(place / "one")
        os.read(descriptor, 4096)
        return (time.perf_counter() - began) * 1000
