"""What becomes of each slot: run, queue, replace, skip or miss. Pure; its tests are its truth table.

Every slot of a job is decided exactly once, in order. The cursor is the last one decided, so nothing is decided twice,
however often somebody looks and whatever the clock does in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from jobscheduler.util.spans import TICK, Span, clip, overlap, span_at, subtract, unite

OUTAGE_AFTER = timedelta(seconds=10)
"""A slot decided later than this after its start fell into an outage; clock steps and sleep are noticed sooner."""

MAX_COUNTED_SLOTS = 100_000
"""How many slots of one outage are counted."""


class SlotRange(Protocol):
    """A summary of slots (see `timetable.Tally`)."""

    @property
    def first(self) -> datetime: ...  # noqa: D102
    @property
    def last(self) -> datetime: ...  # noqa: D102
    @property
    def count(self) -> int: ...  # noqa: D102
    @property
    def more(self) -> bool: ...  # noqa: D102


class Slots(Protocol):
    """As much of a timetable as deciding needs (see `timetable.Timetable`)."""

    def next(self, after: datetime) -> datetime | None: ...  # noqa: D102
    def start_time(self, slot: datetime) -> datetime: ...  # noqa: D102
    def last_between(self, after: datetime, until: datetime) -> datetime | None: ...  # noqa: D102
    def summarize(self, after: datetime, until: datetime, limit: int) -> SlotRange | None: ...  # noqa: D102


class Overlap(StrEnum):
    """What happens when a job is due while its last run is still going on."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"
    ALLOW = "allow"


