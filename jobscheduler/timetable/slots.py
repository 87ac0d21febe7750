"""Decide each slot: run, queue, replace, skip or miss. Pure; its tests are its truth table.

Invariant: every slot of a job is decided exactly once, in order. The cursor is the last slot that was decided. So
repeated calls and clock changes decide no slot twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from jobscheduler.util.spans import TICK, Span, clip, overlap, span_at, subtract, unite

# A slot decided later than this after its start fell into an outage. Clock steps and sleep are noticed sooner.
OUTAGE_AFTER = timedelta(seconds=10)
MAX_COUNTED_SLOTS = 100_000  # slots of one outage that are counted; a summary of more says so


class SlotRange(Protocol):
    """A summary of slots; `timetable.SlotRange` is one."""

    @property
    def first(self) -> datetime: ...  # noqa: D102
    @property
    def last(self) -> datetime: ...  # noqa: D102
    @property
    def count(self) -> int: ...  # noqa: D102
    @property
    def more(self) -> bool: ...  # noqa: D102


class Slots(Protocol):
    """The part of a timetable that decisions need; `timetable.Timetable` has it."""

    def next(self, after: datetime) -> datetime | None: ...  # noqa: D102
    def start_time(self, slot: datetime) -> datetime: ...  # noqa: D102
    def last_between(self, after: datetime, until: datetime) -> datetime | None: ...  # noqa: D102
    def summarize(self, after: datetime, until: datetime, limit: int) -> SlotRange | None: ...  # noqa: D102


class Overlap(StrEnum):
    """What happens when a job is due while its last run is still active."""

    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"
    ALLOW = "allow"


class Action(StrEnum):
    """What to do about one slot."""

    RUN = "run"
    QUEUE = "queue"
    REPLACE = "replace"
    SKIP = "skip"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class MissedSlots:
    """Slots that will not run: the first, the last, their number and the reason; `more` when counting stopped early.

    `corrects` marks a single pending slot that a wrong clock had recorded as missed.
    """

    first: datetime
    last: datetime
    count: int
    more: bool = False
    reason: str = ""
    corrects: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now: slots with their actions in order, the missed slots, and the new cursor.

    `corrects` holds the slots with an action that were recorded as missed while the clock was wrong.
    """

    cursor: datetime
    actions: tuple[tuple[datetime, Action], ...] = ()
    missed: tuple[MissedSlots, ...] = ()
    corrects: frozenset[datetime] = frozenset()


@dataclass(frozen=True, slots=True)
class JobSituation:
    """The state of a job when its slots are decided."""

    overlap: Overlap = Overlap.SKIP
    active_runs: bool = False
    waiting: bool = False
    catch_up: timedelta = field(default=timedelta(seconds=60))
    paused: bool = False


