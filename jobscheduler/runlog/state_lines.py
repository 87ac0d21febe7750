"""The lines that a start restores its state from, parsed, from the end of the log backwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from jobscheduler.model.log_line import RECORD_KINDS, Line
from jobscheduler.runlog.checkpoints import NAME
from jobscheduler.runlog.parse import parse_line
from jobscheduler.runlog.pause_lines import PAUSED, RESUMED
from jobscheduler.runlog.reader import lines_newest_first, open_in_turn

PENDING = "slot.waits"
STARTED = frozenset({"run.requested", "run.started"})

RESULTS = frozenset({"SUCCESS", "FAILURE", "MISSED", "job.overdue", "job.removed"}) | {
    f"alert.{end}" for end in ("sent", "failed", "dropped")
}
"""The kinds of lines that change how a job stands."""

_STATE_KINDS = RECORD_KINDS | STARTED | RESULTS | {NAME, PENDING, "service.stopping", "service.stopped"}

# The kinds of lines that may change what a full checkpoint says, and bytes of which each of those that matter has one.
_CHANGE_KINDS = (
    frozenset({NAME, PENDING, "run.started", "job.decided", "job.added", "job.updated", "job.removed", PAUSED, RESUMED})
    | RECORD_KINDS
)
_CHANGE_NEEDLES = tuple(
    word.encode()
    for word in (NAME, "job.decided", "job.added", "job.updated", "job.removed", PAUSED, RESUMED, "MISSED", "corrects")
)


def state_lines(paths: Iterable[Path]) -> Iterator[Line]:
    """Yield the lines about runs, slots, checkpoints and stops, and the very last line of the log, whatever it is.

    Raises:
        OSError: a file exists and cannot be read.

    """
    is_last = True
    for raw in lines_newest_first(open_in_turn(paths)):
        line = parse_line(raw)
        if line is not None and (is_last or line["word"] in _STATE_KINDS):
            is_last = False
            yield line


def change_lines(paths: Iterable[Path]) -> Iterator[Line]:
    """Yield the lines that may change what a full checkpoint says: few among many, and found by their bytes.

    Raises:
        OSError: a file exists and cannot be read.

    """
    for raw in lines_newest_first(open_in_turn(paths), _CHANGE_NEEDLES):
        line = parse_line(raw)
        if line is not None and line["word"] in _CHANGE_KINDS:
            yield line
