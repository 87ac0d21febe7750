"""Compare the host's clocks, to tell a clock that was set, a host that slept and a process that was frozen apart.

The monotonic clock stops while the host sleeps, the clock since boot does not, and only the wall clock can be set.
The change of their differences since the last check says which of these happened.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

MIN_CLOCK_STEP_S = 1.0  # clocks that drift apart by less between two checks have not jumped
JUMP_MEMORY_S = 60.0  # after a jump was noticed it is the reason of late slots for this long
MIN_STANDSTILL_S = 5.0  # checks are a second apart; after a longer gap the service did not move meanwhile
MAX_STANDSTILLS = 8  # of the latest standstills are remembered


class ClockReading(NamedTuple):
    """A reading of the three clocks, in seconds."""

    wall: float
    monotonic: float
    boottime: float


@dataclass(frozen=True, slots=True)
class ClockJump:
    """A jump since the last check: the seconds by which the clock was set, or for which the host slept."""

    set_by: float = 0.0
    slept: float = 0.0


def read() -> ClockReading:
    """Read the host's clocks."""
    return ClockReading(time.time(), time.clock_gettime(time.CLOCK_MONOTONIC), time.clock_gettime(time.CLOCK_BOOTTIME))


class ClockMonitor:
    """Compares the clocks at each check. For any thread."""

    def __init__(self, read: Callable[[], ClockReading] = read) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._last = read()
        self._last_reason: tuple[str, float] | None = None
        self._standstills: deque[tuple[datetime, datetime]] = deque(maxlen=MAX_STANDSTILLS)

    def check(self) -> ClockJump | None:
        """Return the jump since the last check, None if only time has passed."""
        now = self._read()
        with self._lock:
            jump, reason, span = _jump(self._last, now), _late_reason(self._last, now), _standstill(self._last, now)
            self._last = now
            if reason is not None:
                self._last_reason = reason, now.monotonic
            if span is not None:
                self._standstills.append(span)
        return jump

    def late_reason(self) -> str:
        """Return why slots are decided late now: `asleep`, `stalled`, `clock`, or `down` if no clock jumped."""
        now = self._read()
        with self._lock:
            reason = _late_reason(self._last, now)
            if reason is not None:
                return reason
            if self._last_reason is not None and now.monotonic - self._last_reason[1] <= JUMP_MEMORY_S:
                return self._last_reason[0]
        return "down"

    def standstills(self) -> tuple[tuple[datetime, datetime], ...]:
        """Return the latest spans in which the host slept or the service was frozen, each with start and end."""
        now = self._read()
        with self._lock:
            span = _standstill(self._last, now)
            return (*self._standstills, *([] if span is None else [span]))


def _jump(last: ClockReading, now: ClockReading) -> ClockJump | None:
    slept = (now.boottime - last.boottime) - (now.monotonic - last.monotonic)
    set_by = (now.wall - last.wall) - (now.boottime - last.boottime)
    if abs(set_by) < MIN_CLOCK_STEP_S and slept < MIN_CLOCK_STEP_S:
        return None
    return ClockJump(set_by if abs(set_by) >= MIN_CLOCK_STEP_S else 0.0, slept if slept >= MIN_CLOCK_STEP_S else 0.0)


def _late_reason(last: ClockReading, now: ClockReading) -> str | None:
    jump, awake = _jump(last, now), now.monotonic - last.monotonic
    if jump is None or (abs(jump.set_by) < awake and jump.slept < awake):
        return "stalled" if awake >= MIN_STANDSTILL_S else None if jump is None else _reason_of_jump(jump)
    return _reason_of_jump(jump)


def _reason_of_jump(jump: ClockJump) -> str:
    return "clock" if abs(jump.set_by) > jump.slept else "asleep"


def _standstill(last: ClockReading, now: ClockReading) -> tuple[datetime, datetime] | None:
    """Return the span between two checks by the clock of now, if it is long enough for a standstill."""
    still = now.boottime - last.boottime
    if still < MIN_STANDSTILL_S:
        return None
    try:
        return datetime.fromtimestamp(now.wall - still, UTC), datetime.fromtimestamp(now.wall, UTC)
    except (OverflowError, OSError, ValueError):  # a clock far from any date
        return None
