"""Query the history in the log files: lines of one job, of some kind or of some time, newest or oldest first.

1. All files are opened together and stay open while they are read (`reader.open_together`).
2. Files are read in blocks. Blocks and lines that cannot match are skipped by their bytes; only the rest is parsed.
3. Times in a log go back when the clock is set back; up to `CLOCK_SLACK` without any notice in the log. Therefore
   reading stops, and a file is left out, only beyond that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path

from jobscheduler.model.corrections import Corrections
from jobscheduler.model.log_line import RECORD_KINDS
from jobscheduler.runlog.blocks import blocks, blocks_reversed
from jobscheduler.runlog.filter import LineMatcher, LogFilter, LogLine
from jobscheduler.runlog.parse import parse_line
from jobscheduler.runlog.reader import File, blocks_newest_first, lines_newest_first, open_together

RECENT_IDS = 64 * 1024 * 1024  # bytes from the end that are searched for ids of jobs

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
    on_block: Callable[[bytes], object] = lambda block: None,
) -> Iterator[LogLine]:
    """Yield the wanted lines, newest first. Close or exhaust the iterator, which holds files open.

    `on_block` is called with each block after all of its lines were yielded. An error of `progress` ends the reading.

    Raises:
        OSError: a file exists and cannot be read.

    """
    matcher = LineMatcher(wanted)
    with open_together(path, backups) as files:
        for block in _report_progress(_blocks_back(files, matcher), files, progress):
            yield from matcher.of(reversed(matcher.lines(block)))
            on_block(block)


def iter_oldest_first(
    path: Path, backups: int, wanted: LogFilter = EVERYTHING, progress: Progress | None = None
) -> Iterator[LogLine]:
    """Yield the wanted lines, oldest first, in bounded memory; otherwise like `iter_newest_first`.

    Raises:
        OSError: a file exists and cannot be read.

    """
    matcher = LineMatcher(wanted)
    with open_together(path, backups) as files:
        for block in _report_progress(_blocks_forward(files, matcher), files, progress):
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
    with open_together(path, backups) as files:
        for raw in lines_newest_first(files, (b"corrects",)):
            line = parse_line(raw)
            if line is not None and line["word"] in RECORD_KINDS:
                corrected.add(line)
    return corrected


def exists(path: Path, backups: int) -> bool:
    """Return whether this log has any file.

    Raises:
        OSError: a file exists and cannot be read.

    """
    with open_together(path, backups) as files:
        return bool(files)


def recent_job_ids(path: Path, backups: int) -> set[str]:
    """Return the ids of jobs in the last `RECENT_IDS` bytes of the log.

    Raises:
        OSError: a file exists and cannot be read.

    """
    bytes_left, job_ids = RECENT_IDS, set[bytes]()
    with open_together(path, backups) as files:
        for block in blocks_newest_first(files):
            job_ids.update(_ID.findall(block))
            bytes_left -= len(block)
            if bytes_left < 0:
                break
    return {job_id.decode("ascii") for job_id in job_ids}


def oldest_time(path: Path, backups: int) -> datetime | None:
    """Return the time of the oldest line in the log; None if it has none.

    Raises:
        OSError: a file exists and cannot be read.

    """
    return next((datetime.fromisoformat(line.pairs["time"]) for line in iter_oldest_first(path, backups)), None)


def _blocks_back(files: Iterable[File], matcher: LineMatcher) -> Iterator[bytes]:
    for file in files:
        if matcher.file_is_after(file):
            continue
        for block in blocks_reversed(*file):
            yield block
            if matcher.block_is_before(block):
                return


def _blocks_forward(files: Iterable[File], matcher: LineMatcher) -> Iterator[bytes]:
    relevant = []
    for file in files:
        if not matcher.file_is_after(file):
            relevant.append(file)
        if matcher.file_starts_before(file):
            break
    for file in reversed(relevant):
        yield from blocks(*file)


def _report_progress(blocks: Iterable[bytes], files: Iterable[File], progress: Progress | None) -> Iterator[bytes]:
    done, total = 0, sum(size for _, size in files)
    for block in blocks:
        if progress is not None:
            progress(done, total)
        yield block
        done += len(block)
