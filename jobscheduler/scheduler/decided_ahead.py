"""What has been decided of a job beyond its cursor, and what a wrong clock only missed: for a clock that was set.

As long as the clock only goes on, every slot up to the cursor is decided and none after it, and there is none of this.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from jobscheduler.util.spans import TICK, Span, united, within, without

AGAIN = 86_400.0
"""For so long, in seconds of elapsed time, what an outage missed may run after all if the clock is set back."""

_END = datetime.max.replace(tzinfo=UTC)

MOST = 16
"""So many stretches of missed slots are remembered of a job; the older ones are final."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Slots that are recorded as missed; final from `until` on, in seconds of the clock that is never set."""

    first: datetime
    last: datetime
    until: float


@dataclass(frozen=True, slots=True)
class Beyond:
    """Of the slots after the cursor, those in `over` are decided, those in `again` only missed by a wrong clock.

    `missed` are slots up to the cursor that come into `again` when the clock is set back in time.
    """

    over: tuple[Span, ...] = ()
    again: tuple[Span, ...] = ()
    missed: tuple[Missed, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.over or self.again or self.missed)


NOTHING = Beyond()
"""What there is of a job whose clock was never set."""


def set_back(known: Beyond, decided: Iterable[Span], now: datetime, elapsed: float) -> Beyond:
    """Return what is beyond `now`, to which the clock was set back; `decided` is what was up to the cursor."""
    live = [one for one in known.missed if one.until > elapsed]
    spans = united((one.first, one.last) for one in live)
    later = now + TICK, max([now + TICK, *(last for _, last in (*decided, *known.over, *known.again, *spans))])
    again = within(united((*known.again, *spans)), *later)
    over = within(without((*known.over, *decided), (*known.again, *spans)), *later)
    left = (Missed(one.first, min(one.last, now), one.until) for one in live if one.first <= now)
    return Beyond(over, again, tuple(left))


def passed(known: Beyond, cursor: datetime, missed: Iterable[Span], until: float) -> Beyond:
    """Return what is left when the slots up to a cursor are decided; those `missed` may come again until `until`."""
    after = cursor + TICK
    fresh = (Missed(*span, until) for span in sorted(missed))
    over, again = within(known.over, after, _END), within(known.again, after, _END)
    return Beyond(over, again, (*known.missed, *fresh)[-MOST:])


def cooled(known: Beyond, elapsed: float) -> Beyond:
    """Return what is left when what was missed long ago is final."""
    if all(one.until > elapsed for one in known.missed):
        return known
    return Beyond(known.over, known.again, tuple(one for one in known.missed if one.until > elapsed))
