"""Instants: how they are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from jobscheduler.util import instants

BERLIN = ZoneInfo("Europe/Berlin")
AT = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)


def test_an_instant_is_written_in_utc_with_milliseconds_where_there_are_any() -> None:
    """Microseconds are cut, not rounded: the text is never later than the instant."""
    assert instants.format_instant(AT.astimezone(BERLIN)) == "2026-11-22T23:00:00Z"
    assert instants.format_instant(AT + timedelta(microseconds=1999)) == "2026-11-22T23:00:00.001Z"
    assert instants.format_instant_ms(AT) == "2026-11-22T23:00:00.000Z"
    assert instants.format_instant_s(AT + timedelta(seconds=0.9)) == "2026-11-22T23:00:00Z"


def test_local_time_leaves_out_the_date_of_today() -> None:
    """The date of the zone, which is a day ahead of UTC here."""
    assert instants.format_local(AT, BERLIN) == "2026-11-23 00:00:00"
    assert instants.format_local_short(AT, AT, BERLIN) == "00:00:00"
    assert instants.format_local_short(AT, AT - timedelta(hours=1), BERLIN) == "2026-11-23 00:00:00"


def test_a_distance_from_now_is_written_as_people_say_it() -> None:
    """Less than a second is now."""
    assert instants.format_relative(AT - timedelta(minutes=34), AT) == "34m ago"
    assert instants.format_relative(AT + timedelta(minutes=85), AT) == "in 85m"
    assert instants.format_relative(AT + timedelta(milliseconds=900), AT) == "now"


def test_a_moment_has_as_much_of_its_date_as_tells_it_from_others() -> None:
    """A weekday for six days on either side of today."""
    assert instants.format_moment(AT, AT, BERLIN) == "00:00"
    assert instants.format_moment(AT + timedelta(seconds=5), AT, BERLIN) == "00:00"
    assert instants.format_moment(AT - timedelta(days=6), AT, BERLIN) == "Tue 00:00"
    assert instants.format_moment(AT + timedelta(days=7), AT, BERLIN) == "2026-11-30 00:00"


def test_a_sentence_names_weekday_and_zone() -> None:
    """An hour that occurs twice is told apart by its zone."""
    assert instants.format_with_zone(AT, BERLIN) == "Mon 2026-11-23 00:00:00 CET"
    assert instants.format_with_zone(AT + timedelta(milliseconds=20), BERLIN) == "Mon 2026-11-23 00:00:00.020 CET"
