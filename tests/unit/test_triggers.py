"""The triggers inside APScheduler's own machinery, with its clock (`datetime` in its `schedulers.base`) simulated."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers import base
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger as ParentCron
from apscheduler.triggers.date import DateTrigger as ParentDate

from jobscheduler.model import Cron, Job, Once, TaskSpec
from jobscheduler.scheduler.triggers import RETRY, CronTrigger, DateTrigger, trigger_for
from jobscheduler.timetable.timetable import Timetable, timetable_of

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def timetable(schedule: str | datetime = "*/5 * * * *", zone: str = "UTC", **fields: object) -> Timetable:
    when = Cron(schedule, zone) if isinstance(schedule, str) else Once(schedule)
    return timetable_of(Job(**{"id": "a", "schedule": when, "task": TaskSpec("x", "{}"), **fields}), "host")


# The triggers by themselves.


def test_the_triggers_are_apschedulers():
    """Subclasses of its own, made from a timetable, one for each distinct timetable."""
    cron, once = trigger_for(timetable()), trigger_for(timetable(NOON))
    assert isinstance(cron, CronTrigger)
    assert isinstance(cron, ParentCron)
    assert isinstance(once, DateTrigger)
    assert isinstance(once, ParentDate)
    assert trigger_for(timetable("*/6 * * * *")) is not cron
    assert trigger_for(timetable(id="other")) is cron
    assert "UTC" in repr(cron) + str(once)


def test_the_first_time_is_now_or_later_and_the_others_follow():
    """At a slot it is due at once; after it comes the next one."""
    trigger = trigger_for(timetable())
    assert trigger.get_next_fire_time(None, NOON) == NOON
    assert trigger.get_next_fire_time(None, NOON + timedelta(microseconds=1)) == NOON + timedelta(minutes=5)
    assert trigger.get_next_fire_time(NOON, NOON) == NOON + timedelta(minutes=5)


def test_a_one_time_trigger_fires_once():
    """Not before, and not again, and not when it has passed."""
    trigger = trigger_for(timetable(NOON))
    assert trigger.get_next_fire_time(None, NOON - timedelta(days=1)) == NOON
    assert trigger.get_next_fire_time(NOON, NOON) is None
    assert trigger.get_next_fire_time(None, NOON + timedelta(days=1)) is None


def test_times_are_starts_and_not_slots():
    """With jitter the scheduler wakes up when a slot starts."""
    jittered = timetable(jitter=240.0)
    trigger = trigger_for(jittered)
    first = trigger.get_next_fire_time(None, NOON + timedelta(seconds=1))
    second = trigger.get_next_fire_time(first, first)
    slots = list(jittered.slots(NOON, NOON + timedelta(minutes=15), 9))
    assert {first, second} <= {jittered.start_time(slot) for slot in [NOON, *slots]}
    assert first < second


def test_a_long_way_behind_the_next_time_is_the_one_after_now():
    """From 1970 to today an every-second job is asked for one time, not for two thousand million."""
    trigger = trigger_for(timetable("* * * * * *"))
    assert trigger.get_next_fire_time(datetime(1970, 1, 1, tzinfo=UTC), NOON) == NOON + timedelta(seconds=1)


def test_a_clock_that_was_set_back_repeats_nothing():
    """The next time is after the last one, however early it is now."""
    trigger = trigger_for(timetable())
    assert trigger.get_next_fire_time(NOON, NOON - timedelta(hours=2)) == NOON + timedelta(minutes=5)


class Broken:
    """A timetable that fails."""

    schedule, zone = "broken", ZoneInfo("UTC")

    def next_start(self, after: datetime) -> datetime:
        """Fail."""
        raise ZeroDivisionError(after)

    def __str__(self) -> str:
        raise ZeroDivisionError


def test_an_error_is_reported_and_the_scheduler_wakes_again():
    """It never leaves the trigger; an error handler that fails changes nothing."""
    errors: list[Exception] = []
    trigger = CronTrigger(Broken(), lambda _, fault: errors.append(fault))
    assert trigger.get_next_fire_time(NOON, NOON) == NOON + RETRY
    assert isinstance(errors[0], ZeroDivisionError)
    failing = CronTrigger(Broken(), lambda *_: 1 / 0)
    assert failing.get_next_fire_time(None, NOON) == NOON + RETRY


def test_no_argument_makes_a_trigger_raise(caplog):
    """Nonsense, naive moments, the ends of time: it returns a time, or None."""
    moments = [
        *(None, 5, "soon", NOON, datetime(2026, 1, 1), datetime.min, datetime.max),  # noqa: DTZ001, DTZ901
        *(datetime.min.replace(tzinfo=ZoneInfo("Asia/Tokyo")), datetime.max.replace(tzinfo=ZoneInfo("America/Adak"))),
    ]
    with caplog.at_level(logging.CRITICAL + 1):
        for schedule in ("* * * * *", "@reboot", NOON):
            for jitter in (0.0, 1e6):
                trigger = trigger_for(timetable(schedule, jitter=jitter))
                for previous in moments:
                    for now in moments:
                        time = trigger.get_next_fire_time(previous, now)  # type: ignore[arg-type]
                        assert time is None or time.utcoffset() is not None


def test_errors_go_to_the_standard_logging_by_default(caplog):
    """With their traceback."""
    CronTrigger(Broken()).get_next_fire_time(NOON, NOON)
    assert "failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


# In the scheduler, with its clock in our hands.


class Clock(datetime):
    """Stands in for APScheduler's `datetime`: the same, with the time of the test."""

    present = NOON

    @classmethod
    def now(cls, tz=None):
        """Return the time of the test."""
        return cls.present.astimezone(tz)


