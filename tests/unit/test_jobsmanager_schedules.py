"""The slots of imported jobs are those of APScheduler's own trigger, or are told as different."""

from __future__ import annotations

import base64
import json
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from jobscheduler.imports.apscheduler_slots import ApschedulerSlots
from jobscheduler.imports.clock_changes import differences
from jobscheduler.imports.jobsmanager_job import ImportedJob, imported_job
from jobscheduler.imports.not_expressible import NotExpressible
from jobscheduler.imports.stored_job import CronTrigger as StoredTrigger
from jobscheduler.imports.stored_job import StoredJob, read_job
from jobscheduler.jobs.parser import parse
from jobscheduler.model import Job
from jobscheduler.timetable.timetable import timetable_of
from tests.support.jobsmanager import BERLIN, state
from tests.unit.test_reconciler import CONTEXT

NOW = datetime(2026, 11, 30, 20, 30, tzinfo=UTC)
SOME = 40  # slots, to compare
STORED = json.loads((Path(__file__).parents[1] / "support" / "stored_jobs.json").read_text())


def stored(trigger: Any = None, **more: Any) -> StoredJob:
    """Return a job as it is read back."""
    return read_job("a", state(trigger, **more), is_paused=False)


def imported(trigger: Any = None, **more: Any) -> ImportedJob:
    """Return what is made of a job."""
    return imported_job(stored(trigger, **more), NOW)


def schedule(**fields: Any) -> str:
    """Return the schedule that fields of JobsManager's `Job` become; APScheduler does not look for a slot."""
    given = {"second": 0, "minute": 0, "hour": 0, "zone": ZoneInfo("UTC"), **fields}
    return str(imported(**given, next_run_time=None).definition["schedule"])


def slots_there(trigger: CronTrigger, after: datetime) -> Iterator[datetime]:
    """Yield the slots of APScheduler's own trigger, asked for the next one a moment after each."""
    slot = trigger.get_next_fire_time(None, (after + timedelta(seconds=1)).astimezone(trigger.timezone))
    while slot is not None:
        yield slot.astimezone(UTC)
        moment = (slot.astimezone(UTC) + timedelta(milliseconds=1)).astimezone(trigger.timezone)
        slot = trigger.get_next_fire_time(slot, moment)


def slots_here(found: ImportedJob, after: datetime) -> Iterator[datetime]:
    """Yield the slots of the definition, parsed as the service does."""
    job = parse(json.dumps(found.definition).encode(), "a.json", CONTEXT)
    assert isinstance(job, Job), job
    return timetable_of(job).iter_after(after)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"day_of_week": "0-4"}, "0 0 0 * * mon-fri"),
        ({"day_of_week": "*/2"}, "0 0 0 * * mon,wed,fri,sun"),
        ({"day_of_week": "1-5/2"}, "0 0 0 * * tue,thu,sat"),
        ({"day_of_week": "sat,sun"}, "0 0 0 * * sat,sun"),
        ({"day_of_week": "6"}, "0 0 0 * * sun"),
        ({"day_of_week": "0-6"}, "0 0 0 * * *"),
        ({"day": "last"}, "0 0 0 L * *"),
        ({"day": "1,last"}, "0 0 0 1,L * *"),
        ({"day": "2nd tue"}, "0 0 0 * * tue#2"),
        ({"day": "last fri"}, "0 0 0 * * friL"),
        ({"day": "5th sun,1st mon"}, "0 0 0 * * mon#1,sun#5"),
        ({"day": "15,2nd tue"}, "0 0 0 15 * tue#2"),
        ({"day": "*/10,2nd tue"}, "0 0 0 1,11,21,31 * tue#2"),
        ({"day": "last,2nd tue"}, "0 0 0 L * tue#2"),
        ({"day": "1-7", "day_of_week": "mon"}, "0 0 0 * * mon#1"),
        ({"day": "8-14,22-28", "day_of_week": "mon,fri"}, "0 0 0 * * mon#2,fri#2,mon#4,fri#4"),
        ({"day": "29-31", "day_of_week": "sun"}, "0 0 0 * * sun#5"),
        ({"day": "2nd tue", "day_of_week": "1"}, "0 0 0 * * tue#2"),
        ({"day": "2nd tue,3rd fri", "day_of_week": "0-2"}, "0 0 0 * * tue#2"),
        ({"day": "*/2", "day_of_week": "mon"}, "0 0 0 */2 * mon"),
        ({"day": "1-10", "day_of_week": "mon"}, "0 0 0 */31,2-10 * mon"),
        ({"day": "13", "day_of_week": "sun"}, "0 0 0 13 * */7"),
        ({"day": "13", "day_of_week": "fri,sun"}, "0 0 0 13 * */7,fri"),
        ({"month": "jan-mar,6"}, "0 0 0 * jan-mar,6 *"),
        ({"month": "*/3"}, "0 0 0 * */3 *"),
        ({"minute": "10/7"}, "0 10-59/7 0 * * *"),
        ({"minute": "7,*/20"}, "0 */20,7 0 * * *"),
        ({"minute": "0-59"}, "0 * 0 * * *"),
        ({"second": "*/15", "minute": "*", "hour": "8-18"}, "*/15 * 8-18 * * *"),
        ({"second": "*", "minute": "*", "hour": "*"}, "* * * * * *"),
    ],
)
def test_fields_become_a_crontab_expression(fields: dict[str, Any], expected: str) -> None:
    """Weekdays count from Monday there, and day of the month and weekday both have to match."""
    assert schedule(**fields) == expected


