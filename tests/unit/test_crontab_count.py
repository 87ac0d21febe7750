"""Counting slots by arithmetic gives what listing them gives."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.timetable.crontab import count_slots, parse, to_epoch_seconds
from jobscheduler.timetable.crontab.wall_clock import END, to_datetime
from tests.support.properties import examples

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu"]
EXPRESSIONS = [
    "* * * * *",
    "*/7 * * * *",
    "30 2 * * *",
    "0,15,30,45 1-3 * * *",
    "10-20 1,2,3 * * 0",
    "0 0 * * *",
    "15 */2 * 3,10,11 *",
    "*/20 0 2 * * 0",
    "0 12 L * *",
    "0 6 1-7 * 1",
    "59 23 29 2 *",
    "0 0 * * fri#3",
]


def listed(expression: str, zone: str, after: int, until: int) -> int:
    """Count by asking for one after the other."""
    crontab, found, at = parse(expression), 0, to_datetime(after)
    while (slot := crontab.next(at, ZoneInfo(zone))) is not None and to_epoch_seconds(slot) <= until:
        found, at = found + 1, slot
    return found


@examples(120)
@given(
    expression=st.sampled_from(EXPRESSIONS),
    zone=st.sampled_from(ZONES),
    year=st.sampled_from([1999, 2025, 2026, 2050]),
    begin=st.integers(0, 366 * 86_400),
    length=st.one_of(st.integers(0, 3 * 86_400), st.integers(0, 20 * 86_400)),
)
def test_counting_agrees_with_listing(expression: str, zone: str, year: int, begin: int, length: int) -> None:
    """Anywhere in a year, through every kind of clock change."""
    after = to_epoch_seconds(datetime(year, 1, 1, tzinfo=UTC)) + begin

    assert count_slots(parse(expression), ZoneInfo(zone), after, after + length) == listed(
        expression, zone, after, after + length
    )


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("zone", ZONES)
def test_counting_agrees_with_listing_around_each_clock_change(expression: str, zone: str) -> None:
    """Hour by hour through the days on which a clock is changed somewhere."""
    crontab = parse(expression)
    for day in (datetime(2026, 3, 8), datetime(2026, 3, 29), datetime(2026, 4, 4), datetime(2026, 10, 25)):  # noqa: DTZ001
        start = to_epoch_seconds(day.replace(tzinfo=UTC)) - 14 * 3600
        for offset in range(0, 44 * 3600, 5 * 3600 + 1700):
            after, until = start + offset, start + offset + 9 * 3600
            assert count_slots(crontab, ZoneInfo(zone), after, until) == listed(expression, zone, after, until)


def test_decades_are_counted_in_a_moment() -> None:
    """A clock that jumps from 1970 to the end of time costs no more than its months."""
    began = time.perf_counter()
    everything = count_slots(parse("* * * * * *"), ZoneInfo("Europe/Berlin"), -1, END)

    assert everything == END
    assert time.perf_counter() - began < 5
    assert count_slots(parse("@reboot"), ZoneInfo("UTC"), 0, END) == 0
    assert count_slots(parse("0 0 * * *"), ZoneInfo("UTC"), 0, -5) == 0
