"""Have the disk keep what was written to the log, on a thread of its own."""

from __future__ import annotations

import errno
import threading
from contextlib import suppress

from jobscheduler.model import EventLogger, Level
from jobscheduler.runlog.file import reason_of
from jobscheduler.runlog.file_calls import NO_ANSWER, FileCalls, Superseded
from jobscheduler.runlog.target import LogTarget

SYNC_INTERVAL_S = 0.5  # seconds between a write and the sync that covers it
CLOSE_TIMEOUT_S = 1.0  # seconds that the end waits for the last sync

# The answers to a sync when there is nothing to sync: no file is open at the moment, or it is a pipe.
_NOTHING_TO_SYNC = frozenset({errno.EBADF, errno.EINVAL, errno.EROFS, errno.EMFILE})


class SyncThread:
    """Syncs the file half a second after a write. A thread whose sync hangs is replaced, as in `file_calls`.

    A sync that fails is logged once, and its end too.
    """

    def __init__(self, file: LogTarget, log_event: EventLogger) -> None:
        self._file = file
        self._log_event = log_event
        self._calls = FileCalls()
        self._is_closing = threading.Event()
        self._is_requested = threading.Event()
        self._is_reported = False
        self._thread = self._make_thread()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def request(self) -> None:
        """Have what is written by now synced. Never wait."""
        self._is_requested.set()

    def is_silent(self) -> bool:
        """Return whether the disk does not answer at present."""
        return self._calls.is_silent()

    def check(self, now: float) -> bool:
        """Replace the thread if its sync hangs, and return whether it does since this check; `now` is monotonic."""
        if not self._calls.check(now):
            return False
        self._thread = self._make_thread()
        self._thread.start()
        self._is_requested.set()  # the disk still lacks what that sync was for
        return True

    def report_silence(self) -> None:
        """Log that the disk does not take what was written."""
        if not self._is_reported:
            self._report(NO_ANSWER)

    def hand_over_report(self) -> bool:
        """Leave the end of the present trouble to the writer, which has it too; return whether its begin is logged."""
        is_logged, self._is_reported = self._is_reported, False
        return is_logged

    def close(self) -> None:
        """Let the thread end after one more sync."""
        self._is_closing.set()
        self._is_requested.set()

    def join(self) -> None:
        """Wait a moment until the thread has ended, unless the disk does not answer."""
        if not self._calls.is_silent():
            self._thread.join(CLOSE_TIMEOUT_S)

    def _make_thread(self) -> threading.Thread:
        return threading.Thread(target=self._sync_all, name="log-sync", daemon=True)

    def _sync_all(self) -> None:
        with suppress(Superseded):
            while not self._is_closing.is_set():
                self._is_requested.wait()
                self._is_closing.wait(SYNC_INTERVAL_S)  # what is written meanwhile is synced with it
                if self._calls.take_over() is None:  # the disk does not answer yet
                    continue
                self._is_requested.clear()
                self._sync()

    def _sync(self) -> None:
        try:
            self._calls.call(self._file.sync)
        except OSError as error:
            if error.errno not in _NOTHING_TO_SYNC and not self._is_reported:
                self._report(reason_of(error))
        else:
            if self._is_reported:
                self._is_reported = False
                self._log_event(Level.INFO, "log.restored", file=self._file.name, lines_not_kept=0)

    def _report(self, reason: str) -> None:
        self._is_reported = True
        self._log_event(Level.ERROR, "log.lost", file=self._file.name, error=f"cannot sync: {reason}")
