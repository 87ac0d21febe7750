"""Measure how costs grow with the number of jobs: a thousand, ten thousand, a hundred thousand.

The figures of the table's own sizes come from its own measurements; here are the other sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchmarks.figures import Row
from benchmarks.measures import change, herd, idle, memory, start
from benchmarks.plan import Plan

SIZES = {"start": (1_000, 100_000), "herd": (100_000,), "idle": (1_000, 100_000), "memory": (1_000, 100_000)}
SIZES["change"] = SIZES["start"]


def measure(plan: Plan) -> list[Row]:
    """Everything that grows, at the sizes that the table does not have; without peers, and without goals."""
    of_size: dict[str, Callable[[Plan, int], list[Row]]] = {
        "start": start.of_size,
        "herd": herd.of_size,
        "idle": idle.of_size,
        "memory": memory.of_size,
        "change": change.of_size,
    }
    rows: list[Row] = []
    for name, sizes in SIZES.items():
        for size in plan.pick(sizes, sizes[:1] if sizes[0] < 100_000 else (), (30,)):
            rows += of_size[name](replace(plan, peers=()), size)
    return [replace(row, goal=None) for row in rows if row.size]
