"""Compute an agenda: the starts of all jobs in order of time, and where workers are short. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from jobscheduler.cli.service_jobs import KnownJob
from jobscheduler.timetable import crontab
from jobscheduler.timetable.crontab import Crontab
from jobscheduler.timetable.timetable import Timetable, timetable_of
from jobscheduler.util.durations import format_compact_duration
from jobscheduler.util.instants import format_instant, format_local
from jobscheduler.util.text import plural

MAX_SINGLE_SLOTS = 48  # slots of one job in the period that are listed one by one
MAX_COUNTED_SLOTS = 100_000  # of one job
MAX_SIMULATED_SLOTS = 50_000  # of all jobs together, for which it is known how many are at work at once
UNKNOWN_DURATION_S = 1.0  # seconds that a run of an unknown duration counts

_Run = tuple[datetime, datetime]  # a slot and its start, or a start and its end

_ICAL_LINE_BYTES = 74  # a longer line is folded (RFC 5545)


class Entry(NamedTuple):
    """One start: when, of which job and slot, and how long it usually takes. They are sorted by these, in this order.

    A tuple, since a day of many jobs has tens of thousands, of which few are shown.
    """

    start: datetime
    job_id: str
    slot: datetime
    timetable: Timetable
    usual: float | None = None

    @property
    def note(self) -> str | None:
        """The effect of a clock change."""
        schedule = self.timetable.schedule
        effect = (
            crontab.dst_effect_at(schedule, self.slot, self.timetable.zone) if isinstance(schedule, Crontab) else None
        )
        return effect.text if effect else None


@dataclass(frozen=True, slots=True)
class FrequentJob:
    """A job with too many slots to list, with their number; `more` if there are more than were counted."""

    job_id: str
    slots: int
    more: bool
    usual: float | None


@dataclass(frozen=True, slots=True)
class Crowd:
    """A time in which more runs are at work than there are workers, and the most at once."""

    first: datetime
    last: datetime
    most: int


@dataclass(frozen=True, slots=True)
class Agenda:
    """What starts in a period; `crowds` is None where there are too many slots to tell."""

    entries: Sequence[Entry]
    frequent: Sequence[FrequentJob]
    crowds: Sequence[Crowd] | None


@dataclass(frozen=True, slots=True)
class Period:
    """From when to when, both inclusive."""

    first: datetime
    last: datetime


def agenda(jobs: Iterable[KnownJob], period: Period, seed: str, workers: int) -> Agenda:
    """Return the agenda of the jobs that are not disabled, after their pauses; `seed` makes the jitter of this host."""
    frequent, entries, runs, total = list[FrequentJob](), list[Entry](), list[_Run](), 0
    single = _SharedStarts()
    for known in jobs:
        if None in known.pause_ends or not known.job.enabled:
            continue
        its_period, timetable = _after_pauses(period, known), timetable_of(known.job, seed)
        starts = single.of(timetable, its_period)
        if len(starts) <= MAX_SINGLE_SLOTS:
            job_id, usual = known.job.id, known.usual
            entries += [Entry(start, job_id, slot, timetable, usual) for slot, start in starts]
            total += len(starts)
        elif slots := timetable.summarize(its_period.first - _tick(timetable), period.last, MAX_COUNTED_SLOTS):
            frequent.append(FrequentJob(known.job.id, slots.count, slots.more, known.usual))
            total += slots.count
            starts = list(_slots(timetable, its_period)) if total <= MAX_SIMULATED_SLOTS else []
        if total <= MAX_SIMULATED_SLOTS:
            runs += _runs(known, starts)
    crowds = None if total > MAX_SIMULATED_SLOTS else tuple(crowds_of(runs, workers))
    return Agenda(sorted(entries), frequent, crowds)


class _SharedStarts:
    """The slots and starts of each timetable: many jobs have the same one, and it is computed once for them."""

    def __init__(self) -> None:
        self._known: dict[tuple[Timetable, Period], list[_Run]] = {}

    def of(self, timetable: Timetable, period: Period) -> list[_Run]:
        """Return the first starts in a period: one more than are listed one by one, if there are as many."""
        if (found := self._known.get((timetable, period))) is None:
            found = list(islice(_slots(timetable, period), MAX_SINGLE_SLOTS + 1))
            self._known[timetable, period] = found
        return found


def _after_pauses(period: Period, known: KnownJob) -> Period:
    """Return the part of a period in which a job is not paused."""
    return Period(max([period.first, *(end for end in known.pause_ends if end is not None)]), period.last)


def _tick(timetable: Timetable) -> timedelta:
    """Return how long before the period a slot may be whose start lies in it."""
    return timedelta(seconds=timetable.jitter, microseconds=1)


def _slots(timetable: Timetable, period: Period) -> Iterator[tuple[datetime, datetime]]:
    """Yield each slot that starts in the period, with its start."""
    for slot in timetable.slots(period.first - _tick(timetable), period.last, MAX_COUNTED_SLOTS):
        start = timetable.start_time(slot)
        if period.first <= start <= period.last:
            yield slot, start


def _runs(known: KnownJob, starts: Iterable[_Run]) -> Iterator[_Run]:
    """Yield when each run begins and usually ends."""
    length = timedelta(seconds=max(known.usual or UNKNOWN_DURATION_S, UNKNOWN_DURATION_S))
    return ((start, start + length) for _, start in starts)


def crowds_of(runs: Iterable[tuple[datetime, datetime]], workers: int) -> Iterator[Crowd]:
    """Yield the times in which more runs are at work at once than there are workers. A run that ends makes room."""
    changes = sorted([change for begin, end in runs for change in ((begin, 1), (end, -1))])
    at_work, first, most = 0, None, 0
    for at, change in changes:
        at_work += change
        if at_work > workers:
            first, most = first or at, max(most, at_work)
        elif first is not None:
            yield Crowd(first, at, most)
            first, most = None, 0


# --- renderings -----------------------------------------------------------------------------------------


def rows(entries: Iterable[Entry], zone: ZoneInfo) -> Iterator[Sequence[str]]:
    """Yield the cells of each start; the date stands where it changes."""
    day = ""
    for entry in entries:
        local = format_local(entry.start, zone)
        slot = "" if entry.slot == entry.start else f"slot {format_local(entry.slot, zone)[11:]}"
        usual = "-" if entry.usual is None else format_compact_duration(entry.usual)
        shown_day = f"{entry.start.astimezone(zone):%a} {local[:10]}"
        yield (
            "" if shown_day == day else shown_day,
            local[11:],
            entry.job_id,
            usual,
            ", ".join(filter(None, (slot, entry.note))),
        )
        day = shown_day


def remarks(found: Agenda, zone: ZoneInfo, workers: int) -> Iterator[str]:
    """Yield what stands below the agenda: frequent jobs, and where workers are short."""
    for job in found.frequent:
        more = "more than " if job.more else ""
        usual = "" if job.usual is None else f", {format_compact_duration(job.usual)} each"
        yield f"also {job.job_id}: {more}{plural(job.slots, 'slot')}{usual}"
    if found.crowds is None:
        yield "there are too many slots to tell whether workers are short at times"
        return
    for crowd in found.crowds:
        until = format_local(crowd.last, zone)[11:]
        yield (
            f"workers are short from {format_local(crowd.first, zone)} to {until}: up to {plural(crowd.most, 'run')} "
            f"at once, and {plural(workers, 'worker')}"
        )


def entry_json(entry: Entry) -> dict[str, object]:
    """Return one start as JSON; instants are UTC, durations seconds."""
    return {
        "job_id": entry.job_id,
        "scheduled": format_instant(entry.slot),
        "start": format_instant(entry.start),
        "usual": entry.usual,
        "note": entry.note,
    }


def ical_lines(entries: Iterable[Entry], host: str, now: datetime) -> Iterator[str]:
    """Yield the lines of an iCalendar file with one event for each start, folded and without their ends."""
    yield from ("BEGIN:VCALENDAR", "VERSION:2.0", f"PRODID:-//jobscheduler//{_ical_text(host)}//EN")
    for entry in entries:
        seconds = max(1, round(entry.usual or UNKNOWN_DURATION_S))
        yield "BEGIN:VEVENT"
        for line in (
            f"UID:{entry.job_id}-{_ical_instant(entry.slot)}@{_ical_text(host)}",
            f"DTSTAMP:{_ical_instant(now)}",
            f"DTSTART:{_ical_instant(entry.start)}",
            f"DURATION:PT{seconds}S",
            f"SUMMARY:{_ical_text(entry.job_id)}",
        ):
            yield from _folded(line)
        yield "END:VEVENT"
    yield "END:VCALENDAR"


def _ical_instant(at: datetime) -> str:
    return format_instant(at.replace(microsecond=0)).replace("-", "").replace(":", "")


def _ical_text(text: str) -> str:
    for character in "\\;,":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", "\\n")


def _folded(line: str) -> Iterator[str]:
    """Yield a line in parts of at most 74 bytes; ids are ASCII, so no character is parted."""
    yield line[:_ICAL_LINE_BYTES]
    for start in range(_ICAL_LINE_BYTES, len(line), _ICAL_LINE_BYTES - 1):
        yield f" {line[start : start + _ICAL_LINE_BYTES - 1]}"
