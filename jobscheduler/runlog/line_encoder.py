"""Turn entries into the lines of the log, and show each line to its observers and to standard error."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import replace

from jobscheduler.model import LogEntry, Record
from jobscheduler.runlog.format import encode_line, format_text, json_formatter, syslog_priority
from jobscheduler.runlog.stderr_copy import StderrCopy
from jobscheduler.util.text import format_error

LineObserver = Callable[[LogEntry, bytes], object]


class LineEncoder:
    """Encodes entries in one format. Observers get every line, also one that the file cannot take.

    Thread: the writer's; `open`, `close` and `subscribe` any.
    """

    def __init__(
        self,
        *,
        form: str,
        echo: int | None,
        priorities: bool,
        own_priorities: bool = False,
        is_copying: Callable[[], bool] = lambda: True,
    ) -> None:
        """`echo` is the descriptor of the copy, which gets the lines for which `is_copying` returns true.

        `priorities` puts syslog priorities in front of the lines there, `own_priorities` in front of the lines of the
        log itself.
        """
        self._format = json_formatter(socket.gethostname()) if form == "json" else format_text
        self._echo = echo
        self._priorities = priorities
        self._own_priorities = own_priorities
        self._is_copying = is_copying
        self._copy: StderrCopy | None = None
        self._observers: tuple[LineObserver, ...] = ()

    def open(self) -> None:
        """Start the copy on standard error."""
        self._copy = None if self._echo is None else StderrCopy(self._echo)

    def close(self) -> None:
        """End the copy, with the remaining lines unless its reader does not take them."""
        if self._copy is not None:
            self._copy.close()

    def subscribe(self, observers: Iterable[LineObserver]) -> None:
        """Add observers of lines. None of them may wait or raise."""
        self._observers += tuple(observers)

    def encode(self, entries: Iterable[LogEntry]) -> bytes:
        """Return the lines of these entries, after the observers and the copy have got them."""
        lines, copied = [], []
        for entry in entries:
            line = self.encode_unseen(entry)
            prefixed = syslog_priority(entry) + line if self._priorities or self._own_priorities else line
            lines.append(prefixed if self._own_priorities else line)
            for observe in self._observers:
                observe(entry, line)
            copied.append(prefixed if self._priorities else line)
        if self._copy is not None and copied and self._is_copying():
            self._copy.put(b"".join(copied))
        return b"".join(lines)

    def encode_unseen(self, entry: LogEntry) -> bytes:
        """Return the line of an entry, for the file alone."""
        try:
            return encode_line(entry, self._format)
        except Exception as error:  # a task gave a value that cannot be formatted; the rest of the line is needed
            problem = (("unwritable", format_error(error)),)
            if isinstance(entry, Record):
                return encode_line(replace(entry, details=problem, output=None), self._format)
            return encode_line(replace(entry, values=problem), self._format)
