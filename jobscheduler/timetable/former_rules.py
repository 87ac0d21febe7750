"""The rules of a zone as the log keeps them: its offsets around one moment, from which a start makes a zone again.

The files of a host have only the present rules. A start compares these with what the service before it went by.
"""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from zoneinfo import ZoneInfo

from jobscheduler.model import ZoneOffsets
from jobscheduler.timetable.crontab.wall_clock import DAY, offset_at, offset_periods

_WEEK = 7 * DAY
_WEEKS_BEFORE, _WEEKS_AFTER = 1, 58  # new rules set a clock by a day at most; a log is begun anew more than once a year
_STEP = 3 * DAY  # seconds; shorter than from one change of a zone to the next


def zone_offsets(zone: ZoneInfo, instant: int) -> ZoneOffsets:
    """Return the offsets of a zone from the week before an instant to more than a year after it."""
    week = instant // _WEEK
    return offsets_between(zone, (week - _WEEKS_BEFORE) * _WEEK, (week + _WEEKS_AFTER) * _WEEK)


@lru_cache(maxsize=1024)
def offsets_between(zone: ZoneInfo, start: int, end: int) -> ZoneOffsets:
    """Return each offset with the instant from which it holds; the first is `start`, and the last entry is the end."""
    offsets = [(start, offset_at(zone, start))]
    for probe in range(start + _STEP, end + _STEP, _STEP):
        if offset_at(zone, min(probe, end)) == offsets[-1][1]:
            continue
        for period in offset_periods(zone, probe - _STEP):
            if period.start >= min(probe, end):
                break
            if period.offset != offsets[-1][1]:
                offsets.append((period.start, period.offset))
    return (*offsets, (end, offsets[-1][1]))


def zone_of(name: str, offsets: ZoneOffsets) -> ZoneInfo:
    """Return a zone of this name with these offsets (as a file by RFC 9636 without rules for the time after)."""
    kinds = sorted({offset for _, offset in offsets})
    name_of_kind = b"X\0"
    types = b"".join(struct.pack(">lbb", offset, 0, 0) for offset in kinds) + name_of_kind
    instants = b"".join(struct.pack(">q", instant) for instant, _ in offsets)
    indexes = bytes(kinds.index(offset) for _, offset in offsets)
    first = _header(0, 1) + struct.pack(">lbb", 0, 0, 0) + name_of_kind
    data = first + _header(len(offsets), len(kinds)) + instants + indexes + types + b"\n\n"
    return ZoneInfo.from_file(io.BytesIO(data), key=name)


def _header(changes: int, kinds: int) -> bytes:
    return b"TZif2" + bytes(15) + struct.pack(">6l", 0, 0, 0, changes, kinds, 2)