@pytest.mark.parametrize(
    ("fields", "message", "help_"),
    [
        ({"day": "13", "day_of_week": "fri"}, "both have to match", 'case "$(date +%u)" in 5)'),
        ({"day": "last", "day_of_week": "mon,tue"}, "both have to match", "in 1|2)"),
        ({"day": "2nd tue,13", "day_of_week": "tue"}, "both have to match", "without the weekday"),
        ({"day": "2nd tue", "day_of_week": "mon"}, "it is never due", ""),
        ({"month": "2", "day": "30"}, "its schedule is refused", ""),
    ],
)
def test_what_no_expression_says_is_refused_with_the_way_out(fields: dict[str, Any], message: str, help_: str) -> None:
    """Instead of becoming days that were not meant."""
    with pytest.raises(NotExpressible) as caught:
        schedule(**fields)
    assert message in caught.value.message
    assert help_ in caught.value.help


def test_weeks_gaps_of_years_and_other_triggers_are_refused() -> None:
    """With the reason."""
    for trigger, message in (
        (CronTrigger(week="1-10", timezone=BERLIN), "weeks of the year"),
        (CronTrigger(year="2027,2029", timezone=BERLIN), "its years have gaps"),
        (IntervalTrigger(minutes=5, timezone=BERLIN), "`IntervalTrigger`, which does not go by the clock"),
    ):
        with pytest.raises(NotExpressible, match=message):
            imported(trigger)


def test_bounds_are_those_of_start_end_and_years() -> None:
    """To the second, both inclusive."""
    trigger = CronTrigger(
        year="2027-2028", hour=5, start_date="2027-03-01 05:00:00.5", end_date="2031-01-01", timezone=BERLIN
    )
    definition = imported(trigger).definition
    assert definition["not_before"] == "2027-03-01T04:00:01Z"
    assert definition["not_after"] == "2028-12-31T22:59:59Z"
    there, here = islice(slots_there(trigger, NOW), 700), islice(slots_here(imported(trigger), NOW), 700)
    assert list(there) == list(here)


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        ("UTC", "UTC"),
        (UTC, "UTC"),
        (datetime.fromisoformat("2027-01-01T00:00:00+08:00").tzinfo, "Etc/GMT-8"),
        (datetime.fromisoformat("2027-01-01T00:00:00-03:00").tzinfo, "Etc/GMT+3"),
    ],
)
def test_the_zone_of_the_trigger_is_written_out(zone: Any, name: str) -> None:
    """Whatever the zone of the service is."""
    trigger = CronTrigger(hour=5, minute=30, timezone=zone)
    found = imported(trigger)
    assert found.definition["timezone"] == name
    assert list(islice(slots_here(found, NOW), SOME)) == list(islice(slots_there(trigger, NOW), SOME))


