"""Detect runs that are stuck: handed over and not begun, not ended after their limit, or ended without notice.

1. Runs begin in the order in which they are handed over. So while anything moves, the oldest run that has not begun is
   a different one at each check. The same one at several checks means that nothing moves.
2. A time limit, or a stop, takes effect in short steps. A step that is due at several checks was forgotten.
3. The thread of all commands answers within a turn. Without it the end of a command that runs is never noticed, and
   while that is so its job hands over no other run that 1 would find.
4. Checks are counted, not seconds: a process that was suspended, or a host that slept, has made none meanwhile.

Runs that wait for a worker, their turn or the log are not handed over, or begin within a second. A process that
survives KILL has been sent every signal. Neither counts here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

LATE_AFTER_CHECKS = 5  # checks, a second apart, with the same step due; then it is logged and counts against health
STUCK_AFTER_CHECKS = 10  # checks; then only a new process helps


@dataclass(frozen=True, slots=True)
class OverdueStep:
    """A step that should have happened by now, and its run."""

    job_id: str
    run_id: str
    missing: str

    def __str__(self) -> str:
        return f"run {self.run_id} of `{self.job_id}`: {self.missing}"


@dataclass(frozen=True, slots=True)
class StuckRun:
    """A run whose step was due at `checks` checks in a row, the first of them at `since`."""

    step: OverdueStep
    since: datetime
    checks: int


class StuckRunDetector:
    """Counts at how many checks in a row the same step is due.

    Thread: one calls `check`; others may read `longest`.
    """

    def __init__(self) -> None:
        self._overdue: dict[OverdueStep, StuckRun] = {}
        self.longest: StuckRun | None = None

    def check(self, overdue: Iterable[OverdueStep], now: datetime) -> StuckRun | None:
        """Count the steps that are due now; return one that has just become late, unless another was late before."""
        previous = self._overdue
        self._overdue = {step: _counted(previous.get(step), step, now) for step in overdue}
        was_late = self.longest is not None
        longest = max(self._overdue.values(), key=lambda run: run.checks, default=None)
        self.longest = longest if longest is not None and longest.checks >= LATE_AFTER_CHECKS else None
        return None if was_late else self.longest


def _counted(previous: StuckRun | None, step: OverdueStep, now: datetime) -> StuckRun:
    return StuckRun(step, now, 1) if previous is None else StuckRun(step, previous.since, previous.checks + 1)
