"""File descriptors for runs: however many want some, the last few are left to the service's own looks at files.

A shortage then makes runs late or fails them, with its reason, and an edit of a job file (perhaps the one that ends
the shortage) is still seen at once.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
from types import TracebackType

SPARED = 8
"""How many descriptors runs leave alone: a look at the jobs directory, the log's rotation, a connection or two."""

START = 6
"""How many descriptors one start of a command holds for a moment."""


class _Starts:
    """The starts that are being made now. A context manager: surround each with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._going = 0

    def __enter__(self) -> None:
        with self._lock:
            self._going += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._lock:
            self._going -= 1

    def check(self, number: int) -> None:
        """Make sure that there is room for all of them; `number` is of a descriptor that one of them has just made.

        Linux gives the lowest number that is free, so that those below are taken.

        Raises:
            OSError: EMFILE, there is not enough room.

        """
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit != resource.RLIM_INFINITY and number + SPARED + START * self._going > limit:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


STARTS = _Starts()
"""The ones of this process, which has one table of descriptors."""
