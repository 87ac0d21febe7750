"""The account when the clock is wrong for a moment: each case that was seen in the field, with the right records.

The real scheduler, log and reading back, in one process, with clocks that the test moves (`test_account_histories`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobscheduler import tasks
from jobscheduler.model import Cron, Job, Once, TaskSpec
from tests.support.accounting import lines_of
from tests.unit.test_account_histories import Host, Nothing

NOON = datetime(2031, 3, 30, 12, 0, 30, tzinfo=UTC)
YEAR = timedelta(days=365)
MINUTELY = Job("m", Cron("* * * * *", "UTC"), TaskSpec("nothing", "{}"))
DAILY = Job("daily", Cron("2 12 * * *", "UTC"), TaskSpec("nothing", "{}"), catch_up=3600.0)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """Give a host without jobs."""
    monkeypatch.setitem(tasks._loaded, "nothing", Nothing)
    return Host(tmp_path, wall=NOON, jobs={})


def with_jobs(host: Host, *jobs: Job, seconds: float = 180) -> Host:
    """Start a service with these jobs, whose files are old, and let it live for a while."""
    host.jobs = {one.id: one for one in jobs}
    host.start()
    host.live(seconds)
    return host


def slots_with_status(host: Host, job_id: str, word: str) -> list[str]:
    """Return the slots of a job's records with this status, as day of the year and time."""
    if host.log is not None:
        host.log.flush(5)
    found = [line for line in lines_of(host.folder / "s.log") if line["word"] == word and line.get("job_id") == job_id]
    return [datetime.fromisoformat(line["scheduled"]).strftime("%j %H:%M") for line in found]


def runs(host: Host, job_id: str) -> list[str]:
    """Return the slots that ran; fail if one ran twice."""
    found = slots_with_status(host, job_id, "SUCCESS")
    assert len(found) == len(set(found)), found
    return found


def last_missed(host: Host) -> datetime:
    """Return the last slot that has been missed."""
    missed = [line for line in lines_of(host.folder / "s.log") if line["word"] == "MISSED"]
    return max(datetime.fromisoformat(line.get("last", line["scheduled"])) for line in missed)


def start_at(host: Host, wrong: timedelta, seconds: float) -> None:
    """Start with a clock that is wrong by so much, and put it right after some seconds."""
    host.stop()
    host._advance(5)
    before = host.wall
    host.set(wrong, is_noticed=True)
    moved = host.wall - before
    host.start()
    host.live(seconds)
    host.set(-moved, is_noticed=True)


@pytest.mark.parametrize("wrong", [-61 * YEAR, -timedelta(days=1)], ids=["1970", "a day behind"])
def test_a_start_with_a_clock_far_behind_runs_nothing_twice_and_misses_nothing_that_ran(
    host: Host, wrong: timedelta
) -> None:
    """When the clock is right again, the account goes on from what the log had decided."""
    with_jobs(host, MINUTELY, DAILY)
    assert runs(host, "m") == ["089 12:01", "089 12:02", "089 12:03"]
    start_at(host, wrong, 8)
    host.live(180)
    host.stop()

    assert runs(host, "m") == [f"089 12:0{minute}" for minute in range(1, 7)]
    assert runs(host, "daily") == ["089 12:02"]
    assert last_missed(host) < NOON  # the way back is a step ahead, through a time before the jobs were there


def test_a_start_ten_years_ahead_runs_a_one_time_job_of_meanwhile_once_at_most(host: Host) -> None:
    """With a large `catch_up` the wrong clock makes it due; the next start does not run it again."""
    once = Job("once", Once(NOON + 4 * YEAR), TaskSpec("nothing", "{}"), catch_up=8 * YEAR.total_seconds())
    with_jobs(host, once)
    start_at(host, 10 * YEAR, 8)
    host.live(60)
    ran = runs(host, "once")
    host.stop()
    host._advance(5)
    host.start()
    host.set(4 * YEAR, is_noticed=True)
    host.live(60)
    host.stop()

    assert runs(host, "once") == ran
    assert len(ran) == 1


def test_a_clock_a_day_ahead_for_a_moment_leaves_a_one_time_job_its_time(host: Host) -> None:
    """It was only missed by the wrong clock, so it runs when its instant comes, and its record has `corrects`."""
    with_jobs(host, Job("once", Once(NOON + timedelta(hours=2)), TaskSpec("nothing", "{}")), DAILY)
    host.set(timedelta(days=1), is_noticed=True)
    host.live(12)
    host.set(-timedelta(days=1), is_noticed=True)
    assert slots_with_status(host, "once", "MISSED") == ["089 14:00"]
    host.live(3 * 3600)
    host.stop()

    assert runs(host, "once") == ["089 14:00"]
    (record,) = [
        line for line in lines_of(host.folder / "s.log") if line["word"] == "SUCCESS" and line["job_id"] == "once"
    ]
    assert record["corrects"] == "clock"
    assert runs(host, "daily")[0] == "089 12:02"


def test_a_boot_two_hours_behind_runs_nothing_twice_and_waits_for_what_is_over(host: Host) -> None:
    """A job all of whose slots to come are over waits until the clock has passed them, and the log says it."""
    with_jobs(host, MINUTELY, seconds=3 * 3600)
    before = runs(host, "m")
    host.stop()
    host.boot, host.elapsed = host.boot + 1, 10.0
    host.set(-timedelta(hours=2), is_noticed=True)
    host.start()
    host.live(600)
    assert host.service is not None
    behind = host.service.behind_clock()
    assert behind is not None
    assert (behind.jobs, behind.until.strftime("%H:%M")) == (1, "15:00")
    assert runs(host, "m") == before
    host.live(7200)
    host.stop()
    assert runs(host, "m")[len(before)] == "089 15:01"


def test_two_hours_ahead_and_back_cost_no_job_its_day(host: Host) -> None:
    """A slot of a fixed time that the wrong clock missed runs at its time; a wildcard job follows the new time."""
    fixed = Job("fixed", Cron("54 12 * * *", "UTC"), TaskSpec("nothing", "{}"))
    with_jobs(host, MINUTELY, fixed)
    host.set(timedelta(hours=2), is_noticed=True)
    host.live(15)
    assert slots_with_status(host, "fixed", "MISSED") == ["089 12:54"]
    host.set(-timedelta(hours=2), is_noticed=True)
    host.live(3600)
    host.stop()

    assert runs(host, "fixed") == ["089 12:54"]
    ahead = {"089 14:03"}  # the latest slot of the step ahead ran then
    assert set(runs(host, "m")) - ahead >= {f"089 12:{minute:02}" for minute in range(1, 60)}
