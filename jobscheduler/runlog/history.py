"""The history that the log files hold: lines of one job, of some kind or of some time, newest or oldest first.

1. All files are opened at once, by name from the newest on, and held: what is rotated or removed afterwards is read
   as it was. If the newest file is another one by then, opening is repeated; so no file is left out or read twice.
2. They are read in blocks. A block or a line that cannot matter is told by its bytes; only the rest is taken apart.
3. Times in a log go back when the clock is set back, by up to `SLACK` without anybody being told. So reading stops,
   and a file is left out, only beyond that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from jobscheduler.runlog.blocks import blocks_back, blocks_forward, lines_of
from jobscheduler.runlog.lines import instant_text
from jobscheduler.runlog.parsing import object_of, parse_line

SLACK = timedelta(hours=3)
"""By how much a line may be earlier than the ones before it."""

RECENT = 64 * 1024 * 1024
"""How many bytes from the end are looked through for ids of jobs."""

_TRIES = 5
_TIME = re.compile(rb'(?:\{"time": ?")?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)')
_ID = re.compile(rb'\bjob_id(?:=|": ?")([A-Za-z0-9._-]+)')

Progress = Callable[[int, int], object]
"""Told now and then how many bytes of how many have been looked through."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are wanted: of one job, with one of these words (statuses or events), of a time (both inclusive).

    What is None or empty excludes nothing. `words` are exact; those of records are in `parsing.RECORDS`.
    """

    job_id: str | None = None
    words: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None


EVERYTHING = Wanted()


@dataclass(frozen=True, slots=True)
class Found:
    """One line: its keys and values as text (`time`, `word` and its pairs), and its bytes."""

    pairs: dict[str, str]
    raw: bytes = field(repr=False)

    @property
    def object(self) -> dict[str, Any]:
        """The line as an object of the JSON format, values with their types."""
        return object_of(self.raw)


def lines_back(path: Path, backups: int, wanted: Wanted = EVERYTHING) -> Iterator[dict[str, str]]:
    """Yield the wanted lines, newest first: `time`, `word` (status or event) and their pairs, all as text.

    `path` is the log file and `backups` how many rotated ones there may be beside it.

    Raises:
        OSError: a file is there and cannot be read.

    """
    return (found.pairs for found in back(path, backups, wanted))


def back(path: Path, backups: int, wanted: Wanted = EVERYTHING, progress: Progress | None = None) -> Iterator[Found]:
    """Yield the wanted lines, newest first; files are open while this goes on, so close it or exhaust it.

    Raises:
        OSError: a file is there and cannot be read.

    """
    test = _Test(wanted)
    with _opened(path, backups) as files:
        for block in _told(_blocks_back(files, test), files, progress):
            yield from test.of(reversed(test.lines(block)))


def forward(path: Path, backups: int, wanted: Wanted = EVERYTHING, progress: Progress | None = None) -> Iterator[Found]:
    """Yield the wanted lines, oldest first, in bounded memory however many they are; else like `back`.

    Raises:
        OSError: a file is there and cannot be read.

    """
    test = _Test(wanted)
    with _opened(path, backups) as files:
        for block in _told(_blocks_forward(files, test), files, progress):
            yield from test.of(test.lines(block))


def last_of(path: Path, backups: int, wanted: Wanted, most: int, progress: Progress | None = None) -> list[Found]:
    """Return the last `most` wanted lines, oldest first.

    Raises:
        OSError: a file is there and cannot be read.

    """
    return list(islice(back(path, backups, wanted, progress), most))[::-1]


def exists(path: Path, backups: int) -> bool:
    """Tell whether there is any file of this log.

    Raises:
        OSError: a file is there and cannot be read.

    """
    with _opened(path, backups) as files:
        return bool(files)


def recent_ids(path: Path, backups: int) -> set[str]:
    """Return the ids of jobs that occur in the last part of the log, as far as that is quickly looked through.

    Raises:
        OSError: a file is there and cannot be read.

    """
    left, found = RECENT, set[bytes]()
    with _opened(path, backups) as files:
        for file in files:
            for block in blocks_back(*file):
                found.update(_ID.findall(block))
                left -= len(block)
                if left < 0:
                    break
            if left < 0:
                break
    return {one.decode("ascii") for one in found}


def begins_at(path: Path, backups: int) -> datetime | None:
    """Return the time of the oldest line that the log still has; None if there is none.

    Raises:
        OSError: a file is there and cannot be read.

    """
    return next((datetime.fromisoformat(one.pairs["time"]) for one in forward(path, backups)), None)


# --- files -----------------------------------------------------------------------------------------------

_File = tuple[int, int]
"""A descriptor, and how many bytes of it are looked at."""


@contextmanager
def _opened(path: Path, backups: int) -> Iterator[list[_File]]:
    """Hold every file of the log open, the newest first."""
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, backups + 1))]
    for tries_left in reversed(range(_TRIES)):
        with ExitStack() as held:
            files = dict(_open_all(names, held))
            if not tries_left or _identity_at(path) in {next(iter(files), None), None}:
                yield [(descriptor, os.fstat(descriptor).st_size) for descriptor in files.values()]
                return


def _open_all(names: Iterable[Path], held: ExitStack) -> Iterator[tuple[tuple[int, int], int]]:
    """Open each file once: one that is rotated meanwhile is met again under the next name."""
    known = set()
    for name in names:
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except FileNotFoundError:
            continue
        held.callback(os.close, descriptor)
        status = os.fstat(descriptor)
        if (identity := (status.st_dev, status.st_ino)) not in known:
            known.add(identity)
            yield identity, descriptor


def _identity_at(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _head(file: _File) -> bytes:
    """Read as much of the first line as tells its time."""
    return os.pread(file[0], 64, 0)


def _blocks_back(files: Iterable[_File], test: _Test) -> Iterator[bytes]:
    for file in files:
        if test.is_all_later(file):
            continue
        for block in blocks_back(*file):
            yield block
            if test.is_earlier(block):
                return


def _blocks_forward(files: Iterable[_File], test: _Test) -> Iterator[bytes]:
    relevant = []
    for file in files:
        if not test.is_all_later(file):
            relevant.append(file)
        if test.is_earlier(_head(file)):
            break
    for file in reversed(relevant):
        yield from blocks_forward(*file)


def _told(blocks: Iterable[bytes], files: Iterable[_File], progress: Progress | None) -> Iterator[bytes]:
    done, whole = 0, sum(size for _, size in files)
    for block in blocks:
        if progress is not None:
            progress(done, whole)
        yield block
        done += len(block)


# --- what is wanted ----------------------------------------------------------------------------------------


class _Test:
    """Tells what is wanted, by the bytes as far as possible."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._needles = [
            *([_needles("job_id", wanted.job_id)] if wanted.job_id is not None else []),
            *([tuple(word.encode() for word in sorted(wanted.words))] if wanted.words else []),
        ]
        self._since = _bytes(wanted.since)
        self._until = _bytes(wanted.until)
        self._long_before = _bytes(wanted.since, -SLACK)
        self._long_after = _bytes(wanted.until, SLACK)

    def lines(self, block: bytes) -> list[bytes]:
        """Return the lines of a block that may be wanted, as far as that is quickly told."""
        if not self._needles:
            return lines_of(block)
        if not all(any(needle in block for needle in needles) for needles in self._needles):
            return []
        first, *others = self._needles
        lines = _cut_out(first, block)
        for needles in others:
            lines = [line for line in lines if any(needle in line for needle in needles)]
        return lines

    def of(self, lines: Iterable[bytes]) -> Iterator[Found]:
        """Yield those of these lines that are wanted."""
        for raw in lines:
            if self._is_in_time(raw):
                pairs = parse_line(raw)
                if pairs is not None and self._is_wanted(pairs):
                    yield Found(pairs, raw)

    def is_earlier(self, block: bytes) -> bool:
        """Tell whether everything before the first line of a block is earlier than what is wanted."""
        first = _time_of(block)
        return first is not None and self._long_before is not None and first < self._long_before

    def is_all_later(self, file: _File) -> bool:
        """Tell whether a file begins and ends later than what is wanted."""
        if self._long_after is None:
            return False
        last = next((lines_of(block)[-1] for block in blocks_back(*file)), b"")
        ends = [_time_of(_head(file)), _time_of(last)]
        return all(end is not None and end > self._long_after for end in ends)

    def _is_in_time(self, raw: bytes) -> bool:
        if self._since is None and self._until is None:
            return True
        if (time := _time_of(raw)) is None:
            return True
        return (self._since is None or self._since <= time) and (self._until is None or time <= self._until)

    def _is_wanted(self, pairs: dict[str, str]) -> bool:
        wanted = self._wanted
        if wanted.job_id is not None and pairs.get("job_id") != wanted.job_id:
            return False
        if wanted.words and pairs["word"] not in wanted.words:
            return False
        at = datetime.fromisoformat(pairs["time"])
        return (wanted.since is None or wanted.since <= at) and (wanted.until is None or at <= wanted.until)


def _cut_out(needles: Iterable[bytes], block: bytes) -> list[bytes]:
    """Return the lines of a block in which any of these occurs, without looking at the others one by one."""
    ends: dict[int, int] = {}
    for needle in needles:
        at = block.find(needle)
        while at >= 0:
            end = block.find(b"\n", at)
            ends[block.rfind(b"\n", 0, at) + 1] = end
            at = block.find(needle, end)
    return [block[start : ends[start]] for start in sorted(ends)]


def _needles(key: str, value: str) -> tuple[bytes, ...]:
    """How a pair stands in a line of either format; the value is an id, which needs no quotes."""
    return tuple(text.encode("utf-8", "replace") for text in (f"{key}={value}", f'"{key}": "{value}"'))


def _bytes(at: datetime | None, later: timedelta = timedelta(0)) -> bytes | None:
    """How an instant stands at the beginning of a line, where such texts are in the order of time.

    Milliseconds are all that a line has; what is finer is decided when the line has been taken apart.
    """
    if at is None:
        return None
    try:
        return instant_text(at.astimezone(UTC) + later, exact=True).encode()
    except OverflowError:
        return None


def _time_of(line: bytes) -> bytes | None:
    found = _TIME.match(line)
    return found[1] if found else None
