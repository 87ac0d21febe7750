"""Slots through clock changes: gaps, repeated hours, skipped days, old and odd zones, the ends of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler.timetable.crontab import DstKind, ScheduleError, dst_effect_at, parse
from jobscheduler.timetable.crontab.wall_clock import END, to_datetime
from tests.support.crontab_cases import ZONES
from tests.support.properties import examples


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def local(text: str, zone: str, after: str, until: str) -> list[str]:
    """List the slots of a window as local times: `08T03:00-04` is the 8th, 03:00, four hours behind UTC."""
    crontab, moment, found = parse(text), at(after), []
    while (moment := crontab.next(moment, ZoneInfo(zone))) and moment <= at(until):
        shown = moment.astimezone(ZoneInfo(zone)).isoformat()
        found.append(
            shown[8:].replace("-00:00", "+00:00").replace(":00+", "+", 1).replace(":00-", "-", 1).removesuffix(":00")
        )
    return found


def night(text: str, zone: str, day: str, days: int = 1) -> list[str]:
    """List the slots of a local day, or of some."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    before = midnight.astimezone(UTC) - timedelta(seconds=1)
    return local(text, zone, before.isoformat(), (before + timedelta(days=days)).isoformat())


NEW_YORK_GAP = {
    "30 2 * * *": ["08T03:00-04"],
    "0 2 * * *": ["08T03:00-04"],
    "0 2 8 3 *": ["08T03:00-04"],
    "0 2 * * 0": ["08T03:00-04"],
    "0,30 2 * * *": ["08T03:00-04"],  # Debian runs it twice, ten seconds apart; here once
    "0 1-3 * * *": ["08T01:00-05", "08T03:00-04"],
    "30 1-4 * * *": ["08T01:30-05", "08T03:00-04", "08T03:30-04", "08T04:30-04"],
    "*/15 2 * * *": [],
    "15 2-3 * * *": ["08T03:00-04", "08T03:15-04"],
    "0 2,3 * * *": ["08T03:00-04"],
    "59 2 * * *": ["08T03:00-04"],
    "0 3 * * *": ["08T03:00-04"],
    "10,20 30 2 * * *": ["08T03:00-04"],
    "* 2 * * *": [],
    "30 * 2 * * *": [],
}


@pytest.mark.parametrize("text", NEW_YORK_GAP)
def test_a_gap_is_as_in_debians_table(text):
    """New York, 8 March 2026, 02:00 to 03:00: fixed times run once right after it, real-time jobs do not."""
    assert night(text, "America/New_York", "2026-03-08") == NEW_YORK_GAP[text]


def test_real_time_jobs_go_on_through_a_gap():
    """Every half hour stays every half hour, and quarter past stays quarter past."""
    window = ("2026-03-08T06:30Z", "2026-03-08T07:30Z")
    assert local("*/30 * * * *", "America/New_York", *window) == ["08T03:00-04", "08T03:30-04"]
    assert local("@hourly", "America/New_York", *window) == ["08T03:00-04"]
    assert local("15 * * * *", "America/New_York", *window) == ["08T03:15-04"]
    assert local("59 59 * * * *", "America/New_York", "2026-03-08T06:00Z", "2026-03-08T08:00Z") == [
        "08T01:59:59-05",
        "08T03:59:59-04",
    ]


NEW_YORK_OVERLAP = {
    "0 1 * * *": ["01T01:00-04"],
    "30 1 * * *": ["01T01:30-04"],
    "0 1-3 * * *": ["01T01:00-04", "01T02:00-05", "01T03:00-05"],
    "30 0-3 * * *": ["01T00:30-04", "01T01:30-04", "01T02:30-05", "01T03:30-05"],
    "*/30 1 * * *": ["01T01:00-04", "01T01:30-04", "01T01:00-05", "01T01:30-05"],
    "0 2 * * *": ["01T02:00-05"],
    "30 15 1 * * *": ["01T01:15:30-04"],
    "30 */30 1 * * *": ["01T01:00:30-04", "01T01:30:30-04", "01T01:00:30-05", "01T01:30:30-05"],
}


@pytest.mark.parametrize("text", NEW_YORK_OVERLAP)
def test_a_repeated_hour_is_as_in_debians_table(text):
    """New York, 1 November 2026, 02:00 back to 01:00: fixed times run in the first pass, real-time jobs in both."""
    assert night(text, "America/New_York", "2026-11-01") == NEW_YORK_OVERLAP[text]


