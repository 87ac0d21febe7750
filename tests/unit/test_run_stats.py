"""Run statistics: the outcomes of runs, for each job and in total."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from jobscheduler.model import Event, Level, Record, Status
from jobscheduler.status.run_stats import RecentRuns, RunStats

SLOT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)


def record(status: Status = Status.SUCCESS, job_id: str = "a", *, late: float = 0.004, **more: Any) -> Record:
    """Return the record of a run that took 1.2 seconds."""
    if status in {Status.SKIPPED, Status.MISSED}:
        return Record(SLOT, status, job_id, scheduled=SLOT, **more)
    started = SLOT + timedelta(seconds=late)
    known = {"run_id": "5f3c2a9d41b7", "scheduled": SLOT, "started": started, "duration": 1.2, **more}
    return Record(started + timedelta(seconds=1.2), status, job_id, **known)


def taken(*entries: Record | Event) -> RunStats:
    results = RunStats()
    for entry in entries:
        results.observe(entry)
    return results


def test_each_status_is_counted_for_its_job_and_for_all() -> None:
    """A job without a record has nothing."""
    found = taken(record(), record(Status.FAILURE), record(), record(Status.SKIPPED, "b"))
    of_a, of_b = found.job("a"), found.job("b")
    assert of_a
    assert of_b
    assert (of_a.counts[Status.SUCCESS], of_a.counts[Status.FAILURE], of_b.counts[Status.SKIPPED]) == (2, 1, 1)
    assert found.totals().counts == {"SUCCESS": 2, "FAILURE": 1, "SKIPPED": 1, "MISSED": 0}
    assert found.job("c") is None


def test_a_record_that_sums_up_missed_slots_counts_for_each_of_them() -> None:
    """One line is the record of an outage."""
    found = taken(record(Status.MISSED, details=(("last", SLOT), ("count", 59))), record(Status.MISSED))
    assert found.totals().counts[Status.MISSED] == 60
    paused = taken(record(Status.SKIPPED, reason="paused", details=(("last", SLOT), ("count", 7))))
    assert paused.totals().counts[Status.SKIPPED] == 7


def test_the_last_record_is_kept_without_its_output() -> None:
    """The output may be long, and is in the log."""
    found = taken(record(), record(Status.FAILURE, reason="exit", details=(("exit_code", 1),), output="no such file"))
    last = found.last_record("a")
    assert last == record(Status.FAILURE, reason="exit", details=(("exit_code", 1),))
    assert found.last_record("b") is None


def test_details_that_only_look_equal_stay_apart() -> None:
    """In Python `1 == True`, and equal details share one object."""
    found = taken(record(job_id="a", details=(("more", 1),)), record(job_id="b", details=(("more", True),)))
    assert [repr(found.last_record(one).details) for one in "ab"] == ["(('more', 1),)", "(('more', True),)"]  # type: ignore[union-attr]


def test_a_skip_or_a_miss_changes_nothing_about_failing_and_the_last_success() -> None:
    """A job that failed is failing until a run of it succeeds."""
    found = taken(record(), record(Status.FAILURE), record(Status.SKIPPED), record(Status.MISSED))
    job = found.job("a")
    assert job
    assert (job.is_failing, job.success, job.last.status) == (True, record().at, Status.MISSED)
    found.observe(record())
    assert found.job("a").is_failing is False  # type: ignore[union-attr]
    assert taken(record(Status.SKIPPED)).job("a").is_failing is None  # type: ignore[union-attr]


def test_durations_and_lateness_are_counted_in_buckets() -> None:
    """A value that equals a bound is within it; a slot that did not run has neither."""
    runs = [record(duration=seconds) for seconds in (0.1, 0.11, 90_000.0)]
    found = taken(*runs, record(late=2.0), record(Status.SKIPPED)).totals()
    assert found.duration.counts == (1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1)
    assert round(found.duration.sum, 3) == 90_001.41
    assert dict(zip(found.lateness.bounds, found.lateness.counts, strict=False))[5.0] == 1
    assert sum(found.lateness.counts) == 4


def test_a_manual_run_is_not_late_and_no_lateness_is_negative() -> None:
    """A manual run has no slot; a clock that was set back counts as no lateness."""
    found = taken(record(scheduled=None), record(late=-5)).totals().lateness
    assert (sum(found.counts), found.counts[0], found.sum) == (1, 1, 0.0)


def test_attempts_that_failed_are_counted_and_other_events_are_not() -> None:
    """They have no record of their own."""
    names = ("run.attempt_failed", "run.started", "run.attempt_failed")
    assert taken(*(Event(SLOT, Level.WARNING, name) for name in names)).totals().attempts_failed == 2


def test_the_time_until_a_change_is_in_force_is_counted() -> None:
    """The sync that applies it passes the seconds."""
    found = RunStats()
    found.observe_latency(0.012)
    assert dict(zip(found.totals().latency.bounds, found.totals().latency.counts, strict=False))[0.025] == 1


def test_a_job_that_was_removed_stays_in_the_totals() -> None:
    """Counters never go back, and the removal of an unknown job changes nothing."""
    found = taken(record(), record(job_id="b"))
    for job_id in ("a", "unknown"):
        found.observe(Event(SLOT, Level.INFO, "job.removed", (("job_id", job_id),)))
    assert found.job("a") is None
    assert found.job("b") is not None
    assert found.totals().counts[Status.SUCCESS] == 2


def test_records_before_this_start_are_restored_and_not_counted() -> None:
    """So a job that failed is shown as failing after a restart."""
    found = RunStats()
    found.restore(record())
    found.restore(record(Status.FAILURE))
    job = found.job("a")
    assert job
    assert (job.is_failing, job.success, sum(job.counts.values())) == (True, record().at, 0)
    assert sum(found.totals().duration.counts) == 0


def test_the_end_of_a_failed_output_and_the_usual_duration_are_known() -> None:
    """The last line that is not blank, cut; the median of the last twenty successes, skipped and failed runs aside."""
    found = RunStats()
    assert found.recent_runs("a") is None
    for seconds in (900.0, *(float(number) for number in range(20))):
        found.observe(replace(record(), duration=seconds))
    found.observe(replace(record(Status.FAILURE), duration=500.0, output="one\n" + "y" * 300 + "\n \n"))
    recent = found.recent_runs("a")
    assert recent
    assert (recent.usual, recent.last_line) == (9.5, "y" * 120)
    found.observe(record(Status.SKIPPED))
    assert found.recent_runs("a") == RecentRuns(record(Status.SKIPPED), None, 9.5)


def test_no_entry_makes_it_raise() -> None:
    """It is called under the scheduler's lock."""
    results = RunStats()
    results.observe(None)  # type: ignore[arg-type]
    results.observe(record(scheduled=SLOT.replace(tzinfo=None)))
    results.observe(record(job_id="b"))
    assert results.last_record("b")


