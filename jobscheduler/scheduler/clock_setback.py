"""Keep track of slots after the clock was set back: those decided beyond the cursor, and those missed by mistake.

While the clock only moves forward, exactly the slots up to the cursor are decided, and all of this is empty. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from jobscheduler.util.time_spans import TICK, TimeSpan, clip, subtract, unite

CLOCK_MEMORY_S = 86_400.0  # elapsed seconds in which missed slots may still run if the clock is set back
MAX_SPANS = 16  # missed spans remembered for a job; older ones are final
_END = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class MissedSpan:
    """Slots recorded as missed, and final from `open_until` on, in seconds of the clock that is never set."""

    first: datetime
    last: datetime
    open_until: float


@dataclass(frozen=True, slots=True)
class ClockSetbackState:
    """After the cursor, the slots in `decided` are decided; those in `reopened` were only missed by a wrong clock.

    `missed` are slots up to the cursor that are reopened if the clock is set back in time.
    """

    decided: tuple[TimeSpan, ...] = ()
    reopened: tuple[TimeSpan, ...] = ()
    missed: tuple[MissedSpan, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.decided or self.reopened or self.missed)


NO_SETBACK = ClockSetbackState()  # for a clock that was never set


def clock_set_back(
    known: ClockSetbackState, decided: Iterable[TimeSpan], now: datetime, elapsed: float
) -> ClockSetbackState:
    """Return the state after the clock was set back to `now`; `decided` are the spans up to the former cursor."""
    reopenable = [span for span in known.missed if span.open_until > elapsed]
    missed = unite((span.first, span.last) for span in reopenable)
    future = now + TICK, max([now + TICK, *(last for _, last in (*decided, *known.decided, *known.reopened, *missed))])
    reopened = clip(unite((*known.reopened, *missed)), *future)
    still_decided = clip(subtract((*known.decided, *decided), (*known.reopened, *missed)), *future)
    past = (MissedSpan(span.first, min(span.last, now), span.open_until) for span in reopenable if span.first <= now)
    return ClockSetbackState(still_decided, reopened, tuple(past))


def state_set_back(
    since: datetime, cursor: datetime, known: ClockSetbackState, now: datetime, elapsed: float
) -> tuple[datetime, ClockSetbackState]:
    """Return since when the slots of a job are decided, and its state, after the clock was set back to `now`."""
    decided: list[TimeSpan] = [(min(since + TICK, cursor), cursor)] if cursor > now else []
    return min(since, now), clock_set_back(known, decided, now, elapsed) or NO_SETBACK


def cursor_passed(
    known: ClockSetbackState, cursor: datetime, missed: Iterable[TimeSpan], open_until: float
) -> ClockSetbackState:
    """Return the state when the slots up to a cursor are decided; the `missed` may be reopened until `open_until`."""
    after = cursor + TICK
    newly_missed = (MissedSpan(*span, open_until) for span in sorted(missed))
    decided, reopened = clip(known.decided, after, _END), clip(known.reopened, after, _END)
    return ClockSetbackState(decided, reopened, (*known.missed, *newly_missed)[-MAX_SPANS:])


def time_passed(known: ClockSetbackState, elapsed: float) -> ClockSetbackState:
    """Return the state without the missed spans that are final by now."""
    if all(span.open_until > elapsed for span in known.missed):
        return known
    missed = tuple(span for span in known.missed if span.open_until > elapsed)
    return ClockSetbackState(known.decided, known.reopened, missed)