def test_real_time_jobs_go_on_through_a_repeated_hour():
    """`@hourly` and quarter past come in both passes."""
    window = ("2026-11-01T04:30Z", "2026-11-01T07:00Z")
    assert local("@hourly", "America/New_York", *window) == ["01T01:00-04", "01T01:00-05", "01T02:00-05"]
    assert local("15 * * * *", "America/New_York", *window) == ["01T01:15-04", "01T01:15-05"]


MIDNIGHT_GAPS = [
    ("Africa/Cairo", "2026-04-24", "+03", "24T01:00"),
    ("Asia/Beirut", "2026-03-29", "+03", "29T01:00"),
    ("America/Havana", "2026-03-08", "-04", "08T01:00"),
    ("America/Santiago", "2025-09-07", "-03", "07T01:00"),
    ("America/Asuncion", "2023-10-01", "-03", "01T01:00"),
    ("America/Sao_Paulo", "2018-11-04", "-02", "04T01:00"),
]


@pytest.mark.parametrize(("zone", "day", "offset", "end"), MIDNIGHT_GAPS)
def test_a_gap_at_midnight_loses_nothing(zone, day, offset, end):
    """Where 00:00 becomes 01:00, the daily job runs at 01:00, merged with one at that time, and a real-time one not."""
    window = ((datetime.fromisoformat(day) - timedelta(hours=20)).isoformat() + "Z", day + "T12:00Z")
    expected = [end + offset]
    assert [slot for slot in local("@daily", zone, *window) if slot[:2] == day[-2:]] == expected
    assert [slot for slot in local("30 0 * * *", zone, *window) if slot[:2] == day[-2:]] == expected
    assert [slot for slot in local("0,30 0,1 * * *", zone, *window) if slot[:2] == day[-2:]] == [
        *expected,
        f"{end[:4]}1:30{offset}",
    ]
    assert [slot for slot in local("*/30 0 * * *", zone, *window) if slot[:2] == day[-2:]] == []


def test_the_day_after_a_gap_has_its_run_after_midnight():
    """APScheduler 3.11 loses this one: every day of the spring week has its run at 00:00."""
    slots = local("0 0 * * *", "America/New_York", "2026-03-06T12:00Z", "2026-03-11T12:00Z")
    assert slots == ["07T00:00-05", "08T00:00-05", "09T00:00-04", "10T00:00-04", "11T00:00-04"]


def test_a_repeated_midnight_belongs_to_the_date_once():
    """Havana goes from 01:00 back to 00:00 and Beirut from 00:00 back to 23:00: the dates' fixed runs come once."""
    havana = ("2025-11-01T12:00Z", "2025-11-02T12:00Z")
    assert local("0 0 * * *", "America/Havana", *havana) == ["02T00:00-04"]
    assert local("*/30 0 * * *", "America/Havana", *havana) == [
        "02T00:00-04",
        "02T00:30-04",
        "02T00:00-05",
        "02T00:30-05",
    ]
    beirut = ("2026-10-24T18:00Z", "2026-10-25T12:00Z")
    assert local("30 23 24 10 *", "Asia/Beirut", *beirut) == ["24T23:30+03"]
    assert local("*/30 23 * * *", "Asia/Beirut", *beirut) == [
        "24T23:00+03",
        "24T23:30+03",
        "24T23:00+02",
        "24T23:30+02",
    ]
    assert local("0 0 * * *", "Asia/Beirut", *beirut) == ["25T00:00+02"]


def test_half_an_hour_of_change_is_a_gap_and_an_overlap():
    """Lord Howe: 02:00 becomes 02:30 in spring, and 02:00 becomes 01:30 in autumn."""
    spring = ("2026-10-03T14:00Z", "2026-10-03T17:00Z")
    assert local("0,15,30,45 2 * * *", "Australia/Lord_Howe", *spring) == ["04T02:30+11", "04T02:45+11"]
    assert local("*/15 2 * * *", "Australia/Lord_Howe", *spring) == ["04T02:30+11", "04T02:45+11"]
    autumn = ("2026-04-04T13:30Z", "2026-04-04T16:30Z")
    assert local("45 1 * * *", "Australia/Lord_Howe", *autumn) == ["05T01:45+11"]
    assert [s[:8] for s in local("*/15 1 * * *", "Australia/Lord_Howe", *autumn)] == [
        *("05T01:00", "05T01:15", "05T01:30", "05T01:45", "05T01:30", "05T01:45"),
    ]


