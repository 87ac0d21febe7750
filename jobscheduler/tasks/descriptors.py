"""File descriptors for runs: however many want some, the last few are left to the service's own looks at files.

A shortage then makes runs late or fails them, with its reason, and an edit of a job file (perhaps the one that ends
the shortage) is still seen at once.
"""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SPARED = 8
"""How many descriptors runs leave alone: a look at the jobs directory, the log's rotation, a connection or two."""

START = 6
"""How many descriptors one start of a command holds for a moment."""

_lock = threading.Lock()
_starting = 0


@contextmanager
def room_for_a_start() -> Iterator[None]:
    """Surround a start of a command.

    Raises:
        OSError: EMFILE, there are not enough for this start beside those that are being made now.

    """
    global _starting  # noqa: PLW0603 - one process has one table of descriptors
    with _lock:
        _starting += 1
        wanted = SPARED + START * _starting
    try:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if limit != resource.RLIM_INFINITY and _free_number() + wanted > limit:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        yield
    finally:
        with _lock:
            _starting -= 1


def _free_number() -> int:
    """The lowest number that is free: what Linux gives to a descriptor that is made now."""
    descriptor = os.open("/", os.O_PATH | os.O_CLOEXEC)
    os.close(descriptor)
    return descriptor
