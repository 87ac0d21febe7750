"""Read the lines that a start restores its state from, from the end of the log backwards, across rotated files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from jobscheduler.runlog.blocks import blocks_reversed, lines_of, lines_with
from jobscheduler.runlog.checkpoints import NAME
from jobscheduler.runlog.parse import RECORD_KINDS, parse_line

PENDING = "slot.waits"
STARTED = frozenset({"run.requested", "run.started"})

_KINDS = RECORD_KINDS | STARTED | {NAME, PENDING, "service.stopping", "service.stopped"}

# The kinds of lines that may change what a full checkpoint says.
CHANGES = (  # kinds of lines
    frozenset({NAME, PENDING, "run.started", "job.decided", "job.added", "job.updated", "job.removed"}) | RECORD_KINDS
)

_NEEDLES = tuple(
    word.encode() for word in (NAME, "job.decided", "job.added", "job.updated", "job.removed", "MISSED", "corrects")
)

Line = Mapping[str, str]


def log_files(path: Path, backups: int) -> list[Path]:
    """Return the files that a log may have, the newest first."""
    return [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, backups + 1))]


def lines_newest_first(files: Iterable[Path]) -> Iterator[Line]:
    """Yield the lines that matter, and the very last line, from the end of the log backwards.

    Raises:
        OSError: a file exists and cannot be read.

    """
    is_last = True
    for file in files:
        for raw in iter_lines_reversed(file):
            line = parse_line(raw)
            if line is not None and (is_last or line["word"] in _KINDS):
                is_last = False
                yield line


def changes_newest_first(files: Iterable[Path]) -> Iterator[Line]:
    """Yield the lines that may change what a full checkpoint says, from the end of the log backwards.

    They are few among many, and found by their bytes.

    Raises:
        OSError: a file exists and cannot be read.

    """
    for file in files:
        for raw in iter_lines_reversed(file, _NEEDLES):
            line = parse_line(raw)
            if line is not None and line["word"] in CHANGES:
                yield line


def slot_range(line: Line) -> list[tuple[datetime, datetime]]:
    """Return the first and the last slot that a line is about, if any.

    Raises:
        ValueError: the line is malformed.

    """
    slot = parse_instant(line, "scheduled")
    return [] if slot is None else [(slot, parse_instant(line, "last") or slot)]


def parse_instant(line: Line, key: str) -> datetime | None:
    """Return an instant of a line, None if it has no such key.

    Raises:
        ValueError: the instant is malformed.

    """
    text = line.get(key)
    at = None if text is None else datetime.fromisoformat(text)
    if at is not None and at.tzinfo is None:
        raise ValueError("an instant without its zone was cut short")
    return at


def iter_lines_reversed(path: Path, needles: Sequence[bytes] = ()) -> Iterator[bytes]:
    """Yield the complete lines of a file, the last one first; with needles only the lines that contain one of them.

    A last line without its end was truncated by a crash.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    try:
        for block in blocks_reversed(descriptor, os.fstat(descriptor).st_size):
            yield from reversed(lines_with(needles, block) if needles else lines_of(block))
    finally:
        os.close(descriptor)