def test_two_hours_of_change_are_a_gap_and_an_overlap():
    """Troll goes from UTC to UTC+2 and back."""
    spring = ("2026-03-29T00:30Z", "2026-03-29T02:00Z")
    assert local("30 1,2 * * *", "Antarctica/Troll", *spring) == ["29T03:00+02"]
    autumn = ("2026-10-24T22:30Z", "2026-10-25T04:00Z")
    assert local("30 1,2 * * *", "Antarctica/Troll", *autumn) == ["25T01:30+02", "25T02:30+02"]
    assert len(local("*/30 1,2 * * *", "Antarctica/Troll", *autumn)) == 8


def test_a_skipped_day_moves_its_fixed_runs_to_its_end():
    """Apia had no 30 December 2011, Kwajalein no 21 August 1993: what was due on it runs as the next day begins."""
    apia = ("2011-12-29T12:00Z", "2011-12-31T21:00Z")
    assert local("0 12 30 12 *", "Pacific/Apia", *apia) == ["31T00:00+14"]
    assert local("0 0 * * *", "Pacific/Apia", *apia) == ["31T00:00+14", "01T00:00+14"]
    assert local("0 12 * * *", "Pacific/Apia", *apia) == ["29T12:00-10", "31T00:00+14", "31T12:00+14"]
    assert local("0 12 * * 5", "Pacific/Apia", *apia) == ["31T00:00+14"]  # the 30th was a Friday
    assert local("*/30 12 30 12 *", "Pacific/Apia", *apia) == []
    kwajalein = ("1993-08-20T20:00Z", "1993-08-23T00:00Z")
    assert local("0 0 21 8 *", "Pacific/Kwajalein", *kwajalein) == ["22T00:00+12"]


def test_a_repeated_day_runs_its_fixed_times_once():
    """Kwajalein went back by 23 hours in 1969: what had run did not run again."""
    window = ("1969-09-30T00:00Z", "1969-10-02T12:00Z")
    assert local("0 12 30 9 *", "Pacific/Kwajalein", *window) == ["30T12:00+11"]
    assert local("0 12 * * *", "Pacific/Kwajalein", *window) == ["30T12:00+11", "01T12:00-12"]
    assert local("*/60 12 30 9 *", "Pacific/Kwajalein", *window) == ["30T12:00+11", "30T12:00-12"]


def test_changes_of_a_zones_rules_are_clock_changes_like_any_other():
    """Istanbul stayed on summer time, Pyongyang moved twice, Caracas and Samara changed for good; Casey by 3 hours."""
    assert local("30 3 * * *", "Europe/Istanbul", "2016-11-05T12:00Z", "2016-11-07T12:00Z") == [
        "06T03:30+03",
        "07T03:30+03",
    ]
    assert local("45 23 * * *", "Asia/Pyongyang", "2015-08-14T12:00Z", "2015-08-15T12:00Z") == ["14T23:45+09"]
    assert local("45 23 * * *", "Asia/Pyongyang", "2018-05-04T12:00Z", "2018-05-05T12:00Z") == ["05T00:00+09"]
    assert local("45 2 * * *", "America/Caracas", "2016-04-30T12:00Z", "2016-05-01T12:00Z") == ["01T03:00-04"]
    casey = ("2023-03-08T12:00Z", "2023-03-09T00:00Z")  # 03:00 becomes 00:00
    assert local("0 1 9 3 *", "Antarctica/Casey", *casey) == ["09T01:00+11"]
    assert local("*/60 1 9 3 *", "Antarctica/Casey", *casey) == ["09T01:00+11", "09T01:00+08"]


def test_winter_time_that_is_called_daylight_time_changes_nothing():
    """Dublin's and Casablanca's daylight saving is negative in the zone data; only the clock counts."""
    assert night("30 1 * * *", "Europe/Dublin", "2026-03-29") == ["29T02:00+01"]
    assert night("30 1 * * *", "Europe/Dublin", "2026-10-25") == ["25T01:30+01"]
    assert night("30 2 * * *", "Africa/Casablanca", "2024-03-10") == ["10T02:30+01"]
    assert night("30 2 * * *", "Africa/Casablanca", "2024-04-14") == ["14T03:00+01"]


