"""Query the history in the log files: lines of one job, of some kind or of some time, newest or oldest first.

1. All files are opened at once, by name from the newest on, and stay open: a file that is rotated or removed later is
   still read. If the newest file has changed meanwhile, all are opened again. So no file is left out or read twice.
2. Files are read in blocks. Blocks and lines that cannot match are skipped by their bytes; only the rest is parsed.
3. Times in a log go back when the clock is set back; up to `CLOCK_SLACK` without any notice in the log. Therefore
   reading stops, and a file is left out, only beyond that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path

from jobscheduler.model.corrections import Corrections
from jobscheduler.runlog.blocks import blocks, blocks_reversed, lines_with
from jobscheduler.runlog.filter import File, LineMatcher, LogFilter, LogLine
from jobscheduler.runlog.parse import RECORD_KINDS, parse_line

RECENT_IDS = 64 * 1024 * 1024  # bytes from the end that are searched for ids of jobs

_TRIES = 5
_ID = re.compile(rb'\bjob_id(?:=|": ?")([A-Za-z0-9._-]+)')

Progress = Callable[[int, int], object]  # called now and then with the bytes read so far, and all bytes


EVERYTHING = LogFilter()


def iter_lines_newest_first(path: Path, backups: int, wanted: LogFilter = EVERYTHING) -> Iterator[dict[str, str]]:
    """Yield the wanted lines, newest first: `time`, `word` (status or event) and their pairs, all as text.

    `path` is the log file, and `backups` how many rotated files there may be beside it.

    Raises:
        OSError: a file exists and cannot be read.

    """
    return (line.pairs for line in iter_newest_first(path, backups, wanted))


def iter_newest_first(
    path: Path,
    backups: int,
    wanted: LogFilter = EVERYTHING,
    progress: Progress | None = None,
    look: Callable[[bytes], object] = lambda block: None,
) -> Iterator[LogLine]:
    """Yield the wanted lines, newest first. Close or exhaust the iterator, which holds files open.

    `look` is called with each block after all of its lines were yielded. An error of `progress` ends the reading.

    Raises:
        OSError: a file exists and cannot be read.

    """
    matcher = LineMatcher(wanted)
    with opened(path, backups) as files:
        for block in _line(_blocks_back(files, matcher), files, progress):
            yield from matcher.of(reversed(matcher.lines(block)))
            look(block)


def iter_oldest_first(
    path: Path, backups: int, wanted: LogFilter = EVERYTHING, progress: Progress | None = None
) -> Iterator[LogLine]:
    """Yield the wanted lines, oldest first, in bounded memory; otherwise like `iter_newest_first`.

    Raises:
        OSError: a file exists and cannot be read.

    """
    matcher = LineMatcher(wanted)
    with opened(path, backups) as files:
        for block in _line(_blocks_forward(files, matcher), files, progress):
            yield from matcher.of(matcher.lines(block))


def last_entries(
    path: Path, backups: int, wanted: LogFilter, most: int, progress: Progress | None = None
) -> list[LogLine]:
    """Return the last `most` wanted lines, oldest first.

    Raises:
        OSError: a file exists and cannot be read.

    """
    return list(islice(iter_newest_first(path, backups, wanted, progress), most))[::-1]


def corrections(path: Path, backups: int) -> Corrections:
    """Return the slots of the whole log that have a later record. Only lines with the word `corrects` are parsed.

    Raises:
        OSError: a file exists and cannot be read.

    """
    corrected = Corrections()
    with opened(path, backups) as files:
        for file in files:
            for block in blocks_reversed(*file):
                for raw in lines_with((b"corrects",), block):
                    line = parse_line(raw)
                    if line is not None and line["word"] in RECORD_KINDS:
                        corrected.add(line)
    return corrected


def exists(path: Path, backups: int) -> bool:
    """Return whether this log has any file.

    Raises:
        OSError: a file exists and cannot be read.

    """
    with opened(path, backups) as files:
        return bool(files)


def recent_job_ids(path: Path, backups: int) -> set[str]:
    """Return the ids of jobs in the last `RECENT_IDS` bytes of the log.

    Raises:
        OSError: a file exists and cannot be read.

    """
    bytes_left, job_ids = RECENT_IDS, set[bytes]()
    with opened(path, backups) as files:
        for file in files:
            for block in blocks_reversed(*file):
                job_ids.update(_ID.findall(block))
                bytes_left -= len(block)
                if bytes_left < 0:
                    break
            if bytes_left < 0:
                break
    return {job_id.decode("ascii") for job_id in job_ids}


def oldest_time(path: Path, backups: int) -> datetime | None:
    """Return the time of the oldest line in the log; None if it has none.

    Raises:
        OSError: a file exists and cannot be read.

    """
    return next((datetime.fromisoformat(line.pairs["time"]) for line in iter_oldest_first(path, backups)), None)


# --- files -----------------------------------------------------------------------------------------------


@contextmanager
def opened(path: Path, backups: int) -> Iterator[list[File]]:
    """Hold every file of the log open, the newest first."""
    names = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, backups + 1))]
    for tries_left in reversed(range(_TRIES)):
        with ExitStack() as stack:
            files = dict(_open_all(names, stack))
            if not tries_left or _identity_at(path) in {next(iter(files), None), None}:
                yield [(descriptor, os.fstat(descriptor).st_size) for descriptor in files.values()]
                return


def _open_all(names: Iterable[Path], held: ExitStack) -> Iterator[tuple[tuple[int, int], int]]:
    """Open each file once: a file that is rotated meanwhile appears again under the next name."""
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


def _blocks_back(files: Iterable[File], sieve: LineMatcher) -> Iterator[bytes]:
    for file in files:
        if sieve.file_is_after(file):
            continue
        for block in blocks_reversed(*file):
            yield block
            if sieve.block_is_before(block):
                return


def _blocks_forward(files: Iterable[File], sieve: LineMatcher) -> Iterator[bytes]:
    relevant = []
    for file in files:
        if not sieve.file_is_after(file):
            relevant.append(file)
        if sieve.file_starts_before(file):
            break
    for file in reversed(relevant):
        yield from blocks(*file)


def _line(blocks: Iterable[bytes], files: Iterable[File], progress: Progress | None) -> Iterator[bytes]:
    done, total = 0, sum(size for _, size in files)
    for block in blocks:
        if progress is not None:
            progress(done, total)
        yield block
        done += len(block)
