"""Restore the state from the log at a start: read from the end back to the last checkpoint, across rotated files.

1. Read lines backwards from the end until one is a checkpoint all parts of which are there.
2. If that is not a full checkpoint, read on for the lines that change a full one, back to the last complete one.
3. From the checkpoint forwards, apply each `run.started`, `slot.waits` and record. A run without a record was
   interrupted by a crash. The slots of records are accounted for. A waiting slot is known whatever its file says now.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from pathlib import Path

from jobscheduler.model import FullCheckpoint, InFlightRun, PendingSlot, RecoveredState
from jobscheduler.runlog.checkpoint_parts import from_fields
from jobscheduler.runlog.checkpoints import NAME, from_lines, parse_pending
from jobscheduler.runlog.decided_slots import DecidedSlots
from jobscheduler.runlog.parse import RECORD_KINDS, parse_line
from jobscheduler.runlog.reader import (
    PENDING,
    STARTED,
    Line,
    changes_newest_first,
    lines_newest_first,
    log_files,
    parse_instant,
    slot_range,
)

__all__ = ["Line", "parse_line", "recover"]

_TICK = timedelta(microseconds=1)
_RESOLVED_KINDS = timedelta(seconds=2)  # longer than it takes to build and queue a checkpoint


def recover(path: Path, backups: int) -> RecoveredState | None:
    """Return the state that the log describes, None if it has no checkpoint.

    `backups` is how many rotated files there may be.

    Raises:
        OSError: a file exists and cannot be read.

    """
    files = log_files(path, backups)
    if not _any_names(files, NAME):
        return None  # also if an older version wrote none
    since: list[Line] = []
    group: list[Line] = []  # an incomplete checkpoint, in reading order: backwards
    until: datetime | None = None
    lines = lines_newest_first(files)
    for line in lines:
        until = until or datetime.fromisoformat(line["time"])
        if group and not _is_part(line):
            since += group
            group = []
        if group or _is_checkpoint(line):
            group.append(line)
            if len(group) > int(group[0].get("parts", "0")):
                state = _recovered_state(
                    group[0],
                    group[:0:-1],
                    [*_resolved_during_checkpoint(group, lines), *since[::-1]],
                    until,
                )
                names = partial(_any_names, files)
                return past and replace(
                    past, last_decided_slot=DecidedSlots(path, backups), full=_full(files), mentions=names
                )
        else:
            since.append(line)
    return None


def _full(files: Sequence[Path]) -> FullCheckpoint | None:
    """Find the last complete full checkpoint, and apply the lines after it; None if there is none."""
    if not _any_names(files, "full"):
        return None
    since: list[Line] = []
    group: list[Line] = []
    for line in changes_newest_first(files):
        if _is_part(line) and group:
            group.append(line)
        else:
            since += group  # a checkpoint that is not full, or incomplete
            group = []
            (group if _is_checkpoint(line) else since).append(line)
        if group and "full" in group[0] and len(group) > int(group[0].get("parts", "0")):
            with suppress(ValueError, KeyError, TypeError):
                state = from_fields(group[0], group[:0:-1])
                for later_line in reversed(since):
                    with suppress(ValueError, KeyError):
                        state.apply(later_line)
                return state.full()
            return None
    return None


def _names(word: str, file: Path) -> bool:
    """Return whether a word occurs in a file. If not, the file need not be parsed."""
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.rfind(word.encode()) >= 0
    except (FileNotFoundError, ValueError):  # an empty file cannot be mapped
        return False


def _any_names(files: Iterable[Path], word: str) -> bool:
    return any(_names(word, file) for file in files)


def _is_checkpoint(line: Line) -> bool:
    return line["word"] == NAME and "settled" in line


def _is_part(line: Line) -> bool:
    return line["word"] == NAME and "settled" not in line


def _resolved_during_checkpoint(mark: list[Line], lines: Iterable[Line]) -> list[Line]:
    """Return the lines that resolve waiting slots while a checkpoint was built that still lists them as waiting."""
    with suppress(ValueError, KeyError):
        waits = {wait for line in mark for wait in parse_pending(line)}
        earliest = datetime.fromisoformat(mark[0]["time"]) - _RESOLVED_KINDS
        recent = takewhile(lambda line: datetime.fromisoformat(line["time"]) >= earliest, lines if waits else ())
        resolved = [line for line in recent if line["word"] == "run.started" or line["word"] in RECORD_KINDS]
        return [line for line in resolved[::-1] if any((line["job_id"], slot) in waits for slot, _ in slot_range(line))]
    return []


def _recovered_state(last: Line, parts: Iterable[Line], since: list[Line], until: datetime) -> RecoveredState | None:
    try:
        mark = from_lines(last, parts)
    except (ValueError, KeyError):
        return None
    in_flight = {one.run_id: one for one in mark.in_flight}
    pending = dict.fromkeys(mark.pending)
    lagging = dict(mark.lagging)
    corrects = dict.fromkeys(mark.corrects)
    accounted: dict[str, list[tuple[datetime, datetime]]] = {}
    for line in since:
        with suppress(ValueError, KeyError):
            if "corrects" in line:
                corrects |= {(line["job_id"], slot): None for slot, _ in slot_range(line)}
            if line["word"] == PENDING:
                _apply_pending(line, pending, lagging, accounted)
            else:
                _apply(line, in_flight, pending, accounted)
    mark = replace(mark, lagging=tuple(lagging.items()), corrects=tuple(corrects))
    names = [
        line["word"] for line in since if not line["word"].startswith("log.")
    ]  # the writer's own events may come last
    stopped = names[-1:] == ["service.stopped"]
    settled = {job_id: tuple(ranges) for job_id, ranges in accounted.items()}
    reported = datetime.fromisoformat(last["time"])
    drain_period = _drained(mark.settled, since, until, stopped=stopped)
    return RecoveredState(
        mark, until, stopped, tuple(begun.values()), tuple(waits), settled, checkpoint_written_at=told, drain=drained
    )


def _drained(
    settled: datetime, since: Iterable[Line], until: datetime, *, stopped: bool
) -> tuple[datetime, datetime] | None:
    """Return the period in which the service was stopping, if the log ends with that.

    The checkpoint of a clean stop describes the beginning of that period, though it was written at its end.
    """
    stopping = [line["time"] for line in since if line["word"] == "service.stopping"]
    began = datetime.fromisoformat(stopping[-1]) if stopping else settled
    return (began, until) if (stopped or stopping) and began < until else None


def _apply(
    line: Line,
    begun: dict[str, InFlightRun],
    waits: dict[PendingSlot, None],
    accounted: dict[str, list[tuple[datetime, datetime]]],
) -> None:
    """Apply one line to the state."""
    word = line["word"]
    if word not in RECORD_KINDS | STARTED:
        return
    job_id, slot = line["job_id"], parse_instant(line, "scheduled")
    if word in STARTED:
        _begin(line, slot, begun)
    else:
        begun.pop(line.get("run_id", ""), None)
    for span in slot_range(line):
        waits.pop((job_id, span[0]), None)
        accounted.setdefault(job_id, []).append(span)


def _begin(line: Line, slot: datetime | None, begun: dict[str, InFlightRun]) -> None:
    """Record a manual run or an attempt; the first attempt is the start of the run."""
    started = datetime.fromisoformat(line["time"]) if line["word"] == "run.started" else None
    known = begun.get(line["run_id"])
    if known is None or known.started is None:
        origin = line.get("by", ""), line.get("trigger", "manual")
        begun[line["run_id"]] = InFlightRun(line["job_id"], line["run_id"], slot, started, *origin)


def _apply_pending(
    line: Line,
    waits: dict[PendingSlot, None],
    late: dict[str, datetime],
    accounted: Mapping[str, list[tuple[datetime, datetime]]],
) -> None:
    """Apply a waiting slot: it is decided.

    With `starts` it is only due, and everything before it is decided.
    """
    job_id, slot = line["job_id"], parse_instant(line, "scheduled")
    if slot is None:
        return
    if "starts" in line:
        late[job_id] = slot - _TICK
    elif not any(first <= slot <= last for first, last in accounted.get(job_id, ())):  # unless it has begun meanwhile
        waits[job_id, slot] = None
