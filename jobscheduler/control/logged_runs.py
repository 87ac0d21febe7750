"""Find runs in the log: the last one of a job, the last failure, and all lines of one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from jobscheduler.model.log_line import parse_instant
from jobscheduler.model.standing import UNCOUNTED_REASONS
from jobscheduler.output import RunPlace
from jobscheduler.output.names import day_of
from jobscheduler.runlog.bounded_query import Newest, ReadLimit, newest_records
from jobscheduler.runlog.filter import LogFilter, LogLine
from jobscheduler.runlog.recent_lines import RecentLines

RAN = frozenset({"SUCCESS", "FAILURE"})  # the statuses of records about a run
FAILED = frozenset({"FAILURE"})
SCAN_BYTES = 64 * 1024 * 1024  # of the log's end that the service reads for one question
MAX_LINES_OF_RUN = 1000

Ask = Callable[[Callable[[], Newest]], Newest]


class LoggedRuns:
    """Reads the log for runs. Any method may raise `OSError`; what `ask` raises passes, too."""

    def __init__(
        self,
        log: Path,
        backups: int,
        *,
        scan_bytes: int = SCAN_BYTES,
        ask: Ask = lambda question: question(),
        kept: RecentLines | None = None,
    ) -> None:
        """`ask` makes the calls that read the log. `kept` are the last records of a log without a file."""
        self._log = log, backups
        self._limit = ReadLimit(scan_bytes)
        self._ask = ask
        self._kept = kept

    def last_run(self, job_id: str | None, *, failed: bool = False) -> LogLine | None:
        """Return the record of the last run, of a job or of all; None if there is none.

        With `failed` it is the last failure that counts: not that of a run which a person or the service ended.
        """
        wanted = LogFilter(job_id, FAILED, unwanted_reasons=UNCOUNTED_REASONS) if failed else LogFilter(job_id, RAN)
        lines = self._newest(wanted, 1)
        return lines[0] if lines else None

    def lines_of(self, run_id: str) -> Sequence[LogLine]:
        """Return all lines about one run, newest first."""
        return self._newest(LogFilter(run_id=run_id), MAX_LINES_OF_RUN, _begins)

    def _newest(
        self, wanted: LogFilter, most: int, is_last: Callable[[LogLine], bool] = lambda line: False
    ) -> Sequence[LogLine]:
        if self._kept is not None:
            return self._kept.newest(wanted, most).lines
        return self._ask(lambda: newest_records(*self._log, wanted, most, self._limit, is_last)).lines


def _begins(line: LogLine) -> bool:
    """Return whether a line is the first one about its run."""
    return line.pairs["word"] == "run.started" and line.pairs.get("attempt") == "1"


def is_record(line: LogLine) -> bool:
    """Return whether a line is the record of a run."""
    return line.pairs["word"] in RAN


def place_of(lines: Sequence[LogLine]) -> RunPlace | None:
    """Return where the output of a run is, by its lines: the day is that on which its first attempt began."""
    for line in lines[::-1]:
        pairs = line.pairs
        with suppress(ValueError):
            began = parse_instant(pairs, "started") or _started_at(line)
            if "job_id" in pairs and "run_id" in pairs and began is not None:
                return RunPlace(pairs["job_id"], pairs["run_id"], day_of(began))
    return None


def _started_at(line: LogLine) -> datetime | None:
    """Return the time of the line that announces a run, which is about when it began."""
    return datetime.fromisoformat(line.pairs["time"]).astimezone(UTC) if _begins(line) else None
