"""The values of a snapshot as metrics, through a collector of the official client library.

Labels by job exist only where an alert must name the job: with 10,000 jobs each label costs 10,000 lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from jobscheduler.status.histogram import Histogram
from jobscheduler.status.run_stats import Totals
from jobscheduler.status.snapshot import JobState, Snapshot
from jobscheduler.web.cluster_metrics import cluster_metrics
from jobscheduler.web.job_metrics import END_MARK, JobMetrics
from jobscheduler.web.view import ServiceView


class Metrics:
    """Write the metrics as text."""

    def __init__(self, view: ServiceView) -> None:
        self._view = view
        self._jobs = JobMetrics(view.results)
        self._registry = CollectorRegistry()
        self._registry.register(ServiceCollector(view))
        ProcessCollector(registry=self._registry)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics in the format that a reader accepts, and the format's content type."""
        encode, kind = choose_encoder(accept)
        general = encode(self._registry)
        end = END_MARK if general.endswith(END_MARK) else b""
        return general.removesuffix(END_MARK) + self._jobs.text(self._view.snapshot(), encode) + end, kind


class ServiceCollector(Collector):
    """Read the service when it is scraped; this class counts nothing."""

    def __init__(self, view: ServiceView) -> None:
        self._view = view

    def describe(self) -> Iterable[Metric]:
        """Return nothing: registering should not ask the service, which is not up yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        snapshot = self._view.snapshot()
        yield from _service_metrics(snapshot, self._view.health())
        yield from _job_metrics(snapshot)
        yield from _pause_metrics(snapshot)
        if snapshot.service.cluster is not None:
            yield from cluster_metrics(snapshot.service.cluster)
        yield from _total_metrics(self._view.results.totals())


def _service_metrics(snapshot: Snapshot, issue: str | None) -> Iterator[Metric]:
    service = snapshot.service
    info = {"version": service.version, "timezone": service.timezone}
    yield InfoMetricFamily("jobscheduler", "The service.", info)
    yield _gauge("start_time_seconds", "When the service started, in Unix time.", service.started.timestamp())
    yield _gauge("healthy", "1 while the scheduling loop and the watcher are alive and on time, else 0.", issue is None)
    yield _gauge("issues", "How many issues the service has now, such as a lost directory.", len(service.issues))
    yield _gauge("scheduling_loop_age_seconds", "Seconds since the scheduling loop last ran.", service.last_tick_age)
    yield _gauge("running_runs", "How many runs are in progress.", service.running)
    yield _gauge("queued_runs", "How many runs wait for a worker.", service.queued)
    yield _gauge("workers", "How many runs may be in progress at once.", service.workers)
    yield _gauge("lost_threads", "Threads of tasks that did not end when they had to.", service.lost_threads)


def _job_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    jobs = GaugeMetricFamily("jobscheduler_jobs", "How many jobs are in each state.", labels=["state"])
    for state, count in snapshot.count().items():
        jobs.add_metric([state.value], count)
    yield jobs
    help_ = "How many files are refused, or stale: then the last good version is active."
    files = GaugeMetricFamily("jobscheduler_files_with_problems", help_, labels=["state"])
    files.add_metric(["refused"], sum(job.state is JobState.REFUSED for job in snapshot.jobs))
    files.add_metric(["stale"], sum(job.stale for job in snapshot.jobs))
    yield files


def _pause_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    yield _gauge("pauses", "How many pauses are in force.", len(snapshot.service.pauses))
    paused = _by_job("paused", "1 while a job is paused; no sample for any other job.")
    for status in snapshot.jobs:
        if status.job is not None and status.pauses:
            paused.add_metric([status.job.id], 1)
    yield paused


def _total_metrics(totals: Totals) -> Iterator[Metric]:
    slots = CounterMetricFamily("jobscheduler_slots", "Slots by their final status.", labels=["status"])
    for status, count in totals.counts.items():
        slots.add_metric([status.value], count)
    yield slots
    help_ = "Attempts that failed and were followed by another."
    yield CounterMetricFamily("jobscheduler_failed_attempts", help_, totals.attempts_failed)
    yield _histogram("run_duration_seconds", "How long runs took.", totals.duration)
    help_ = "How long after their slots runs started; for jobs with jitter that is part of it."
    yield _histogram("run_lateness_seconds", help_, totals.lateness)
    yield _histogram("change_latency_seconds", "From the change of a file until its job is active.", totals.latency)


def _by_job(name: str, help_: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"jobscheduler_job_{name}", help_, labels=["job_id"])


def _gauge(name: str, help_: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"jobscheduler_{name}", help_, value)


def _histogram(name: str, help_: str, histogram: Histogram) -> HistogramMetricFamily:
    """Convert a histogram to Prometheus' form: each bucket includes those below it."""
    bounds = (*map(str, histogram.bounds), "+Inf")
    buckets = list(zip(bounds, accumulate(map(float, histogram.counts)), strict=True))
    return HistogramMetricFamily(f"jobscheduler_{name}", help_, buckets, histogram.sum)
