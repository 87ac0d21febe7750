"""The last result of each job in the log: how its newest run ended, without skipped and missed slots."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from jobscheduler.model import Status
from jobscheduler.runlog.file_names import log_files
from jobscheduler.runlog.parse import parse_line
from jobscheduler.runlog.reader import lines_newest_first, open_in_turn
from jobscheduler.util.instants import format_instant_ms

MAX_SCAN_BYTES = 64 * 1024 * 1024  # bytes read back: a job that runs once a year is not worth more

# The beginning of the lines that matter, in either format. A job's id needs no quotes in any.
_RESULT = re.compile(  # time, status, job
    rb'(?:\{"time": "([^"]+)", "status": "|(\S+) )(SUCCESS|FAILURE)(?:", "job_id": "| job_id=)([A-Za-z0-9._-]+)'
)


def last_results(path: Path, backups: int, before: datetime, far: int = MAX_SCAN_BYTES) -> dict[str, Status]:
    """Return the last result of each job before an instant, within the last `far` bytes of the log.

    `backups` is how many rotated files there may be.

    Raises:
        OSError: a file exists and cannot be read.

    """
    limit = format_instant_ms(before).encode()
    results: dict[str, Status] = {}
    for raw in lines_newest_first(open_in_turn(log_files(path, backups))):
        far -= len(raw) + 1
        if far < 0:
            break
        match = _RESULT.match(raw)
        if match is None or (match[1] or match[2]) >= limit:
            continue
        job_id = match[4].decode("ascii")
        if job_id not in results and parse_line(raw) is not None:
            results[job_id] = Status(match[3].decode("ascii"))
    return results
