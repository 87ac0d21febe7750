"""Crontab text: what is accepted and what it means, what is refused and what to write instead."""

from __future__ import annotations

import random
import re
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobscheduler.timetable.crontab import Crontab, ScheduleError, parse
from jobscheduler.timetable.crontab.parser import SyntaxFault, parse_expression
from jobscheduler.timetable.crontab.suggest import suggestion
from tests.support.properties import examples

ZONE = ZoneInfo("UTC")


def days(text: str, first: str = "2026-11-01", count: int = 30) -> list[int]:
    """Give the days of a month on which a schedule has slots."""
    after = datetime.fromisoformat(first).replace(tzinfo=UTC) - timedelta(seconds=1)
    until, found = after + timedelta(days=count), []
    crontab = parse(text)
    while (slot := crontab.next(after, ZONE)) and slot <= until:
        found.append(slot.day)
        after = slot
    return sorted(set(found))


def refusal(text: str) -> ScheduleError:
    with pytest.raises(ScheduleError) as refused:
        parse(text)
    return refused.value


def fields(text: str) -> tuple[int, ...]:
    crontab = parse(text)
    return (crontab.seconds, crontab.minutes, crontab.hours, crontab.months)


def mask(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


SUNDAYS, MONDAYS, FRIDAYS = [1, 8, 15, 22, 29], [2, 9, 16, 23, 30], [6, 13, 20, 27]  # of November 2026


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 13 * 5", sorted({13, *FRIDAYS})),
        ("0 0 */2 * sun", [1, 15, 29]),
        ("0 0 1-31/2 * sun", sorted({*range(1, 31, 2), *SUNDAYS})),
        ("0 0 *,10 * mon", MONDAYS),
        ("0 0 1-31 * mon", list(range(1, 31))),
        ("5 4 * * 7", SUNDAYS),
        ("* * * * 0", SUNDAYS),
        ("5 4 * * 5-7", sorted({*FRIDAYS, *SUNDAYS, 7, 14, 21, 28})),
        ("5 4 * * sun-tue", sorted({*SUNDAYS, *MONDAYS, 3, 10, 17, 24})),
        ("5 4 * * mon,wed", sorted({*MONDAYS, 4, 11, 18, 25})),
        ("5 4 * * 1,wed", sorted({*MONDAYS, 4, 11, 18, 25})),
        ("* * * * mon-fri/2", sorted({*MONDAYS, *FRIDAYS, 4, 11, 18, 25})),
        ("0 0 * * mon-7", list(range(1, 31))),
        ("0 0 * * 0-7", list(range(1, 31))),
        ("0 0 * * */7", SUNDAYS),
        ("0 0 * * */5", sorted({*SUNDAYS, *FRIDAYS})),
    ],
)
def test_days_are_those_of_debians_table(text, expected):
    """The day rule: either field, but both when one starts with a star; 0 and 7 are Sunday (entry.c)."""
    assert days(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 L * *", [30]),
        ("0 0 1,L * *", [1, 30]),
        ("0 0 * * 5L", [27]),
        ("0 0 * * friL", [27]),
        ("0 0 * * monL", [30]),
        ("0 0 * * FRIL,0l", [27, 29]),
        ("0 0 * * 7L", [29]),
        ("0 0 * * 5#3", [20]),
        ("0 0 * * fri#3,mon#1", [2, 20]),
        ("0 0 * * sun#5", [29]),
        ("0 0 * * fri#5", []),
        ("0 0 L * 5", sorted({30, *FRIDAYS})),
        ("0 0 1 * 5#3", [1, 20]),
        ("0 0 */2 * 5L", [27]),
        ("0 0 */2 * 5#3", []),
        ("0 0 * * fri-sun", sorted({*FRIDAYS, *SUNDAYS, 7, 14, 21, 28})),
        ("0 0 * * 5-0", sorted({*FRIDAYS, *SUNDAYS, 7, 14, 21, 28})),
        ("0 0 * * 6-0", sorted({*SUNDAYS, 7, 14, 21, 28})),
        ("0 0 * * fri-sun/2", sorted({*FRIDAYS, *SUNDAYS})),
        ("0 0 * * 7-0", SUNDAYS),
        ("0 0 * * sun-sun", SUNDAYS),
    ],
)
def test_extensions_count_weekdays_as_crontab_does(text, expected):
    """L, 5L, 5#3 and ranges that end in Sunday; none of them counts as a star for the day rule."""
    assert days(text) == expected


