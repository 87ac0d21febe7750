"""Query the log within a bound: so many bytes, or until the caller cancels.

Clients request pages at no cost to themselves, so one request must read a bounded amount. The last records of one job
are found without reading the lines between them: their instants are known, and lines are sorted by time, so a binary
search in the file finds each.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import cast

from jobscheduler.runlog.filter import LineMatcher, LogFilter, LogLine, head_of, time_of, time_prefix
from jobscheduler.runlog.query import iter_newest_first
from jobscheduler.runlog.reader import File, open_together

WINDOWS = 32 * 1024, 256 * 1024  # bytes to either side that are searched for a line: lines are a little out of order
_SEARCH_STEP_BYTES = 16 * 1024  # bytes at which the binary search ends
_MAX_LINE_BYTES = 32 * 1024  # bytes within which the next line begins


@dataclass(frozen=True, slots=True)
class ReadLimit:
    """The bound of a reading. `check` is called before each block; an exception that it raises ends the reading."""

    most_bytes: int
    check: Callable[[], object] = field(default=lambda: None)


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest lines, newest first. None is missing after `read_since`; None if the log has no others."""

    lines: Sequence[LogLine]
    read_since: datetime | None


class _LimitReached(Exception):
    """The bound of bytes is reached."""


def newest_records(
    path: Path,
    backups: int,
    wanted: LogFilter,
    most: int,
    limit: ReadLimit,
    is_last: Callable[[LogLine], bool] = lambda line: False,
) -> Newest:
    """Return the newest wanted lines, at most `most`, within the bound. None is wanted before one that `is_last`.

    Raises:
        OSError: a file exists and cannot be read.

    """
    found: list[LogLine] = []
    reading = _Reading(limit)
    try:
        lines = cast("Generator[LogLine]", iter_newest_first(path, backups, wanted, reading.progress, reading.note))
        with closing(lines):
            for line in islice(lines, most):
                found.append(line)
                if is_last(line):
                    break
    except _LimitReached:
        return Newest(found, reading.since)
    return Newest(found, datetime.fromisoformat(found[-1].pairs["time"]) if len(found) == most else None)


class _Reading:
    """Count what is read, and remember how far back it is."""

    def __init__(self, limit: ReadLimit) -> None:
        self._limit = limit
        self.since: datetime | None = None

    def progress(self, done: int, whole: int) -> None:
        """End the reading when the bound is reached."""
        del whole
        self._limit.check()
        if done >= self._limit.most_bytes:
            raise _LimitReached

    def note(self, block: bytes) -> None:
        """Remember the time at which a block begins."""
        if (time := time_of(block)) is not None:
            self.since = datetime.fromisoformat(time.decode("ascii"))


def records_at(path: Path, backups: int, wanted: LogFilter, instants: Sequence[datetime]) -> list[LogLine]:
    """Return the wanted lines that were written at these instants; both are newest first.

    A line far from its sorted position, as after a change of the clock, is left out.

    Raises:
        OSError: a file exists and cannot be read.

    """
    matcher = LineMatcher(wanted)
    lines_by_bytes: dict[bytes, LogLine] = {}
    with open_together(path, backups) as files:
        texts = [time_prefix(at) for at in instants]
        missing, times_read = set(texts), set[bytes]()
        for text in texts:
            if text in times_read:
                continue
            for window in WINDOWS:
                lines = [(line, time_of(line.raw)) for line in _lines_near(files, text, window, matcher)]
                lines_by_bytes.update((line.raw, line) for line, time in lines if time in missing)
                times_read.update(time for _, time in lines if time)
                if text in times_read:
                    break
    return sorted(lines_by_bytes.values(), key=lambda line: line.pairs["time"], reverse=True)


def _lines_near(files: Iterable[File], text: bytes, window: int, matcher: LineMatcher) -> Iterator[LogLine]:
    """Yield the wanted lines near the position of a line with this time."""
    for descriptor, size in files:
        begins = time_of(head_of((descriptor, size)))
        if begins is not None and begins <= text:
            offset = _offset_of(descriptor, size, text)
            start = max(0, offset - window)
            data = os.pread(descriptor, min(size, offset + window) - start, start)
            complete_lines = data[data.find(b"\n") + 1 if start else 0 : data.rfind(b"\n") + 1]
            yield from matcher.of(matcher.lines(complete_lines))
            return


def _offset_of(descriptor: int, size: int, text: bytes) -> int:
    """Return roughly where the first line begins that is not earlier than `text`.

    Invariant: the line after `low` is earlier, the line after `high` is not, as far as lines are sorted.
    """
    low, high = 0, size
    while high - low > _SEARCH_STEP_BYTES:
        middle = (low + high) // 2
        data = os.pread(descriptor, _MAX_LINE_BYTES, middle)
        time = time_of(data[data.find(b"\n") + 1 :])
        if time is not None and time < text:
            low = middle
        else:
            high = middle
    return low
