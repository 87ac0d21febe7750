"""Read the last record of one job from the end of the log, with its output."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from jobscheduler.model import Record, Status
from jobscheduler.model.log_line import parse_record
from jobscheduler.runlog.bounded_query import ReadLimit, newest_records
from jobscheduler.runlog.filter import LogFilter

MAX_READ_BYTES = 64 * 1024 * 1024  # of the end of the log


def last_record(path: Path, backups: int, job_id: str, statuses: Collection[Status]) -> Record | None:
    """Return the last record of a job with one of these statuses; None if it is not within `MAX_READ_BYTES`.

    Raises:
        OSError: a file exists and cannot be read.

    """
    wanted = LogFilter(job_id, frozenset(status.value for status in statuses))
    for line in newest_records(path, backups, wanted, 1, ReadLimit(MAX_READ_BYTES)).lines:
        with suppress(ValueError, KeyError):
            return parse_record(line.pairs, with_output=True)
    return None
