"""The nominal slots of one job and their starts: schedule, bounds and jitter together.

A slot is a nominal instant. Its start is later by the jitter, which is always the same for one job, slot and host.
The jitter ends before the following slot. So starts are in the order of their slots, and each start has one slot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from jobscheduler.model import Cron, Job, Once, truncate_to_ms
from jobscheduler.timetable.crontab import Crontab, count_slots, parse, to_epoch_seconds
from jobscheduler.timetable.decision import SlotRange
from jobscheduler.timetable.timezones import get_zone
from jobscheduler.util.time_spans import TICK

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Timetable:
    """The slots of one schedule within its bounds (both inclusive); `jitter` is seconds, `seed` names job and host.

    Equal timetables give equal slots and starts. It holds no state and may be shared by threads.
    """

    schedule: Crontab | datetime
    zone: ZoneInfo
    not_before: datetime | None = None
    not_after: datetime | None = None
    jitter: float = 0.0
    seed: str = ""
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        parts = (self.schedule, self.zone, self.not_before, self.not_after, self.jitter, self.seed)
        object.__setattr__(self, "_hash", hash(parts))  # cached: shared timetables are keys of hot caches

    def __hash__(self) -> int:
        return self._hash

    @property
    def has_fixed_times(self) -> bool:
        """Whether its slots are times of day, which new rules of the zone move."""
        schedule = self.schedule
        return isinstance(schedule, Crontab) and not schedule.real_time and schedule.has_slots

    @property
    def at_boot(self) -> bool:
        """Whether this is `@reboot`, which has no slots here. The service makes its one slot per boot."""
        return isinstance(self.schedule, Crontab) and self.schedule.at_boot

    @property
    def has_slots(self) -> bool:
        """Whether its slots can be computed: not those of `@reboot`, and `@manual` has none."""
        return not isinstance(self.schedule, Crontab) or self.schedule.has_slots

    def next(self, after: datetime) -> datetime | None:
        """Return the first slot strictly after an aware moment, in UTC, or None.

        Raises:
            ValueError: the moment is naive.

        """
        return _shared_next(self, after) if after.tzinfo is UTC else _next(self, after)

    def slots(self, after: datetime, until: datetime, limit: int) -> Iterator[datetime]:
        """Yield the slots with `after < slot <= until`, at most `limit` of them."""
        return islice(takewhile(lambda slot: slot <= until, self.iter_after(after)), limit)

    def iter_after(self, after: datetime) -> Iterator[datetime]:
        """Yield all slots after a moment."""
        slot = self.next(after)
        while slot is not None:
            yield slot
            slot = self.next(slot)

    def last_between(self, after: datetime, until: datetime) -> datetime | None:
        """Return the latest slot with `after < slot <= until`, or None. Bisects, so many slots cost little."""
        first = self.next(after)
        if first is None or first > until:
            return None
        low, high = self._shortly_before(until, first), until
        while high - low >= _SECOND:
            middle = low + (high - low) / 2
            slot = self.next(middle)
            if slot is not None and slot <= until:
                low = slot
            else:
                high = middle
        return low

    def _shortly_before(self, until: datetime, earliest: datetime) -> datetime:
        """Return a slot not later than `until`: from the last minute, hour or day, else the earliest."""
        back = 60
        while back < (until - earliest).total_seconds():
            slot = self.next(until - timedelta(seconds=back))
            if slot is not None and slot <= until:
                return slot
            back *= 24
        return earliest

    def summarize(self, after: datetime, until: datetime, limit: int) -> SlotRange | None:
        """Summarize the slots with `after < slot <= until`, counting at most `limit`; None if there are none."""
        first, last = self.next(after), self.last_between(after, until)
        if first is None or last is None:
            return None
        count = self._count(first, last)
        return SlotRange(first, last, min(count, limit), count > limit)

    def _count(self, first: datetime, last: datetime) -> int:
        """Count the slots from one to another, both inclusive."""
        if not isinstance(self.schedule, Crontab):
            return 1
        return _count(self.schedule, self.zone, to_epoch_seconds(first) - 1, to_epoch_seconds(last))

    def start_time(self, slot: datetime) -> datetime:
        """Return the moment at which a slot starts: itself, or up to `jitter` later but before the following slot."""
        return slot if self.jitter <= 0 else _jittered_start(self, slot)

    @property
    def without_jitter(self) -> Timetable:
        """The same slots, each starting at its nominal time."""
        return self if self.jitter <= 0 else replace(self, jitter=0.0, seed="")

    def slot_started_by(self, start: datetime) -> datetime | None:
        """Return the slot that has begun to be due at `start`: the latest one at most `jitter` before it."""
        try:
            earliest = start - timedelta(seconds=self.jitter) - TICK
        except OverflowError:  # in the first days of year 1
            return None
        return self.last_between(earliest, start)

    def next_start(self, after: datetime) -> datetime | None:
        """Return the first start strictly after a moment: that of a slot whose jitter is still running, or the next."""
        if self.jitter > 0:
            current = self.slot_started_by(after)
            if current is not None and (start := self.start_time(current)) > after:
                return start
        slot = self.next(after)
        return None if slot is None else self.start_time(slot)


# Computes a start once: lists of jobs ask for it again and again until its slot is decided.
@lru_cache(maxsize=16_384)
def _jittered_start(timetable: Timetable, slot: datetime) -> datetime:
    span, following = timetable.jitter, timetable.next(slot)
    if following is not None:
        span = min(span, (following - slot).total_seconds())
    return slot + timedelta(microseconds=int(span * 1_000_000 * _share(timetable.seed, slot)))


def _share(seed: str, slot: datetime) -> float:
    """Return a number in [0, 1) that is always the same for job, host and slot (`hash` differs between runs)."""
    text = f"{seed}\0{slot.astimezone(UTC).isoformat()}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48


def timetable_of(job: Job, host: str = "") -> Timetable:
    """Return the timetable of a job; jobs with the same schedule, bounds and no jitter share one object.

    `host` is the machine id, so that hosts spread their starts differently. A valid job always has a timetable.

    Raises:
        ScheduleError: the schedule of an unchecked job is not valid.
        UnknownTimezone: the zone of an unchecked job is not known.

    """
    seed = f"{host}\0{job.id}" if job.jitter > 0 else ""
    zone = get_zone(job.schedule.timezone if isinstance(job.schedule, Cron) else "UTC")  # with the rules in force
    return _timetable(job.schedule, zone, job.not_before, job.not_after, job.jitter, seed)


def _next(timetable: Timetable, after: datetime) -> datetime | None:
    if timetable.not_before is not None and after < timetable.not_before:
        after = timetable.not_before - TICK
    slot = _unbounded(timetable, after)
    return None if slot is None or (timetable.not_after is not None and slot > timetable.not_after) else slot


# Computes a slot once for all jobs that share a timetable: jobs due at the same time ask for the same slots, twice.
# Only for moments in UTC: in other zones two moments that differ by `fold` are equal.
_shared_next = lru_cache(maxsize=1024)(_next)


def _unbounded(timetable: Timetable, after: datetime) -> datetime | None:
    if isinstance(timetable.schedule, Crontab):
        return timetable.schedule.next(after, timetable.zone)
    if after.utcoffset() is None:
        raise ValueError("a moment needs a time zone")
    return timetable.schedule if timetable.schedule > after else None


@lru_cache(maxsize=1024)
def _count(schedule: Crontab, zone: ZoneInfo, after: int, until: int) -> int:
    """Count once for all jobs that share a schedule. After an outage they all ask for the same time span."""
    return count_slots(schedule, zone, after, until)


@lru_cache(maxsize=65_536)
def _timetable(
    schedule: Cron | Once,
    zone: ZoneInfo,
    not_before: datetime | None,
    not_after: datetime | None,
    jitter: float,
    seed: str,
) -> Timetable:
    parsed = parse(schedule.expression) if isinstance(schedule, Cron) else truncate_to_ms(schedule.at.astimezone(UTC))
    return Timetable(parsed, zone, not_before, not_after, jitter, seed)
