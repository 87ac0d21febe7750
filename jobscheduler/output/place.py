"""The output directory with what writes and deletes in it: opened, and opened anew after trouble."""

from __future__ import annotations

import errno
import time
from dataclasses import dataclass
from pathlib import Path

from jobscheduler.output.folder import OutputFolder, open_folder
from jobscheduler.output.retention import OutputLimits, Retention
from jobscheduler.output.store import OutputStore

RETRY_S = 10.0  # between two tries to open a directory that cannot be used
MIN_FREE_BYTES = 64 * 1024 * 1024  # left to the log on its disk, but no more than a twentieth of the disk
_PAUSE_S = 0.001


@dataclass(frozen=True, slots=True)
class OpenPlace:
    """The open directory, and what writes and deletes in it."""

    folder: OutputFolder
    store: OutputStore
    retention: Retention


class OutputPlace:
    """The directory at `path`: open, or not to be tried again before its time. Its calls may hang.

    Thread: that of the outputs; any thread may set `limits`.
    """

    def __init__(self, path: Path, limits: OutputLimits) -> None:
        self.path = path
        self.limits = limits
        self._open: OpenPlace | None = None
        self._try_after = 0.0  # monotonic seconds

    @property
    def present(self) -> OpenPlace | None:
        """The directory if it is open, without a look at the disk."""
        return self._open

    def apply_limits(self) -> None:
        """Keep the open directory within the present limits from now on."""
        if self._open is not None:
            self._open.retention.limit(self.limits)

    def opened(self, now: float) -> OpenPlace | None:
        """Return the open directory, after opening it if need be; None while that is not tried again.

        Raises:
            FolderRefused: it cannot be used as it is.
            OSError: a call failed, or its disk is nearly full.

        """
        former = self._open
        if former is not None and former.folder.is_in_place():
            return former
        self.close()
        if now < self._try_after:
            return None
        self._open = self._open_anew()
        return self._open

    def failed(self, now: float) -> None:
        """Close the directory, and try it again after `RETRY_S` only (`now` in monotonic seconds)."""
        self._try_after = now + RETRY_S
        self.close()

    def close(self) -> None:
        """Close the directory, if it is open."""
        former, self._open = self._open, None
        if former is not None:
            former.folder.close()

    def _open_anew(self) -> OpenPlace:
        folder = open_folder(self.path)
        try:
            require_room(folder)
            folder.probe()
        except OSError:
            folder.close()
            raise
        retention = Retention(self.limits, let_others_run)
        return OpenPlace(folder, OutputStore(folder, retention), retention)


def require_room(folder: OutputFolder) -> None:
    """Check that the disk has room beyond what is left to the log.

    Raises:
        OSError: it is nearly full.

    """
    free, whole = folder.free_bytes()
    least = min(MIN_FREE_BYTES, whole // 20)
    if free < least:
        raise OSError(errno.ENOSPC, f"its disk has less than {least // 1024:,} KiB free, which are left to the log")


def let_others_run() -> None:
    """Wait a millisecond, in which other threads get a turn."""
    time.sleep(_PAUSE_S)
