"""What becomes of the lines that the file does not take before the service ends."""

from __future__ import annotations

import errno
from collections.abc import Callable
from datetime import datetime

from jobscheduler.model import Event, Level
from jobscheduler.runlog.file_calls import NO_ANSWER, FileCalls
from jobscheduler.runlog.line_encoder import LineEncoder
from jobscheduler.runlog.pending_lines import PendingLines, count_lines
from jobscheduler.runlog.target import LogTarget

_LARGE_COUNT = 10**9  # more lines than are ever lost: the event that counts them becomes no longer than with this


class LostLines:
    """Counts the lines that were never written, and keeps at least the last checkpoint.

    Thread: the writer's, and at the end any.
    """

    def __init__(self, file: LogTarget, encoder: LineEncoder, clock: Callable[[], datetime]) -> None:
        self.count = 0  # lines that were never written; known at the end
        self._file = file
        self._encoder = encoder
        self._clock = clock

    def report(self, lines: int, *, has_checkpoint: bool) -> None:
        """Report on standard error, which has every line, how many lines the file lacks for good."""
        self.count = max(1, lines)
        self._encoder.encode([self._event(lines, has_checkpoint=has_checkpoint)])

    def finish(self, pending: PendingLines, calls: FileCalls) -> None:
        """Count what is lost, and write at least the last checkpoint, over older lines in the file.

        Without it the next start would not know the runs since the checkpoint before, and would run them again.
        """
        lost, last = pending.from_last_checkpoint()
        try:
            overwritten = self._overwrite_tail(lost, last, calls) if last else 0
        except OSError:
            self.report(lost + count_lines(last), has_checkpoint=False)
        else:
            self.report(lost + overwritten, has_checkpoint=bool(last))

    def _overwrite_tail(self, lost: int, last: bytes, calls: FileCalls) -> int:
        """Write a count of what is lost and these last lines over the end of the file; return how many lines they cost.

        Raises:
            OSError: there is no room, or the file does not answer.

        """
        overwritten = 0

        def lines(cost: int) -> bytes:
            return self._encoder.encode_unseen(self._event(lost + cost, has_checkpoint=True)) + last

        def overwrite() -> None:
            nonlocal overwritten
            overwritten = self._file.overwrite_tail(len(lines(_LARGE_COUNT)), lines)

        if calls.is_silent():
            raise OSError(errno.ETIMEDOUT, NO_ANSWER)
        calls.call(overwrite)
        return overwritten

    def _event(self, lines: int, *, has_checkpoint: bool) -> Event:
        may_repeat = "what has run since the last `service.alive` in the file may run once more"
        help_ = None if has_checkpoint else may_repeat
        return Event.of(self._clock(), Level.ERROR, "log.lost", file=self._file.name, lines=lines, help=help_)