class Action(StrEnum):
    """What to do about one slot."""

    RUN = "run"
    WAIT = "wait"
    REPLACE = "replace"
    SKIP = "skip"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class MissedSlots:
    """Slots that will not run: the first, the last, how many, and why; `more` when counting stopped early.

    `corrects` says of a single slot that it waited to run, after it had been recorded as missed by a wrong clock.
    """

    first: datetime
    last: datetime
    count: int
    more: bool = False
    reason: str = ""
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now: slots with their acts in order, those that were missed, and where the cursor stands then.

    Of the slots with acts, those in `corrects` have been recorded as missed while the clock was wrong.
    """

    cursor: datetime
    actions: tuple[tuple[datetime, Action], ...] = ()
    missed: tuple[MissedSlots, ...] = ()
    corrects: frozenset[datetime] = frozenset()


@dataclass(frozen=True, slots=True)
class JobSituation:
    """How a job stands when its slots are decided."""

    overlap: Overlap = Overlap.SKIP
    active_runs: bool = False
    waiting: bool = False
    catch_up: timedelta = field(default=timedelta(seconds=60))
    paused: bool = False


ReasonOf = tuple[str, tuple[Span, ...]]
"""Why slots come late, and spans in which the service did not move: those make no slot older."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What matters for slots that come to be decided late, or while the clock is not what it was.

    `why` is only asked when they come late. The slots in `over` are decided, those in `again` were only missed while
    the clock was wrong.
    """

    reason_of: Callable[[], ReasonOf] = lambda: ("down", ())
    decided: tuple[Span, ...] = ()
    reopened: tuple[Span, ...] = ()


PLAIN = Circumstances()
"""Nothing special."""


def decide(
    slots: Slots, cursor: datetime, now: datetime, situation: JobSituation, about: Circumstances = PLAIN
) -> Decision:
    """Decide every slot after `cursor` whose start is not later than `now`.

    1. Slots that are looked at in time are decided one by one, under the overlap rule.
    2. If the oldest is more than `PUNCTUAL` late, they fell into an outage, of the given cause: the latest is decided
       like a punctual one unless it is older than `catch_up`, and the others are missed.
    """
    first = next_slot(slots, cursor, about.decided) if about.decided else slots.next(cursor)
    if first is None or (begun := slots.start_time(first)) > now:
        return Decision(cursor)
    if now - begun > OUTAGE_AFTER:
        cause, stood = about.reason_of()
        outage = Outage(cursor, now, cause, about.decided, standstills=stood, reopened=about.reopened)
        return decide_after_outage(slots, outage, situation)
    due = tuple(_due(slots, first, now, about.decided))
    return Decision(due[-1], _actions(due, situation), corrects=_corrected(due, about.reopened))


def next_slot(slots: Slots, after: datetime, over: Sequence[Span]) -> datetime | None:
    """Return the first slot after a moment that does not lie in the spans."""
    slot = slots.next(after)
    while slot is not None and (span := span_at(slot, over)) is not None:
        slot = slots.next(span[1])
    return slot


def _due(slots: Slots, slot: datetime | None, now: datetime, over: Sequence[Span]) -> Iterator[datetime]:
    """List slots that are punctual, so there are never many."""
    while slot is not None and slots.start_time(slot) <= now:
        yield slot
        slot = next_slot(slots, slot, over) if over else slots.next(slot)


def _corrected(due: tuple[datetime, ...], again: Sequence[Span]) -> frozenset[datetime]:
    return frozenset(slot for slot in due if span_at(slot, again)) if again else frozenset()


# --- outages --- ------------------------------------------------------------------------------------------

Range = Span
"""Slots from the first to the last, both inclusive."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which nobody decided slots: those after `after` and started until `until`.

    `accounted` are ranges that need nothing more, `waits` are single slots (perhaps before it) that had been decided to
    run and did not begin. Until `unknown` lines of the log may have been lost: what may have begun by then must not
    run. What counts is the start: a slot that jitter held, or that waited, has a much earlier nominal time.
    In the spans of `stood` the service itself did not move, and slots grew no older. The slots in `again` are recorded
    as missed already, while the clock was wrong: the latest of all may still run. Those of `waits` that are also in
    `corrects` are recorded as missed, too: whatever becomes of them corrects that.
    """

    after: datetime
    until: datetime
    reason: str = "down"
    recorded: tuple[Range, ...] = ()
    pending: tuple[datetime, ...] = ()
    unknown: datetime | None = None
    standstills: tuple[Span, ...] = ()
    reopened: tuple[Range, ...] = ()
    corrects: frozenset[datetime] = frozenset()


def decide_after_outage(slots: Slots, outage: Outage, situation: JobSituation) -> Decision:
    """Give every slot of an outage its account: one may run, the others are missed, in as few records as possible.

    1. What is accounted for is cut out of the time of the outage. The slots in each piece that is left are only
       counted, however many there are.
    2. The latest of all slots that are left runs if it is young enough; the others are grouped so that no group spans
       an accounted slot.
    """
    accounted = unite(outage.recorded)
    waits = tuple(sorted(slot for slot in outage.pending if span_at(slot, accounted) is None))
    points = tuple((slot, slot) for slot in waits)
    pieces = sorted([*subtract([(outage.after + TICK, outage.until)], (*accounted, *points)), *points])
    latest = _latest(slots, pieces, waits, outage.until)
    known = max([outage.after, *outage.pending, *(last for _, last in clip(accounted, _ALL_TIME, outage.until))])
    runs = latest if latest is not None and _may_run(slots, latest, outage, situation) else None
    untold = [part for piece in pieces for part in subtract([piece], outage.reopened)]
    missed = [one for piece in untold for one in _counted(slots, piece, waits, runs, outage)]
    acts = _actions((runs,), situation) if runs is not None else ()
    points_of = ((slot, slot) for slot in outage.corrects)
    corrects = _corrected((runs,), unite((*outage.reopened, *points_of))) if runs is not None else frozenset[datetime]()
    return Decision(max(known, latest or known), acts, tuple(_merge_adjacent(slots, missed)), corrects)


_ALL_TIME = datetime.min.replace(tzinfo=UTC)


def _latest(slots: Slots, pieces: Sequence[Span], waits: Sequence[datetime], until: datetime) -> datetime | None:
    """Find the latest slot that has started, in these pieces of time, or that waits."""
    for first, last in reversed(pieces):
        found = _last_due(slots, first - TICK, last, until)
        candidates = [slot for slot in (found, *waits) if slot is not None and first <= slot <= last]
        if candidates:
            return max(candidates)
    return None


def _last_due(slots: Slots, after: datetime, upto: datetime, now: datetime) -> datetime | None:
    """Find the latest slot in a stretch that has started; with jitter the very latest may not have."""
    latest = slots.last_between(after, upto)
    while latest is not None and slots.start_time(latest) > now:
        latest = slots.last_between(after, latest - TICK)
    return latest


def _may_run(slots: Slots, slot: datetime, outage: Outage, situation: JobSituation) -> bool:
    """A slot is as old as its start, and no older by a time in which the service stood: jitter makes none too old."""
    start = slots.start_time(slot)
    if situation.catch_up <= timedelta(0) or _may_have_started(slots, slot, outage):
        return False
    age = outage.until - start
    return age <= situation.catch_up or age - overlap(outage.standstills, start, outage.until) <= situation.catch_up


def _counted(
    slots: Slots, piece: Span, waits: Sequence[datetime], runs: datetime | None, outage: Outage
) -> Iterator[MissedSlots]:
    """Count the slots of a piece but for the one that runs; apart from each other where their reasons differ."""
    first, last = piece
    if first == last and first in waits:
        if first != runs:
            yield MissedSlots(first, first, 1, reason=_reason(slots, first, outage), corrects=first in outage.corrects)
        return
    following = slots.next(first - TICK)
    if following is None or following > last:
        return
    after = first - TICK
    for upto in _edges(slots, piece, outage):
        until = runs - TICK if runs is not None and after < runs <= upto else upto
        tally = slots.summarize(after, until, MAX_COUNTED_SLOTS)
        if tally is not None:
            yield MissedSlots(tally.first, tally.last, tally.count, tally.more, _reason(slots, tally.first, outage))
        after = upto


def _edges(slots: Slots, piece: Span, outage: Outage) -> list[datetime]:
    """Return the slots of a piece behind which the reason may be another one, and its last slot that has started."""
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
    stood = any(first <= start <= last and last - first > OUTAGE_AFTER for first, last in outage.standstills)
    return "stalled" if stood and outage.reason == "down" else outage.reason


def _may_have_started(slots: Slots, slot: datetime, outage: Outage) -> bool:
    return outage.unknown is not None and slots.start_time(slot) <= outage.unknown


def _merge_adjacent(slots: Slots, missed: list[MissedSlots]) -> Iterator[MissedSlots]:
    """Join neighbours that have the same reason and no slot between them; a record that corrects stays alone."""
    held: MissedSlots | None = None
    for one in missed:
        if held is not None and _are_alike(held, one) and slots.next(held.last) == one.first:
            held = MissedSlots(held.first, one.last, held.count + one.count, one.more, one.reason)
        else:
            if held is not None:
                yield held
            held = one
    if held is not None:
        yield held


def _are_alike(one: MissedSlots, other: MissedSlots) -> bool:
    return one.reason == other.reason and not one.more and not one.corrects and not other.corrects


# --- overlap ---------------------------------------------------------------------------------------------


def decide_manual_run(situation: JobSituation) -> Action:
    """Say what to do about a run that somebody asks for: overlap counts for it as for a slot, a pause does not."""
    ((_, act),) = _actions((datetime.max.replace(tzinfo=UTC),), replace(situation, paused=False))
    return act


def _actions(due: tuple[datetime, ...], situation: JobSituation) -> tuple[tuple[datetime, Action], ...]:
    """Apply the overlap rule to slots in order; each may be what the next one overlaps with."""
    going, waiting = situation.active_runs, situation.waiting
    acts = []
    for slot in due:
        if situation.paused:
            act = Action.PAUSE
        elif not going or situation.overlap is Overlap.ALLOW:
            act, going = Action.RUN, True
        elif situation.overlap is Overlap.REPLACE:
            act, waiting = Action.REPLACE, True
        elif situation.overlap is Overlap.QUEUE and not waiting:
            act, waiting = Action.WAIT, True
        else:
            act = Action.SKIP
        acts.append((slot, act))
    return tuple(acts)