def test_offsets_with_seconds_are_kept():
    """Until 1911 the clock of Paris was 9 minutes and 21 seconds ahead, and then it was set back by that much."""
    slot = parse("0 12 * * *").next(at("1930-01-01T00:00Z"), ZoneInfo("Europe/Paris"))
    assert slot == at("1930-01-01T12:00Z")
    slot = parse("0 12 * * *").next(at("1900-01-01T00:00Z"), ZoneInfo("Europe/Paris"))
    assert slot == at("1900-01-01T11:50:39Z")
    # 00:01:00 became 23:51:39
    before = at("1911-03-10T12:00Z")
    assert local("55 23 10 3 *", "Europe/Paris", before.isoformat(), "1911-03-11T12:00Z") == ["10T23:55+00:09:21"]


def test_two_changes_in_one_day_are_both_seen():
    """A zone made up for this: an hour forward at 02:00 and back at 12:00 of the same day."""
    zone = made_up({at("2026-05-05T02:00Z"): 3600, at("2026-05-05T11:00Z"): 0})
    day = [at("2026-05-05T00:00Z") - timedelta(seconds=1), at("2026-05-06T00:00Z")]

    def slots(text: str) -> list[str]:
        moment, found = day[0], []
        while (moment := parse(text).next(moment, zone)) and moment < day[1]:
            found.append(f"{moment:%H:%M}")
        return found

    assert slots("30 2,11 * * *") == ["02:00", "10:30"]
    assert slots("*/30 2,11 * * *") == ["10:00", "10:30", "11:00", "11:30"]


def made_up(changes: dict[datetime, int]) -> ZoneInfo:
    """Make zone data (RFC 9636, version 1) of a zone that starts at UTC and changes to these offsets."""
    import io
    import struct

    offsets = [0, *changes.values()]
    times = [int(moment.timestamp()) for moment in changes]
    header = struct.pack(">4s1s15x6l", b"TZif", b"\0", 0, 0, 0, len(times), len(offsets), 4)
    body = struct.pack(f">{len(times)}l{len(times)}B", *times, *range(1, len(offsets)))
    kinds = b"".join(struct.pack(">lbB", offset, 0, 0) for offset in offsets)
    return ZoneInfo.from_file(io.BytesIO(header + body + kinds + b"ABC\0"), key="Made/Up")


# Where the search starts and ends.


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("30 1 * * *", "2026-11-01T01:10-05:00", "2026-11-02T01:30-05:00"),  # in the second pass
        ("30 1 * * *", "2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"),
        ("30 1 * * *", "2026-11-01T01:29:59.999999-04:00", "2026-11-01T01:30-04:00"),
        ("*/30 1 * * *", "2026-11-01T01:30-04:00", "2026-11-01T01:00-05:00"),
        ("0 2 * * *", "2026-11-01T01:59:59-04:00", "2026-11-01T02:00-05:00"),
        ("30 2 * * *", "2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"),  # at the end of the gap
        ("30 2 * * *", "2026-03-08T01:59:59.5-05:00", "2026-03-08T03:00-04:00"),
        ("30 2,3 * * *", "2026-03-08T03:00-04:00", "2026-03-08T03:30-04:00"),
        ("0 3 * * *", "2026-03-08T03:00-04:00", "2026-03-09T03:00-04:00"),
        ("* * * * *", "2026-03-08T03:00:00.000001-04:00", "2026-03-08T03:01-04:00"),
    ],
)
def test_the_next_slot_is_strictly_later_wherever_one_starts(text, after, expected):
    """Started in a second pass, at the end of a gap or a microsecond off a slot: never that slot again."""
    assert parse(text).next(datetime.fromisoformat(after), ZoneInfo("America/New_York")) == at(expected)


def test_the_start_may_be_given_in_any_zone_and_fold():
    """The second 01:15 in New York's own time is an instant like any other."""
    zone, crontab = ZoneInfo("America/New_York"), parse("*/30 * * * *")
    first, second = (datetime(2026, 11, 1, 1, 15, tzinfo=zone, fold=fold) for fold in (0, 1))
    assert crontab.next(first, zone) == at("2026-11-01T01:30-04:00")
    assert crontab.next(second, zone) == at("2026-11-01T01:30-05:00")
    assert crontab.next(second.astimezone(timezone(timedelta(hours=9))), zone) == at("2026-11-01T01:30-05:00")


