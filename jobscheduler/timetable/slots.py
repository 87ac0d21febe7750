"""Decide each slot: run, queue, replace, skip or miss. Pure; its tests are its truth table.

Invariant: every slot of a job is decided exactly once, in order. The cursor is the last slot that was decided. So
repeated calls and clock changes decide no slot twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobscheduler.timetable.decision import Decision, Slots
from jobscheduler.timetable.outage import OUTAGE_AFTER, Outage, corrected_slots, decide_after_outage
from jobscheduler.timetable.overlap import JobSituation, overlap_actions
from jobscheduler.util.time_spans import TimeSpan, span_at

# Why slots are late, and the spans in which the service stood still. A slot does not age during those spans.
ReasonOf = tuple[str, tuple[TimeSpan, ...]]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What matters for slots that are decided late or after a clock change.

    `reason_of` is called only when slots are late. Slots in `decided` are decided already. Slots in `reopened` were
    missed only because the clock was wrong.
    """

    reason_of: Callable[[], ReasonOf] = lambda: ("down", ())
    decided: tuple[TimeSpan, ...] = ()
    reopened: tuple[TimeSpan, ...] = ()


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
    return Decision(due[-1], overlap_actions(due, situation), corrects=corrected_slots(due, about.reopened))


def next_slot(slots: Slots, after: datetime, over: Sequence[TimeSpan]) -> datetime | None:
    """Return the first slot after a moment that lies in none of the spans."""
    slot = slots.next(after)
    while slot is not None and (span := span_at(slot, over)) is not None:
        slot = slots.next(span[1])
    return slot


def _due(slots: Slots, slot: datetime | None, now: datetime, decided: Sequence[TimeSpan]) -> Iterator[datetime]:
    """Yield the slots that have started, up to `now`. They are punctual, so there are never many."""
    while slot is not None and slots.start_time(slot) <= now:
        yield slot
        slot = next_slot(slots, slot, decided) if decided else slots.next(slot)
