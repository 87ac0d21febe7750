"""The instants of each job's last records, by which its page finds them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from jobscheduler.config import Settings
from jobscheduler.control import recent_record_times as module
from jobscheduler.control.last_record_loader import LastRecordLoader
from jobscheduler.control.recent_record_times import RecentRecordTimes
from jobscheduler.control.service_view import LiveServiceView
from jobscheduler.model import Event, Level, Record, Status
from jobscheduler.runlog.format import encode_line, format_text
from jobscheduler.status.run_stats import RunStats

START = datetime(2026, 11, 22, tzinfo=UTC)


def record(number: int, job_id: str = "a") -> Record:
    """Return a record; each is a minute later."""
    at = START + timedelta(minutes=number)
    return Record(at, Status.SUCCESS, job_id, f"{number:012x}", at, at, 0.1)


def removed(job_id: str) -> Event:
    """The event of a removed job."""
    return Event(START, Level.INFO, "job.removed", (("job_id", job_id),))


def test_only_the_last_instants_of_a_job_are_kept() -> None:
    """Those of a removed job too, for a while."""
    recent = RecentRecordTimes()
    for number in range(1000):
        recent.observe(record(number))
        assert len(recent._jobs["a"]) <= module.MAX_RECORDS_OF_JOB + module.EXTRA_RECORDS
    expected = [START + timedelta(minutes=number) for number in range(999, 999 - module.MAX_RECORDS_OF_JOB, -1)]

    assert recent.of("a") == expected
    recent.observe(removed("a"))
    assert recent.of("a") == expected
    for number in range(module.MAX_REMOVED_JOBS):
        recent.observe(record(0, f"b{number}"))
        recent.observe(removed(f"b{number}"))
    assert recent.of("a") == recent.of("unknown") == []


def test_the_page_of_a_job_shows_its_last_records_however_much_others_write(tmp_path: Path, monkeypatch: Any) -> None:
    """Also beyond the part of the log that is read; and whether there are older ones is known."""
    monkeypatch.setattr("jobscheduler.control.service_view.JOB_BYTES", 300_000)
    log, recent = tmp_path / "s.log", RecentRecordTimes()
    with log.open("wb") as file:
        for number in range(20_000):
            one = record(number, "rare" if number % 500 == 0 else "busy")
            file.write(encode_line(one, format_text))
            if number > 5_000:
                recent.observe(one)
    settings = cast("Settings", Settings(log_file=log))
    none = cast("Any", None)
    view = LiveServiceView(settings, none, none, RunStats(), none, recent, none)

    rare, busy = view.history("rare", 1000), view.history("busy", 100)
    gone = view.history("gone", 100)

    assert [int(one["run_id"], 16) for one in rare.lines] == list(range(19_500, 5_000, -500))
    assert (rare.is_complete, len(busy.lines), busy.is_complete, gone.lines, gone.is_complete) == (
        False,
        100,
        False,
        [],
        False,
    )
    assert rare.since is not None


def test_instants_before_the_start_are_loaded(tmp_path: Path) -> None:
    """From the end of the log, at the first request."""
    log, recent = tmp_path / "s.log", RecentRecordTimes()
    log.write_bytes(b"".join(encode_line(record(number), format_text) for number in range(100)))
    LastRecordLoader(log, 0, RunStats(), recent)()

    assert recent.of("a") == [
        START + timedelta(minutes=number) for number in range(99, 99 - module.MAX_RECORDS_OF_JOB, -1)
    ]
