"""The sums of `history --stats`."""

from __future__ import annotations

import pytest

from jobscheduler.cli.history_stats import percentile, stats_rows, summarize
from jobscheduler.util.sizes import format_size


def line(word: str, job_id: str = "a", **values: str) -> dict[str, str]:
    """A record of the log."""
    return {"word": word, "job_id": job_id, **values}


def test_runs_are_counted_apart_from_slots_that_did_not_run() -> None:
    """Processor time adds up, memory is the largest; a value that is cut short counts for nothing."""
    records = (
        line("SUCCESS", duration="1.5", cpu="0.5", max_rss="1000"),
        line("FAILURE", duration="3", cpu="0.25", max_rss="4100000"),
        line("SUCCESS", duration="oops"),
        line("SKIPPED"),
        line("MISSED", count="59"),
        line("MISSED", job_id="b"),
    )
    found = summarize(records)
    assert found["a"].as_json("a") == {
        "job_id": "a",
        "runs": 3,
        "successes": 2,
        "failures": 1,
        "skipped": 1,
        "missed": 59,
        "success_rate": 0.6667,
        "p50": 1.5,
        "p95": 3.0,
        "longest": 3.0,
        "cpu": 0.75,
        "max_rss": 4_100_000,
    }
    assert list(stats_rows([found["a"].as_json("a"), found["b"].as_json("b")])) == [
        ("a", "3", "66%", "1.5s", "3.0s", "3.0s", "750ms", "4.1 MB", "1", "59"),
        ("b", "0", "-", "-", "-", "-", "-", "-", "0", "1"),
    ]


@pytest.mark.parametrize(("percent", "value"), [(50, 10), (95, 19), (100, 20), (1, 1)])
def test_a_percentile_is_a_value_that_occurred(percent: int, value: int) -> None:
    """The nearest rank."""
    assert percentile(list(range(1, 21)), percent) == value


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (4100, "4.1 kB"), (410_000_000, "410 MB"), (5 * 10**15, "5000 TB")],
)
def test_a_size_is_written_in_one_unit(count: int, text: str) -> None:
    """With a digit after the point where one stands before it."""
    assert format_size(count) == text
