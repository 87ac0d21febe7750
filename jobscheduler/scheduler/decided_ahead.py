"""What has been decided of a job beyond its cursor, and what a wrong clock only missed: for a clock that was set.

As long as the clock only goes on, every slot up to the cursor is decided and none after it, and there is none of this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from jobscheduler.util.spans import TICK, Span, clip, subtract, unite

CLOCK_MEMORY_S = 86_400.0
"""For so long, in seconds of elapsed time, what an outage missed may run after all if the clock is set back."""

_END = datetime.max.replace(tzinfo=UTC)

MAX_SPANS = 16
"""So many stretches of missed slots are remembered of a job; the older ones are final."""


@dataclass(frozen=True, slots=True)
class MissedSpan:
    """Slots that are recorded as missed; final from `until` on, in seconds of the clock that is never set."""

    first: datetime
    last: datetime
    open_until: float


@dataclass(frozen=True, slots=True)
class DecidedAhead:
    """Of the slots after the cursor, those in `over` are decided, those in `again` only missed by a wrong clock.

    `missed` are slots up to the cursor that come into `again` when the clock is set back in time.
    """

    decided: tuple[Span, ...] = ()
    reopened: tuple[Span, ...] = ()
    missed: tuple[MissedSpan, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.decided or self.reopened or self.missed)


NOTHING_AHEAD = DecidedAhead()
"""What there is of a job whose clock was never set."""


def clock_set_back(known: DecidedAhead, decided: Iterable[Span], now: datetime, elapsed: float) -> DecidedAhead:
    """Return what is beyond `now`, to which the clock was set back; `decided` is what was up to the cursor."""
    live = [one for one in known.missed if one.open_until > elapsed]
    spans = unite((one.first, one.last) for one in live)
    later = now + TICK, max([now + TICK, *(last for _, last in (*decided, *known.decided, *known.reopened, *spans))])
    again = clip(unite((*known.reopened, *spans)), *later)
    over = clip(subtract((*known.decided, *decided), (*known.reopened, *spans)), *later)
    left = (MissedSpan(one.first, min(one.last, now), one.open_until) for one in live if one.first <= now)
    return DecidedAhead(over, again, tuple(left))


def cursor_passed(known: DecidedAhead, cursor: datetime, missed: Iterable[Span], until: float) -> DecidedAhead:
    """Return what is left when the slots up to a cursor are decided; those `missed` may come again until `until`."""
    after = cursor + TICK
    fresh = (MissedSpan(*span, until) for span in sorted(missed))
    over, again = clip(known.decided, after, _END), clip(known.reopened, after, _END)
    return DecidedAhead(over, again, (*known.missed, *fresh)[-MAX_SPANS:])


def time_passed(known: DecidedAhead, elapsed: float) -> DecidedAhead:
    """Return what is left when what was missed long ago is final."""
    if all(one.open_until > elapsed for one in known.missed):
        return known
    return DecidedAhead(known.decided, known.reopened, tuple(one for one in known.missed if one.open_until > elapsed))