def test_the_last_day_of_february_knows_leap_years():
    """L is the 28th in 2027 and the 29th in 2028."""
    assert days("0 0 L 2 *", "2027-02-01", 28) == [28]
    assert days("0 0 L 2 *", "2028-02-01", 29) == [29]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("*/60 * * * *", "0,*/60 * * * *"),
        ("1-10/100 * * * *", "1 * * * *"),
        ("01 02 03 04 *", "1 2 3 4 *"),
        ("007 0 * * *", "7 0 * * *"),
        ("\t 0  1\t* * *\t", "0 1 * * *"),
        ("5 4 * JAN-mar *", "5 4 * 1-3 *"),
        ("0 0 1 1 *", "@yearly"),
        ("0 0 1 1 *", "@annually"),
        ("0 0 1 * *", "@monthly"),
        ("0 0 * * 0", "@weekly"),
        ("0 0 * * *", "@daily"),
        ("0 0 * * *", "@midnight"),
        ("0 * * * *", "@hourly"),
        ("0 0 1 * * *", "0 1 * * *"),
        (" @daily ", "@daily"),
    ],
)
def test_schedules_that_mean_the_same_are_equal(text, same):
    """The value is the meaning, not the text, and can be hashed."""
    assert (parse(text), hash(parse(text))) == (parse(same), hash(parse(same)))


def test_every_hour_is_a_real_time_job_and_every_day_is_not():
    """A star at the start of minute or hour decides, also with six fields."""
    real_time = {"@hourly", "*/5 1 * * *", "5 */2 * * *", "* * * * * *", "0 */5 1 * * *", "*,5 1 * * *"}
    fixed = {"@daily", "0-59 1 * * *", "5,* 0-23 * * *", "* 5 1 * * *", "*/10 5 1 * * *"}
    assert {text for text in real_time | fixed if parse(text).real_time} == real_time


def test_seconds_come_first():
    """A sixth field is that of the seconds."""
    assert fields("*/20 5 1 * * *") == (mask(0, 20, 40), mask(5), mask(1), mask(*range(1, 13)))


def test_at_boot_is_a_value_without_slots():
    """@reboot is known as such; its one slot a boot is not the calendar's."""
    assert parse("@reboot").at_boot
    assert parse("@reboot").next(datetime(2026, 1, 1, tzinfo=UTC), ZONE) is None
    assert not parse("@daily").at_boot


