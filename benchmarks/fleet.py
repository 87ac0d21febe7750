"""Write many job files, and read the marks that their commands leave.

A command reports its start by an empty file: the file's time is the instant of the start, for every candidate
alike, and the harness does nothing meanwhile. The kernel takes that time from its tick, so it may be up to 4 ms early.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

SETTLED = 1.5
"""After so many seconds nothing takes a file for one that is still being written."""

T = TypeVar("T")
Definition = dict[str, Any]


@contextmanager
def workplace() -> Iterator[Path]:
    """Make a directory with an empty `jobs.d`."""
    with TemporaryDirectory(prefix="bench-") as name:
        (Path(name) / "jobs.d").mkdir(mode=0o755)
        yield Path(name)


def job(number: int, schedule: str, command: str | list[str], **fields: object) -> Definition:
    """One job of many."""
    task = {"type": "execute_command", "command": command}
    return {"job_id": f"job-{number:06}", "schedule": schedule, "task": task, **fields}


def never(number: int, version: int = 0) -> Definition:
    """Build a job that is not due for months, with one of 1,440 schedules."""
    month = (datetime.now(UTC).month + 5) % 12 + 1
    return job(number, f"{number % 60} {number // 60 % 24} 1 {month} *", ["/bin/true", str(version)])


def put(path: Path, definition: Definition) -> None:
    """Write a job file."""
    path.write_text(json.dumps(definition), "utf-8")
    path.chmod(0o644)


def fill(jobs: Path, count: int, make: Callable[[int], Definition]) -> None:
    """Have exactly so many job files in a directory, and wait until they count as complete."""
    for old in jobs.iterdir():
        old.unlink()
    for number in range(count):
        put(jobs / f"{number:06}.json", make(number))
    time.sleep(SETTLED)


def at_second(due: float) -> str:
    """Return the schedule with a single slot, at this second of this year."""
    when = datetime.fromtimestamp(due, UTC)
    return f"{when.second} {when.minute} {when.hour} {when.day} {when.month} *"


class TooLate(Exception):
    """Reading the jobs took so long that they were due before it was over."""


def lead(size: int, slack: float) -> int:
    """Choose a second for so many jobs to be due: late enough for writing and reading them before it."""
    return ceil(time.time() + SETTLED + slack * (5 + size / 1_500))


def await_second(due: float) -> None:
    """Wait for that second. Raises TooLate when there is not a moment's rest before it."""
    if time.time() > due - 0.5:
        raise TooLate
    time.sleep(due - time.time())


def patiently(attempt: Callable[[float], T]) -> T:
    """Try with more and more slack while reading takes too long. Raises TooLate after the last time."""
    for slack in (1.0, 3.0):
        with suppress(TooLate):
            return attempt(slack)
    return attempt(9.0)


class Marks:
    """Where commands leave a mark when they start: in memory where there is such a place."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def command(self, number: int) -> str:
        """Return the shell command that leaves the mark of a job."""
        return f": >{self.place}/{number}"

    def clear(self) -> None:
        """Forget all marks."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()

    def wait(self, count: int, until: float) -> list[float]:
        """Wait for so many marks and return their times, sorted. Raises TimeoutError after `until` (epoch)."""
        while len(names := os.listdir(self.place)) < count:  # noqa: PTH208 # a name costs less than a path
            if time.time() > until:
                raise TimeoutError(f"only {len(names)} of {count} commands started")
            time.sleep(max(0.2, count / 25_000))  # to list many files takes time, too
        return sorted((self.place / name).stat().st_mtime for name in names)


@contextmanager
def marks() -> Iterator[Marks]:
    """Make a directory for marks."""
    memory = Path("/dev/shm")  # where there is one, marks cost no disk
    with TemporaryDirectory(prefix="bench-", dir=memory if memory.is_dir() else None) as name:
        made = Marks(Path(name) / "marks")
        made.clear()
        yield made
