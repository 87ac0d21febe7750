"""The last result of each job, as the log has it: how its newest run ended that was not skipped or missed."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from jobscheduler.model import Status
from jobscheduler.runlog.format import format_instant
from jobscheduler.runlog.parse import parse_line
from jobscheduler.runlog.reader import iter_lines_reversed, log_files

MAX_SCAN_BYTES = 64 * 1024 * 1024
"""So many bytes are read back at most: a job that runs once a year is not worth more."""

_RESULT = re.compile(
    rb'(?:\{"time": "([^"]+)", "status": "|(\S+) )(SUCCESS|FAILURE)(?:", "job_id": "| job_id=)([A-Za-z0-9._-]+)'
)
"""How the lines begin that matter, in either format. A job's id needs no quoting in any."""


def last_results(path: Path, backups: int, before: datetime, far: int = MAX_SCAN_BYTES) -> dict[str, Status]:
    """Return the last result that each job had before an instant, as far as the last `far` bytes of the log tell.

    `backups` is how many rotated files there may be.

    Raises:
        OSError: a file is there and cannot be read.

    """
    limit = format_instant(before, exact=True).encode()
    results: dict[str, Status] = {}
    for file in log_files(path, backups):
        for raw in iter_lines_reversed(file):
            far -= len(raw) + 1
            if far < 0:
                return results
            found = _RESULT.match(raw)
            if found is None or (found[1] or found[2]) >= limit:
                continue
            job_id = found[4].decode("ascii")
            if job_id not in results and parse_line(raw) is not None:
                results[job_id] = Status(found[3].decode("ascii"))
    return results
