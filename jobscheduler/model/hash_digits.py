"""The digits of the hash of a definition: some tell when its job is due, and the others the rest."""

from __future__ import annotations

SCHEDULE_DIGITS = 6  # leading hexadecimal digits that depend only on the fields that decide the slots


def has_same_slots(one: str, other: str) -> bool:
    """Return whether two definitions are due at the same times, judged by their hashes."""
    return one[:SCHEDULE_DIGITS] == other[:SCHEDULE_DIGITS]
