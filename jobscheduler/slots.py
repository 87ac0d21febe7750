"""What becomes of each slot: run, queue, replace, skip or miss. Pure; its tests are its truth table.

Every slot of a job is decided exactly once, in order. The cursor is the last one decided, so nothing is decided twice,
however often somebody looks and whatever the clock does in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

PUNCTUAL = timedelta(seconds=10)
"""A slot decided later than this after its start fell into an outage; clock steps and sleep are noticed sooner."""

MOST = 100_000
"""How many slots of one outage are counted."""


class Slots(Protocol):
    """As much of a timetable as deciding needs (see `timetable.Timetable`)."""

    def next(self, after: datetime) -> datetime | None: ...  # noqa: D102
    def start_of(self, slot: datetime) -> datetime: ...  # noqa: D102


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


@dataclass(frozen=True, slots=True)
class Missed:
    """Slots of an outage that will not run: the first, the last, how many; `more` when counting stopped early."""

    first: datetime
    last: datetime
    count: int
    more: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now: slots with their acts in order, those that were missed, and where the cursor stands then."""

    cursor: datetime
    acts: tuple[tuple[datetime, Act], ...] = ()
    missed: Missed | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """How a job stands when its slots are decided."""

    overlap: Overlap = Overlap.SKIP
    going: bool = False
    waiting: bool = False
    catch_up: timedelta = field(default=timedelta(seconds=60))


def decide(slots: Slots, cursor: datetime, now: datetime, situation: Situation) -> Decision:
    """Decide every slot after `cursor` whose start is not later than `now`.

    1. Slots that are looked at in time are decided one by one, under the overlap rule.
    2. If the oldest is more than `PUNCTUAL` late, they fell into an outage: the latest is decided like a punctual
       one unless it is older than `catch_up`, and the others are missed.
    """
    due = list(_due(slots, cursor, now, MOST + 1))
    if not due:
        return Decision(cursor)
    if now - slots.start_of(due[0]) <= PUNCTUAL:
        return Decision(due[-1], acts=_acts(due, situation))
    return _after_outage(slots, due, now, situation)


def _due(slots: Slots, after: datetime, now: datetime, most: int) -> Iterator[datetime]:
    slot = slots.next(after)
    while slot is not None and slots.start_of(slot) <= now and most > 0:
        yield slot
        most -= 1
        slot = slots.next(slot)


def _after_outage(slots: Slots, due: list[datetime], now: datetime, situation: Situation) -> Decision:
    more = len(due) > MOST
    latest = _latest(slots, now, situation.catch_up) if more else due[-1]
    runs = latest is not None and situation.catch_up > timedelta(0) and now - latest <= situation.catch_up
    acts = _acts([latest], situation) if runs and latest is not None else ()
    lost = due[:MOST] if more else due[:-1] if runs else due
    if not lost:
        return Decision(due[-1], acts=acts)
    return Decision(now if more else due[-1], acts, Missed(lost[0], lost[-1], len(lost), more))


def _latest(slots: Slots, now: datetime, catch_up: timedelta) -> datetime | None:
    """Find the last due slot that catching up may reach, when there are too many to list."""
    latest = None
    for latest in _due(slots, now - min(catch_up, PUNCTUAL), now, MOST):  # noqa: B007 - the last one is wanted
        pass
    return latest


def _acts(due: list[datetime], situation: Situation) -> tuple[tuple[datetime, Act], ...]:
    """Apply the overlap rule to slots in order; each may be what the next one overlaps with."""
    going, waiting = situation.going, situation.waiting
    acts = []
    for slot in due:
        if not going or situation.overlap is Overlap.ALLOW:
            act, going = Act.RUN, True
        elif situation.overlap is Overlap.REPLACE:
            act, waiting = Act.REPLACE, True
        elif situation.overlap is Overlap.QUEUE and not waiting:
            act, waiting = Act.WAIT, True
        else:
            act = Act.SKIP
        acts.append((slot, act))
    return tuple(acts)
