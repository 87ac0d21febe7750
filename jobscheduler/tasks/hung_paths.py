"""Check paths that may hang: directories, programs, homes, certificates. A hung path costs one thread.

A hung start holds its thread until the file system answers. A second start of the same kind would hold another one.
So once an earlier start has lasted too long to be merely slow, later ones first check their paths through the guard.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from jobscheduler.util.hang_guard import HangGuard

GUARD = HangGuard()  # makes the calls of tasks that may hang

ACCOUNT_TIMEOUT_S = 10.0  # for the host to look up a user or mount a home

SLOW_START_S = 3.0  # after which a start may be hung

_PROBE_TIMEOUT_S = 0.4  # seconds; a similar start has already lasted for `SLOW_START_S`

Kind = tuple[str | None, ...]


class ActiveStarts:
    """The starts in progress, each on its own thread. Thread: any."""

    def __init__(self) -> None:
        self._active: dict[int, tuple[Kind, float]] = {}

    def enter(self, kind: Kind) -> bool:
        """Note that this thread begins a start. Return whether one of the same kind has lasted too long."""
        now, thread = time.monotonic(), threading.get_ident()
        is_doubtful = bool(self._active) and any(
            other == kind and now - since > SLOW_START_S for other, since in tuple(self._active.values())
        )
        self._active[thread] = kind, now
        return is_doubtful

    def leave(self) -> None:
        """Note that the start of this thread is over."""
        self._active.pop(threading.get_ident(), None)


ACTIVE_STARTS = ActiveStarts()  # of commands


def check_paths(paths: Iterable[tuple[str, str]]) -> None:
    """Check that these paths answer. Each comes with a noun for it (`directory`).

    Raises:
        CallHung: a path does not answer.

    """
    for what, path in paths:
        with suppress(OSError, ValueError):  # the start reports it
            GUARD.call(f"the {what} `{path}`", partial(os.stat, path), patience=_PROBE_TIMEOUT_S)
