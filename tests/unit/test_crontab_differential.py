"""Slots against two other implementations: a walk through every minute, and the library cronsim."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError

from jobscheduler.timetable.crontab import ScheduleError, parse
from tests.support.crontab_cases import MONTHS, WEEKDAYS, ZONES, Meaning, changes, draw, walked, window


def changes_of(zone: ZoneInfo) -> list[datetime]:
    return changes(zone, 2005, 2032)


def slots(text, zone, after, until):
    crontab, found = parse(text), []
    while (after := crontab.next(after, zone)) and after <= until:
        found.append(after)
    return found


def case(random: Random) -> tuple[Meaning, ZoneInfo, datetime, datetime]:
    name = random.choice(ZONES)
    zone = ZoneInfo(name)
    after, until, hour = window(random, zone, changes_of(zone))
    return draw(random, hour=hour), zone, after, until


def accepted(meaning: Meaning) -> bool:
    """Leave out what matches no date in any year, after making sure that this is why it was refused."""
    try:
        parse(meaning.text)
    except ScheduleError as refused:
        days = (date(2000, 1, 1) + timedelta(days=n) for n in range(28 * 366))
        if "matches no date" not in refused.message or any(meaning.has_date(day) for day in days):
            raise
        return False
    return True


def compare_with_the_walk(seed: int, cases: int) -> None:
    random = Random(seed)
    for number in range(cases):
        meaning, zone, after, until = case(random)
        if accepted(meaning):
            expected = walked(meaning, zone, after, until)
            assert slots(meaning.text, zone, after, until) == expected, (number, meaning.text, zone, after, until)


def test_slots_are_those_of_a_walk_through_every_minute():
    """Drawn schedules, zones and nights: the slots are those of Debian's loop, done minute by minute."""
    compare_with_the_walk(seed=1, cases=60)


@pytest.mark.deep
@pytest.mark.timeout(3600)
def test_slots_are_those_of_a_long_walk():
    """The same with some thousand cases."""
    compare_with_the_walk(seed=2, cases=6_000)


# cronsim: what it is known to do otherwise. Each has its own test below that shows whose fault it is.


def for_cronsim(text: str) -> str | None:
    """Write a schedule in cronsim's dialect; None if it holds a form that cronsim reads otherwise (`10-10/2`)."""
    *rest, month, weekday = text.split()
    month, weekday = _in_numbers(month, MONTHS, 1), _in_numbers(weekday, WEEKDAYS, 0)
    weekday = re.sub(r"(?<=[1-7])-0\b", "-7", weekday)
    weekday = re.sub(r"\b7(?=[L#])", "0", weekday)
    text = " ".join([*rest, month, weekday])
    return None if any(int(low) == int(high) for low, high in re.findall(r"(\d+)-(\d+)/", text)) else text


def _in_numbers(text: str, names: list[str], first: int) -> str:
    return re.sub("|".join(names), lambda name: str(names.index(name[0].lower()) + first), text, flags=re.IGNORECASE)


class StuckError(Exception):
    """Raised when cronsim takes more steps than any honest search needs."""


class BoundedCronSim(CronSim):
    """cronsim, with an end to its endless loops."""

    steps = 0

    def tick(self, seconds: int = 1) -> None:
        """Take a step, unless there were too many."""
        self.steps += 1
        if self.steps > 20_000:
            raise StuckError
        super().tick(seconds)


def by_cronsim(text: str, zone: ZoneInfo, after: datetime, until: datetime) -> list[datetime]:
    """Ask cronsim; from two days before if the clock has changed since, because then it may go back in time."""
    early = after - timedelta(days=2)
    unchanged = early.astimezone(zone).utcoffset() == after.astimezone(zone).utcoffset()
    found: list[datetime] = []
    for moment in BoundedCronSim(text, (after if unchanged else early).astimezone(zone)):
        instant = moment.astimezone(UTC)
        if instant > until:
            break
        if instant > after and instant not in found[-1:]:
            found.append(instant)
    return found


def known_fault(meaning: Meaning, zone: ZoneInfo, after: datetime, until: datetime) -> bool:
    """Say whether cronsim cannot be trusted with a case.

    It walks a real-time job in steps of an hour, so at changes that do not add whole hours or do not come on the full
    hour it passes over minutes or never ends; and it takes midnight for the start of every day, so it runs at the end
    of a gap that swallowed midnight.
    """
    near = (change for change in changes_of(zone) if after - timedelta(days=2) < change <= until + timedelta(days=1))
    return meaning.real_time and any(_odd(zone, change) for change in near)


