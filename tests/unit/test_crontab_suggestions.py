"""The suggestion for a refused schedule has the slots that were meant, or there is none."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from jobscheduler.timetable.crontab import (
    Crontab,
    ScheduleError,
    count_slots,
    is_one_time,
    parse,
    parse_instant,
    to_epoch_seconds,
)
from tests.support.crontab_cases import Meaning, walked
from tests.support.foreign_grammars import Line, apscheduler, aws, quartz, single_step

BERLIN = ZoneInfo("Europe/Berlin")
SPRING_FORWARD, FALL_BACK = datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)
MONTHS = [(year, month) for year in range(2027, 2032) for month in range(1, 13)]
DATES = {
    (year, month): [date(year, month, day) for day in range(1, monthrange(year, month)[1] + 1)]
    for year, month in MONTHS
}


def refused(text: str) -> ScheduleError:
    with pytest.raises(ScheduleError) as refusal:
        parse(text)
    return refusal.value


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("0 10 * * ? *", "0 10 * * *"),
        ("cron(0 10 * * ? *)", "0 10 * * *"),
        ("0 18 ? * MON-FRI *", "0 18 * * MON-FRI"),
        ("0 18 ? * 2-6 *", "0 18 * * 1-5"),
        ("15 10 ? * 6L *", "15 10 * * 5L"),
        ("0/15 * * * ? *", "*/15 * * * *"),
        ("0/15 10 * * ? *", "0-59/15 10 * * *"),
        ("0 0 ? * L *", "0 0 * * 6"),
        ("rate(5 minutes)", "*/5 * * * *"),
        ("0 0 25 12 * 2026", "0 0 25 12 *"),
        ("0 0 1 1 * 2027,2029", "0 0 1 1 *"),
        ("0 0 1 1 * 2027-2030", "0 0 1 1 *"),
        ("0 0 1 1 * 2027/2", "0 0 1 1 *"),
        ("0 0 25 12 * *", "0 0 25 12 *"),
        ("0 0 25 12 * root", "0 0 25 12 *"),
        ("0 0 25 12 * root /bin/true", "0 0 25 12 *"),
        ("0 1 * * * www-data", "0 1 * * *"),
        ("0 1 * * * H", "0 1 * * *"),
        ("0 0 1/2 * mon", "0 0 1-31/2 * mon"),
        ("0 0 1/2 * *", "0 0 */2 * *"),
        ("0/15 2 * * *", "0-59/15 2 * * *"),
        ("0/15 * * * *", "*/15 * * * *"),
        ("5/20 * * * *", "5-59/20 * * * *"),
        ("45/20 * * * *", "45 * * * *"),
        ("0 0 * * 2/2", "0 0 * * 2-6/2"),
        ("@always", "* * * * *"),
        ("@5minutes", "*/5 * * * *"),
        ("@quarterly", "0 0 1 1,4,7,10 *"),
        ("@dayly", "@daily"),
        ("@daily root", "@daily"),
        ("@daily /bin/true", "@daily"),
        ("0 0 * * mon#last,tue", "0 0 * * monL,tue"),
        ("0 0 * * tue,mon#-1", "0 0 * * tue,monL"),
        ("0 0 -1 * *", "0 0 L * *"),
        ("0 0 * * L5", "0 0 * * 5L"),
        ("0 0 * * Lfri", "0 0 * * friL"),
        ("H(0-29)/10 * * * *", "0-29/10 * * * *"),
        ("0 24 * * *", "0 0 * * *"),
        ("0-60 * * * *", "0-59 * * * *"),
        ("0 12 ? * Monday *", "0 12 * * Mon"),
        ("0 0 2nd tue *", "0 0 * * tue#2"),
        ("0 0 1st Monday *", "0 0 * * Mon#1"),
        ("0 0 last fri *", "0 0 * * friL"),
        ("0 0 last fri * *", "0 0 * * friL"),
        ("0 0 1st mon jan", "0 0 * jan mon#1"),
        ("0 0 1st mon,last fri * *", "0 0 * * mon#1,friL"),
        ("0 0 * * 2nd tue", "0 0 * * tue#2"),
        ("0 0 0 2nd tue *", "0 0 0 * * tue#2"),
        ("0 0 last * *", "0 0 L * *"),
        ("0 0 1st,15th * *", "0 0 1,15 * *"),
    ],
)
def test_a_suggestion_means_what_was_written(text: str, instead: str) -> None:
    """Each line is one of its kind: AWS, years, users, single steps, macros, the last weekday, Jenkins."""
    assert refused(text).suggestion == instead


@pytest.mark.parametrize(
    "text",
    [
        *("* * * * H H", "0 10 15W * ? *", "0 10 L-3 * ? *", "0 10 ? * ? *", "0 10 ? * 2#6 *", "0 10 ? * 8 *"),
        *("? * * * *", "* ? * * * *", "0 0 H * mon", "0 0 H/2 * 1-5", "0 0 0 1/2 * MON", "0 0 * * 1/2"),
        *("@biweekly", "@bimonthly", "@weekday", "@fortnightly", "@rebooted!", "0 0 32 * *", "0 0 0 * *"),
        *("0 0 * 13 *", "0 0 * * 8", "0 24 * * 5", "60 1 * * *", "*/0 * * * *", "5x * * * *", "-5 * * * *"),
        *("0 0 -2 * *", "0 0 * * 5#6", "0 0 * * 5#0", "5", "0 1 * 5", "0 0 * * mun", "\u00e4 * * * *"),
        *("0 0 12 * * 2 2027", "0 0 12 * * Mo-Fr", "0 fri#2 * * *", "5/0 * * * *", "10\u00b2 * * * *"),
        *("0 10 ? * 2 2027", "0 0 25 12 * 3000", "cron(0 10 * * * *)", "cron( 0 18 1 * * 2027 )", "0 0 * * 7/2"),
        *("0 0 * * last", "0 0 * * last,fri", "0 0 * * tue,last", "0 0 last * fri", "0 0 1st * mon", "0 0 6th mon *"),
        *("0 0 2nd tue * mon", "0 0 * 1st mon", "0 0 1 * 2nd tue", "0 0 1st jan mon", "0 0 1st mon,wed *"),
        *("@daily 5", "@reboot 60", "@midnight H", "@weekly monday", "@daily at 5", "@daily 10:00", "@hourly */2"),
        *("H(10-5) * * * *", "H(0-70) * * * *", "H H(22-2) * * *", "H/61 * * * *", "H/0 * * * *", "H(0-9)/20 * * * *"),
    ],
)
def test_a_line_without_one_clear_meaning_gets_no_suggestion(text: str) -> None:
    """A schedule that is wider than the one meant does harm, and so does one of two meanings without a note."""
    assert refused(text).suggestion is None


def test_weekday_numbers_that_programs_read_differently_are_ambiguous() -> None:
    """Quartz counts from 1, Spring and crontab from 0 or 7; where both mean the same there is one suggestion."""
    found = refused("0 0 0 ? * 5#2")
    assert "`0 0 0 * * 4#2` if its weekdays count from 1, Sunday" in found.help
    assert "`0 0 0 * * 5#2` if they count from 0 or 7" in found.help
    assert refused("0 0 0 ? * FRI#2").suggestion == "0 0 0 * * FRI#2"
    assert refused("0 0 9 ? * 1-7").suggestion is not None
    assert refused("0 0 9 ? * 2-6 *").suggestion == "0 0 9 * * 1-5"
    assert "`1-6/2`" in refused("0 0 * * 1/2").help.replace("0 0 * * ", "")


def test_for_years_the_help_names_the_bounds_of_the_job() -> None:
    """With the very fields to write; where a grammar has years, a line of all years is no suggestion for some."""
    years = refused("15 10 ? * 6L 2027-2028")
    assert years.suggestion is None
    assert years.help == "write `15 10 * * 5L`, and bound the job to those years"
    bounds = '"not_before": "2027-01-01T00:00:00", "not_after": "2028-12-31T23:59:59"'
    assert any(bounds in note for note in years.notes)
    assert any("2026-12-31" in note for note in refused("0 0 25 12 * 2026").notes)


def test_a_date_that_no_month_has_is_offered_as_the_last_day_in_words() -> None:
    """The 30th of February is never; the help says what the suggestion means."""
    assert refused("0 0 30 2 *").help == "write `0 0 L 2 *` for the last day of the month"


@pytest.mark.parametrize(("text", "at"), [("2014034 01", "2014-02-03T01:00"), ("2014034T01", "2014-02-03T01:00")])
def test_a_basic_ordinal_date_is_a_one_time_schedule(text: str, at: str) -> None:
    """The 34th day of 2014, with a `T` or a blank before the time."""
    assert is_one_time(text)
    assert parse_instant(text, BERLIN) == parse_instant(at, BERLIN)


def test_a_date_alone_is_refused_as_a_date() -> None:
    """And never read as the beginning of a crontab expression."""
    assert is_one_time("2014034")
    with pytest.raises(ScheduleError) as found:
        parse_instant("2014034", BERLIN)
    assert found.value.suggestion == "2014034T00:00"


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Pacific/Kiritimati", "UTC", "America/New_York"])
@pytest.mark.parametrize("text", ["0 * * * *", "30 0-23 * * *", "0 0 * * *"])
def test_the_last_hours_of_2200_come_as_they_are_counted(zone: str, text: str) -> None:
    """Until the year ends in UTC, when clocks east of Greenwich show 2201 already."""
    crontab, local = parse(text), ZoneInfo(zone)
    after, until = datetime(2200, 12, 30, tzinfo=UTC), datetime(2201, 1, 1, tzinfo=UTC)
    slots, slot = [], crontab.next(after, local)
    while slot is not None:
        slots.append(slot)
        slot = crontab.next(slot, local)
    assert len(slots) == count_slots(crontab, local, to_epoch_seconds(after), to_epoch_seconds(until))
    assert slots[-1] < until
    assert until - slots[-1] <= timedelta(days=1)


# --- against independent readers of the grammars ------------------------------------------------------------


def same_fields(crontab: Crontab, meaning: Meaning) -> bool:
    """Compare times of day, the clock rule and every date of five years."""
    masks = (crontab.seconds, crontab.minutes, crontab.hours)
    sets = (meaning.seconds, meaning.minutes, meaning.hours)
    times = all(
        {bit for bit in range(60) if mask >> bit & 1} == numbers for mask, numbers in zip(masks, sets, strict=True)
    )
    dates = all(
        crontab.days_in_month(*month) == sum(1 << day.day for day in DATES[month] if meaning.has_date(day))
        for month in MONTHS
    )
    return times and dates and crontab.real_time == meaning.real_time


def same_slots(crontab: Crontab, meaning: Meaning, change: datetime) -> bool:
    """Compare slot for slot over a clock change, with a clock that is walked minute by minute."""
    after, until = change - timedelta(hours=3), change + timedelta(hours=3)
    slots, slot = [], crontab.next(after, BERLIN)
    while slot is not None and slot <= until:
        slots.append(slot)
        slot = crontab.next(slot, BERLIN)
    return slots == walked(meaning, BERLIN, after, until)


def check(line: Line, *, walk: bool) -> str:
    """Judge the suggestion for one line: `accepted`, `none` or `same`; fail on any other."""
    try:
        parse(line.text)
    except ScheduleError as refusal:
        instead = refusal.suggestion
    else:
        return "accepted"
    if instead is None:
        return "none"
    assert line.meanings, line
    crontab = parse(instead)
    for meaning in line.meanings:
        if meaning is None and len(line.meanings) > 1:
            continue  # no line of this grammar, but of the other
        assert meaning is not None, (line.text, instead)
        assert same_fields(crontab, meaning), (line.text, instead)
        if walk and meaning.seconds == {0}:
            assert same_slots(crontab, meaning, SPRING_FORWARD), (line.text, instead)
            assert same_slots(crontab, meaning, FALL_BACK), (line.text, instead)
    return "same"


@pytest.mark.parametrize("lines", [200, pytest.param(700, marks=pytest.mark.deep)])
@pytest.mark.parametrize("grammar", [quartz, aws, apscheduler, single_step])
def test_suggestions_have_the_slots_that_the_other_grammar_means(grammar: Callable[[Random], Line], lines: int) -> None:
    """Some hundred refused lines of each: dates, times, and what a clock change does."""
    random, counts, drawn = Random(17), {"accepted": 0, "none": 0, "same": 0}, 0
    while counts["none"] + counts["same"] < lines:
        drawn += 1
        counts[check(grammar(random), walk=drawn % 8 == 0)] += 1
    assert counts["same"] > lines * 2 / 7, counts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0 25 12 * 2026", "`2026` is one field too many: cron does not have a field for the year"),
        ("0 0 25 12 * 2026-2030", "`2026-2030` is one field too many: cron does not have a field for the year"),
        ("0 5 * * 1 2026,2027", "`2026,2027` is one field too many: cron does not have a field for the year"),
        ("0 0 31 12 * *", "`*` is one field too many: cron does not have a field for the year"),
        ("0 0 25 12 * H", "`H` is one field too many: the five fields before it are complete"),
        ("0 5 * * 1 root", "`root` is one word too many: a schedule does not name a user or a command"),
    ],
)
def test_a_word_after_five_good_fields_is_refused(text: str, message: str) -> None:
    """The fault is not in the field that would be out of range if the line had seconds."""
    found = refused(text)
    assert (found.message, text[found.start : found.end]) == (message, text.split()[5])
    assert found.suggestion == " ".join(text.split()[:5])


def test_six_fields_with_one_that_is_out_of_range_are_refused_for_that() -> None:
    """The five before the last one are no schedule by themselves."""
    assert refused("0 61 3 * * 1").message == "`61` is out of range: the minute is 0 to 59"
