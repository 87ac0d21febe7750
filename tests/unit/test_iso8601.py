"""One-time schedules: the forms of ISO 8601 that people write, and refusals with the form to write instead."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobscheduler.timetable.crontab import ScheduleError, is_one_time, parse_instant
from tests.support.properties import examples

BERLIN = ZoneInfo("Europe/Berlin")
TEN = datetime(2026, 12, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        *("2026-12-01T10:00:00Z", "2026-12-01T10:00Z", "2026-12-01T10Z", "20261201T100000Z", "20261201T1000Z"),
        *("20261201T10Z", "2026-12-01t10:00z", "2026-12-01 10:00:00Z", "2026-12-01T1000Z", "20261201T10:00Z"),
        *("2026-12-01T11:00+01:00", "2026-12-01T11:00+0100", "2026-12-01T11:00+01", "2026-12-01T06:30-03:30"),
        *("2026-12-01T10:00-00:00", "2026-12-01T10:00:00.000Z", "2026-12-01T10:00:00,0Z", "20261201T100000.0Z"),
        *("2026-W49-2T10:00Z", "2026W492T10Z", "2026-335T10:00Z", "2026335T1000Z", "2026-12-02T00:00+14:00"),
        *("2026-12-01T11:00", "20261201T11", "2026-12-01 11:00", "2026-W49-2T11:00:00", "2026-11-30T24:00-10:00"),
    ],
)
def test_the_same_instant_may_be_written_in_many_ways(text):
    """Basic and extended, with Z, with an offset, and without one in the zone: all are ten o'clock UTC."""
    assert parse_instant(text, BERLIN) == TEN
    assert parse_instant(text, BERLIN).tzinfo is UTC
    assert is_one_time(text)


def test_fractions_are_kept_to_the_millisecond():
    """A point or a comma, any number of digits; what is below a millisecond is cut off, as in the log."""
    assert parse_instant("2026-12-01T10:00:00.5Z", BERLIN).microsecond == 500_000
    assert parse_instant("2026-12-01T10:00:00,1234567890123Z", BERLIN).microsecond == 123_000


def test_twenty_four_hours_are_the_end_of_the_day():
    """24:00 is midnight of the next day (ISO 8601-1:2019/Amd 1), and nothing later is a time."""
    assert parse_instant("2026-12-31T24:00Z", BERLIN) == datetime(2027, 1, 1, tzinfo=UTC)
    assert refusal("2026-12-31T24:00:01Z").suggestion == "2027-01-01T00:00:01Z"


def test_the_years_are_1970_to_2200():
    """Both the year that is written and that of the instant in UTC."""
    assert parse_instant("1970-01-01T00:00Z", BERLIN).year == 1970
    assert parse_instant("2200-12-31T23:59:59.999999Z", BERLIN).year == 2200
    for text in (
        "1969-12-31T23:59Z",
        "2201-01-01T00:00Z",
        "1970-01-01T00:30",
        "2200-12-31T23:30-01:00",
        "9999-12-31T24:00",
    ):
        assert "1970" in refusal(text).message
    assert "there is no year 0" in refusal("0000-01-01T00:00").message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0000-02-30T00:00", "there is no year 0"),
        ("2026-13-40T00:00", "the month is 01 to 12"),
        ("20260001T00:00", "the month is 01 to 12"),
        ("2026-02-29T00:00", "2026-02 has 28 days"),
        ("20280230T00:00", "2028-02 has 29 days"),
        ("2026-04-00T00:00", "2026-04 has 30 days"),
        ("2026-366T00:00", "2026 has no day 366"),
        ("2026-000T00:00", "2026 has no day 000"),
        ("9999-366T00:00", "9999 has no day 366"),
        ("2025-W53-1T00:00", "2025 has no week 53"),
        ("2025-W00-1T00:00", "2025 has no week 00"),
        ("2026-W10-8T00:00", "the weekday is 1 to 7"),
    ],
)
def test_a_date_that_does_not_exist_is_refused_in_words_of_no_python(text, reason):
    assert refusal(text).message == f"`{text}` names a date that does not exist: {reason}"


