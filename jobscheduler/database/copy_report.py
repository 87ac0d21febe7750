"""Log how the copy of the log is: lines that the database does not take, and the end of that."""

from __future__ import annotations

from collections.abc import Callable

from jobscheduler.model import EventLogger, Level

REFUSAL_INTERVAL_S = 60.0  # seconds between two reports of refused lines


class CopyReport:
    """Logs failures of the copy and their ends, each once. After `close` it logs no more."""

    def __init__(self, log_event: EventLogger, now: Callable[[], float]) -> None:
        """`now` returns monotonic seconds."""
        self._log_event = log_event
        self._now = now
        self._next_refusal = 0.0
        self._is_closed = False
        self.refused = 0  # lines that the database refused, not reported yet
        self.is_unavailable = False

    def fail(self, problem: str, help_: str | None) -> None:
        """Log that the database takes no lines now."""
        self.is_unavailable = True
        self._log(Level.WARNING, "database.log_lost", problem=problem, help=help_)

    def restore(self, missed: int) -> None:
        """Log that the database takes lines again, with those that found no room meanwhile, and those it refused."""
        if self.is_unavailable or missed:
            self.is_unavailable = False
            self._log(Level.WARNING if missed else Level.INFO, "database.log_restored", lines_not_kept=missed)
        if self.refused and self._now() >= self._next_refusal:
            refused, self.refused = self.refused, 0
            self._next_refusal = self._now() + REFUSAL_INTERVAL_S
            problem = "the database refuses lines of the log, and takes others"
            self._log(Level.WARNING, "database.lines_refused", problem=problem, lines_not_kept=refused)

    def note_refused(self) -> None:
        """Count a line that the database refused."""
        self.refused += 1

    def close(self, unsent: int) -> None:
        """Log how many lines the table lacks, if any; this is the last event about the copy."""
        self._is_closed = True
        if unsent:
            problem = "the service ends before the database has taken all lines"
            self._log_event(Level.WARNING, "database.log_lost", problem=problem, lines_not_kept=unsent)

    def _log(self, level: Level, name: str, **values: str | int | None) -> None:
        if not self._is_closed:
            self._log_event(level, name, **values)
