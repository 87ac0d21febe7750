"""The backlog of the log: lines that wait for the file, while it cannot be written or does not answer.

Lines wait up to a bound and follow in their order; lines beyond it are counted. Trouble with the file is logged once,
and so is its end. At the end of the service the last checkpoint takes the place of older lines on a full disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial

from jobscheduler.model import Event, Level, LogValue
from jobscheduler.runlog.file import reason_of
from jobscheduler.runlog.file_calls import NO_ANSWER, FileCalls
from jobscheduler.runlog.line_encoder import LineEncoder
from jobscheduler.runlog.lost_lines import LostLines
from jobscheduler.runlog.pending_lines import PendingLines
from jobscheduler.runlog.target import LogTarget

RETRY_S = 1.0  # seconds between a failed write and the next
CLOSE_TIMEOUT_S = 5.0  # seconds that the end waits for a call that hangs, and then for the file to be closed


class Backlog:
    """Appends lines to the file in their order, now or later.

    Thread: the writer's; `check` and the predicates any.
    """

    def __init__(
        self,
        file: LogTarget,
        encoder: LineEncoder,
        clock: Callable[[], datetime],
        on_written: Callable[[], object] = lambda: None,
    ) -> None:
        """`on_written` is called whenever lines were appended to the file."""
        self._file = file
        self._encoder = encoder
        self._clock = clock
        self._on_written = on_written
        self._calls = FileCalls()
        self._pending = PendingLines()
        self._lost = LostLines(file, encoder, clock)
        self._failed_at: float | None = None
        self._is_rotation_reported = False

    @property
    def lines_lost(self) -> int:
        """How many lines were never written; known at the end."""
        return self._lost.count

    def pending_bytes(self) -> int:
        """Return how many bytes wait for the file."""
        return self._pending.size

    def is_failing(self) -> bool:
        """Return whether the file cannot be written at present, so that lines wait."""
        return self._failed_at is not None and not self._calls.is_silent()

    def is_silent(self) -> bool:
        """Return whether the file does not answer at present."""
        return self._calls.is_silent()

    def is_in_call(self) -> bool:
        """Return whether a call of the file is in progress or hangs."""
        return self._calls.is_active() or self._calls.is_silent()

    def is_empty(self) -> bool:
        """Return whether no line waits."""
        return not self._pending

    def check(self, now: float) -> bool:
        """Give up a call of the file that hangs, and return whether that is so since this check; `now` is monotonic.

        The caller has another thread write from then on.
        """
        return self._calls.check(now)

    def prepare_end(self, now: float) -> None:
        """Give a call that hangs more time from `now` on (monotonic): the process ends when the writer does."""
        self._calls.be_patient(now + CLOSE_TIMEOUT_S)

    def add(self, lines: bytes, *, is_checkpoint: bool = False) -> None:
        """Put lines at the end of the backlog; count them instead if that would be too large."""
        self._pending.add(lines, is_checkpoint=is_checkpoint)

    def add_event(self, level: Level, name: str, /, **values: LogValue) -> None:
        """Put an event about the log itself at the end of the backlog."""
        self.add(self._encoder.encode([Event.of(self._clock(), level, name, **values)]))

    def flush(self, *, is_final: bool = False) -> None:
        """Append what waits; log when that fails, and when it works again.

        After a failure it does nothing for a second, unless this is the final flush.

        Raises:
            Superseded: the call hung and was given up; the thread must end.

        """
        if self._failed_at is not None and not is_final and time.monotonic() - self._failed_at < RETRY_S:
            return
        written = self._calls.take_over()
        if written is None:  # the file does not answer yet
            return
        self._remove_written(written)
        try:
            self._append_pending()
        except OSError as error:
            self.fail(reason_of(error))
        else:
            self._restore()
        self._report_rotation()

    def fail(self, reason: str = NO_ANSWER, *, is_logged: bool = False) -> None:
        """Note that the file cannot be written, and log that once; not at all if the same trouble `is_logged`."""
        is_first = self._failed_at is None
        self._failed_at = time.monotonic()
        if is_first and not is_logged:
            self.add_event(Level.ERROR, "log.lost", file=self._file.name, error=reason)

    def finish(self) -> None:
        """Append what waits for the last time; log what the file does not take as lost.

        A call that was given up may be slow and not hung for good. So it is waited for: the lines behind it cannot be
        written, and the file not be closed, before it has returned.
        """
        self._calls.wait_for_return()
        for _ in range(2):  # the second time for what the first had to log about the file
            self.flush(is_final=True)
        if self._pending:
            self._lost.finish(self._pending, self._calls)

    def abandon(self, queued: int) -> None:
        """Log what waits as lost, with so many queued entries: the writer's thread hangs, and the process ends."""
        self._lost.report(self._pending.count() + queued, has_checkpoint=False)

    def close(self) -> None:
        """Close the file. A close that hangs is left to the end of the process, and this is said on standard error.

        No line is lost by that, but the file keeps its lock until then.
        """
        closing = threading.Thread(target=self._file.close, name="log-close", daemon=True)
        with suppress(RuntimeError):  # no thread is left; the end of the process closes it
            closing.start()
            closing.join(CLOSE_TIMEOUT_S)
        if closing.is_alive():
            problem = "it does not answer; it is closed and unlocked when this process has ended"
            unclosed = Event.of(self._clock(), Level.WARNING, "log.unclosed", file=self._file.name, problem=problem)
            self._encoder.encode([unclosed])

    def _append_pending(self) -> None:
        """Append what waits. If nothing waits, ensure that the open file still has its name."""
        if not self._pending:
            self._calls.call(self._file.reopen_if_replaced)
        while self._pending:
            lines, is_checkpoint = self._pending.first()
            append = partial(self._file.append, lines, is_checkpoint=is_checkpoint)
            self._remove_written(self._calls.call(append))

    def _remove_written(self, written: int) -> None:
        """Remove so many bytes from the front: they are in the file."""
        if written:
            self._on_written()
            self._pending.remove_front(written)

    def _restore(self) -> None:
        if self._failed_at is None:
            return
        self._failed_at = None
        self.add_event(Level.INFO, "log.restored", file=self._file.name, lines_not_kept=self._pending.take_omitted())

    def _report_rotation(self) -> None:
        """Log a rotation that fails, once, and the first that succeeds again."""
        error, name = self._file.rotation_error, self._file.name
        if error is not None and not self._is_rotation_reported:
            self.add_event(Level.ERROR, "log.lost", file=name, error=f"cannot rotate: {reason_of(error)}")
        elif error is None and self._is_rotation_reported:
            self.add_event(Level.INFO, "log.restored", file=name, lines_not_kept=0)
        self._is_rotation_reported = error is not None
