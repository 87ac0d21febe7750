"""Decide the slots of an outage: the latest may run, the others are missed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from jobscheduler.timetable.decision import PAUSED, Decision, MissedSlots, Slots
from jobscheduler.timetable.overlap import JobSituation, overlap_actions
from jobscheduler.util.time_spans import TICK, TimeSpan, clip, overlap, span_at, subtract, unite

# A slot decided later than this after its start fell into an outage. Clock steps and sleep are noticed sooner.
OUTAGE_AFTER = timedelta(seconds=10)
MAX_COUNTED_SLOTS = 100_000  # slots of one outage that are counted; a summary of more says so
_ALL_TIME = datetime.min.replace(tzinfo=UTC)
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which the service decided no slots: those after `after` that started by `until`.

    `recorded`: ranges of slots that already have a record.
    `pending`: slots (perhaps before the outage) that were decided to run and did not begin.
    `unknown`: log lines up to this time may be lost, so a slot that started by then must not run. The start counts: a
    slot with jitter, or a pending one, has a much earlier nominal time.
    `standstills`: spans in which the service itself stood still. Slots do not age in them.
    `reopened`: slots that were recorded as missed while the clock was wrong. The latest slot of all may still run.
    `corrects`: pending slots that are also recorded as missed. Their next record corrects that one.
    `is_pending_apart`: a pending slot that is missed has its own record, because another service may have begun it.
    """

    after: datetime
    until: datetime
    reason: str = "down"
    recorded: tuple[TimeSpan, ...] = ()
    pending: tuple[datetime, ...] = ()
    unknown: datetime | None = None
    standstills: tuple[TimeSpan, ...] = ()
    reopened: tuple[TimeSpan, ...] = ()
    corrects: frozenset[datetime] = frozenset()
    is_pending_apart: bool = False


def decide_after_outage(slots: Slots, outage: Outage, situation: JobSituation) -> Decision:
    """Decide every slot of an outage: one may run, the others are missed, in as few records as possible.

    1. Recorded ranges are cut out of the time of the outage. The slots in each remaining piece are only counted,
       however many there are.
    2. Slots of a pause are skipped, however young they are. Those after its end are treated as if there had been none.
    3. The latest remaining slot runs if it is young enough. The others are grouped so that no group spans a recorded
       slot.

    Most jobs have no slot in an outage, and none that is pending. One look at their timetable is enough.

    Example: a job of every minute, an outage from 12:00 to 12:05, and a record for 12:02. The pieces are 12:01, and
    12:03 to 12:05. 12:05 runs. 12:01 is missed, and 12:03 to 12:04 is missed in one record.
    """
    recorded = unite(outage.recorded) if outage.recorded else ()
    if not outage.pending and not _has_slot(slots, outage):
        return Decision(_decided_until(outage, recorded))
    pending = tuple(sorted(slot for slot in outage.pending if span_at(slot, recorded) is None))
    pieces = _pieces(outage, recorded, pending)
    paused, free = _split(pieces, situation.paused_until)
    latest_free = _latest(slots, free, pending, outage.until)
    latest = latest_free or _latest(slots, paused, pending, outage.until)
    runs = latest_free if latest_free is not None and _may_run(slots, latest_free, outage, situation) else None
    skipped = [replace(one, reason=PAUSED) for one in _count_all(slots, paused, pending, None, outage)]
    missed = [*skipped, *_count_all(slots, free, pending, runs, outage)]
    due = () if runs is None else (runs,)
    reopened = unite((*outage.reopened, *((slot, slot) for slot in outage.corrects)))
    actions, corrects = overlap_actions(due, situation), corrected_slots(due, reopened)
    apart = pending if outage.is_pending_apart else ()
    decided_until = _decided_until(outage, recorded)
    cursor = decided_until if latest is None else max(decided_until, latest)
    return Decision(cursor, actions, tuple(_merge_adjacent(slots, missed, apart)), corrects)


def _has_slot(slots: Slots, outage: Outage) -> bool:
    """Return whether a slot lies in the time of an outage, recorded or not."""
    first = slots.next(outage.after)
    return first is not None and first <= outage.until


def _pieces(outage: Outage, recorded: Sequence[TimeSpan], pending: Sequence[datetime]) -> list[TimeSpan]:
    """Return the time of the outage without recorded ranges; each pending slot is a piece of its own."""
    points = tuple((slot, slot) for slot in pending)
    return sorted([*subtract([(outage.after + TICK, outage.until)], (*recorded, *points)), *points])


def _decided_until(outage: Outage, recorded: Sequence[TimeSpan]) -> datetime:
    """Return the latest instant whose slot was decided before this decision."""
    if not outage.pending and not recorded:
        return outage.after
    return max([outage.after, *outage.pending, *(last for _, last in clip(recorded, _ALL_TIME, outage.until))])


def _split(pieces: Sequence[TimeSpan], paused_until: datetime | None) -> tuple[Sequence[TimeSpan], Sequence[TimeSpan]]:
    """Return the pieces of time before the end of a pause, and those from it on."""
    if paused_until is None:
        return (), pieces
    return clip(pieces, _ALL_TIME, paused_until - TICK), clip(pieces, paused_until, _END_OF_TIME)


