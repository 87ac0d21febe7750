"""Measure the memory of a job: the service with many jobs, less an interpreter with the same imports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from benchmarks import fleet, floors
from benchmarks.figures import Goal, Row
from benchmarks.plan import Plan
from benchmarks.processes import memory, settle
from benchmarks.service import service

_IMPORTED = re.compile(rb"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)


def measure(plan: Plan) -> list[Row]:
    """Ten thousand jobs."""
    return of_size(plan, plan.pick(10_000, 10_000, 20))


def of_size(plan: Plan, size: int) -> list[Row]:
    """Measure the memory of both, and the share of a job."""
    with fleet.workplace() as base:
        modules = imports(base)
        fleet.fill(base / "jobs.d", size, fleet.never)
        pairs = [_once(base, modules) for _ in plan.each_round(f"memory with {size}")]
    ours, floor = zip(*pairs, strict=True)
    each = tuple((own - least) / size / 1024 for own, least in pairs)
    what = f"memory with {size:,} jobs"
    return [
        Row("memory", what, "MiB", _mebibytes(ours), _mebibytes(floor), size=size),
        Row("job", f"memory for each of {size:,} jobs", "KiB", each, goal=Goal(4.0), size=size),
    ]


def _mebibytes(values: Iterable[int]) -> tuple[float, ...]:
    return tuple(value / 2**20 for value in values)


def _once(base: Path, modules: list[str]) -> tuple[int, int]:
    with service(base) as started:
        settle(started.pid, quiet=0.2)
        ours = memory(started.pid)
    with floors.importing(modules) as process:
        return ours, memory(process.pid)


def imports(base: Path) -> list[str]:
    """Name the modules that the service imports until it is ready, in their order."""
    with (base / "imports").open("wb") as said, service(base, python=("-X", "importtime"), stderr=said):
        pass
    return [name.decode() for name in _IMPORTED.findall((base / "imports").read_bytes())]
