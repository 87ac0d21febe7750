"""Metrics: what Prometheus reads, judged by its own tool; and the alerts that the documentation offers."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import pytest

pytest.importorskip("prometheus_client", reason="the extra `web` is not installed")

from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from jobscheduler.model.cluster_view import Role
from jobscheduler.status.run_stats import JobStats, RunStats
from jobscheduler.web.job_metrics import JobMetrics
from tests.support.job_files import need
from tests.support.service import ROOT
from tests.support.web_view import CLUSTER, PAUSE, SERVICE, FakeServiceView, a_day, a_day_in_a_cluster, local, many
from tests.unit.test_web_app import get

RULES = ROOT / "docs/prometheus-rules.yml"


def metrics(view: FakeServiceView) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels."""
    families = text_string_to_metric_families(get(view, "/metrics").text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def promtool(*arguments: object, given: bytes | None = None) -> None:
    """Run Prometheus' own tool; it has to find nothing at all."""
    need("promtool")
    done = subprocess.run(["promtool", *map(str, arguments)], input=given, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"FAILED" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "view", [a_day(), FakeServiceView(), a_day_in_a_cluster()], ids=["a day", "no jobs", "a cluster"]
)
def test_prometheus_finds_nothing_wrong_with_the_metrics(view: FakeServiceView) -> None:
    """Names, types, units and help."""
    promtool("check", "metrics", given=get(view, "/metrics").body)


def test_the_offered_alerts_are_valid() -> None:
    """As they stand."""
    promtool("check", "rules", RULES)


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    """Ten minutes of a host that is well, then ten of one that is not."""
    promtool("test", "rules", ROOT / "tests/data/prometheus-alerts.yml")
    named = set(re.findall(r"- alert: (\w+)", RULES.read_text("utf-8")))
    tried = set(re.findall(r'alertname[:=] ?"?(\w+)', (ROOT / "tests/data/prometheus-alerts.yml").read_text("utf-8")))
    assert named == tried


def test_every_metric_that_an_alert_uses_is_served() -> None:
    """A renamed metric would make an alert silent."""
    used = set(re.findall(r"\bjobscheduler_\w+", RULES.read_text("utf-8")))
    assert used <= {name for name, *_ in metrics(a_day_in_a_cluster())}


def test_every_metric_is_in_the_documentation() -> None:
    """And nothing else."""
    answer = set(re.findall(r"^\| `(jobscheduler_\w+)", (ROOT / "docs/page.md").read_text("utf-8"), re.MULTILINE))
    served = {re.sub(r"_(bucket|count|sum)$", "", name) for name, *_ in metrics(a_day_in_a_cluster())}
    assert answer == {name for name in served if name.startswith("jobscheduler_")}


def test_slots_are_counted_by_status_and_by_job() -> None:
    """Also statuses that never occurred, for all jobs together."""
    found = metrics(a_day())
    assert found["jobscheduler_job_slots_total", "backup-database", "FAILURE"] == 2
    assert found["jobscheduler_job_slots_total", "certificates", "MISSED"] == 24
    assert found["jobscheduler_slots_total", "MISSED"] == 25
    assert metrics(FakeServiceView())["jobscheduler_slots_total", "SKIPPED"] == 0


def test_jobs_are_counted_by_state_and_files_by_what_is_wrong() -> None:
    """A stale job that is running is still stale."""
    view = a_day()
    found = metrics(view)
    assert (found["jobscheduler_jobs", "running"], found["jobscheduler_jobs", "waiting"]) == (1, 0)
    assert (
        found["jobscheduler_files_with_problems", "refused"],
        found["jobscheduler_files_with_problems", "stale"],
    ) == (1, 1)


def test_a_job_has_whether_it_fails_and_when_it_last_succeeded() -> None:
    """In Unix time."""
    found, ended = metrics(a_day()), local("22 03:20").timestamp() + 9300.004
    assert found["jobscheduler_job_failing", "backup-database"] == 1
    assert found["jobscheduler_job_failing", "reindex"] == 0
    assert found["jobscheduler_job_last_success_timestamp_seconds", "reindex"] == ended
    assert ("jobscheduler_job_never_succeeded_since_timestamp_seconds", "reindex") not in found


def test_a_job_that_never_succeeded_has_metrics_too() -> None:
    """Or no alert could ever fire for it: whether it fails, whether it is overdue, and since when it is in force."""
    found = metrics(a_day())
    assert found["jobscheduler_job_failing", "rotate-keys"] == 0
    assert (
        found["jobscheduler_job_never_succeeded_since_timestamp_seconds", "rotate-keys"] == SERVICE.started.timestamp()
    )
    assert ("jobscheduler_job_last_success_timestamp_seconds", "rotate-keys") not in found
    assert (found["jobscheduler_job_overdue", "certificates"], found["jobscheduler_job_overdue", "reindex"]) == (1, 0)
    assert ("jobscheduler_job_overdue", "rotate-keys") not in found


def test_the_metrics_of_a_job_end_with_it() -> None:
    """Although its records are still known, from this start or from the log."""
    view = a_day()
    view.jobs = [one for one in view.jobs if one.id != "backup-database"]
    assert view.results.last_record("backup-database") is not None
    assert not [key for key in metrics(view) if "backup-database" in key]


def test_the_tags_of_every_job_are_there_to_join_with() -> None:
    """Each between commas, so that one tag is found and no part of another."""
    view = a_day()
    view.jobs = [replace(one, job=one.job and replace(one.job, tags=("backup", "shop"))) for one in view.jobs[:1]]
    view.jobs += a_day().jobs[1:]
    found = metrics(view)
    assert found["jobscheduler_job_info", view.jobs[0].id or "", ",backup,shop,"] == 1
    assert found["jobscheduler_job_info", view.jobs[1].id or "", ""] == 1


def test_paused_jobs_are_named_and_pauses_counted() -> None:
    """And no other job has a sample."""
    view = a_day()
    view.service = replace(view.service, pauses=(PAUSE,))
    found = metrics(view)
    assert found["jobscheduler_pauses",] == 1
    paused = [key[1] for key in found if key[0] == "jobscheduler_job_paused"]
    assert paused == ["metrics-rollup"]


def test_histograms_add_up() -> None:
    """Each class holds those below it, and the last one all."""
    found = metrics(a_day())
    runs = found["jobscheduler_slots_total", "SUCCESS"] + found["jobscheduler_slots_total", "FAILURE"]
    name = "jobscheduler_run_duration_seconds"
    buckets = [value for key, value in found.items() if key[0] == f"{name}_bucket"]
    assert buckets == sorted(buckets)
    assert found[f"{name}_count",] == found[f"{name}_bucket", "+Inf"] == runs
    assert found[f"{name}_bucket", "0.1"] < found[f"{name}_bucket", "1.0"]


def test_the_state_of_the_service_is_served() -> None:
    """Queue, workers, the loop's last round, health and troubles."""
    view = a_day()
    view.service = replace(view.service, queued=7, last_tick_age=1.5, lost_threads=2, issues=("one", "two"))
    found = metrics(view)
    assert found["jobscheduler_queued_runs",] == 7
    assert found["jobscheduler_scheduling_loop_age_seconds",] == 1.5
    assert (found["jobscheduler_lost_threads",], found["jobscheduler_issues",]) == (2, 2)
    assert (found["jobscheduler_healthy",], found["jobscheduler_running_runs",]) == (1, 1)
    assert found["jobscheduler_info", "Europe/Berlin", "0.1.0"] == 1
    view.wrong = "the scheduling thread is late"
    assert metrics(view)["jobscheduler_healthy",] == 0
    view.results.observe_latency(0.02)
    assert metrics(view)["jobscheduler_change_latency_seconds_count",] == 1
    assert metrics(view)["process_resident_memory_bytes",] > 1_000_000


def test_a_node_has_the_metrics_of_its_cluster() -> None:
    """A service that is alone has none of them."""
    assert not [name for name, *_ in metrics(a_day()) if "cluster" in name]
    view = a_day_in_a_cluster()
    found, prefix = metrics(view), "jobscheduler_cluster"
    assert (found[f"{prefix}_leader",], found[f"{prefix}_term",], found[f"{prefix}_database_up",]) == (0, 7, 1)
    assert (found[f"{prefix}_runs", "queued"], found[f"{prefix}_runs", "running"]) == (1, 4)
    assert found[f"{prefix}_node_last_beat_seconds", "shop-3"] == 200
    assert found[f"{prefix}_node_clock_skew_seconds", "shop-2"] == -0.31
    assert (found[f"{prefix}_node_differs", "shop-1"], found[f"{prefix}_node_differs", "shop-2"]) == (0, 1)
    away = replace(CLUSTER, role=Role.LEADER, term=None, away_since=SERVICE.started)
    view.service = replace(view.service, cluster=away)
    found = metrics(view)
    assert (found[f"{prefix}_leader",], found[f"{prefix}_database_up",]) == (1, 0)
    assert (f"{prefix}_term",) not in found


def test_a_scraper_that_asks_for_openmetrics_gets_it() -> None:
    """The content type says which form it is."""
    got = get(a_day(), "/metrics", HTTP_ACCEPT="application/openmetrics-text; version=1.0.0")
    assert got.headers["Content-Type"].startswith("application/openmetrics-text")
    assert {family.name for family in open_metrics(got.text)} >= {"jobscheduler_slots", "jobscheduler_jobs"}
    assert get(a_day(), "/metrics").headers["Content-Type"].startswith("text/plain; version=")


def test_ten_thousand_jobs_are_a_scrape_of_three_megabytes() -> None:
    """Four lines for each, and some 120 kB as they are sent."""
    view = many()
    assert len(get(view, "/metrics", HTTP_ACCEPT_ENCODING="gzip").body) < 250_000
    assert len(get(view, "/metrics").body) < 3_000_000


class CountingStats(RunStats):
    """Statistics that remember whose outcomes were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def job(self, job_id: str) -> JobStats | None:
        """Note the job."""
        self.asked.append(job_id)
        return super().job(job_id)


def test_a_scrape_writes_only_jobs_anew_that_have_changed() -> None:
    """Of all jobs once, then of one, then of those that are left."""
    view, stats = many(500), CountingStats()
    written = JobMetrics(stats)

    def scrape() -> bytes:
        stats.asked.clear()
        return written.text(view.snapshot(), choose_encoder("")[0])

    first = scrape()
    assert len(stats.asked) == 500
    assert scrape() == first
    assert stats.asked == []
    view.jobs[3] = replace(view.jobs[3], failures=2)
    assert b'jobscheduler_job_failing{job_id="job-00003"} 1.0' in scrape()
    assert stats.asked == ["job-00003"]
    del view.jobs[1:]
    assert scrape().count(b'job_id="') == 2
    assert stats.asked == []
