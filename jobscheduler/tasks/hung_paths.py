"""What tasks have met that does not answer: a directory, a program, a home, certificates; each costs one thread.

A start that hangs holds its thread until the file system answers. A second start of the same kind would hold one more,
so it looks first at what it needs, through the guard, once a former one has lasted too long to be only slow.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from jobscheduler.util.hang_guard import HangGuard

GUARD = HangGuard()
"""Makes the calls of tasks that may hang."""

ACCOUNT_TIMEOUT_S = 10.0
"""How long the host may take to say of a user or of its home, in seconds: it may have to mount that first."""

SLOW_START_S = 3.0
"""A start that takes longer than this may hang, in seconds."""

_PROBE_TIMEOUT_S = 0.4  # seconds: a start like it has lasted for `SLOW` already

Kind = tuple[str | None, ...]


class ActiveStarts:
    """The starts that are being made, each on its own thread; any thread may make one."""

    def __init__(self) -> None:
        self._active: dict[int, tuple[Kind, float]] = {}

    def enter(self, kind: Kind) -> bool:
        """Note that this thread makes a start; tell whether one of the same kind has lasted too long."""
        now, own = time.monotonic(), threading.get_ident()
        doubtful = bool(self._active) and any(
            other == kind and now - since > SLOW_START_S for other, since in tuple(self._active.values())
        )
        self._active[own] = kind, now
        return doubtful

    def leave(self) -> None:
        """Note that the start of this thread is over."""
        self._active.pop(threading.get_ident(), None)


ACTIVE_STARTS = ActiveStarts()
"""The starts of commands."""


def check_paths(paths: Iterable[tuple[str, str]]) -> None:
    """Look whether these paths, each with the word for what is there, answer at all.

    Raises:
        Hung: one does not.

    """
    for what, path in paths:
        with suppress(OSError, ValueError):  # that is for the start to say
            GUARD.call(f"the {what} `{path}`", partial(os.stat, path), patience=_PROBE_TIMEOUT_S)
