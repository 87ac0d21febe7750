"""Budget the file descriptors: raise the limit of the service, and reserve a few that runs do not use.

Runs leave the last few descriptors to the service for its own files. So a shortage delays runs or fails them with its
reason, but the service still sees an edit of a job file at once, perhaps the one that ends the shortage.

The service raises its own limit to the hard one. Its commands get the limit with which it was started, because
programs that use `select` or close all possible descriptors rely on it. A start cannot be given a limit of its own, so
the service returns to the former limit for the duration of the start (`FdLimit`).
"""

from __future__ import annotations

import errno
import os
import resource
import threading
from contextlib import suppress
from types import TracebackType

RESERVED_FDS = 8  # that runs leave for a read of the jobs directory, the rotation of the log, a connection or two

FDS_PER_START = 6  # that one start of a command holds for a moment

EXTRA_FDS = 64  # that other threads can still open while a start has the former limit


class _FdBudget:
    """The starts in progress. Use it as a context manager around each start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active = 0

    def __enter__(self) -> None:
        with self._lock:
            self._active += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._lock:
            self._active -= 1

    def check(self, number: int) -> None:
        """Check that enough descriptors are left for all starts. `number` is a descriptor that a start just opened.

        Linux assigns the lowest free number, so all lower numbers are in use.

        Raises:
            OSError: EMFILE, too few descriptors are left.

        """
        limit = FD_LIMIT.maximum()
        if limit != resource.RLIM_INFINITY and number + RESERVED_FDS + FDS_PER_START * self._active > limit:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class FdLimit:
    """The limit of descriptors with which the service was started, for its commands.

    Lock: held to change the limit of this process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._previous: int | None = None
        self._hard = 0
        self._now = 0
        self._starts = 0

    def raise_limit(self) -> None:
        """Raise the limit of this process to the hard limit. Commands keep the current limit."""
        with self._lock, suppress(OSError, ValueError):
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            if self._previous is None and soft != hard:
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                self._previous, self._hard = soft, hard

    def maximum(self) -> int:
        """Return the limit of this process while no start is in progress."""
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0] if self._previous is None else self._hard

    def lower(self, number: int) -> None:
        """Return to the former limit for a start, until `restore`. `number` is a descriptor just opened.

        The limit stays `EXTRA_FDS` above that number, so that other threads can open descriptors meanwhile.
        """
        if self._previous is None:
            return
        with self._lock:
            self._starts += 1
            wanted = min(max(self._previous, number + EXTRA_FDS), self._hard)
            if self._starts == 1 or wanted > self._now:
                self._set(wanted)

    def restore(self, pid: int | None = None) -> None:
        """Undo `lower`. The started process `pid` gets the former limit if the start needed a higher one."""
        if self._previous is None:
            return
        with self._lock:
            if pid is not None and self._now > self._previous:
                with suppress(OSError):
                    resource.prlimit(pid, resource.RLIMIT_NOFILE, (self._previous, self._hard))
            self._starts -= 1
            if not self._starts:
                self._set(self._hard)

    def _set(self, limit: int) -> None:
        self._now = limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, self._hard))


FD_BUDGET = _FdBudget()  # the only one, because a process has one table of descriptors

FD_LIMIT = FdLimit()  # the only one in this process