REFUSED = {
    # Debian accepts these and never runs them, or ignores half of them
    "5-1 * * * *": "5-59,0-1 * * * *",
    "40-5/10 0 * * *": "40,50,0 0 * * *",
    "0 22-2 * * *": "0 22-23,0-2 * * *",
    "0 22-2/2 * * *": "0 22,0,2 * * *",
    "0 0 28-3 * *": "0 0 28-31,1-3 * *",
    "0 0 * nov-feb *": "0 0 * nov-dec,jan-feb *",
    "0 0 * * fri-mon": "0 0 * * fri-sun,mon",
    "0 0 * * 6-2": "0 0 * * 6-7,1-2",
    "0 0 * * 7-2": "0 0 * * 0-2",
    "5.7 * * * *": "5,7 * * * *",
    "5:7 * * * *": "5,7 * * * *",
    "5..7 * * * *": "5-7 * * * *",
    "5~9 * * * *": "5 * * * *",
    "*5 * * * *": "*/5 * * * *",
    "*-5 * * * *": None,
    "5x * * * *": None,
    "0 0 30 2 *": "0 0 L 2 *",
    "0 0 31 2,4 *": "0 0 L 2,4 *",
    "0 0 31 4,6,9,11 *": "0 0 L 4,6,9,11 *",
    "0 0 */31 * 5#2": None,
    "4294967296 * * * *": None,
    "*/4294967297 * * * *": "*/60 * * * *",
    # Debian refuses these, too
    "1/20 * * * *": "1-59/20 * * * *",
    "0/15 * * * *": "*/15 * * * *",
    "0 0 * * mon/2": None,
    "*/0 * * * *": None,
    "1-5/ * * * *": None,
    "/5 * * * *": "*/5 * * * *",
    "*/2147483648 * * * *": "*/60 * * * *",
    "5-64/30 * * * *": "5-59/30 * * * *",
    "60 * * * *": "0 * * * *",
    "0 24 * * *": "0 0 * * *",
    "0-60 * * * *": "0-59 * * * *",
    "0 0 0 * *": None,
    "0 0 32 * *": None,
    "0 0 * 0 *": None,
    "0 0 * 13 *": None,
    "0 0 * * 8": None,
    "1,,2 * * * *": "1,2 * * * *",
    "1, * * * *": "1 * * * *",
    ",1 * * * *": "1 * * * *",
    "+5 * * * *": "5 * * * *",
    "-5 * * * *": None,
    "5 4 * * Sunday": "5 4 * * Sun",
    "5 4 * january *": "5 4 * jan *",
    "5 4 * * monday-friday": "5 4 * * mon-fri",
    "0 0 * * fridays": "0 0 * * fri",
    "@Daily": "@daily",
    "@every 5m": "*/5 * * * *",
    "@every 2h": "0 */2 * * *",
    "@dayly": "@daily",
    "@daily /bin/true": "@daily",
    "daily": "@daily",
    # brought from Quartz, Jenkins and others
    "0 0 ? * mon": "0 0 * * mon",
    "0 0 12 ? * MON-FRI *": "0 0 12 * * MON-FRI",
    "H * * * *": "0 * * * *",
    "H/15 * * * *": "*/15 * * * *",
    "H(0-29) 1 * * *": "0 1 * * *",
    "0 0 15W * *": None,
    "0 0 LW * *": None,
    "0 0 L-3 * *": None,
    "0 0 15-L * *": "0 0 15-31 * *",
    "0 0 L/2 * *": None,
    "0 0 * * L": "0 0 * * 6",
    "0 0 * L *": "0 0 * 12 *",
    "0 0 * * 5#6": None,
    "0 0 * * 5#0": None,
    "0 0 * * 5#": None,
    "0 0 * * 5#L": "0 0 * * 5L",
    "0 0 * * 5#3-4": None,
    "0 0 * * 5L/2": None,
    "0 0 5L * *": "0 0 * * 5L",
    "0 0 * fri#3 *": "0 0 * * fri#3",
    "0 0 * mon *": "0 0 * * mon",
    "0 1 * * * root": "0 1 * * *",
    "0 1 * * * root /bin/true": "0 1 * * *",
    "0 1 * * * /bin/true": "0 1 * * *",
    "0 1 * * * 2026": "0 1 * * *",
    # the wrong number of fields, odd characters
    "0 1 * *": "0 1 * * *",
    "5": None,
    "\u0663 * * * *": "3 * * * *",
    "0\u00a01 * * *": "0 1 * * *",
    "0 1 * * *\n": "0 1 * * *",
    "0\v1 * * *": "0 1 * * *",
    "\u201c0 1 * * *\u201d": "0 1 * * *",
    "1\u20135 * * * *": "1-5 * * * *",
    "\uff10 1 * * *": "0 1 * * *",
    "0 1 * *\0 *": None,
    # nothing to go by
    "": None,
    " \t ": None,
    "\0": None,
    "x" * 5000: None,
    "1," * 400 + "1 * * * * " + "*" * 300: None,
    "*/{} * * * *": None,
    "\ud800 * * * *": None,
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text[:30]))
def test_a_refusal_says_what_to_write_instead(text):
    """Each has a message, a place in the text, and a help in which every schedule is accepted."""
    refused = refusal(text)
    assert refused.suggestion == REFUSED[text]
    check_refusal(text, refused)


def check_refusal(text: str, refused: ScheduleError) -> None:
    with pytest.raises(SyntaxFault) as fault:
        parse_expression(text)
    assert suggestion(text, fault.value).text == refused.suggestion  # and does not fail, which a refusal would hide
    assert refused.message
    assert refused.message[0] == refused.message[0].lower()
    assert not refused.message.endswith(".")
    assert 0 <= refused.start <= refused.end <= len(text)
    suggested = re.findall(r"`([^`]+)`", refused.help)
    assert suggested
    for schedule in suggested:
        parse(schedule)


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("0 1 * * monday", "monday"),
        ("0 1,5-2,7 * * *", "5-2"),
        ("  61  1 * * *", "61"),
        ("0 0 30 2 *", "30 2 *"),
        ("0\u00a01 * * *", "\u00a0"),
        ("1,,2 * * * *", "1,,2"),
        ("@Daily", "@Daily"),
        ("0 1 * *", "0 1 * *"),
    ],
)
def test_a_refusal_points_at_what_it_is_about(text, about):
    """The span holds just the words that are wrong."""
    refused = refusal(text)
    assert text[refused.start : refused.end] == about


def test_several_faults_are_mended_together():
    """The suggestion is accepted as a whole, whatever else was wrong with the line."""
    assert refusal("0/15 9-17 ? january monday-friday").suggestion == "0-59/15 9-17 * jan mon-fri"
    assert refusal("1,,2 fri#last * may *").suggestion is None
    assert refusal("1,,2 /6 +5 january *").suggestion == "1,2 */6 5 jan *"