class Noting(BaseExecutor):
    """Runs nothing, and notes when which job would have been run."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[tuple[str, datetime]] = []

    def _do_submit_job(self, job, run_times):
        self.runs += [(job.id, time) for time in run_times]
        future: Future[list] = Future()
        future.set_result([])
        self._run_job_success(job.id, [])


class World:
    """A `BackgroundScheduler` whose thread is not started: its steps are taken at the times that it asks for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, now: str, zone: str = "UTC") -> None:
        monkeypatch.setattr(base, "datetime", Clock)
        monkeypatch.setattr(BackgroundScheduler, "_main_loop", lambda _: None)
        Clock.present = at(now)
        self.executor = Noting()
        defaults = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1000}
        self.scheduler = BackgroundScheduler(timezone=zone, executors={"default": self.executor}, job_defaults=defaults)
        self.scheduler.start()

    def add(self, schedule: str | datetime, zone: str = "UTC", **fields: object) -> None:
        """Add a job with our trigger; its id is the schedule."""
        trigger = trigger_for(timetable(schedule, zone, **fields))
        self.scheduler.add_job(print, trigger, id=str(schedule))

    def run(self, until: str, steps: int = 5000) -> None:
        """Step from wake-up to wake-up, as the scheduler's main loop does."""
        for _ in range(steps):
            wait = self.scheduler._process_jobs()
            if wait is None or Clock.present + timedelta(seconds=wait) > at(until):
                return
            Clock.present += timedelta(seconds=wait)
        pytest.fail("the scheduler did not come to an end")

    def local(self, zone: str, schedule: str) -> list[str]:
        """List a job's runs as `08T03:00-04:00`."""
        times = [time.astimezone(ZoneInfo(zone)) for id_, time in self.executor.runs if id_ == schedule]
        return [time.isoformat(timespec="minutes")[8:] for time in times]


@pytest.fixture
def world(monkeypatch):
    """Make worlds, and end their schedulers."""
    made: list[World] = []

    def make(*args: str) -> World:
        made.append(World(monkeypatch, *args))
        return made[-1]

    yield make
    for one in made:
        one.scheduler.shutdown(wait=False)


