"""What is decided about slots, and the part of a timetable that decisions need. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from jobscheduler.timetable.overlap import Action

PAUSED = "paused"  # the reason of slots that are skipped by a pause


@dataclass(frozen=True, slots=True)
class SlotRange:
    """A summary of slots: the first, the last, their number, and whether counting stopped before the end."""

    first: datetime
    last: datetime
    count: int
    more: bool


class Slots(Protocol):
    """The part of a timetable that decisions need; `timetable.Timetable` has it."""

    def next(self, after: datetime) -> datetime | None: ...  # noqa: D102
    def start_time(self, slot: datetime) -> datetime: ...  # noqa: D102
    def last_between(self, after: datetime, until: datetime) -> datetime | None: ...  # noqa: D102
    def summarize(self, after: datetime, until: datetime, limit: int) -> SlotRange | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class MissedSlots:
    """Slots that will not run: the first, the last, their number and the reason; `more` when counting stopped early.

    `corrects` marks a single pending slot that a wrong clock had recorded as missed. Those with the reason `PAUSED` are
    skipped, not missed.
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
