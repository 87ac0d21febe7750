"""Sum up the records of each job: how many runs, how many succeeded, how long they took and what they needed."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jobscheduler.cli.table import Column
from jobscheduler.util.durations import format_compact_duration
from jobscheduler.util.sizes import format_size

_COUNTS = {"SUCCESS": "successes", "FAILURE": "failures", "SKIPPED": "skipped", "MISSED": "missed"}
_PERCENT = 100
_DURATIONS = ("p50", "p95", "longest", "cpu")

COLUMNS = (
    Column("JOB", own_line=40),
    Column("RUNS", right=True, keep_whole=True),
    Column("OK", right=True, keep_whole=True),
    Column("P50", right=True, keep_whole=True, drop=4),
    Column("P95", right=True, keep_whole=True, drop=5),
    Column("LONGEST", right=True, keep_whole=True, drop=3),
    Column("CPU", right=True, keep_whole=True, drop=2),
    Column("MEMORY", right=True, keep_whole=True, drop=2),
    Column("SKIPPED", right=True, keep_whole=True, drop=1),
    Column("MISSED", right=True, keep_whole=True, drop=1),
)


class JobSummary:
    """The records of one job, summed up. A run is a success or a failure; durations are those of runs."""

    __slots__ = ("counts", "cpu", "durations", "max_rss")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(_COUNTS.values(), 0)
        self.durations = array("d")
        self.cpu: float | None = None
        self.max_rss: int | None = None

    def add(self, record: Mapping[str, str]) -> None:
        """Take a record; a value that is not a number is left out."""
        word = record["word"]
        count = _number(record.get("count")) if word == "MISSED" else None
        self.counts[_COUNTS[word]] += int(count or 1)
        if word not in {"SUCCESS", "FAILURE"}:
            return
        duration, cpu, memory = (_number(record.get(key)) for key in ("duration", "cpu", "max_rss"))
        if duration is not None:
            self.durations.append(duration)
        if cpu is not None:
            self.cpu = (self.cpu or 0.0) + cpu
        if memory is not None:
            self.max_rss = max(self.max_rss or 0, int(memory))

    @property
    def runs(self) -> int:
        """The number of runs."""
        return self.counts["successes"] + self.counts["failures"]

    @property
    def success_rate(self) -> float | None:
        """The share of runs that succeeded; None without a run."""
        return self.counts["successes"] / self.runs if self.runs else None

    def as_json(self, job_id: str) -> dict[str, Any]:
        """Return the summary as JSON; durations and processor time are seconds, memory is bytes."""
        ordered = sorted(self.durations)
        rate = self.success_rate
        return {
            "job_id": job_id,
            "runs": self.runs,
            **self.counts,
            "success_rate": None if rate is None else round(rate, 4),
            "p50": percentile(ordered, 50),
            "p95": percentile(ordered, 95),
            "longest": ordered[-1] if ordered else None,
            "cpu": None if self.cpu is None else round(self.cpu, 3),
            "max_rss": self.max_rss,
        }


def summarize(records: Iterable[Mapping[str, str]]) -> dict[str, JobSummary]:
    """Return the summary of each job, in the order of their ids."""
    summaries: dict[str, JobSummary] = {}
    for record in records:
        job_id = record.get("job_id", "")
        if job_id not in summaries:
            summaries[job_id] = JobSummary()
        summaries[job_id].add(record)
    return dict(sorted(summaries.items()))


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Return the smallest value that so many of a hundred do not exceed; None without values."""
    if not ordered:
        return None
    return ordered[max(0, -(-len(ordered) * percent // _PERCENT) - 1)]


def stats_rows(summaries: Iterable[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    """Yield the cells of each summary."""
    for one in summaries:
        rate = one["success_rate"]
        yield (
            one["job_id"],
            str(one["runs"]),
            "-" if rate is None else f"{int(rate * _PERCENT)}%",
            *(
                "-" if one[key] is None else format_compact_duration(one[key])
                for key in ("p50", "p95", "longest", "cpu")
            ),
            "-" if one["max_rss"] is None else format_size(one["max_rss"]),
            str(one["skipped"]),
            str(one["missed"]),
        )


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:  # an older version wrote something else there
        return None
