"""From the start of the process until it has read every file and says `READY=1`."""

from __future__ import annotations

from pathlib import Path

from benchmarks import fleet, floors
from benchmarks.figures import Goal, Row
from benchmarks.plan import Plan
from benchmarks.service import service


def measure(plan: Plan) -> list[Row]:
    """Start on 10,000 files."""
    size = plan.pick(10_000, 10_000, 20)
    with fleet.workplace() as base:
        fleet.fill(base / "jobs.d", size, fleet.never)
        _once(base)  # what is compiled or cached by the first start
        pairs = [_once(base) for _ in plan.each_round(f"start of {size}")]
    ours, floor = zip(*pairs, strict=True)
    return [Row("start", f"start: {size:,} files until `READY`", "s", ours, floor, goal=Goal(0.8, "ratio"), size=size)]


def _once(base: Path) -> tuple[float, float]:
    with service(base) as started:
        ours = started.ready
    with floors.plain(base) as (_, took):
        return ours, took
