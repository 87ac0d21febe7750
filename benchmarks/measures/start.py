"""From the start of the process until it has read every file and says `READY=1`."""

from __future__ import annotations

from pathlib import Path

from benchmarks import fleet, floors
from benchmarks.figures import Goal, Row
from benchmarks.plan import Plan
from benchmarks.processes import processor_time
from benchmarks.service import service


def measure(plan: Plan) -> list[Row]:
    """Start on 10,000 files."""
    return of_size(plan, plan.pick(10_000, 10_000, 20))


def of_size(plan: Plan, size: int) -> list[Row]:
    """Measure the wall clock of both, and the processor time, which a busy machine disturbs less."""
    with fleet.workplace() as base:
        fleet.fill(base / "jobs.d", size, fleet.never)
        _once(base)  # what is compiled or cached by the first start
        pairs = [_once(base) for _ in plan.each_round(f"start of {size}")]
    ours, floor, own, least = zip(*pairs, strict=True)
    what = f"start: {size:,} files until `READY`"
    return [
        Row("start", what, "s", ours, floor, goal=Goal(0.8, "ratio"), size=size),
        Row("start-cpu", f"{what}, processor time", "s", own, least, size=size),
    ]


def _once(base: Path) -> tuple[float, float, float, float]:
    with service(base) as started:
        ours, own = started.ready, processor_time(started.pid)
    with floors.plain(base) as (process, took):
        return ours, took, own, processor_time(process.pid)
