"""Measure a sync in this process: the first one, a rescan without changes, and the check of each second.

Run: python -m benchmarks.passes [JOBS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from benchmarks import fleet
from benchmarks.figures import Spread
from jobscheduler import tasks
from jobscheduler.jobs.directory import DirectorySource
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.jobs.reconciler import Reconciler

ROUNDS = 10


class Nowhere:
    """A scheduler that does nothing, so that only the sync itself is measured."""

    def put(self, *_: object, **__: object) -> None:
        """Do nothing."""

    drop = next_slot = put


def timed(work: Callable[[], object]) -> float:
    """Return how long something takes, in milliseconds."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def show(name: str, values: list[float]) -> None:
    """Print the median and the extremes."""
    spread = Spread.of(values)
    print(f"{name:<52} {spread.median:>8.1f} {spread.least:>8.1f} {spread.most:>8.1f} ms")


def looking(jobs: Path, count: int) -> None:
    """Measure passes over so many files."""
    rules = ParseContext(ZoneInfo("UTC"), tasks.task_type, tasks.task_names())
    reconciler = Reconciler([DirectorySource(jobs)], Nowhere(), rules, lambda *_, **__: None)  # type: ignore[arg-type]
    show(f"reading {count} files for the first time", [timed(reconciler.sync_all)])
    time.sleep(0.2)
    reconciler.sync_all()  # what had been fresh is read once more
    show("a rescan when nothing changed", [timed(reconciler.sync_all) for _ in range(ROUNDS)])
    one = partial(reconciler.sync_items, ["000001.json"])
    show("a look at one file that did not change", [timed(one) for _ in range(50)])
    show("the check of each second", [timed(reconciler.verify_sources) for _ in range(50)])


def main() -> None:
    """Print one line for each figure."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with fleet.workplace() as base:
        fleet.fill(base / "jobs.d", count, fleet.never)
        looking(base / "jobs.d", count)


if __name__ == "__main__":
    main()
