"""Reading the log back at a start: from the end to the last full checkpoint, through rotated files, and no further.

1. Lines are taken from the end backwards, until one is a mark whose parts are all there.
2. If that is no full checkpoint, those lines are looked for that change what one says, back to the last that is whole.
3. From the mark forwards, each `run.started`, `slot.waits` and record is applied: what has begun and has no record is
   what a crash interrupted; the slots of records are accounted for; what waits is known whatever its file looks like
   now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from pathlib import Path

from jobscheduler.model import FullCheckpoint, InFlightRun, PendingSlot, RecoveredState
from jobscheduler.model.log_line import RECORD_KINDS, Line, parse_instant, slot_range
from jobscheduler.runlog.checkpoint_parts import from_fields
from jobscheduler.runlog.checkpoints import NAME, from_lines, parse_pending
from jobscheduler.runlog.decided_slots import DecidedSlots
from jobscheduler.runlog.file_names import log_files
from jobscheduler.runlog.reader import mentions
from jobscheduler.runlog.state_lines import PENDING, STARTED, change_lines, state_lines

_TICK = timedelta(microseconds=1)
_RESOLVED_KINDS = timedelta(seconds=2)  # longer than it takes to put a mark together and to queue it


def recover(path: Path, backups: int) -> RecoveredState | None:
    """Return what the log says of the time before, None if there is no mark in it.

    `backups` is how many rotated files there may be.

    Raises:
        OSError: a file is there and cannot be read.

    """
    files = log_files(path, backups)
    if not mentions(files, NAME):
        return None  # also the log of a version that wrote none: all of it would be gone through for nothing
    since: list[Line] = []
    held: list[Line] = []  # a mark whose parts are not all there yet, as read: backwards
    until: datetime | None = None
    lines = state_lines(files)
    for line in lines:
        until = until or datetime.fromisoformat(line["time"])
        if held and not _is_part(line):
            since += held
            held = []
        if held or _is_checkpoint(line):
            held.append(line)
            if len(held) > int(held[0].get("parts", "0")):
                past = _recovered_state(
                    held[0], held[:0:-1], [*_resolved_during_checkpoint(held, lines), *since[::-1]], until
                )
                names = partial(mentions, files)
                return past and replace(
                    past, last_decided_slot=DecidedSlots(path, backups), full=_full(files), mentions=names
                )
        else:
            since.append(line)
    return None


def _full(files: Sequence[Path]) -> FullCheckpoint | None:
    """Find the last full checkpoint, and bring it up to date; None if there is none that is whole."""
    if not mentions(files, "full"):
        return None
    since: list[Line] = []
    held: list[Line] = []
    for line in change_lines(files):
        if _is_part(line) and held:
            held.append(line)
        else:
            since += held  # a mark that is not full, or not whole
            held = []
            (held if _is_checkpoint(line) else since).append(line)
        if held and "full" in held[0] and len(held) > int(held[0].get("parts", "0")):
            with suppress(ValueError, KeyError, TypeError):
                state = from_fields(held[0], held[:0:-1])
                for one in reversed(since):
                    with suppress(ValueError, KeyError):
                        state.apply(one)
                return state.full()
            return None
    return None


def _is_checkpoint(line: Line) -> bool:
    return line["word"] == NAME and "settled" in line


def _is_part(line: Line) -> bool:
    return line["word"] == NAME and "settled" not in line


def _resolved_during_checkpoint(mark: list[Line], lines: Iterable[Line]) -> list[Line]:
    """Find what became of waiting slots while a mark was put together that still says that they wait."""
    with suppress(ValueError, KeyError):
        waits = {wait for line in mark for wait in parse_pending(line)}
        began = datetime.fromisoformat(mark[0]["time"]) - _RESOLVED_KINDS
        near = takewhile(lambda line: datetime.fromisoformat(line["time"]) >= began, lines if waits else ())
        told = [line for line in near if line["word"] == "run.started" or line["word"] in RECORD_KINDS]
        return [line for line in told[::-1] if (slots := slot_range(line)) and (line["job_id"], slots[0]) in waits]
    return []


def _recovered_state(last: Line, parts: Iterable[Line], since: list[Line], until: datetime) -> RecoveredState | None:
    try:
        mark = from_lines(last, parts)
    except (ValueError, KeyError):
        return None
    begun = {one.run_id: one for one in mark.in_flight}
    waits = dict.fromkeys(mark.pending)
    late = dict(mark.lagging)
    corrects = dict.fromkeys(mark.corrects)
    accounted: dict[str, list[tuple[datetime, datetime]]] = {}
    for line in since:
        with suppress(ValueError, KeyError):
            if "corrects" in line and (slots := slot_range(line)):
                corrects[line["job_id"], slots[0]] = None
            if line["word"] == PENDING:
                _apply_pending(line, waits, late, accounted)
            else:
                _apply(line, begun, waits, accounted)
    mark = replace(mark, lagging=tuple(late.items()), corrects=tuple(corrects))
    words = [line["word"] for line in since if not line["word"].startswith("log.")]  # the log may speak of itself last
    stopped = words[-1:] == ["service.stopped"]
    settled = {job_id: tuple(ranges) for job_id, ranges in accounted.items()}
    told = datetime.fromisoformat(last["time"])
    drained = _drained(mark.settled, since, until, stopped=stopped)
    return RecoveredState(
        mark, until, stopped, tuple(begun.values()), tuple(waits), settled, checkpoint_written_at=told, drain=drained
    )


def _drained(
    settled: datetime, since: Iterable[Line], until: datetime, *, stopped: bool
) -> tuple[datetime, datetime] | None:
    """Return the time in which the service was stopping, if it was when the log ends.

    The mark of one that stopped in order is of when that began, and was written at its end.
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
    """Take one line into the account."""
    word = line["word"]
    if word not in RECORD_KINDS | STARTED:
        return
    job_id, slot = line["job_id"], parse_instant(line, "scheduled")
    if word in STARTED:
        _begin(line, slot, begun)
    else:
        begun.pop(line.get("run_id", ""), None)
    if slots := slot_range(line):
        waits.pop((job_id, slots[0]), None)
        accounted.setdefault(job_id, []).append(slots)


def _begin(line: Line, slot: datetime | None, begun: dict[str, InFlightRun]) -> None:
    """Take note of a run that was asked for by hand, or of an attempt; the first one is its start."""
    started = datetime.fromisoformat(line["time"]) if line["word"] == "run.started" else None
    known = begun.get(line["run_id"])
    if known is None or known.started is None:
        asked = line.get("by", ""), line.get("trigger", "manual")
        begun[line["run_id"]] = InFlightRun(line["job_id"], line["run_id"], slot, started, *asked)


def _apply_pending(
    line: Line,
    waits: dict[PendingSlot, None],
    late: dict[str, datetime],
    accounted: Mapping[str, list[tuple[datetime, datetime]]],
) -> None:
    """Take a slot that waits into the account: decided, or (with `starts`) due and everything before it decided."""
    job_id, slot = line["job_id"], parse_instant(line, "scheduled")
    if slot is None:
        return
    if "starts" in line:
        late[job_id] = slot - _TICK
    elif not any(first <= slot <= last for first, last in accounted.get(job_id, ())):  # it may have begun meanwhile
        waits[job_id, slot] = None
