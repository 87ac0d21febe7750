"""Standard output as the log, for containers: lines that nothing rotates and nothing reads back."""

from __future__ import annotations

import errno
import os
import select
from collections.abc import Callable

from jobscheduler.util.standard_output import DESCRIPTOR, STANDARD_OUTPUT, log_name


class LogStream:
    """Appends lines to a descriptor.

    A reader that takes nothing is a log that hangs, and a reader that is gone is a log that fails.

    The descriptor stays open: it belongs to the process.
    """

    rotation_error: OSError | None = None

    def __init__(self, descriptor: int = DESCRIPTOR) -> None:
        self._descriptor = descriptor

    @property
    def name(self) -> str:
        """The name under which the log speaks of it."""
        return log_name(STANDARD_OUTPUT)

    def append(self, data: bytes, *, is_checkpoint: bool = False) -> int:
        """Write all lines, and return their bytes; or as much as the reader took before an error.

        Raises:
            OSError: nothing could be written.

        """
        del is_checkpoint
        written = 0
        while written < len(data):
            try:
                written += self._write(data[written:])
            except OSError:
                if not written:
                    raise
                break
        return written

    def _write(self, data: bytes) -> int:
        """Write once. Another process with the same descriptor may have made it one that does not wait."""
        while True:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                select.select([], [self._descriptor], [])

    def overwrite_tail(self, room: int, lines: Callable[[int], bytes]) -> int:
        """Raise an error: what was written cannot be taken back."""
        raise OSError(errno.ESPIPE, os.strerror(errno.ESPIPE))

    def reopen_if_replaced(self) -> None:
        """Do nothing: it has no name."""

    def sync(self) -> None:
        """Do nothing: its reader keeps the lines, or does not."""

    def close(self) -> None:
        """Do nothing."""
