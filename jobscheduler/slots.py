"""What becomes of each slot: run, queue, replace, skip or miss. Pure; its tests are its truth table.

Every slot of a job is decided exactly once, in order. The cursor is the last one decided, so nothing is decided twice,
however often somebody looks and whatever the clock does in between.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from operator import itemgetter
from typing import Protocol

PUNCTUAL = timedelta(seconds=10)
"""A slot decided later than this after its start fell into an outage; clock steps and sleep are noticed sooner."""

MOST = 100_000
"""How many slots of one outage are counted."""

_TICK = timedelta(microseconds=1)


class Tally(Protocol):
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
    def start_of(self, slot: datetime) -> datetime: ...  # noqa: D102
    def last(self, after: datetime, until: datetime) -> datetime | None: ...  # noqa: D102
    def tally(self, after: datetime, until: datetime, limit: int) -> Tally | None: ...  # noqa: D102


class Overlap(StrEnum):
    """What happens when a job is due while its last run is still going on."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"
    ALLOW = "allow"


class Act(StrEnum):
    """What to do about one slot."""

    RUN = "run"
    WAIT = "wait"
    REPLACE = "replace"
    SKIP = "skip"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Missed:
    """Slots that will not run: the first, the last, how many, and why; `more` when counting stopped early."""

    first: datetime
    last: datetime
    count: int
    more: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now: slots with their acts in order, those that were missed, and where the cursor stands then."""

    cursor: datetime
    acts: tuple[tuple[datetime, Act], ...] = ()
    missed: tuple[Missed, ...] = ()


@dataclass(frozen=True, slots=True)
class Situation:
    """How a job stands when its slots are decided."""

    overlap: Overlap = Overlap.SKIP
    going: bool = False
    waiting: bool = False
    catch_up: timedelta = field(default=timedelta(seconds=60))
    paused: bool = False


def decide(slots: Slots, cursor: datetime, now: datetime, situation: Situation, cause: str = "down") -> Decision:
    """Decide every slot after `cursor` whose start is not later than `now`.

    1. Slots that are looked at in time are decided one by one, under the overlap rule.
    2. If the oldest is more than `PUNCTUAL` late, they fell into an outage, of the given cause: the latest is decided
       like a punctual one unless it is older than `catch_up`, and the others are missed.
    """
    first = slots.next(cursor)
    if first is None or (begun := slots.start_of(first)) > now:
        return Decision(cursor)
    if now - begun > PUNCTUAL:
        return after_outage(slots, Outage(cursor, now, cause), situation)
    due = tuple(_due(slots, first, now))
    return Decision(due[-1], acts=_acts(due, situation))


def _due(slots: Slots, slot: datetime | None, now: datetime) -> Iterator[datetime]:
    """List slots that are punctual, so there are never many."""
    while slot is not None and slots.start_of(slot) <= now:
        yield slot
        slot = slots.next(slot)


# --- outages ---------------------------------------------------------------------------------------------

Range = tuple[datetime, datetime]
"""Slots from the first to the last, both inclusive."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which nobody decided slots: those after `after` and started until `until`.

    `accounted` are ranges in it that need nothing more, `waits` are single slots (perhaps before it) that had been
    decided to run and did not begin. Until `unknown` lines of the log may have been lost: what may have begun by then
    must not run. What counts is the start: a slot that jitter held, or that waited, has a much earlier nominal time.
    """

    after: datetime
    until: datetime
    cause: str = "down"
    accounted: tuple[Range, ...] = ()
    waits: tuple[datetime, ...] = ()
    unknown: datetime | None = None


def after_outage(slots: Slots, outage: Outage, situation: Situation) -> Decision:
    """Give every slot of an outage its account: one may run, the others are missed, in as few records as possible.

    1. Up to the last slot that is accounted for or waits, slots are listed one by one, and those without account kept.
    2. The slots after it are only counted, however many there are.
    3. The latest of all runs if it is young enough; the others are grouped so that no group spans an accounted slot.
    """
    known = max([outage.after, *outage.waits, *(last for _, last in outage.accounted)])
    gaps = _unaccounted(slots, outage, known)
    latest = _last_due(slots, known, outage.until)
    cursor = latest or known
    if latest is None and gaps:
        latest = gaps[-1]
    runs = latest if latest is not None and _may_run(slots, latest, outage, situation) else None
    missed = [Missed(slot, slot, 1, reason=_reason(slots, slot, outage)) for slot in gaps if slot != runs]
    if cursor != known:
        missed += _counted(slots, known, cursor, runs, outage)
    acts = _acts((runs,), situation) if runs is not None else ()
    return Decision(max(cursor, known), acts, tuple(_joined(slots, missed)))


def _unaccounted(slots: Slots, outage: Outage, known: datetime) -> list[datetime]:
    """List the slots until `known` that are not accounted for; after a mark of the log that is a minute's worth.

    Accounted ranges are stepped over: a start that crashed may have left one that is years long.
    """
    ranges = sorted(outage.accounted)
    found = {slot for slot in outage.waits if _covering(slot, ranges) is None}
    slot = slots.next(outage.after) if known > outage.after else None
    for _ in range(MOST):
        if slot is None or slot > known:
            break
        covering = _covering(slot, ranges)
        if covering is None:
            found.add(slot)
        slot = slots.next(slot if covering is None else covering[1])
    return sorted(found)


def _covering(slot: datetime, ranges: Sequence[Range]) -> Range | None:
    """Find the range that a slot lies in, of sorted ones; of several that begin alike the longest."""
    candidates = ranges[: bisect_right(ranges, slot, key=itemgetter(0))]
    return next((one for one in reversed(candidates) if slot <= one[1]), None)


def _last_due(slots: Slots, after: datetime, now: datetime) -> datetime | None:
    """Find the latest slot that has started; with jitter the very latest may not have."""
    latest = slots.last(after, now)
    while latest is not None and slots.start_of(latest) > now:
        latest = slots.last(after, latest - _TICK)
    return latest


def _may_run(slots: Slots, slot: datetime, outage: Outage, situation: Situation) -> bool:
    """A slot is as old as its start: jitter alone makes none too old."""
    if situation.catch_up <= timedelta(0) or outage.until - slots.start_of(slot) > situation.catch_up:
        return False
    return not _may_have_begun(slots, slot, outage)


def _counted(slots: Slots, known: datetime, last: datetime, runs: datetime | None, outage: Outage) -> Iterator[Missed]:
    """Count the slots after `known` until `last` but for the one that runs; those that may have begun by themselves."""
    until = last - _TICK if runs == last else last
    edge = None if outage.unknown is None else _last_due(slots, known, min(outage.unknown, outage.until))
    edges = [known] if edge is None or edge >= until else [known, edge]
    for after, upto in zip(edges, [*edges[1:], until], strict=True):
        tally = slots.tally(after, upto, MOST)
        if tally is not None:
            yield Missed(tally.first, tally.last, tally.count, tally.more, _reason(slots, tally.first, outage))


def _reason(slots: Slots, slot: datetime, outage: Outage) -> str:
    return "unknown" if _may_have_begun(slots, slot, outage) else outage.cause


def _may_have_begun(slots: Slots, slot: datetime, outage: Outage) -> bool:
    return outage.unknown is not None and slots.start_of(slot) <= outage.unknown


def _joined(slots: Slots, missed: list[Missed]) -> Iterator[Missed]:
    """Join neighbours that have the same reason and no slot between them."""
    held: Missed | None = None
    for one in missed:
        if held is not None and held.reason == one.reason and not held.more and slots.next(held.last) == one.first:
            held = Missed(held.first, one.last, held.count + one.count, one.more, one.reason)
        else:
            if held is not None:
                yield held
            held = one
    if held is not None:
        yield held


# --- overlap ---------------------------------------------------------------------------------------------


def act_by_hand(situation: Situation) -> Act:
    """Say what to do about a run that somebody asks for: overlap counts for it as for a slot, a pause does not."""
    ((_, act),) = _acts((datetime.max.replace(tzinfo=UTC),), replace(situation, paused=False))
    return act


def _acts(due: tuple[datetime, ...], situation: Situation) -> tuple[tuple[datetime, Act], ...]:
    """Apply the overlap rule to slots in order; each may be what the next one overlaps with."""
    going, waiting = situation.going, situation.waiting
    acts = []
    for slot in due:
        if situation.paused:
            act = Act.PAUSE
        elif not going or situation.overlap is Overlap.ALLOW:
            act, going = Act.RUN, True
        elif situation.overlap is Overlap.REPLACE:
            act, waiting = Act.REPLACE, True
        elif situation.overlap is Overlap.QUEUE and not waiting:
            act, waiting = Act.WAIT, True
        else:
            act = Act.SKIP
        acts.append((slot, act))
    return tuple(acts)