def _odd(zone: ZoneInfo, change: datetime) -> bool:
    before, then = (change - timedelta(seconds=1)).astimezone(zone), change.astimezone(zone)
    shift = (then.utcoffset() or timedelta()) - (before.utcoffset() or timedelta())
    return bool(shift % timedelta(hours=1)) or then.minute != 0 or before.date() != then.date() or then.hour == 0


def compare_with_cronsim(seed: int, cases: int) -> None:
    """Compare drawn cases; those in which cronsim is not to be trusted are compared with the walk, and not counted."""
    random, compared = Random(seed), 0
    while compared < cases:
        meaning, zone, after, until = case(random)
        text = for_cronsim(meaning.text)
        if text is None or not accepted(meaning):
            continue
        fault = known_fault(meaning, zone, after, until)
        expected = walked(meaning, zone, after, until) if fault else by_cronsim(text, zone, after, until)
        assert slots(meaning.text, zone, after, until) == expected, (compared, meaning.text, zone, after, until)
        compared += not fault


def test_slots_are_those_of_cronsim():
    """300 drawn cases: the slots are cronsim's, but for its known faults."""
    compare_with_cronsim(seed=3, cases=300)


@pytest.mark.deep
@pytest.mark.timeout(3600)
def test_slots_are_those_of_cronsim_in_many_cases():
    """The same with 20,000 cases."""
    compare_with_cronsim(seed=4, cases=20_000)


def instants(*texts: str) -> list[datetime]:
    return [datetime.fromisoformat(text).astimezone(UTC) for text in texts]


def test_cronsim_steps_over_half_hour_changes():
    """Known fault: on Lord Howe the clock goes from 02:00 back to 01:30, and cronsim loses that second 01:30."""
    zone = ZoneInfo("Australia/Lord_Howe")
    after, until = instants("2024-04-06T13:40Z", "2024-04-06T15:40Z")
    every_half = [*instants("2024-04-06T14:30Z", "2024-04-06T15:00Z")]  # 01:30 at +11:00, 01:30 at +10:30
    assert slots("30 * * * *", zone, after, until) == every_half
    assert by_cronsim("30 * * * *", zone, after, until) == every_half[:1]


def test_cronsim_never_ends_at_a_change_off_the_full_hour():
    """Known fault: Chatham's clock goes back at 03:45, and cronsim sets the minute to 0 again and again."""
    zone = ZoneInfo("Pacific/Chatham")
    after, until = instants("2010-04-03T05:37Z", "2010-04-04T16:37Z")
    with pytest.raises(StuckError):
        by_cronsim("* 3 * * *", zone, after, until)
    assert len(slots("* 3 * * *", zone, after, until)) == 45 + 60 + 60


def test_cronsim_runs_real_time_jobs_at_the_end_of_a_gap_at_midnight():
    """Known fault: Beirut skips 00:00 to 01:00, and cronsim runs `*/7 */3` at 01:00, which has no hour 0 or 3."""
    zone = ZoneInfo("Asia/Beirut")
    after, until = instants("2021-03-27T21:59Z", "2021-03-27T22:30Z")
    assert slots("*/7 */3 28 * *", zone, after, until) == []
    assert by_cronsim("*/7 */3 28 * *", zone, after, until) == instants("2021-03-28T01:00+03:00")


def test_cronsim_goes_back_in_time_in_a_repeated_hour():
    """Known fault: started in the second pass, cronsim gives an instant of the first, which is over."""
    zone = ZoneInfo("America/New_York")
    start = instants("2026-11-01T01:10-05:00")[0]
    assert next(CronSim("30 1 * * *", start.astimezone(zone))).astimezone(UTC) < start
    assert slots("30 1 * * *", zone, start, start + timedelta(days=1)) == []


def test_cronsim_takes_a_range_of_one_for_a_start():
    """Known fault: `10-10/1` is minute 10 to Debian's cron (`get_range` in entry.c) and 10 to 59 to cronsim."""
    zone = ZoneInfo("UTC")
    after, until = instants("2026-11-01T00:00Z", "2026-11-01T01:00Z")
    assert slots("10-10/1 * * * *", zone, after, until) == instants("2026-11-01T00:10Z")
    assert len(by_cronsim("10-10/1 * * * *", zone, after, until)) == 50


@pytest.mark.parametrize("text", ["0 0 * * fri-sun", "0 0 * * 5-0", "0 0 * * friL", "@daily"])
def test_cronsim_refuses_what_is_written_otherwise_for_it(text):
    """Not faults but a smaller language; the comparison writes these in numbers."""
    with pytest.raises(CronSimError):
        CronSim(text, datetime(2026, 1, 1, tzinfo=UTC))
    parse(text)