def test_a_naive_start_is_an_error():
    """Without a zone a moment is no instant."""
    with pytest.raises(ValueError, match="needs a time zone"):
        parse("* * * * *").next(datetime(2026, 1, 1), ZoneInfo("UTC"))  # noqa: DTZ001


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Etc/GMT+12", "Europe/Amsterdam", "Asia/Manila"])
@pytest.mark.parametrize("text", ["* * * * *", "0 0 29 2 *", "30 1 1 1 *", "* * * * * *", "0 0 */2 2 5#5"])
def test_the_ends_of_time_raise_nothing(text, zone):
    """From year 1 to year 9999, at any offset, there is a slot or there is none."""
    offsets = (-24 * 60 + 1, -720, 0, 840, 24 * 60 - 1)
    for moment in (datetime.min, datetime.max, datetime(1900, 1, 1), datetime(2200, 12, 31, 23, 59)):  # noqa: DTZ001, DTZ901
        for minutes in offsets:
            after = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
            slot = parse(text).next(after, ZoneInfo(zone))
            assert slot is None or slot < to_datetime(END)
        parse(text).next(moment.replace(tzinfo=ZoneInfo(zone)), ZoneInfo(zone))
    assert parse(text).next(datetime(2201, 1, 1, tzinfo=UTC), ZoneInfo(zone)) is None


def test_slots_end_with_the_year_2200():
    """The last slot is the last minute of 2200, whatever the zone."""
    crontab = parse("59 23 * * *")
    assert crontab.next(at("2200-12-31T23:58Z"), ZoneInfo("UTC")) == at("2200-12-31T23:59Z")
    assert crontab.next(at("2200-12-31T23:59Z"), ZoneInfo("UTC")) is None
    assert crontab.next(at("2200-12-31T23:30Z"), ZoneInfo("America/New_York")) is None


def test_leap_days_keep_the_calendar():
    """2000 had a 29 February and 2100 has none; one on a Sunday is 28 years away, or 40."""
    crontab, zone = parse("0 0 29 2 *"), ZoneInfo("UTC")
    assert crontab.next(at("1999-03-01T00:00Z"), zone) == at("2000-02-29T00:00Z")
    assert crontab.next(at("2096-03-01T00:00Z"), zone) == at("2104-02-29T00:00Z")
    assert parse("0 0 29 2 */7").next(at("2088-03-01T00:00Z"), zone) == at("2128-02-29T00:00Z")


# Properties of every schedule.

NAMED = st.sampled_from(ZONES).map(ZoneInfo)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
ANY = st.integers(0, 2**32)


@st.composite
def schedules(draw: st.DrawFn) -> str:
    """Draw a schedule that is accepted."""
    from random import Random

    from tests.support.crontab_cases import draw as drawn

    while True:
        random = Random(draw(ANY))
        text = drawn(random, seconds=draw(st.booleans()), hour=draw(st.none() | st.integers(0, 3))).text
        try:
            parse(text)
        except ScheduleError:
            continue
        return text


@given(schedules(), NAMED, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=3)))
@examples(200)
def test_slots_increase_and_do_not_depend_on_where_one_starts(text, zone, start, ahead):
    """Listed from anywhere, slots strictly increase, and an earlier start finds the same ones."""
    crontab = parse(text)
    listing, moment = [], start
    for _ in range(40):
        moment = crontab.next(moment, zone)
        if moment is None:
            break
        listing.append(moment)
    assert listing == sorted(set(listing))
    assert all(slot > start for slot in listing)
    if listing and start + ahead < listing[-1]:
        assert crontab.next(start + ahead, zone) == next(slot for slot in listing if slot > start + ahead)


@given(schedules(), NAMED, MOMENTS)
@examples(200)
def test_every_slot_shows_a_matching_time_or_stands_for_one_in_a_gap(text, zone, start):
    """The clock shows a matching time at each slot, unless the slot is that of a gap, and then it says so."""
    crontab, moment = parse(text), start
    for _ in range(15):
        moment = crontab.next(moment, zone)
        if moment is None:
            break
        wall = moment.astimezone(zone).replace(tzinfo=None)
        change = dst_effect_at(crontab, moment, zone)
        if change is not None and change.kind in (DstKind.MOVED, DstKind.MERGED):
            assert not crontab.real_time
            wall = change.first
            assert wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall
        second = int((wall - datetime(1970, 1, 1)).total_seconds())  # noqa: DTZ001
        assert crontab.first_wall_time(second) == second
