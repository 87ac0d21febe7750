"""The backlog of the log: lines that wait for the file, while it cannot be written or does not answer.

Lines wait up to a bound and follow in their order; lines beyond it are counted. Trouble with the file is logged once,
and so is its end. At the end of the service the last checkpoint takes the place of older lines on a full disk.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import partial

from jobscheduler.model import Event, Level, LogValue
from jobscheduler.runlog.file import reason_of
from jobscheduler.runlog.file_calls import NO_ANSWER, FileCalls
from jobscheduler.runlog.line_encoder import LineEncoder
from jobscheduler.runlog.target import LogTarget

MAX_PENDING_BYTES = 16 * 1024 * 1024  # of lines that wait for the file
RETRY_S = 1.0  # seconds between a failed write and the next
CLOSE_TIMEOUT_S = 5.0  # seconds that the end waits for the file to be closed

_LARGE_COUNT = 10**9  # more lines than are ever lost: the event that counts them becomes no longer than with this


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
        self._pending: deque[tuple[bytes, bool]] = deque()  # lines, and whether they are a checkpoint
        self._pending_bytes = 0
        self._omitted = 0  # lines beyond the bound
        self._failed_at: float | None = None
        self._is_rotation_reported = False
        self.lines_lost = 0  # lines that were never written; known at the end

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

    def add(self, lines: bytes, *, is_checkpoint: bool = False) -> None:
        """Put lines at the end of the backlog; count them instead if that would be too large."""
        if self._pending_bytes + len(lines) > MAX_PENDING_BYTES:
            self._omitted += _count(lines)
        elif lines:
            self._pending.append((lines, is_checkpoint))
            self._pending_bytes += len(lines)

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
        """Append what waits for the last time; log what the file does not take as lost."""
        for _ in range(2):  # the second time for what the first had to log about the file
            self.flush(is_final=True)
        if self._pending:
            self._finish_on_full_disk()

    def abandon(self, queued: int) -> None:
        """Log what waits as lost, with so many queued entries: the writer's thread hangs, and the process ends."""
        self._report_lost(sum(_count(lines) for lines, _ in list(self._pending)) + queued, has_checkpoint=False)

    def close(self) -> None:
        """Close the file. A close that hangs is left to the end of the process."""
        closing = threading.Thread(target=self._file.close, daemon=True)
        with suppress(RuntimeError):  # no thread is left; the end of the process closes it
            closing.start()
            closing.join(CLOSE_TIMEOUT_S)

    def _append_pending(self) -> None:
        """Append what waits. If nothing waits, ensure that the open file still has its name."""
        if not self._pending:
            self._calls.call(self._file.reopen_if_replaced)
        while self._pending:
            lines, is_checkpoint = self._pending[0]
            append = partial(self._file.append, lines, is_checkpoint=is_checkpoint)
            self._remove_written(self._calls.call(append))

    def _remove_written(self, written: int) -> None:
        """Remove so many bytes from the front: they are in the file."""
        if not written:
            return
        self._on_written()
        self._pending_bytes -= written
        lines, is_checkpoint = self._pending[0]
        if written < len(lines):
            self._pending[0] = lines[written:], is_checkpoint
        else:
            self._pending.popleft()

    def _restore(self) -> None:
        if self._failed_at is None:
            return
        self._failed_at = None
        omitted, self._omitted = self._omitted, 0
        self.add_event(Level.INFO, "log.restored", file=self._file.name, lines_not_kept=omitted)

    def _report_rotation(self) -> None:
        """Log a rotation that fails, once, and the first that succeeds again."""
        error, name = self._file.rotation_error, self._file.name
        if error is not None and not self._is_rotation_reported:
            self.add_event(Level.ERROR, "log.lost", file=name, error=f"cannot rotate: {reason_of(error)}")
        elif error is None and self._is_rotation_reported:
            self.add_event(Level.INFO, "log.restored", file=name, lines_not_kept=0)
        self._is_rotation_reported = error is not None

    def _finish_on_full_disk(self) -> None:
        """Count what is lost, and write at least the last checkpoint, over older lines in the file.

        Without it the next start would not know the runs since the checkpoint before, and would run them again.
        """
        lost, last = _from_last_checkpoint(self._pending)
        lost += self._omitted
        try:
            overwritten = self._overwrite_tail(lost, last) if last else 0
        except OSError:
            self._report_lost(lost + _count(last), has_checkpoint=False)
        else:
            self._report_lost(lost + overwritten, has_checkpoint=bool(last))

    def _overwrite_tail(self, lost: int, last: bytes) -> int:
        """Write a count of what is lost and these last lines over the end of the file; return how many lines they cost.

        Raises:
            OSError: there is no room, or the file does not answer.

        """
        overwritten = 0

        def lines(cost: int) -> bytes:
            return self._encoder.encode_unseen(self._lost_event(lost + cost, has_checkpoint=True)) + last

        def overwrite() -> None:
            nonlocal overwritten
            overwritten = self._file.overwrite_tail(len(lines(_LARGE_COUNT)), lines)

        if self._calls.is_silent():
            raise OSError(errno.ETIMEDOUT, NO_ANSWER)
        self._calls.call(overwrite)
        return overwritten

    def _report_lost(self, lines: int, *, has_checkpoint: bool) -> None:
        """Report on standard error, which has every line, how many lines the file lacks for good."""
        self.lines_lost = max(1, lines)
        self._encoder.encode([self._lost_event(lines, has_checkpoint=has_checkpoint)])

    def _lost_event(self, lines: int, *, has_checkpoint: bool) -> Event:
        may_repeat = "what has run since the last `service.alive` in the file may run once more"
        help_ = None if has_checkpoint else may_repeat
        return Event.of(self._clock(), Level.ERROR, "log.lost", file=self._file.name, lines=lines, help=help_)


def _from_last_checkpoint(pending: Iterable[tuple[bytes, bool]]) -> tuple[int, bytes]:
    """Return how many lines come before the last checkpoint, and the lines from it on; no lines if there is none."""
    before, last = 0, b""
    for lines, is_checkpoint in pending:
        if is_checkpoint:
            before, last = before + _count(last), lines
        elif last:
            last += lines
        else:
            before += _count(lines)
    return before, last


def _count(lines: bytes) -> int:
    return lines.count(b"\n")
