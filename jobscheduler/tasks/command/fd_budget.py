"""File descriptors: as many as the host lets the service have, and some that runs leave alone.

However many runs want some, the last few are left to the service's own looks at files. A shortage then makes runs
late or fails them, with its reason, and an edit of a job file (perhaps the one that ends the shortage) is still seen
at once.

The service raises its own limit to the hard one. Its commands get the limit that it was started with: programs that
close all possible descriptors, or that use `select`, rely on it. A limit cannot be passed to a start by itself, so the
service has the former one for the moment of the start (`FormerLimit`).
"""

from __future__ import annotations

import errno
import os
import resource
import threading
from contextlib import suppress
from types import TracebackType

RESERVED_FDS = 8
"""How many descriptors runs leave alone: a look at the jobs directory, the log's rotation, a connection or two."""

FDS_PER_START = 6
"""How many descriptors one start of a command holds for a moment."""

EXTRA_FDS = 64
"""How many descriptors are left to other threads while the former limit is back for a start."""


class _FdBudget:
    """The starts that are being made now. A context manager: surround each with it."""

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
        """Make sure that there is room for all of them; `number` is of a descriptor that one of them has just made.

        Linux gives the lowest number that is free, so that those below are taken.

        Raises:
            OSError: EMFILE, there is not enough room.

        """
        limit = FD_LIMIT.most()
        if limit != resource.RLIM_INFINITY and number + RESERVED_FDS + FDS_PER_START * self._active > limit:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class FdLimit:
    """The limit of descriptors that the service was started with, for its commands.

    Lock: held to change the limit of this process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._previous: int | None = None
        self._hard = 0
        self._now = 0
        self._starts = 0

    def raise_limit(self) -> None:
        """Let this process have as many descriptors as it may; its commands keep the limit of today."""
        with self._lock, suppress(OSError, ValueError):
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            if self._previous is None and soft != hard:
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                self._previous, self._hard = soft, hard

    def most(self) -> int:
        """How many descriptors this process may have, while no start is being made."""
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0] if self._previous is None else self._hard

    def lower(self, number: int) -> None:
        """Have the former limit for a start, until `restore`; `number` is of a descriptor that was just made.

        `ROOM` stays above that number, so that other threads find descriptors meanwhile.
        """
        if self._previous is None:
            return
        with self._lock:
            self._starts += 1
            wanted = min(max(self._previous, number + EXTRA_FDS), self._hard)
            if self._starts == 1 or wanted > self._now:
                self._set(wanted)

    def restore(self, pid: int | None = None) -> None:
        """End what `lower` began. `pid` is what was started: it gets the former limit, if it had to have more."""
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


FD_BUDGET = _FdBudget()
"""The ones of this process, which has one table of descriptors."""

FD_LIMIT = FdLimit()
"""The one of this process."""