def test_a_job_takes_less_than_900_bytes() -> None:
    """Ten thousand of them are nothing; measured on records as the runner makes them."""
    ids = [f"job-{number}" for number in range(10_000)]
    results = RunStats()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number, job_id in enumerate(ids):
            slot = SLOT + timedelta(seconds=number)
            started = slot + timedelta(microseconds=4000 + number)
            run_id, code = os.urandom(6).hex(), int(str(number % 3))
            status = Status.FAILURE if code else Status.SUCCESS
            details, at = (("exit_code", code),), started + timedelta(seconds=1)
            done = Record(at, status, job_id, run_id, slot, started, number * 0.1, None, details, "x" * 2000)
            results.observe(done)
        del done, slot, started, run_id, details, at
        size = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert size / len(ids) < 900


def test_the_last_runs_are_kept_with_their_results() -> None:
    """The oldest first; without the slots that were skipped. Failures leave the usual duration of a success."""
    results = RunStats()
    for number in range(30):
        at = SLOT + timedelta(minutes=number)
        status = Status.FAILURE if number in {3, 28} else Status.SUCCESS
        results.observe(Record(at, status, "a", "5f3c", at, at, float(number)))
        results.observe(Record(at, Status.SKIPPED, "a", scheduled=at, reason="overlap"))
    runs = results.last_runs("a")
    assert [seconds for _, seconds in runs] == [float(number) for number in range(10, 30)]
    assert [seconds for status, seconds in runs if status is Status.FAILURE] == [28.0]
    for number in range(19):
        at = SLOT + timedelta(hours=1, minutes=number)
        results.observe(Record(at, Status.FAILURE, "a", "5f3c", at, at, 0.5, "exit"))
    recent = results.recent_runs("a")
    assert recent is not None
    assert recent.usual == 19.0
    assert results.last_runs("b") == []