def test_messages_quote_the_users_text_and_nothing_unprintable():
    """Control characters and lone surrogates are replaced, so that a message can be printed and logged."""
    for text in ("\x1b[31m * * * *", "\ud800 * * * *", "`rm` * * * *"):
        refused = refusal(text)
        shown = refused.message + refused.help + "".join(refused.notes)
        assert shown.isprintable()
        assert shown.count("`") % 2 == 0
        shown.encode()


def test_huge_texts_are_refused_at_once():
    """A megabyte of anything takes no longer than a line."""
    started = time.process_time()
    for piece in ("1,", "*/", "a", " ", "\t*", "\u0663", "@", "1-", "5#3,", "\ufdfa", "L,"):
        check_refusal(piece * 500_000, refusal(piece * 500_000))
    assert time.process_time() - started < 2


CHARACTERS = st.sampled_from(list("0123456789*/,-#LWH?~.@ \tadefijlmnorstuwy`{}\\\n\u00a0\u0663\u2013"))
LINES = st.one_of(
    st.text(max_size=40),
    st.text(CHARACTERS, max_size=40),
    st.lists(st.text(CHARACTERS, min_size=1, max_size=6), min_size=4, max_size=7).map(" ".join),
    st.from_regex(r"\A([0-9]{1,2}|\*)([-/,#][0-9a-zL]{1,3}){0,3}( ([0-9]{1,2}|\*)([-/,#][0-9a-zL]{1,3}){0,3}){4}\Z"),
)


@given(LINES)
@example("0 0 * * 99999999999999999999999999#1")
@example("0 0 * * sun#" + "1" * 900)
@example("9" * 990 + " * * * *")
@examples(250)
def test_no_text_raises_anything_but_the_refusal(text):
    """Any text is a value or a refusal, and what a refusal suggests is accepted."""
    try:
        assert isinstance(parse(text), Crontab)
    except ScheduleError as refused:
        check_refusal(text, refused)


def test_mangled_schedules_are_mended_or_at_least_refused_well():
    """Schedules with a few characters changed, as typing makes them: every suggestion is accepted."""
    draw = random.Random(5)
    seeds = [text for text in REFUSED if len(text) < 40] + ["*/5 9-17 * jan-mar mon,fri#3", "0 0 1,L 2 5L"]
    for _ in range(2000):
        text = list(draw.choice(seeds))
        for _ in range(draw.randint(1, 3)):
            place = draw.randint(0, len(text))
            text[place : place + draw.randint(0, 2)] = draw.choice("0123459*/,-#LWH?@ jfmx.~")
        try:
            parse("".join(text))
        except ScheduleError as refused:
            check_refusal("".join(text), refused)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("CRON_TZ=Europe/Berlin 0 3 * * *", "0 3 * * *"),
        ("0 0 * * * # nightly", "0 0 * * *"),
        ("# 0 0 * * *", "0 0 * * *"),
        ("'0 0 * * *'", "0 0 * * *"),
        ("0 15 10 ? * 6L *", "0 15 10 * * 5L"),
        ("0 0 9 ? * 2-6 *", "0 0 9 * * 1-5"),
        ("0 0 9 ? * 2#1 *", "0 0 9 * * 1#1"),
        ("0 12 * mon jan", "0 12 * jan mon"),
        ("0 0 last * *", "0 0 L * *"),
        ("0 0 * * fri#last", "0 0 * * friL"),
        ("08:30", "30 8 * * *"),
        ("08:30 * * * *", "30 8 * * *"),
        ("every 5 minutes", "*/5 * * * *"),
        ("@every 2h", "0 */2 * * *"),
    ],
)
def test_whole_lines_from_elsewhere_are_written_as_crontab(text: str, instead: str) -> None:
    """Quartz counts weekdays from 1; variables, comments and quotes are no fields; some lines are English."""
    with pytest.raises(ScheduleError) as refused:
        parse(text)

    assert refused.value.suggestion == instead


@pytest.mark.parametrize(
    "text",
    [
        "@every 90s",
        "@every 1h30m",
        "0 0 * * Mo-Fr",
        "0 0 * * !mon",
        "0 0 * * mon.fri",
        "a b c d e",
        "(1) * * * *",
        "25:99",
    ],
)
def test_where_nothing_can_be_told_nothing_is_suggested(text: str) -> None:
    """A schedule that is wider than what was meant does harm."""
    with pytest.raises(ScheduleError) as refused:
        parse(text)

    assert refused.value.suggestion is None
    assert refused.value.help