def test_an_offset_without_a_zone_is_refused() -> None:
    """No zone has its name."""
    zone = datetime.fromisoformat("2027-01-01T00:00:00+05:30").tzinfo
    with pytest.raises(NotExpressible, match="fixed offset `5:30:00`"):
        imported(CronTrigger(hour=5, timezone=zone))


def test_a_job_that_is_due_once_becomes_an_instant() -> None:
    """And it is said when that has passed."""
    found = imported(DateTrigger("2031-05-06 07:08:09", timezone=BERLIN))
    assert found.definition["schedule"] == "2031-05-06T05:08:09Z"
    assert "timezone" not in found.definition
    past = imported_job(stored(DateTrigger("2031-05-06 07:08:09", timezone=BERLIN)), NOW + timedelta(days=3000))
    assert past.remarks == ("its time has passed: the service will not run it",)


@pytest.mark.parametrize("version", STORED)
def test_every_form_of_state_that_apscheduler_3_has_written_is_read(version: str) -> None:
    """Made by APScheduler 3.0 to 3.11: with tuples, without `jitter`, with zones of pytz and of zoneinfo."""
    jobs = {
        name: imported_job(read_job(name, base64.b64decode(raw), is_paused=False), NOW).definition
        for name, raw in STORED[version].items()
    }
    assert jobs["cron"]["schedule"] in {"0 */5 1-4 L jan-mar tue#2", "0 */5 1-4 L 1-3 tue#2"}
    assert jobs["cron"]["timezone"] == "Europe/Berlin"
    assert jobs["cron"]["not_before"] == "2025-12-31T23:00:00Z"
    assert jobs["date"]["schedule"] == "2031-05-06T05:08:09Z"
    assert (jobs["utc"]["schedule"], jobs["utc"]["timezone"]) == ("0 1 * * * *", "UTC")
    assert all(job["task"] == {"type": "execute_command", "command": "ls"} for job in jobs.values())


# --- clock changes -----------------------------------------------------------------------------------------


def told(found: ImportedJob) -> str:
    """Return the remark on clock changes."""
    return next((text for text in found.remarks if text.startswith("around clock changes")), "")


def test_slots_that_differ_around_clock_changes_are_told() -> None:
    """APScheduler runs what falls into the gap an hour later, what is repeated twice, and drops the next midnight."""
    assert told(imported(second=0, minute=30, hour=2)) == (
        "around clock changes its slots differ: here it is also due on 2027-03-28 at 03:00:00 CEST, and JobsManager "
        "also runs it on 2027-03-28 at 03:30:00 CEST, on 2027-10-31 at 02:30:00 CET"
    )
    assert "here it is also due on 2027-03-29 at 00:30:00 CEST" in told(imported(second=0, minute=30, hour=0))
    assert "here it is also due on 2027-04-01 at 00:30:00 CEST" in told(imported(second=0, minute=30, hour=0, day=1))
    assert told(imported(second=0, minute=30, hour=12)) == ""
    assert told(imported(second=0, minute=30, hour=2, zone=ZoneInfo("Asia/Hong_Kong"))) == ""


ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Hong_Kong",
    "Asia/Beirut",
    "America/Santiago",
)
CHANGES = (datetime(2027, 3, 13), datetime(2027, 3, 27), datetime(2027, 4, 3), datetime(2027, 10, 30))  # noqa: DTZ001


def random_field(random: Random, low: int, high: int) -> str:
    """Return a field of a trigger."""
    first = random.randint(low, high - 1)
    last = random.randint(first + 1, high)
    return random.choice(
        (
            "*",
            f"*/{random.randint(1, high - low)}",
            f"{first}-{last}",
            f"{first}-{last}/{random.randint(1, last - first)}",
            f"{first},{last}",
            str(last),
        )
    )


