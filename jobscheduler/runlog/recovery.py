"""Read the log back at a start: from the end to the last checkpoint, through rotated files, and no further.

1. Lines are read from the end backwards, until one is a checkpoint whose parts are all there.
2. The lines after the checkpoint are applied to it, in the order of the log (`replay`).
3. If it is not a full checkpoint, those lines are read that change what one says, back to the last that is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from pathlib import Path

from jobscheduler.model import FullCheckpoint, RecoveredState
from jobscheduler.model.log_line import RECORD_KINDS, Line, slot_range
from jobscheduler.runlog.checkpoint_parts import from_fields
from jobscheduler.runlog.checkpoints import NAME, from_lines, parse_pending
from jobscheduler.runlog.decided_slots import DecidedSlots
from jobscheduler.runlog.file_names import log_files
from jobscheduler.runlog.reader import mentions
from jobscheduler.runlog.replay import Replay
from jobscheduler.runlog.state_lines import change_lines, state_lines

_MAX_ASSEMBLY = timedelta(seconds=2)  # longer than it takes to put a checkpoint together and to queue it


def recover(path: Path, backups: int) -> RecoveredState | None:
    """Return what the log says of the time before this start, None if it has no checkpoint.

    `backups` is how many rotated files there may be.

    Raises:
        OSError: a file exists and cannot be read.

    """
    files = log_files(path, backups)
    if not mentions(files, NAME):
        return None  # without this, the log of a version that wrote none would be parsed completely, for nothing
    state = last_checkpoint(state_lines(files))
    return state and replace(
        state,
        last_decided_slot=DecidedSlots(path, backups),
        full=_read_full(files),
        mentions=partial(mentions, files),
    )


def last_checkpoint(lines: Iterable[Line]) -> RecoveredState | None:
    """Find the last checkpoint that is whole, and apply the lines after it; None if there is none.

    `lines` are the parsed lines that a state is restored from, the newest first.
    """
    since: list[Line] = []  # lines after the checkpoint, newest first
    checkpoint: list[Line] = []  # its lines as far as they were read, the last one first
    last_line_at: datetime | None = None
    lines = iter(lines)
    for line in lines:
        last_line_at = last_line_at or datetime.fromisoformat(line["time"])
        if checkpoint and not _is_part(line):
            since += checkpoint
            checkpoint = []
        if not checkpoint and not _is_checkpoint(line):
            since.append(line)
            continue
        checkpoint.append(line)
        if _is_whole(checkpoint):
            return _replay(checkpoint, [*_resolved_during_checkpoint(checkpoint, lines), *since[::-1]], last_line_at)
    return None


def _replay(checkpoint: Sequence[Line], since: Iterable[Line], last_line_at: datetime) -> RecoveredState | None:
    """Apply the lines after a checkpoint; None if the checkpoint is malformed."""
    try:
        replay = Replay(from_lines(checkpoint[0], checkpoint[:0:-1]), datetime.fromisoformat(checkpoint[0]["time"]))
    except (ValueError, KeyError):
        return None
    for line in since:
        replay.apply(line)
    return replay.state(last_line_at)


def _read_full(files: Sequence[Path]) -> FullCheckpoint | None:
    return full_checkpoint(change_lines(files)) if mentions(files, "full") else None


def full_checkpoint(lines: Iterable[Line]) -> FullCheckpoint | None:
    """Find the last full checkpoint, and bring it up to date; None if there is none that is whole.

    `lines` are the parsed lines that may change what it says, the newest first.
    """
    since: list[Line] = []
    checkpoint: list[Line] = []
    for line in lines:
        if _is_part(line):
            checkpoint += [line] if checkpoint else []  # else it is a part of a checkpoint without its end
        else:
            since += checkpoint if checkpoint and _is_whole(checkpoint) else checkpoint[:1]  # it is not full
            checkpoint = []
            (checkpoint if _is_checkpoint(line) else since).append(line)
        if checkpoint and "full" in checkpoint[0] and _is_whole(checkpoint):
            with suppress(ValueError, KeyError, TypeError):
                state = from_fields(checkpoint[0], checkpoint[:0:-1])
                for change in reversed(since):
                    with suppress(ValueError, KeyError):
                        state.apply(change)
                return state.full()
            return None
    return None


def _is_checkpoint(line: Line) -> bool:
    return line["word"] == NAME and "settled" in line


def _is_part(line: Line) -> bool:
    return line["word"] == NAME and "settled" not in line


def _is_whole(checkpoint: Sequence[Line]) -> bool:
    """Return whether all parts of a checkpoint were read; its last line, which comes first here, has their number."""
    return len(checkpoint) > int(checkpoint[0].get("parts", "0"))


def _resolved_during_checkpoint(checkpoint: Sequence[Line], earlier: Iterable[Line]) -> list[Line]:
    """Find the starts and records of pending slots that were written while the checkpoint was put together.

    Example: a slot is pending when the checkpoint is assembled, its run starts, and the start is written first. Then
    the checkpoint still says that the slot is pending.
    """
    with suppress(ValueError, KeyError):
        pending = {slot for line in checkpoint for slot in parse_pending(line)}
        began = datetime.fromisoformat(checkpoint[0]["time"]) - _MAX_ASSEMBLY
        near = takewhile(lambda line: datetime.fromisoformat(line["time"]) >= began, earlier if pending else ())
        lines = [line for line in near if line["word"] == "run.started" or line["word"] in RECORD_KINDS]
        return [line for line in lines[::-1] if (slots := slot_range(line)) and (line["job_id"], slots[0]) in pending]
    return []
