"""Durations: which texts are valid, and how a duration is written."""

from __future__ import annotations

from typing import Any

import pytest

from jobscheduler.util import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (90, 90),
        (0.5, 0.5),
        ("90s", 90),
        ("15m", 900),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1.5s", 1.5),
        ("1.5m", 90),
        ("1.5h", 5400),
        ("0.5d", 43200),
        ("0s", 0),
        ("3650d", 315360000),
    ],
)
def test_a_duration_is_a_number_or_text_with_units(text: Any, seconds: float) -> None:
    """A number counts seconds; units go from large to small."""
    assert durations.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "s", "1m1h", "-5s", "5 s", "1.5h30m", "1.m", "٣s", "3651d", -1, 1e30, "9" * 99]
)
def test_other_text_is_refused(text: Any) -> None:
    """The parser does not guess."""
    with pytest.raises(ValueError, match="duration"):
        durations.parse_duration(text)


def test_a_refused_text_is_quoted_without_what_does_not_print() -> None:
    """A message must not contain a control character."""
    with pytest.raises(ValueError, match="`5�s` is not a duration"):
        durations.parse_duration("5\x1bs")


@pytest.mark.parametrize(
    ("seconds", "page", "sentence", "column"),
    [
        (0.004, "4 ms", "0.004 s", "4ms"),
        (1.2, "1.20 s", "1.2 s", "1.2s"),
        (59.9, "59.9 s", "59.9 s", "1m"),
        (90, "1 min 30 s", "90 s", "1m30s"),
        (125, "2 min 5 s", "2.08 min", "2m05s"),
        (3602, "1 h", "60 min", "1h"),
        (9000, "2 h 30 min", "2.5 h", "2h30m"),
        (273600, "3 d 4 h", "3.17 d", "3d04h"),
        (20787 * 86400, "20787 d", "20787 d", "20787d"),
    ],
)
def test_a_duration_is_written_for_a_page_a_sentence_and_a_column(
    seconds: float, page: str, sentence: str, column: str
) -> None:
    """In two units, in one, and without blanks."""
    assert durations.format_duration(seconds) == page
    assert durations.format_rough_duration(seconds) == sentence
    assert durations.format_compact_duration(seconds) == column


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0s"), (3.9, "3s"), (119, "119s"), (120, "2m"), (5100, "85m"), (7200, "2h"), (172_799, "47h")),
        *((172_800, "2d"), (400 * 86400, "400d"), (73.5 * 31_557_600, "73y")),
    ],
)
def test_a_distance_from_now_is_written_in_one_unit(seconds: float, text: str) -> None:
    """The largest one of which there are two: what is left out is less than a half."""
    assert durations.format_age(seconds) == text
