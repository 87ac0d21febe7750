"""Sees that no run stands still in silence: one that was handed over and does not begin, one that is not ended.

1. Runs are begun in the order in which they are handed over. So while anything moves, the oldest that has not begun
   is another one at each look. The same one at several looks means that nothing moves.
2. A time limit, or a stop, is kept by steps that take moments each. One that is due at several looks was forgotten.
3. It is looks that are counted, not seconds. A process that was held, or a host that slept, has made none meanwhile.

What waits for a worker, for its turn or for the log is not handed over, or begins all the same within a second. A
process that outlives KILL has been sent all there is. None of them is a concern here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

LATE_AFTER_S = 5
"""So many looks, a second apart, the same thing may be due before it is told and counts against health."""

STUCK_AFTER_LOOKS = 10
"""After so many only a new process helps."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """Something that should have happened by now: to which run, and what is missing."""

    job_id: str
    run_id: str
    missing: str

    def __str__(self) -> str:
        return f"run {self.run_id} of `{self.job_id}`: {self.missing}"


@dataclass(frozen=True, slots=True)
class Standstill:
    """Something that has been due for `looks` looks; `since` is when it was seen first."""

    due: Overdue
    since: datetime
    checks: int


class StandstillGuard:
    """Counts at how many looks in a row the same thing is due. For one thread; others may read `worst`."""

    def __init__(self) -> None:
        self._due: dict[Overdue, Standstill] = {}
        self.longest: Standstill | None = None

    def check(self, due: Iterable[Overdue], now: datetime) -> Standstill | None:
        """Take what is due at this look; return what has just become late, if it is the first to."""
        known = self._due
        self._due = {one: _again(known.get(one), one, now) for one in due}
        was_late = self.longest is not None
        worst = max(self._due.values(), key=lambda one: one.checks, default=None)
        self.longest = worst if worst is not None and worst.checks >= LATE_AFTER_S else None
        return None if was_late else self.longest


def _again(known: Standstill | None, due: Overdue, now: datetime) -> Standstill:
    return Standstill(due, now, 1) if known is None else Standstill(due, known.since, known.checks + 1)
