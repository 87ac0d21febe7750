"""Whether the parts that everything depends on are alive and on time. It asks them; it knows none of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

FATAL_AFTER_S = 6
"""How many wake-ups, a few seconds apart, the scheduling thread may leave unanswered."""

OVERDUE_AFTER_S = 15.0
"""How long a part may be at one thing before it is late (the log writer at a batch, the watcher at an event), in s."""


class Scheduling(Protocol):
    """As much of the scheduler as is asked (see `scheduler.Scheduler`)."""

    @property
    def loop_count(self) -> int: ...  # noqa: D102
    def is_alive(self) -> bool: ...  # noqa: D102
    def wakeup(self) -> None: ...  # noqa: D102
    def standstill(self) -> str | None: ...  # noqa: D102
    def is_stuck(self) -> bool: ...  # noqa: D102


class Writing(Protocol):
    """As much of the log as is asked (see `runlog.RunLog`)."""

    def is_alive(self) -> bool: ...  # noqa: D102
    def busy_for(self) -> float: ...  # noqa: D102


class Watching(Protocol):
    """As much of the watch as is asked (see `watch.Watch`)."""

    def busy_for(self) -> float: ...  # noqa: D102


class HealthMonitor:
    """Whether the parts that everything depends on are alive and on time."""

    def __init__(
        self,
        scheduler: Scheduling,
        log: Writing,
        watch: Watching,
        others: Mapping[str, Callable[[], float]] | None = None,
    ) -> None:
        """`others` are further parts by name, each with the seconds for which it has been stuck."""
        self._others = others or {}
        self._scheduler = scheduler
        self._log = log
        self._watch = watch
        self._rounds = -1
        self._waker = 0

    def probe(self) -> None:
        """Wake the scheduling thread, and count the wake-ups that it did not answer.

        Counted by our own rounds and not by a clock, so that a process that was held as a whole is not blamed.
        """
        rounds = self._scheduler.loop_count
        self._waker = 0 if rounds != self._rounds else self._waker + 1
        self._rounds = rounds
        self._scheduler.wakeup()

    def fatal(self) -> str | None:
        """Say what has died or is stuck, if anything, so that only a new process helps."""
        if not self._scheduler.is_alive():
            return "the scheduling thread died"
        if self._waker > FATAL_AFTER_S:
            return "the scheduling thread is stuck"
        if self._scheduler.is_stuck():
            return f"the runner stands still: {self._scheduler.standstill()}"
        return None if self._log.is_alive() else "the log writer died"

    def overdue(self) -> str | None:
        """Say which part is not on time, if any; it may still come back. A dead watcher has been replaced by then."""
        if self._waker > 1:
            return "the scheduling thread"
        if self._scheduler.standstill() is not None:
            return "the runner"
        if self._log.busy_for() > OVERDUE_AFTER_S:
            return "the log writer"
        if self._watch.busy_for() > OVERDUE_AFTER_S:
            return "the watcher"
        return next((name for name, stuck_for in self._others.items() if stuck_for() > OVERDUE_AFTER_S), None)
