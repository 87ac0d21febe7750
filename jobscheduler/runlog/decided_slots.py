"""Read the slots that were decided before this start, beyond the last checkpoint, only as far as a caller asks.

That is needed where a checkpoint alone cannot tell a slot that ran from one that was never decided: the log is ahead
of the clock, or a one-time job's file is newer than its instant.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from jobscheduler.model import PendingSlot
from jobscheduler.model.log_line import Line, slot_range
from jobscheduler.runlog.checkpoints import NAME, parse_in_flight, parse_pending
from jobscheduler.runlog.file_names import log_files
from jobscheduler.runlog.state_lines import state_lines

_ALL_TIME = datetime(1, 1, 1, tzinfo=UTC)


class DecidedSlots:
    """The latest decided slot of each job, as far back as the log has been read.

    Thread: any.
    """

    def __init__(self, path: Path, backups: int) -> None:
        """`backups` is how many rotated files there may be."""
        files = log_files(path, backups)
        self._lines = state_lines(files)
        self._oldest = files[-1]
        self._lock = threading.Lock()
        self._latest: dict[str, datetime] = {}
        self._reach = datetime.max.replace(tzinfo=UTC)
        self._has_last = False

    def __call__(self, job_id: str, after: datetime) -> datetime | None:
        """Return the latest decided slot of a job later than `after`; None if there is none.

        Raises:
            LookupError: the log does not reach back so far.

        """
        with self._lock:
            self._read_back_to(after)
            latest = self._latest.get(job_id)
            if latest is not None and latest > after:
                return latest
            if self._reach > after:
                raise LookupError(f"the log does not reach back to {after.isoformat()}")
            return None

    def _read_back_to(self, after: datetime) -> None:
        """Read back to a checkpoint that is not later than `after`.

        When a checkpoint was written, no slot was decided that is later than its `settled` or `ahead`.
        """
        while self._reach > after:
            line = next(self._lines, None)
            if line is None:
                if not self._oldest.exists():  # no rotation has deleted a file
                    self._reach = _ALL_TIME
                return
            with suppress(ValueError, KeyError):  # a malformed line
                self._add(line)

    def _add(self, line: Line) -> None:
        """Add a line. Reading backwards, the last line of a checkpoint comes first: the one with `settled`."""
        if line["word"] != NAME:
            self._has_last = False
            slots = _slots_of(line)
        elif self._has_last or "settled" in line:
            self._has_last = True
            slots = _slots_of_checkpoint(line)
            if "settled" in line:
                settled = max(datetime.fromisoformat(line[key]) for key in ("settled", "clock_ahead") if key in line)
                self._reach = min(self._reach, settled)
        else:
            return  # a part of a checkpoint whose last line is lost: its waiting slots may have been withdrawn since
        for job_id, slot in slots:
            self._latest[job_id] = max(slot, self._latest.get(job_id, _ALL_TIME))


def _slots_of(line: Line) -> list[PendingSlot]:
    """Return the latest slot that a record or an event decides, with its job; none if it decides no slot."""
    slots = slot_range(line) if "job_id" in line and "starts" not in line else None
    return [] if slots is None else [(line["job_id"], slots[1])]


def _slots_of_checkpoint(line: Line) -> list[PendingSlot]:
    """Return the slots that a line of a checkpoint names: those of active runs, and pending ones."""
    in_flight = [(run.job_id, run.scheduled) for run in parse_in_flight(line) if run.scheduled is not None]
    return [*in_flight, *parse_pending(line)]