NIGHTS = [
    # zone, noon before, noon after, then the runs of a fixed and of a real-time job
    (
        "America/New_York",
        "2026-03-07T17:00Z",
        "2026-03-08T16:00Z",
        "30 2 * * *",
        ["08T03:00-04:00"],
        "*/30 2 * * *",
        [],
    ),
    (
        *(
            "America/New_York",
            "2026-10-31T16:00Z",
            "2026-11-01T17:00Z",
            "30 1 * * *",
            ["01T01:30-04:00"],
            "*/30 1 * * *",
        ),
        ["01T01:00-04:00", "01T01:30-04:00", "01T01:00-05:00", "01T01:30-05:00"],
    ),
    (
        "Europe/Berlin",
        "2026-03-28T11:00Z",
        "2026-03-29T10:00Z",
        "0,30 2,3 * * *",
        ["29T03:00+02:00", "29T03:30+02:00"],
        "@hourly",
        None,
    ),
    (
        *("Europe/Berlin", "2026-10-24T10:00Z", "2026-10-25T11:00Z", "0 1-3 * * *"),
        ["25T01:00+02:00", "25T02:00+02:00", "25T03:00+01:00"],
        *("*/30 2 * * *", ["25T02:00+02:00", "25T02:30+02:00", "25T02:00+01:00", "25T02:30+01:00"]),
    ),
    ("Africa/Cairo", "2026-04-23T10:00Z", "2026-04-24T09:00Z", "0 0 * * *", ["24T01:00+03:00"], "*/30 0 * * *", []),
    (
        "Africa/Cairo",
        "2026-10-29T09:00Z",
        "2026-10-30T10:00Z",
        "30 23 * * *",
        ["29T23:30+03:00"],
        "*/30 23 * * *",
        ["29T23:00+03:00", "29T23:30+03:00", "29T23:00+02:00", "29T23:30+02:00"],
    ),
    (
        "Asia/Beirut",
        "2026-03-28T10:00Z",
        "2026-03-29T09:00Z",
        "0,30 0,1 * * *",
        ["29T01:00+03:00", "29T01:30+03:00"],
        "30 */3 * * *",
        None,
    ),
    (
        "Asia/Beirut",
        "2026-10-24T09:00Z",
        "2026-10-25T10:00Z",
        "0 0 * * *",
        ["25T00:00+02:00"],
        "15 23 * * *",
        ["24T23:15+03:00"],
    ),
    (
        "America/Santiago",
        "2025-09-06T16:00Z",
        "2025-09-07T15:00Z",
        "30 0 * * *",
        ["07T01:00-03:00"],
        "*/30 0 * * *",
        [],
    ),
    (
        "America/Santiago",
        "2025-04-05T15:00Z",
        "2025-04-06T16:00Z",
        "30 23 * * *",
        ["05T23:30-03:00"],
        "0 */23 * * *",
        ["05T23:00-03:00", "05T23:00-04:00", "06T00:00-04:00"],
    ),
    (
        "Australia/Lord_Howe",
        "2026-10-03T02:00Z",
        "2026-10-04T01:00Z",
        "15 2 * * *",
        ["04T02:30+11:00"],
        "*/15 2 * * *",
        ["04T02:30+11:00", "04T02:45+11:00"],
    ),
    (
        "Australia/Lord_Howe",
        "2026-04-04T01:00Z",
        "2026-04-05T02:00Z",
        "45 1 * * *",
        ["05T01:45+11:00"],
        "45 */1 5 * *",
        None,
    ),
]


