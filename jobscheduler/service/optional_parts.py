"""The parts that a service can do without: what is wrong with one must not keep jobs from running."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from jobscheduler.model import EventLogger, Level, Problem

DATABASE = "the database"
PAGE = "the page"
ALERTS = "the alerts for all jobs"
DEFAULTS = "the default alerts"
SOCKET_GROUP = "the group of the control socket"


class OptionalParts:
    """The problems of optional parts, by part: each is an error in the log, and an issue until it is mended.

    Lock: `_lock` guards the problems.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._problems: dict[str, tuple[Problem, ...]] = {}

    def note(self, part: str, problems: Sequence[Problem]) -> None:
        """Replace the problems of a part; without any it works."""
        with self._lock:
            self._problems[part] = tuple(problems)

    def issues(self) -> tuple[str, ...]:
        """Return what is wrong, in words, with help where there is any."""
        with self._lock:
            return tuple(_issue(part, problem) for part, found in self._problems.items() for problem in found)

    def log(self, log_event: EventLogger) -> None:
        """Log every problem."""
        with self._lock:
            problems = [(part, problem) for part, found in self._problems.items() for problem in found]
        for part, problem in problems:
            location = {"file": problem.file or None, "line": problem.line, "column": problem.column}
            log_event(Level.ERROR, "part.unusable", part=part, **location, problem=problem.message, help=problem.help)


def _issue(part: str, problem: Problem) -> str:
    place = f" ({problem.file}{f':{problem.line}' if problem.line else ''})" if problem.file else ""
    help_ = f" (help: {problem.help})" if problem.help else ""
    return f"{part} cannot be used: {problem.message}{place}{help_}"