def refusal(text: str, zone: ZoneInfo = BERLIN) -> ScheduleError:
    with pytest.raises(ScheduleError) as refused:
        parse_instant(text, zone)
    return refused.value


REFUSED = {
    "2026-12-01": "2026-12-01T00:00",
    "20261201": "20261201T00:00",
    "2026-12-01T10:00:60Z": "2026-12-01T10:01:00Z",
    "2026-12-31T23:60Z": "2027-01-01T00:00:00Z",
    "2026-12-01T25:00": "2026-12-02T01:00:00",
    "2026-02-29T10:00": "2026-02-28T10:00",
    "2026-04-31T10:00Z": "2026-04-30T10:00Z",
    "2026-13-01T10:00": "2026-01-13T10:00",
    "2026-12-01_10:00": "2026-12-01T10:00:00",
    "2026-12-01, 10:00": "2026-12-01T10:00:00",
    "2026-12-01  10:00": "2026-12-01T10:00:00",
    "2026-12-01T10:00 +01:00": "2026-12-01T10:00:00+01:00",
    "2026-12-01 10:00:00 UTC": "2026-12-01T10:00:00Z",
    "2026-12-01T10:00+1": "2026-12-01T10:00:00+01:00",
    "2026-12-01T10:00:00+01:00[Europe/Berlin]": "2026-12-01T10:00:00+01:00",
    "2026-12-01T10:00[Europe/Berlin]": "2026-12-01T10:00:00",
    "2026-12-01T10:00[America/New_York]": None,
    "2026-12-01T10:00 America/New_York": None,
    "2026-04-32T10:00": None,
    "2026-12-01T31:00": None,
    "2026-12-01T10:99": None,
    "2026/12/01 10:00": "2026-12-01T10:00:00",
    "2026-1-5 9:05": "2026-01-05T09:05:00",
    " 2026-12-01T10:00Z": "2026-12-01T10:00:00Z",
    "2026-12-01T10:00Z\n": "2026-12-01T10:00:00Z",
    "2026-12-01T10:00\u221201:00": "2026-12-01T10:00:00-01:00",
    "\uff12026-12-01T10:00": "2026-12-01T10:00:00",
    "1796083200": "2026-12-01T00:00:00Z",
    "2026-03-29 2:30": "2026-03-29T03:00:00+02:00",
    "2026-12-01x10:00": None,
    "2026-12-01T10:00Zjunk": None,
    "2026-12-01T10:00+25:00": None,
    "2026-12-01T10:00+01:60": None,
    "2026-12": None,
    "2026-12-01T": None,
    "2026-12-01T10.5": None,
    "2026-12-01T10:00.5": None,
    "12/01/2026 10:00": None,
    "+002026-12-01T10:00": None,
    "2026-W54-1T10:00": None,
    "2026-W53-8T10:00": None,
    "2026-366T10:00": None,
    "2026-000T10:00": None,
    "10:00": None,
    "tomorrow": None,
    "\u0662026-12-01T10:00": None,
    "": None,
    "\0": None,
    "\ud800": None,
    "9" * 1_000_000: None,
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text[:30]))
def test_a_refusal_says_what_to_write_instead(text):
    """Each has a message and a help in which every instant is accepted."""
    refused = refusal(text)
    assert refused.suggestion == REFUSED[text]
    check_refusal(refused, BERLIN)


def test_a_date_that_is_put_in_the_place_of_another_is_said_to_be_the_last_of_its_month():
    """However the date was written."""
    for text in ("2026-04-31T10:00Z", "20260431T10", "2026/4/31 10:00", "2026-04-31"):
        assert refusal(text).help.endswith(", the last day of that month")


def test_a_zone_behind_a_time_is_said_to_be_a_field():
    """A wall-clock time of one zone is not to be read in another."""
    for text in ("2026-12-01T10:00[America/New_York]", "2026-12-01T10:00 America/New_York"):
        assert refusal(text).help.endswith("a zone has a field of its own, timezone")