@pytest.mark.parametrize("case", NIGHTS, ids=lambda case: f"{case[0]} {case[1][:7]}")
def test_a_night_of_a_clock_change_has_exactly_its_runs(world, case):
    """In six zones, spring and autumn, midnight gaps included; the scheduler itself in another zone."""
    zone, before, after, fixed, fixed_runs, real_time, real_runs = case
    night = world(before, "Pacific/Kiritimati")
    night.add(fixed, zone)
    night.add(real_time, zone)
    night.run(after)
    assert night.local(zone, fixed) == fixed_runs
    if real_runs is not None:
        assert night.local(zone, real_time) == real_runs
    else:
        slots = timetable(real_time, zone).slots(at(before) - timedelta(seconds=1), at(after), 100)
        assert [time for id_, time in night.executor.runs if id_ == real_time] == list(slots)


def test_the_run_after_midnight_on_the_day_after_the_gap_is_not_lost(world):
    """APScheduler 3.11's own trigger loses it."""
    week = world("2026-03-06T12:00Z", "America/New_York")
    week.add("0 0 * * *", "America/New_York")
    week.run("2026-03-11T12:00Z")
    assert [run[:2] for run in week.local("America/New_York", "0 0 * * *")] == ["07", "08", "09", "10", "11"]


def test_a_far_future_job_cannot_stop_the_scheduler(world):
    """The last instant of 2200 as the earliest job, east of UTC, where APScheduler reckons in local time."""
    far = world("2026-11-22T12:00Z", "Pacific/Kiritimati")
    far.add(datetime(2200, 12, 31, 23, 59, 59, tzinfo=UTC))
    far.run("2026-11-23T12:00Z")
    far.add("59 23 31 12 *", "Etc/GMT+12")
    far.run("2026-11-23T12:00Z")
    Clock.present = at("2200-12-31T23:59:59Z")
    far.run("2201-06-01T00:00Z")
    assert len(far.executor.runs) == 2


def test_a_job_without_slots_waits_for_nothing(world):
    """`@reboot`, and one whose bounds leave nothing: never run, and the others are."""
    never = world("2026-11-22T12:00Z")
    never.add("@reboot")
    never.add("0 1 * * *", not_before=NOON + timedelta(minutes=1), not_after=NOON + timedelta(minutes=2))
    never.add("*/5 * * * *")
    never.run("2026-11-22T12:11Z")
    assert {id_ for id_, _ in never.executor.runs} == {"*/5 * * * *"}


def test_an_error_in_a_trigger_leaves_the_scheduler_running(world):
    """The faulty job is asked again a minute later, and the others run on time."""
    faulty = world("2026-11-22T12:00:30Z")
    errors: list[Exception] = []
    faulty.scheduler.add_job(print, CronTrigger(Broken(), lambda _, fault: errors.append(fault)), id="broken")
    faulty.add("* * * * *")
    faulty.run("2026-11-22T12:05:10Z")
    assert [time.minute for id_, time in faulty.executor.runs if id_ == "* * * * *"] == [1, 2, 3, 4, 5]
    assert len(errors) > 4


def test_a_clock_set_forward_by_decades_is_taken_in_one_step(world):
    """An every-second job causes one wake-up, and goes on from now."""
    jump = world("2026-11-22T12:00:00.5Z")
    jump.add("* * * * * *")
    jump.run("2026-11-22T12:00:02Z")
    Clock.present = at("2066-01-01T00:00:00.5Z")
    jump.run("2066-01-01T00:00:02Z")
    years = [time.year for _, time in jump.executor.runs]
    assert years == [2026, 2026, 2026, 2066, 2066]


def test_the_real_thread_survives_a_trigger_that_fails():
    """Not simulated: the scheduler's own thread, a broken trigger and a wake-up."""
    scheduler = BackgroundScheduler(timezone="UTC")
    scheduler.start()
    try:
        scheduler.add_job(print, CronTrigger(Broken(), lambda *_: None), id="broken", next_run_time=datetime.now(UTC))
        scheduler.add_job(print, trigger_for(timetable(datetime(2200, 12, 31, tzinfo=UTC))), id="far")
        scheduler.wakeup()
        scheduler._thread.join(0.2)
        assert scheduler._thread.is_alive()
    finally:
        scheduler.shutdown(wait=False)
