"""The metrics of each job, as text. With 10,000 jobs these are some 50,000 lines, of which few change in a minute.

So the lines of a job are kept for as long as its status in the snapshot is the same object, and only the heads of the
metrics come from the client library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from jobscheduler.status.run_stats import JobStats, RunStats
from jobscheduler.status.snapshot import JobStatus, Snapshot

Encode = Callable[[Collector], bytes]

END_MARK = b"# EOF\n"  # the end of an exposition in the format OpenMetrics

_JOB = ["job_id"]
_FAMILIES: tuple[Metric, ...] = (
    InfoMetricFamily("jobscheduler_job", "A job and its tags.", labels=_JOB),
    CounterMetricFamily("jobscheduler_job_slots", "A job's slots by their final status.", labels=[*_JOB, "status"]),
    GaugeMetricFamily("jobscheduler_job_failing", "1 while a job's last counted result is a failure, else 0."),
    GaugeMetricFamily("jobscheduler_job_overdue", "1 while a job with `success_within` is overdue, else 0."),
    GaugeMetricFamily(
        "jobscheduler_job_last_success_timestamp_seconds", "When a run of a job last succeeded, in Unix time."
    ),
    GaugeMetricFamily(
        "jobscheduler_job_never_succeeded_since_timestamp_seconds",
        "Since when a job without any success is in force.",
    ),
    CounterMetricFamily("jobscheduler_job_cpu_seconds", "Processor time of a job's commands.", labels=_JOB),
)


@dataclass(frozen=True, slots=True)
class _JobLines:
    """The lines of one job, those of each family together, and the status that they were made of."""

    status: JobStatus
    texts: Sequence[str]


class OneFamily(Collector):
    """Collect one metric, so that the library writes its head."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        """Yield the metric."""
        yield self._family


class JobMetrics:
    """Write the metrics of all active jobs: those of a job end with it, whatever the log says of it.

    Thread: any.
    """

    def __init__(self, results: RunStats) -> None:
        self._results = results
        self._made: dict[str, _JobLines] = {}

    def text(self, snapshot: Snapshot, encode: Encode) -> bytes:
        """Return the metrics; `encode` writes one in the format that the reader accepts."""
        former = self._made
        made = {status.job.id: self._lines(status, former) for status in snapshot.jobs if status.job is not None}
        self._made = made
        columns = zip(*(lines.texts for lines in made.values()), strict=True) if made else [()] * len(_FAMILIES)
        return b"".join(
            encode(OneFamily(family)).removesuffix(END_MARK) + "".join(texts).encode()
            for family, texts in zip(_FAMILIES, columns, strict=True)
        )

    def _lines(self, status: JobStatus, former: dict[str, _JobLines]) -> _JobLines:
        """Return the lines of a job: a new record, success or change of its definition has made another status."""
        known = former.get(status.id or "")
        if known is not None and known.status is status:
            return known
        return _JobLines(status, tuple(_texts(status, self._results.job(status.id or ""))))


def _texts(status: JobStatus, stats: JobStats | None) -> Iterator[str]:
    """Yield the lines of each family. Ids, tags and statuses hold nothing that had to be escaped."""
    job, label = status.job, f'job_id="{status.id}"'
    tags = f",{','.join(job.tags)}," if job is not None and job.tags else ""
    yield f'jobscheduler_job_info{{{label},tags="{tags}"}} 1.0\n'
    counts = stats.counts.items() if stats is not None else ()
    yield "".join(
        f'jobscheduler_job_slots_total{{{label},status="{word.value}"}} {_number(count)}\n'
        for word, count in counts
        if count
    )
    yield _line("failing", label, status.failures > 0)
    has_limit = job is not None and job.success_within is not None
    yield _line("overdue", label, status.overdue_since is not None if has_limit else None)
    success, in_force = status.last_success, status.in_force_since
    yield _line("last_success_timestamp_seconds", label, success.timestamp() if success else None)
    is_new = success is None and in_force is not None
    yield _line("never_succeeded_since_timestamp_seconds", label, in_force.timestamp() if is_new and in_force else None)
    yield _line("cpu_seconds_total", label, None if stats is None else stats.cpu)


def _line(name: str, label: str, value: float | None) -> str:
    return "" if value is None else f"jobscheduler_job_{name}{{{label}}} {_number(value)}\n"


def _number(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text