def random_fields(random: Random) -> dict[str, Any]:
    """Return the fields of a trigger that is due often enough to compare."""
    sparse = random.choice(("none", "none", "day", "day_of_week", "month", "both"))
    day = ("last", "2nd tue", "last fri,1", "1", "1-7", "*/2", "5-20", random_field(random, 1, 28))
    weekdays = ("mon-fri", "0-4", "*/2", "6", "sun")
    return {
        "second": random.choice(("0", "0", "30", "*/20")),
        "minute": random.choice((random_field(random, 0, 59), "30", "0", "*/20")),
        "hour": random.choice((random_field(random, 0, 23), "0", "1", "2", "3", "0-3")),
        "day": random.choice(day) if sparse in {"day", "both"} else "*",
        "day_of_week": random.choice(weekdays) if sparse in {"day_of_week", "both"} else "*",
        "month": random.choice(("*/2", "1-6", "jan,apr,oct")) if sparse == "month" else "*",
    }


def test_slots_are_computed_as_apscheduler_computes_them() -> None:
    """With all its faults, from before a clock change on."""
    random = Random(2027)
    for _ in range(50):
        zone, fields = ZoneInfo(random.choice(ZONES)), random_fields(random)
        trigger = CronTrigger(**fields, timezone=zone)
        read = stored(trigger).trigger
        assert isinstance(read, StoredTrigger)
        after = random.choice(CHANGES).replace(hour=random.randrange(24), tzinfo=zone).astimezone(UTC)
        expected = list(islice(slots_there(trigger, after), SOME))
        found = ApschedulerSlots(read.fields, zone).between(after, datetime.max.replace(tzinfo=UTC))
        assert list(islice(found, SOME)) == expected, (fields, zone)


@pytest.mark.parametrize("examples", [35, pytest.param(1000, marks=pytest.mark.deep)])
def test_the_slots_of_a_month_are_those_of_apscheduler_or_are_told(examples: int) -> None:
    """For many triggers, in zones with and without clock changes, before each kind of change.

    Of a minute with several slots the first one is told.
    """
    random, compared, different = Random(23), 0, 0
    for _ in range(examples):
        zone, fields = ZoneInfo(random.choice(ZONES)), random_fields(random)
        trigger = CronTrigger(**fields, timezone=zone)
        now = random.choice(CHANGES).replace(hour=random.randrange(24), tzinfo=zone).astimezone(UTC)
        read = stored(trigger)
        try:
            found = imported_job(read, now)
        except NotExpressible:
            continue
        assert isinstance(read.trigger, StoredTrigger)
        until = now + timedelta(days=31 if random.random() < 0.1 else 4)
        told_ones = differences(read.trigger.fields, found.definition["schedule"], zone, now)
        here, there = (
            {slot.replace(second=0) for slot in islice(slots, 6000) if slot <= until}
            for slots in (before(slots_here(found, now), until), before(slots_there(trigger, now), until))
        )
        assert here - there == minutes(told_ones.here, now, until), (fields, zone, now)
        assert there - here == minutes(told_ones.there, now, until), (fields, zone, now)
        assert bool(told(found)) == bool(told_ones.here or told_ones.there)
        compared, different = compared + 1, different + bool(here != there)
    assert compared > examples / 2
    assert different >= examples / 50


def before(slots: Iterator[datetime], until: datetime) -> Iterator[datetime]:
    """Yield the slots up to an instant."""
    for slot in slots:
        if slot > until:
            return
        yield slot


def minutes(slots: tuple[datetime, ...], after: datetime, until: datetime) -> set[datetime]:
    """Return the minutes of slots in a span."""
    return {slot.replace(second=0) for slot in slots if after < slot <= until}


def test_a_pickle_of_any_protocol_of_python_3_is_read() -> None:
    """APScheduler takes the highest one, and can be told another."""
    for protocol in range(3, pickle.HIGHEST_PROTOCOL + 1):
        raw = state(protocol=protocol, second=0, minute="*/5", zone=ZoneInfo("Asia/Tokyo"))
        job = read_job("a", raw, is_paused=False)
        assert imported_job(job, NOW).definition["schedule"] == "0 */5 * * * *"