def _latest(slots: Slots, pieces: Sequence[TimeSpan], pending: Sequence[datetime], until: datetime) -> datetime | None:
    """Find the latest slot that has started in these pieces of time, or is pending."""
    for first, last in reversed(pieces):
        started = _last_due(slots, first - TICK, last, until)
        candidates = [slot for slot in (started, *pending) if slot is not None and first <= slot <= last]
        if candidates:
            return max(candidates)
    return None


def _last_due(slots: Slots, after: datetime, upto: datetime, now: datetime) -> datetime | None:
    """Find the latest slot of a span that has started. With jitter the very latest may not have started yet."""
    latest = slots.last_between(after, upto)
    while latest is not None and slots.start_time(latest) > now:
        latest = slots.last_between(after, latest - TICK)
    return latest


def _may_run(slots: Slots, slot: datetime, outage: Outage, situation: JobSituation) -> bool:
    """Return whether a slot may still run. Its age counts from its start, so jitter does not use up `catch_up`.

    A standstill of the service does not count as age.
    """
    start = slots.start_time(slot)
    if situation.catch_up <= timedelta(0) or _may_have_started(slots, slot, outage):
        return False
    age = outage.until - start
    return age <= situation.catch_up or age - overlap(outage.standstills, start, outage.until) <= situation.catch_up


def _count_all(
    slots: Slots, pieces: Sequence[TimeSpan], pending: Sequence[datetime], runs: datetime | None, outage: Outage
) -> Iterator[MissedSlots]:
    """Count the slots of all pieces, but for those that have a record which a later one may correct."""
    for piece in pieces:
        for part in subtract([piece], outage.reopened):
            yield from _counted(slots, part, pending, runs, outage)


def _counted(
    slots: Slots, piece: TimeSpan, pending: Sequence[datetime], runs: datetime | None, outage: Outage
) -> Iterator[MissedSlots]:
    """Count the slots of a piece except the one that runs, separately where their reasons differ."""
    first, last = piece
    if first == last and first in pending:
        if first != runs:
            yield MissedSlots(first, first, 1, reason=_reason(slots, first, outage), corrects=first in outage.corrects)
        return
    following = slots.next(first - TICK)
    if following is None or following > last:
        return
    after = first - TICK
    for upto in _edges(slots, piece, outage):
        until = runs - TICK if runs is not None and after < runs <= upto else upto
        summary = slots.summarize(after, until, MAX_COUNTED_SLOTS)
        if summary is not None:
            yield MissedSlots(
                summary.first, summary.last, summary.count, summary.more, _reason(slots, summary.first, outage)
            )
        after = upto


def _edges(slots: Slots, piece: TimeSpan, outage: Outage) -> list[datetime]:
    """Return the slots of a piece after which the reason may change, and its last slot that has started."""
    first, last = piece
    end = _last_due(slots, first - TICK, last, outage.until)
    if end is None:
        return []
    changes = [outage.unknown] if outage.unknown is not None else []
    changes += [at for span in outage.standstills for at in (span[0] - TICK, span[1])]
    edges = {_last_due(slots, first - TICK, min(last, at), at) for at in changes if at < outage.until}
    return [*sorted(edge for edge in edges if edge is not None and edge < end), end]


def _reason(slots: Slots, slot: datetime, outage: Outage) -> str:
    if _may_have_started(slots, slot, outage):
        return "unknown"
    start = slots.start_time(slot)
    is_stalled = any(first <= start <= last and last - first > OUTAGE_AFTER for first, last in outage.standstills)
    return "stalled" if is_stalled and outage.reason == "down" else outage.reason


def _may_have_started(slots: Slots, slot: datetime, outage: Outage) -> bool:
    return outage.unknown is not None and slots.start_time(slot) <= outage.unknown


def _merge_adjacent(slots: Slots, missed: list[MissedSlots], apart: Sequence[datetime]) -> Iterator[MissedSlots]:
    """Merge neighbours with the same reason and no slot between them, without the slots that stay `apart`.

    A record that corrects stays separate.
    """
    group: MissedSlots | None = None
    for current in missed:
        may_merge = group is not None and not {group.first, current.first} & {*apart}
        if may_merge and group is not None and _are_alike(group, current) and slots.next(group.last) == current.first:
            group = MissedSlots(group.first, current.last, group.count + current.count, current.more, current.reason)
        else:
            if group is not None:
                yield group
            group = current
    if group is not None:
        yield group


def _are_alike(one: MissedSlots, other: MissedSlots) -> bool:
    return one.reason == other.reason and not one.more and not one.corrects and not other.corrects


def corrected_slots(due: tuple[datetime, ...], reopened: Sequence[TimeSpan]) -> frozenset[datetime]:
    """Return the slots that were only missed because the clock was wrong."""
    return frozenset(slot for slot in due if span_at(slot, reopened)) if reopened else frozenset()
