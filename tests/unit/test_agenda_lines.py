"""The agenda: starts of all jobs in order of time, frequent jobs, and where workers are short."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobscheduler.cli import service_jobs
from jobscheduler.cli.agenda_lines import Crowd, Period, agenda, crowds_of, entry_json, ical_lines, remarks, rows
from jobscheduler.cli.service_jobs import KnownJob
from jobscheduler.config import Settings
from jobscheduler.model import NO_TASK, Cron, Job, Once, Pause
from jobscheduler.model.selection import Selector
from jobscheduler.status.snapshot import JobState, JobStatus
from jobscheduler.status.snapshot_json import timetable_json
from jobscheduler.timetable import crontab
from jobscheduler.timetable.crontab import Crontab

UTC_ZONE = ZoneInfo("UTC")
NOW = datetime(2026, 11, 30, 1, tzinfo=UTC)
DAY = Period(NOW, NOW + timedelta(hours=24))


def job(
    job_id: str, schedule: str, *, usual: float | None = None, pause: tuple[datetime | None, ...] = (), **fields: Any
) -> KnownJob:
    """A job of the service."""
    return KnownJob(Job(job_id, Cron(schedule, "UTC"), NO_TASK, **fields), usual, pause)


def test_starts_come_in_order_of_time_with_their_usual_duration() -> None:
    """Of all jobs but paused and disabled ones; the day stands where it changes."""
    jobs = [
        job("late", "0 23,1 * * *", usual=90.0),
        job("early", "30 1 * * *"),
        job("quiet", "0 2 * * *", pause=(None,)),
        job("resumed", "0 2,4 * * *", pause=(NOW + timedelta(hours=2),)),
        job("off", "0 2 * * *", enabled=False),
    ]
    found = agenda(jobs, DAY, "host", 32)
    assert list(rows(found.entries, UTC_ZONE)) == [
        ("Mon 2026-11-30", "01:00:00", "late", "1m30s", ""),
        ("", "01:30:00", "early", "-", ""),
        ("", "04:00:00", "resumed", "-", ""),
        ("", "23:00:00", "late", "1m30s", ""),
        ("Tue 2026-12-01", "01:00:00", "late", "1m30s", ""),
    ]
    assert entry_json(found.entries[1]) == {
        "job_id": "early",
        "scheduled": "2026-11-30T01:30:00Z",
        "start": "2026-11-30T01:30:00Z",
        "usual": None,
        "note": None,
    }
    assert list(remarks(found, UTC_ZONE, 32)) == []


def test_a_start_with_jitter_stands_where_it_is_and_names_its_slot() -> None:
    """Also that of a slot before the period."""
    period = Period(NOW + timedelta(minutes=1), NOW + timedelta(minutes=59))
    found = agenda([job("a", "0 * * * *", jitter=3000.0)], period, "h", 1)
    assert [entry.slot for entry in found.entries] == [NOW]
    assert found.entries[0].start > NOW + timedelta(minutes=1)
    assert next(rows(found.entries, UTC_ZONE))[4] == "slot 01:00:00"


def test_frequent_jobs_are_summed_up() -> None:
    """Instead of filling the screen."""
    found = agenda([job("beat", "* * * * *", usual=0.058)], DAY, "h", 32)
    assert not found.entries
    assert list(remarks(found, UTC_ZONE, 32)) == ["also beat: 1,441 slots, 58ms each"]


def test_times_in_which_workers_are_short_are_named() -> None:
    """By usual durations; runs that begin as others end take their workers."""
    jobs = [job("a", "0 3 * * *", usual=600.0), job("b", "5 3 * * *", usual=60.0), job("c", "10 3 * * *", usual=60.0)]
    found = agenda(jobs, DAY, "h", 1)
    assert list(remarks(found, UTC_ZONE, 1)) == [
        "workers are short from 2026-11-30 03:05:00 to 03:06:00: up to 2 runs at once, and 1 worker"
    ]
    assert list(remarks(agenda(jobs, DAY, "h", 2), UTC_ZONE, 2)) == []


def test_the_most_at_once_is_counted_for_each_crowd() -> None:
    """A crowd ends when there is a worker for each run again."""
    at = [NOW + timedelta(minutes=minute) for minute in range(10)]
    runs = [(at[0], at[4]), (at[1], at[3]), (at[2], at[3]), (at[6], at[8]), (at[7], at[9])]
    assert list(crowds_of(runs, 1)) == [Crowd(at[1], at[3], 3), Crowd(at[7], at[8], 2)]


def test_too_many_slots_are_not_simulated_and_that_is_said() -> None:
    """Answers come in time."""
    found = agenda([job("each", "* * * * * *")], DAY, "h", 1)
    assert list(remarks(found, UTC_ZONE, 1)) == [
        "also each: 86,401 slots",
        "there are too many slots to tell whether workers are short at times",
    ]


def test_a_calendar_has_an_event_for_each_start() -> None:
    """Its lines are short, in UTC, and an id cannot end one."""
    found = agenda([job("a" * 100, "0 2 * * *", usual=90.4)], DAY, "h", 1)
    lines = list(ical_lines(found.entries, "db;1", NOW))
    assert lines[:3] == ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//jobscheduler//db\\;1//EN"]
    assert "DTSTART:20261130T020000Z" in lines
    assert "DURATION:PT90S" in lines
    assert lines[-2:] == ["END:VEVENT", "END:VCALENDAR"]
    assert max(map(len, lines)) <= 75
    assert f"SUMMARY:{'a' * 100}" in "".join(lines).replace(" ", "")


def test_the_service_sends_what_decides_the_starts_of_a_job_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has its default is left out; the client makes the same jobs of it."""
    pauses = (Pause("p", Selector("*"), NOW), Pause("q", Selector("*"), NOW, NOW + timedelta(hours=1)))
    full = Job("full", Cron("0 3 * * *", "Europe/Berlin"), NO_TASK, enabled=False, jitter=60.0, not_before=NOW)
    jobs = [
        (Job("plain", Cron("@daily", "UTC"), NO_TASK), {}),
        (full, {"usual": 1.5, "pauses": pauses}),
        (Job("once", Once(NOW, "2026-11-30T01:00:00Z"), NO_TASK, not_after=NOW), {}),
    ]
    sent = [timetable_json(JobStatus(job.id, JobState.SCHEDULED, "x.json", job, **more)) for job, more in jobs]
    assert sent[0] == {"job_id": "plain", "schedule": "@daily", "timezone": "UTC"}
    asked = []

    def answer(_socket: Path, _method: str, target: str) -> dict[str, Any]:
        asked.append(target)
        return {"jobs": json.loads(json.dumps(sent)), "unmatched": []}

    monkeypatch.setattr(service_jobs, "request", answer)
    known = service_jobs.jobs_of_service(Settings(), ["a*"], NOW)
    assert [one.job for one in known] == [job for job, _ in jobs]
    assert [(one.usual, one.pause_ends) for one in known] == [(None, ()), (1.5, (None, pauses[1].until)), (None, ())]
    assert asked == ["/v1/jobs?view=timetable&due_by=2026-11-30T01%3A00%3A00Z&job=a%2A"]


def test_jobs_of_one_timetable_cost_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their slots are computed once, and effects of clock changes only for the starts that are shown."""
    asked, effects, compute, effect_at = [], [], Crontab.next, crontab.dst_effect_at
    monkeypatch.setattr(Crontab, "next", lambda *given: asked.append(given) or compute(*given))
    monkeypatch.setattr(crontab, "dst_effect_at", lambda *given: effects.append(given) or effect_at(*given))
    found = agenda([job(f"j{number}", "17 * * * *") for number in range(200)], DAY, "h", 32)
    assert (len(found.entries), len(asked)) == (200 * 24, 25)
    assert effects == []
    assert len(list(rows(found.entries[:3], UTC_ZONE))) == len(effects) == 3
