"""What may stay in the output directory: so many bytes of disk blocks, so many files, and nothing that is too old."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobscheduler.output.folder import OutputFolder
from jobscheduler.output.names import TEMPORARY, parse_day, parse_name

BLOCK_BYTES = 4096  # of most file systems: a file takes at least one
ROOM = 0.9  # of a bound is what a sweep leaves, so that the next one comes late
SWEEP_S = 600.0  # between two sweeps, unless a bound is passed
_FILES_AT_ONCE = 200  # looked at before the other threads get a turn


@dataclass(frozen=True, slots=True)
class OutputLimits:
    """The bounds: bytes of disk blocks, files, and seconds since the end of the day."""

    max_bytes: int = 1024**3
    max_files: int = 100_000
    keep_s: float = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a job, the disk blocks that it takes in bytes, and when it was last written."""

    day: str
    name: str
    job_id: str
    size: int
    written: float


@dataclass(frozen=True, slots=True)
class Coming:
    """What is about to be written at most: bytes of disk blocks, and files."""

    size: int = 0
    files: int = 0


NOTHING = Coming()


def on_disk(size: int) -> int:
    """Return the bytes of the disk blocks of a file of so many bytes."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def surplus_files(files: Iterable[StoredFile], max_bytes: int, max_files: int) -> Iterator[StoredFile]:
    """Yield the files to delete so that the others keep within both bounds.

    Always the oldest file of the job that takes most: a job that prints much displaces its own output first.
    """
    of_job: dict[str, deque[StoredFile]] = defaultdict(deque)
    for file in sorted(files, key=lambda file: (file.day, file.written)):
        of_job[file.job_id].append(file)
    yield from _shrink(of_job, max_bytes, lambda file: file.size)
    yield from _shrink(of_job, max_files, lambda file: 1)


def _shrink(
    of_job: dict[str, deque[StoredFile]], most: int, weight: Callable[[StoredFile], int]
) -> Iterator[StoredFile]:
    heap = [(-sum(map(weight, files)), job_id) for job_id, files in of_job.items() if files]
    excess = -sum(total for total, _ in heap) - most
    heapq.heapify(heap)
    while excess > 0 and heap:
        total, job_id = heapq.heappop(heap)
        file = of_job[job_id].popleft()
        excess -= weight(file)
        if of_job[job_id]:
            heapq.heappush(heap, (total + weight(file), job_id))
        yield file


class Retention:
    """Counts what the directory holds, and deletes what is too much or too old.

    Thread: that which writes.
    """

    def __init__(self, limits: OutputLimits, pause: Callable[[], object]) -> None:
        """`pause` gives other threads a turn; it is called now and then during a sweep."""
        self._limits = limits
        self._pause = pause
        self._bytes = 0
        self._files = 0
        self._too_old: frozenset[str] = frozenset()
        self._due = 0.0

    def limit(self, limits: OutputLimits) -> None:
        """Keep within these bounds from now on; a sweep is due if they are others."""
        if limits != self._limits:
            self._limits, self._due = limits, 0.0

    def added(self, before: int | None, after: int) -> None:
        """Count a file that has grown from `before` to `after` bytes, or a new one (`before` is None or 0)."""
        self._bytes += on_disk(after) - on_disk(before or 0)
        self._files += not before

    def removed(self, size: int) -> None:
        """Count a file of so many bytes that was removed."""
        self._bytes -= on_disk(size)
        self._files -= 1

    def is_due(self, elapsed: float, coming: Coming = NOTHING) -> bool:
        """Return whether a sweep has to be made before `coming` is written. `elapsed` is a clock that is never set."""
        return self._is_over(coming) or elapsed >= self._due

    def _is_over(self, coming: Coming) -> bool:
        is_large = self._bytes + coming.size > self._limits.max_bytes
        return is_large or self._files + coming.files > self._limits.max_files

    def sweep(
        self,
        folder: OutputFolder,
        now: datetime,
        elapsed: float,
        in_use: Collection[tuple[str, str]],
        coming: Coming = NOTHING,
    ) -> None:
        """Delete what is too old, or too much for `coming`, but no file (day and name) in use. Raises: `OSError`.

        A day counts as too old when it was so at the sweep before, too: the clock may be wrong for a moment.
        """
        self._due = elapsed + SWEEP_S
        for day in self._old_days(folder, now):
            self._empty(folder, day, in_use)
        files = list(self._files_of(folder))
        self._bytes, self._files = sum(file.size for file in files), len(files)
        if not self._is_over(coming):
            return
        self._delete(folder, [file for file in files if (file.day, file.name) not in in_use], coming)
        for day in {file.day for file in files}:
            folder.remove_day(day)

    def _delete(self, folder: OutputFolder, files: list[StoredFile], coming: Coming) -> None:
        """Delete the surplus of these files; what other files take, or will, is not theirs."""
        most_bytes = min(round(self._limits.max_bytes * ROOM), self._limits.max_bytes - coming.size)
        most_files = min(round(self._limits.max_files * ROOM), self._limits.max_files - coming.files)
        most_bytes = max(0, most_bytes - self._bytes + sum(file.size for file in files))
        most_files = max(0, most_files - self._files + len(files))
        for number, file in enumerate(surplus_files(files, most_bytes, most_files), 1):
            folder.remove(file.day, file.name)
            self._bytes -= file.size
            self._files -= 1
            if number % _FILES_AT_ONCE == 0:
                self._pause()

    def _old_days(self, folder: OutputFolder, now: datetime) -> list[str]:
        first = (now - timedelta(seconds=self._limits.keep_s)).date()
        old = frozenset(name for name in folder.days() if (day := parse_day(name)) is not None and day < first)
        certain, self._too_old = old & self._too_old, old
        return sorted(certain)

    def _empty(self, folder: OutputFolder, day: str, in_use: Collection[tuple[str, str]]) -> None:
        for number, name in enumerate(folder.names(day), 1):
            if (day, name) not in in_use and (parse_name(name) is not None or name.endswith(TEMPORARY)):
                folder.remove(day, name)
            if number % _FILES_AT_ONCE == 0:
                self._pause()
        folder.remove_day(day)

    def _files_of(self, folder: OutputFolder) -> Iterator[StoredFile]:
        """Yield the files of jobs. Files with other names are not ours and stay, but for those that a crash left."""
        for day in folder.days():
            for number, name in enumerate(folder.names(day), 1):
                if name.endswith(TEMPORARY):  # this thread writes none now
                    folder.remove(day, name)
                known = parse_name(name)
                status = None if known is None else folder.status(day, name)
                if known is not None and status is not None:
                    yield StoredFile(day, name, known.job_id, 512 * status.st_blocks, status.st_mtime)
                if number % _FILES_AT_ONCE == 0:
                    self._pause()
