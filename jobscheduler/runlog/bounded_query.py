"""Readings of the log that end early: after so many bytes, or when the caller wants no more.

A page is asked for by clients that cost nothing to themselves, so what one request reads has to have a bound. The last
records of one job are found without reading what lies between them: their instants are known, and lines are in the
order of time, so each is looked for by halving a file.
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

from jobscheduler.runlog.filter import File, LineMatcher, LogFilter, LogLine, head_of, time_of, time_prefix
from jobscheduler.runlog.query import iter_newest_first, opened

WINDOWS = (
    32 * 1024,
    256 * 1024,
)  # bytes to either side in which a line is looked for, as lines are a little out of order
_SEARCH_STEP_BYTES = 16 * 1024  # bytes within which halving ends
_MAX_LINE_BYTES = 32 * 1024  # bytes in which the next line begins


@dataclass(frozen=True, slots=True)
class ReadLimit:
    """How far a reading goes. `check` is called before each block; what it raises ends the reading."""

    most_bytes: int
    check: Callable[[], object] = field(default=lambda: None)


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest lines, newest first. `since` is from when on none is missing, None if the log has no others."""

    found: Sequence[LogLine]
    read_since: datetime | None


class _LimitReached(Exception):
    """As many bytes were read as may be."""


def newest_records(path: Path, backups: int, wanted: LogFilter, most: int, reach: ReadLimit) -> Newest:
    """Return the newest wanted lines, at most `most`, as far as the reach goes.

    Raises:
        OSError: a file is there and cannot be read.

    """
    found: list[LogLine] = []
    reading = _Reading(reach)
    try:
        lines = cast("Generator[LogLine]", iter_newest_first(path, backups, wanted, reading.progress, reading.look))
        with closing(lines):
            found.extend(islice(lines, most))
    except _LimitReached:
        return Newest(found, reading.since)
    return Newest(found, datetime.fromisoformat(found[-1].pairs["time"]) if len(found) == most else None)


class _Reading:
    """Counts what is read, and notes how far back it is."""

    def __init__(self, reach: ReadLimit) -> None:
        self._reach = reach
        self.since: datetime | None = None

    def progress(self, done: int, whole: int) -> None:
        """End the reading when it has gone far enough."""
        del whole
        self._reach.check()
        if done >= self._reach.most_bytes:
            raise _LimitReached

    def look(self, block: bytes) -> None:
        """Note where a block begins."""
        if (time := time_of(block)) is not None:
            self.since = datetime.fromisoformat(time.decode("ascii"))


def records_at(path: Path, backups: int, wanted: LogFilter, instants: Sequence[datetime]) -> list[LogLine]:
    """Return the wanted lines that were written at these instants (newest first), newest first.

    A line that is not near its place, as after a clock was set, is left out.

    Raises:
        OSError: a file is there and cannot be read.

    """
    sieve = LineMatcher(wanted)
    found: dict[bytes, LogLine] = {}
    with opened(path, backups) as files:
        texts = [time_prefix(one) for one in instants]
        missing, known = set(texts), set[bytes]()
        for text in texts:
            if text in known:
                continue
            for window in WINDOWS:
                lines = [(one, time_of(one.raw)) for one in _lines_near(files, text, window, sieve)]
                found.update((one.raw, one) for one, time in lines if time in missing)
                known.update(time for _, time in lines if time)
                if text in known:
                    break
    return sorted(found.values(), key=lambda one: one.pairs["time"], reverse=True)


def _lines_near(files: Iterable[File], text: bytes, window: int, sieve: LineMatcher) -> Iterator[LogLine]:
    """Yield the wanted lines near the place that a line of this time has."""
    for descriptor, size in files:
        begins = time_of(head_of((descriptor, size)))
        if begins is not None and begins <= text:
            place = _offset_of(descriptor, size, text)
            start = max(0, place - window)
            data = os.pread(descriptor, min(size, place + window) - start, start)
            whole = data[data.find(b"\n") + 1 if start else 0 : data.rfind(b"\n") + 1]
            yield from sieve.of(sieve.lines(whole))
            return


def _offset_of(descriptor: int, size: int, text: bytes) -> int:
    """Return about where the first line begins that is as late as `text`.

    Invariant: the line behind `low` is earlier, the line behind `high` is not, as far as lines are in order.
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
