"""What keeps outputs from being written: said once when it begins, with what it has cost when it ends."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from jobscheduler.model import EventLogger, Level, Problem
from jobscheduler.util.text import plural

HUNG_S = 5.0  # after which a call that has not returned is an issue


class OutputTrouble:
    """The present trouble with the output directory, if there is any.

    Thread: any. Lock: a leaf; lines are logged outside it.
    """

    def __init__(self, path: Path, log_event: EventLogger) -> None:
        self._path = path
        self._log_event = log_event
        self._lock = threading.Lock()
        self._problem: Problem | None = None
        self._lost = 0
        self._busy_since = 0.0

    def issues(self) -> tuple[str, ...]:
        """Return what is wrong, in words."""
        with self._lock:
            problem, lost = self._problem, self._lost
        if problem is None:
            return ()
        cost = f"; {plural(lost, 'output')} lost" if lost else ""
        help_ = f" (help: {problem.help})" if problem.help else ""
        return (f"output cannot be kept: {problem.message}{cost}{help_}",)

    def lose(self, count: int) -> None:
        """Count outputs that are lost."""
        with self._lock:
            self._lost += count

    def begin(self, problem: Problem, level: Level = Level.WARNING) -> None:
        """Note that outputs cannot be written. Log it unless it is the present problem already."""
        with self._lock:
            is_known, self._problem = self._problem is not None and self._problem.message == problem.message, problem
        if not is_known:
            self._log_event(level, "output.lost", problem=problem.message, help=problem.help)

    def end(self) -> None:
        """Note that outputs can be written. Log what was lost."""
        with self._lock:
            (problem, self._problem), (lost, self._lost) = (self._problem, None), (self._lost, 0)
        if problem is not None:
            self._log_event(Level.INFO, "output.restored", lost=lost)
        elif lost:
            text = "the disk is slower than what is printed"
            self._log_event(Level.WARNING, "output.lost", problem=text, lost=lost)

    # -- a directory that does not answer

    def enter(self, now: float) -> None:
        """Note that calls begin that may hang (monotonic seconds)."""
        self._busy_since = now

    def leave(self) -> None:
        """Note that they have returned."""
        self._busy_since = 0.0

    def check(self, now: float) -> None:
        """Log a directory that does not answer. Thread: another one than that of the calls."""
        since = self._busy_since
        if since and now - since > HUNG_S:
            help_ = "is its file system mounted, and the server of that reachable?"
            self.begin(Problem(f"the output directory `{self._path}` does not answer", help=help_))


def describe(path: Path, error: OSError) -> Problem:
    """Return why a call failed."""
    why = (error.strerror or os.strerror(error.errno or 0)).lower()
    return Problem(f"the output directory `{path}`: {why}", help="jobs run all the same; `df` shows room on disks")
