"""Which slots were decided before this start, read back beyond the last mark, and only as far as somebody asks.

That is needed where a mark alone cannot tell a slot that ran from one that nobody ever decided: the log is ahead of the
clock, or a one-time job's file is newer than its instant.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from jobscheduler.runlog.checkpoints import NAME, parse_in_flight, parse_pending
from jobscheduler.runlog.reader import Line, lines_newest_first, log_files, slot_range

_ALL_TIME = datetime(1, 1, 1, tzinfo=UTC)


class DecidedSlots:
    """The latest decided slot of each job, as far back as the log has been read. May be asked from any thread."""

    def __init__(self, path: Path, backups: int) -> None:
        """`backups` is how many rotated files there may be."""
        self._lines = lines_newest_first(log_files(path, backups))
        self._oldest = path.with_name(f"{path.name}.{backups}") if backups else path
        self._lock = threading.Lock()
        self._latest: dict[str, datetime] = {}
        self._reach = datetime.max.replace(tzinfo=UTC)
        self._has_last = False

    def __call__(self, job_id: str, after: datetime) -> datetime | None:
        """Return the latest slot of a job that was decided and is later than `after`; None if there is none.

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
        """Read until a mark: when it was written no slot had been decided that is later than what it says."""
        while self._reach > after:
            line = next(self._lines, None)
            if line is None:
                if not self._oldest.exists():  # no rotation has thrown anything away
                    self._reach = _ALL_TIME
                return
            with suppress(ValueError, KeyError):  # a line that says nothing
                self._add(line)

    def _add(self, line: Line) -> None:
        is_mark = line["word"] == NAME
        self._has_last = is_mark and (self._has_last or "settled" in line)
        if is_mark and not self._has_last:
            return  # a part of a mark whose last line was lost: what waited then may have no line that tells of it
        if not is_mark:
            is_decided = "job_id" in line and "starts" not in line
            found = [(line["job_id"], last) for _, last in slot_range(line)] if is_decided else []
        else:
            begun = [(one.job_id, one.scheduled) for one in parse_in_flight(line) if one.scheduled is not None]
            found = [*begun, *parse_pending(line)]
            if "settled" in line:
                upto = max(datetime.fromisoformat(line[key]) for key in ("settled", "ahead") if key in line)
                self._reach = min(self._reach, upto)
        for job_id, slot in found:
            self._latest[job_id] = max(slot, self._latest.get(job_id, _ALL_TIME))