# Why slots are late, and the spans in which the service stood still. A slot does not age during those spans.
ReasonOf = tuple[str, tuple[Span, ...]]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What matters for slots that are decided late or after a clock change.

    `reason_of` is called only when slots are late. Slots in `decided` are decided already. Slots in `reopened` were
    missed only because the clock was wrong.
    """

    reason_of: Callable[[], ReasonOf] = lambda: ("down", ())
    decided: tuple[Span, ...] = ()
    reopened: tuple[Span, ...] = ()


PLAIN = Circumstances()  # neither late nor after a clock change


def decide(
    slots: Slots, cursor: datetime, now: datetime, situation: JobSituation, about: Circumstances = PLAIN
) -> Decision:
    """Decide every slot after `cursor` whose start is not later than `now`.

    1. Punctual slots are decided one by one, under the overlap rule.
    2. If the oldest is more than `OUTAGE_AFTER` late, the slots fell into an outage. The latest is decided like a
       punctual one unless it is older than `catch_up`. The others are missed.
    """
    first = next_slot(slots, cursor, about.decided) if about.decided else slots.next(cursor)
    if first is None or (start := slots.start_time(first)) > now:
        return Decision(cursor)
    if now - start > OUTAGE_AFTER:
        reason, standstills = about.reason_of()
        outage = Outage(cursor, now, reason, about.decided, standstills=standstills, reopened=about.reopened)
        return decide_after_outage(slots, outage, situation)
    due = tuple(_due(slots, first, now, about.decided))
    return Decision(due[-1], _actions(due, situation), corrects=_corrected(due, about.reopened))


def next_slot(slots: Slots, after: datetime, over: Sequence[Span]) -> datetime | None:
    """Return the first slot after a moment that lies in none of the spans."""
    slot = slots.next(after)
    while slot is not None and (span := span_at(slot, over)) is not None:
        slot = slots.next(span[1])
    return slot


def _due(slots: Slots, slot: datetime | None, now: datetime, decided: Sequence[Span]) -> Iterator[datetime]:
    """Yield the slots that have started, up to `now`. They are punctual, so there are never many."""
    while slot is not None and slots.start_time(slot) <= now:
        yield slot
        slot = next_slot(slots, slot, decided) if decided else slots.next(slot)


def _corrected(due: tuple[datetime, ...], reopened: Sequence[Span]) -> frozenset[datetime]:
    return frozenset(slot for slot in due if span_at(slot, reopened)) if reopened else frozenset()


# --- outages ---------------------------------------------------------------------------------------------

Range = Span  # slots from the first to the last, both inclusive


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
    """Decide every slot of an outage: one may run, the others are missed, in as few records as possible.

    1. Recorded ranges are cut out of the time of the outage. The slots in each remaining piece are only counted,
       however many there are.
    2. The latest remaining slot runs if it is young enough. The others are grouped so that no group spans a recorded
       slot.
    """
    recorded_spans = unite(outage.recorded)
    pending = tuple(sorted(slot for slot in outage.pending if span_at(slot, recorded_spans) is None))
    points = tuple((slot, slot) for slot in pending)
    pieces = sorted([*subtract([(outage.after + TICK, outage.until)], (*recorded_spans, *points)), *points])
    latest = _latest(slots, pieces, pending, outage.until)
    known = max([outage.after, *outage.pending, *(last for _, last in clip(recorded_spans, _ALL_TIME, outage.until))])
    runs = latest if latest is not None and _may_run(slots, latest, outage, situation) else None
    unrecorded = [part for piece in pieces for part in subtract([piece], outage.reopened)]
    missed = [slots_missed for piece in unrecorded for slots_missed in _counted(slots, piece, pending, runs, outage)]
    actions = _actions((runs,), situation) if runs is not None else ()
    points_of = ((slot, slot) for slot in outage.corrects)
    corrects = _corrected((runs,), unite((*outage.reopened, *points_of))) if runs is not None else frozenset[datetime]()
    return Decision(max(known, latest or known), actions, tuple(_merge_adjacent(slots, missed)), corrects)


_ALL_TIME = datetime.min.replace(tzinfo=UTC)


def _latest(slots: Slots, pieces: Sequence[Span], pending: Sequence[datetime], until: datetime) -> datetime | None:
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


def _counted(
    slots: Slots, piece: Span, pending: Sequence[datetime], runs: datetime | None, outage: Outage
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


def _edges(slots: Slots, piece: Span, outage: Outage) -> list[datetime]:
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


def _merge_adjacent(slots: Slots, missed: list[MissedSlots]) -> Iterator[MissedSlots]:
    """Merge neighbours with the same reason and no slot between them. A record that corrects stays separate."""
    group: MissedSlots | None = None
    for current in missed:
        if group is not None and _are_alike(group, current) and slots.next(group.last) == current.first:
            group = MissedSlots(group.first, current.last, group.count + current.count, current.more, current.reason)
        else:
            if group is not None:
                yield group
            group = current
    if group is not None:
        yield group


def _are_alike(one: MissedSlots, other: MissedSlots) -> bool:
    return one.reason == other.reason and not one.more and not one.corrects and not other.corrects


# --- overlap ---------------------------------------------------------------------------------------------


def decide_manual_run(situation: JobSituation) -> Action:
    """Decide a run that a person asks for. Overlap applies to it as to a slot, a pause does not."""
    ((_, action),) = _actions((datetime.max.replace(tzinfo=UTC),), replace(situation, paused=False))
    return action


def _actions(due: tuple[datetime, ...], situation: JobSituation) -> tuple[tuple[datetime, Action], ...]:
    """Apply the overlap rule to slots in order. Each may overlap with the next."""
    is_active, is_waiting = situation.active_runs, situation.waiting
    actions = []
    for slot in due:
        if situation.paused:
            action = Action.PAUSE
        elif not is_active or situation.overlap is Overlap.ALLOW:
            action, is_active = Action.RUN, True
        elif situation.overlap is Overlap.REPLACE:
            action, is_waiting = Action.REPLACE, True
        elif situation.overlap is Overlap.QUEUE and not is_waiting:
            action, is_waiting = Action.QUEUE, True
        else:
            action = Action.SKIP
        actions.append((slot, action))
    return tuple(actions)
