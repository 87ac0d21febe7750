"""Finds slots of `MISSED` records that have a later record, because only a wrong clock had missed them. Pure.

Of two records of a slot the later one counts; it says `corrects=clock`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from jobscheduler.model.log_line import parse_instant, slot_range


class Corrections:
    """The corrected slots, by job."""

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        """`records` are fields of the log with instants as text; those that correct nothing are ignored."""
        self._slots: dict[str, list[datetime]] = {}
        for record in records:
            self.add(record)

    def add(self, record: Mapping[str, Any]) -> None:
        """Add the slot of a record if that record is a correction."""
        if record.get("corrects") == "clock":
            with suppress(KeyError, ValueError, TypeError):
                slots = self._slots.setdefault(str(record["job_id"]), [])
                slot = parse_instant(record, "scheduled")
                if slot is not None and bisect_left(slots, slot) == bisect_right(slots, slot):
                    insort(slots, slot)

    def count(self, record: Mapping[str, Any]) -> int:
        """Return how many slots of a `MISSED` record have a later record; 0 for a record of another status."""
        slots = self._slots.get(str(record.get("job_id")))
        if not slots or (record.get("status") or record.get("word")) != "MISSED" or "corrects" in record:
            return 0
        with suppress(ValueError, TypeError):
            if (missed := slot_range(record)) is not None:
                return bisect_right(slots, missed[1]) - bisect_left(slots, missed[0])
        return 0


def describe_corrections(count: int, of: int) -> str:
    """Return a sentence: `count` of the `of` slots of a `MISSED` record have a later record, which counts."""
    if of <= 1:
        return "corrected: it has a later record"
    some = "1 has a later record" if count == 1 else f"{count} have later records"
    return "corrected: all have later records" if count >= of else f"corrected: of these slots {some}"
