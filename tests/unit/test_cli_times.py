"""Times as options take them: the same for every verb."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from jobscheduler.cli.times import ArgumentProblem, parse_when

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 30, 7, tzinfo=UTC)  # 08:00 in Berlin


def when(text: str, zone: ZoneInfo = BERLIN, *, is_ahead: bool = False, now: datetime = NOW) -> str:
    """The instant that a text means."""
    at = parse_when(text, "--since", zone, now, is_ahead=is_ahead)
    assert at is not None
    return at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("text", "past", "ahead"),
    [
        ("now", "2026-11-30 08:00:00", "2026-11-30 08:00:00"),
        ("2h", "2026-11-30 06:00:00", "2026-11-30 10:00:00"),
        ("1d12h", "2026-11-28 20:00:00", "2026-12-01 20:00:00"),
        ("07:15", "2026-11-30 07:15:00", "2026-12-01 07:15:00"),
        ("7:15", "2026-11-30 07:15:00", "2026-12-01 07:15:00"),
        ("14:30", "2026-11-29 14:30:00", "2026-11-30 14:30:00"),
        ("14:30:05", "2026-11-29 14:30:05", "2026-11-30 14:30:05"),
        ("08:00", "2026-11-30 08:00:00", "2026-11-30 08:00:00"),
        ("today", "2026-11-30 00:00:00", "2026-11-30 00:00:00"),
        ("yesterday", "2026-11-29 00:00:00", "2026-11-29 00:00:00"),
        ("tomorrow", "2026-12-01 00:00:00", "2026-12-01 00:00:00"),
        ("yesterday 14:30", "2026-11-29 14:30:00", "2026-11-29 14:30:00"),
        ("2026-12-01", "2026-12-01 00:00:00", "2026-12-01 00:00:00"),
        ("2026-12-01T10:00", "2026-12-01 10:00:00", "2026-12-01 10:00:00"),
        ("2026-12-01 10:00", "2026-12-01 10:00:00", "2026-12-01 10:00:00"),
        ("2026-12-01T10:00Z", "2026-12-01 11:00:00", "2026-12-01 11:00:00"),
    ],
)
def test_a_time_is_what_a_person_writes(text: str, past: str, ahead: str) -> None:
    """A duration or a time of day lies behind now or ahead, as the option means; the rest is the same."""
    assert (when(text), when(text, is_ahead=True)) == (past, ahead)


@pytest.mark.parametrize("text", ["2026-13-01", "2026-13-41", "2026-02-30", "0000-01-01"])
def test_a_date_that_does_not_exist_is_refused_and_never_read_as_another(text: str) -> None:
    """Also where the 13th month might be a day: that is a suggestion, not the answer."""
    with pytest.raises(ArgumentProblem):
        parse_when(text, "--since", ZoneInfo("UTC"), NOW)


@pytest.mark.parametrize(
    "text", ["25:00", "12:60", "12:30:61", "noon", "last week", "", "-2h", "today 24:30", "\x1b[2J"]
)
def test_other_text_is_refused_with_all_that_may_be_written(text: str) -> None:
    """The help names the zone; what does not print is not repeated."""
    with pytest.raises(ArgumentProblem) as refused:
        parse_when(text, "--since", BERLIN, NOW)
    problem = refused.value.problem
    assert "of Europe/Berlin" in (problem.help or "")
    assert "how long ago, like `2h`" in (problem.help or "")
    assert "\x1b" not in f"{problem}"


def test_a_date_whose_midnight_is_skipped_begins_after_the_gap() -> None:
    """In Cairo the clock goes from 00:00 to 01:00 on the 24th of April 2026."""
    found = parse_when("2026-04-24", "--since", ZoneInfo("Africa/Cairo"), NOW)
    assert found == datetime(2026, 4, 23, 22, tzinfo=UTC)


def test_a_time_of_day_that_the_clock_skips_or_repeats_is_its_first_instant() -> None:
    """On the 29th of March 2026 there is no 02:30 in Berlin, on the 25th of October there are two."""
    spring, autumn = datetime(2026, 3, 29, 12, tzinfo=UTC), datetime(2026, 10, 25, 12, tzinfo=UTC)
    assert parse_when("02:30", "--at", BERLIN, spring) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert parse_when("02:30", "--at", BERLIN, autumn) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
