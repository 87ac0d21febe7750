"""The host's clocks, side by side: a clock that was set, a host that slept, and a process that was held look alike.

The monotonic clock stands still while the host sleeps, the one since boot does not, and only the wall clock can be set.
What their differences have done since the last look tells which of it happened.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

NOTICED = 1.0
"""What the clocks may drift apart between two looks without being told, in seconds."""

REMEMBERED = 60.0
"""For how long after it was noticed a jump is the cause of slots that come late, in seconds."""


class Reading(NamedTuple):
    """What the three clocks show at one moment, in seconds."""

    wall: float
    monotonic: float
    boottime: float


@dataclass(frozen=True, slots=True)
class Jump:
    """What happened since the last look: the clock was set by so many seconds, or the host slept for so many."""

    set_by: float = 0.0
    slept: float = 0.0


def read() -> Reading:
    """Read the host's clocks."""
    return Reading(time.time(), time.clock_gettime(time.CLOCK_MONOTONIC), time.clock_gettime(time.CLOCK_BOOTTIME))


class HostClock:
    """Compares the clocks, look by look. May be asked from any thread."""

    def __init__(self, read: Callable[[], Reading] = read) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._last = read()
        self._jump: tuple[str, float] | None = None

    def look(self) -> Jump | None:
        """Compare with the last look; None if nothing happened but time."""
        now = self._read()
        with self._lock:
            jump = _jump(self._last, now)
            self._last = now
            if jump is not None:
                self._jump = _cause(jump), now.monotonic
        return jump

    def cause(self) -> str:
        """Say why slots come to be decided late at this moment: `asleep`, `clock`, or `down` if no clock tells."""
        now = self._read()
        with self._lock:
            jump = _jump(self._last, now)
            if jump is not None:
                return _cause(jump)
            if self._jump is not None and now.monotonic - self._jump[1] <= REMEMBERED:
                return self._jump[0]
        return "down"


def _jump(last: Reading, now: Reading) -> Jump | None:
    slept = (now.boottime - last.boottime) - (now.monotonic - last.monotonic)
    set_by = (now.wall - last.wall) - (now.boottime - last.boottime)
    if abs(set_by) < NOTICED and slept < NOTICED:
        return None
    return Jump(set_by if abs(set_by) >= NOTICED else 0.0, slept if slept >= NOTICED else 0.0)


def _cause(jump: Jump) -> str:
    return "clock" if abs(jump.set_by) > jump.slept else "asleep"
