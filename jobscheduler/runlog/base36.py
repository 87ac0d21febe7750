"""Write instants as whole seconds in base 36: in a checkpoint with 100,000 jobs every character counts."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from jobscheduler.model import EPOCH

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def second_text(at: datetime) -> str:
    """Format the second that an instant lies in, in base 36: rounded down."""
    number = int((at - EPOCH).total_seconds() // 1)
    digits, remainder = "", abs(number)
    while remainder or not digits:
        remainder, digit = divmod(remainder, 36)
        digits = _DIGITS[digit] + digits
    return f"-{digits}" if number < 0 else digits


def parse_second(text: str) -> datetime:
    """Return the instant of a text from `second_text`.

    Raises:
        ValueError: the text is malformed.

    """
    with suppress(OverflowError):
        return EPOCH.astimezone(UTC) + timedelta(seconds=int(text, 36))
    raise ValueError(text)
