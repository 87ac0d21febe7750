"""Times as options take them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from jobscheduler.cli.times import ArgumentProblem, parse_time_or_age

NOW = datetime(2026, 11, 30, 7, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-13-01", "2026-13-41", "2026-02-30", "0000-01-01"])
def test_a_date_that_does_not_exist_is_refused_and_never_read_as_another(text: str) -> None:
    """Also where the 13th month might be a day: that is a suggestion, not the answer."""
    with pytest.raises(ArgumentProblem):
        parse_time_or_age(text, "--since", ZoneInfo("UTC"), NOW)


def test_a_date_whose_midnight_is_skipped_begins_after_the_gap() -> None:
    """In Cairo the clock goes from 00:00 to 01:00 on the 24th of April 2026."""
    found = parse_time_or_age("2026-04-24", "--since", ZoneInfo("Africa/Cairo"), NOW)
    assert found == datetime(2026, 4, 23, 22, tzinfo=UTC)
