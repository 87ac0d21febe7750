"""The host's clocks, side by side: a clock that was set, a host that slept, and a process that was held look alike.

The monotonic clock stands still while the host sleeps, the one since boot does not, and only the wall clock can be set.
What their differences have done since the last look tells which of it happened.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

MIN_CLOCK_STEP_S = 1.0
"""What the clocks may drift apart between two looks without being told, in seconds."""

JUMP_MEMORY_S = 60.0
"""For how long after it was noticed a jump is the cause of slots that come late, in seconds."""


MIN_STANDSTILL_S = 5.0
"""Looks are a second apart: when there was none for so long, in seconds, the service did not move."""

MAX_STANDSTILLS = 8
"""How many of the latest times in which the host or the service stood still are remembered."""


class ClockReading(NamedTuple):
    """What the three clocks show at one moment, in seconds."""

    wall: float
    monotonic: float
    boottime: float


@dataclass(frozen=True, slots=True)
class ClockJump:
    """What happened since the last look: the clock was set by so many seconds, or the host slept for so many."""

    set_by: float = 0.0
    slept: float = 0.0


def read() -> ClockReading:
    """Read the host's clocks."""
    return ClockReading(time.time(), time.clock_gettime(time.CLOCK_MONOTONIC), time.clock_gettime(time.CLOCK_BOOTTIME))


class ClockMonitor:
    """Compares the clocks, look by look. May be asked from any thread."""

    def __init__(self, read: Callable[[], ClockReading] = read) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._last = read()
        self._jump: tuple[str, float] | None = None
        self._stood: deque[tuple[datetime, datetime]] = deque(maxlen=MAX_STANDSTILLS)

    def check(self) -> ClockJump | None:
        """Compare with the last look; None if nothing happened but time."""
        now = self._read()
        with self._lock:
            jump, cause, span = _jump(self._last, now), _cause(self._last, now), _standstill(self._last, now)
            self._last = now
            if cause is not None:
                self._jump = cause, now.monotonic
            if span is not None:
                self._stood.append(span)
        return jump

    def late_reason(self) -> str:
        """Say why slots come to be decided late now: `asleep`, `stalled`, `clock`, or `down` if no clock tells."""
        now = self._read()
        with self._lock:
            cause = _cause(self._last, now)
            if cause is not None:
                return cause
            if self._jump is not None and now.monotonic - self._jump[1] <= JUMP_MEMORY_S:
                return self._jump[0]
        return "down"

    def standstills(self) -> tuple[tuple[datetime, datetime], ...]:
        """Tell the latest times in which the host slept or the service was held, each from its first to its last."""
        now = self._read()
        with self._lock:
            span = _standstill(self._last, now)
            return (*self._stood, *([] if span is None else [span]))


def _jump(last: ClockReading, now: ClockReading) -> ClockJump | None:
    slept = (now.boottime - last.boottime) - (now.monotonic - last.monotonic)
    set_by = (now.wall - last.wall) - (now.boottime - last.boottime)
    if abs(set_by) < MIN_CLOCK_STEP_S and slept < MIN_CLOCK_STEP_S:
        return None
    return ClockJump(set_by if abs(set_by) >= MIN_CLOCK_STEP_S else 0.0, slept if slept >= MIN_CLOCK_STEP_S else 0.0)


def _cause(last: ClockReading, now: ClockReading) -> str | None:
    jump, held = _jump(last, now), now.monotonic - last.monotonic
    if jump is None or (abs(jump.set_by) < held and jump.slept < held):
        return "stalled" if held >= MIN_STANDSTILL_S else None if jump is None else _cause_of(jump)
    return _cause_of(jump)


def _cause_of(jump: ClockJump) -> str:
    return "clock" if abs(jump.set_by) > jump.slept else "asleep"


def _standstill(last: ClockReading, now: ClockReading) -> tuple[datetime, datetime] | None:
    """Return the time in which nothing moved, by the clock of before, if there was one; that of now if it was set."""
    still = now.boottime - last.boottime
    if still < MIN_STANDSTILL_S:
        return None
    try:
        return datetime.fromtimestamp(now.wall - still, UTC), datetime.fromtimestamp(now.wall, UTC)
    except (OverflowError, OSError, ValueError):
        return None
