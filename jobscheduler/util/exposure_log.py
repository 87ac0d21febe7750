"""Log which files show secrets to all users of the host: once for each change, when it has settled."""

from __future__ import annotations

from jobscheduler.model import EventLogger, Level, Problem

_Found = tuple[Problem, ...] | None


class ExposureLog:
    """What was logged about each file. No I/O and no clock: `now` is in seconds of a clock that only moves forward.

    A file that is being written may be open for a moment, and one that is replaced is gone for a moment. So a change
    counts when it has been so for `delay` seconds.
    """

    def __init__(self, log_event: EventLogger, delay: float = 0.0) -> None:
        self._log_event = log_event
        self._delay = delay
        self._logged: dict[str, frozenset[str]] = {}  # file -> messages, of files that show something
        self._changed: dict[str, tuple[_Found, float]] = {}  # file -> what it shows now, since when

    def observe(self, file: str, found: _Found, now: float, *, age: float = 0.0) -> None:
        """Take what a file shows now: None if it does not exist. `age` is for how long it has been so."""
        if not found and file not in self._logged and file not in self._changed:  # nearly all files, each time
            return
        messages = _messages(found)
        if messages == self._logged.get(file, frozenset()) and found is not None:
            self._changed.pop(file, None)
        elif file not in self._changed or _messages(self._changed[file][0]) != messages:
            self._changed[file] = found, now - age

    def next_settle_at(self) -> float | None:
        """Return when the next change will have settled; None if there is none."""
        since = [since for _, since in self._changed.values()]
        return min(since) + self._delay if since else None

    def report(self, now: float) -> None:
        """Log the changes that have settled."""
        for file in [file for file, (_, since) in self._changed.items() if now - since >= self._delay]:
            self._log_change(file, self._changed.pop(file)[0])

    def _log_change(self, file: str, found: _Found) -> None:
        """Log what a file shows, or that it shows nothing more. One that does not exist any more is only forgotten."""
        former = self._logged.pop(file, None)
        if found:
            first, *others = found
            self._logged[file] = _messages(found)
            self._log_event(
                Level.WARNING,
                "secret.exposed",
                file=file,
                line=first.line,
                column=first.column,
                problem=first.message,
                help=first.help,
                also="; ".join(problem.message for problem in others) or None,
            )
        elif former is not None and found is not None:
            self._log_event(Level.INFO, "secret.closed", file=file)


def _messages(found: _Found) -> frozenset[str]:
    return frozenset(problem.message for problem in found or ())