def check_refusal(refused: ScheduleError, zone: ZoneInfo) -> None:
    assert refused.message.isprintable()
    assert not refused.message.endswith(".")
    suggested = [text for text in re.findall(r"`([^`]+)`", refused.help) if text != "Z"]
    assert suggested
    for text in suggested:
        parse_instant(text, zone)


def test_a_time_in_a_gap_is_refused_with_the_first_one_after_it():
    """Berlin has no 02:30 on 29 March 2026."""
    refused = refusal("2026-03-29T02:30")
    assert refused.help == "write `2026-03-29T03:00:00+02:00`, the first instant after the gap"
    assert parse_instant("2026-03-29T03:00", BERLIN) == parse_instant("2026-03-29T01:00Z", BERLIN)
    assert parse_instant("2026-03-29T02:30+01:00", BERLIN) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_a_time_that_comes_twice_is_refused_with_both():
    """Berlin has 02:30 twice on 25 October 2026."""
    refused = refusal("2026-10-25T02:30")
    assert (
        refused.help == "write `2026-10-25T02:30:00+02:00` for the first time, `2026-10-25T02:30:00+01:00` for the last"
    )
    assert parse_instant("2026-10-25T03:00", BERLIN) == datetime(2026, 10, 25, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Africa/Cairo", "2026-04-24"),
        ("Asia/Beirut", "2026-03-29T00:30"),
        ("Pacific/Apia", "2011-12-30T12:00"),
        ("Australia/Lord_Howe", "2026-04-05T01:45"),
        ("America/Havana", "2025-11-01T24:00"),
        ("Africa/Monrovia", "1972-01-07T00:30"),  # a gap of 44 minutes and 30 seconds
    ],
)
def test_refused_times_of_odd_zones_have_a_way_out(zone, text):
    """Gaps at midnight, a skipped day, half hours, offsets with seconds: what is suggested is accepted there."""
    check_refusal(refusal(text, ZoneInfo(zone)), ZoneInfo(zone))


@pytest.mark.parametrize(
    "text", ["0 1 * * *", "@daily", "", "0007 1 * * *", "12-31/10 1 * *", "20261201 1 * * *", "5", "tomorrow"]
)
def test_other_schedules_are_not_taken_for_instants(text):
    """So that a crontab expression with a fault is told about crontab expressions."""
    assert not is_one_time(text)


INSTANTS = st.one_of(
    st.text(max_size=40),
    st.text(st.sampled_from(list("0123456789-:TWZ+., z/[]\u0661")), max_size=30),
    st.from_regex(r"\A\d{4}-?\d\d-?\d\d[T ]\d\d(:?\d\d(:?\d\d([.,]\d+)?)?)?(Z|[+-]\d\d:?\d\d)?\Z"),
    st.from_regex(r"\A(19|20|22)\d\d-?(W?\d\d-?\d|\d\d\d)T\d\d:\d\d\Z"),
)


@given(INSTANTS, st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia", "Africa/Monrovia"]))
@example("1970-01-01T00:00", "Pacific/Apia")
@example("9999-12-31T23:59-15:59", "UTC")
@examples(400)
def test_no_text_raises_anything_but_the_refusal(text, zone):
    """Any text is an instant within bounds or a refusal, and what a refusal suggests is accepted."""
    try:
        assert 1970 <= parse_instant(text, ZoneInfo(zone)).year <= 2200
    except ScheduleError as refused:
        check_refusal(refused, ZoneInfo(zone))
    is_one_time(text)


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2200, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(["+05:30", "-11:00"]),
)
@examples(200)
def test_what_python_writes_is_read_back(moment, offset):
    """`isoformat` of any moment, in any zone, is the same instant, to the millisecond."""
    whole = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert parse_instant(moment.isoformat(), BERLIN) == whole
    there = moment.astimezone(datetime.fromisoformat(f"2026-01-01T00:00{offset}").tzinfo)
    assert parse_instant(there.isoformat(sep=" "), BERLIN) == whole
