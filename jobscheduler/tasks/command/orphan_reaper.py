"""The orphans of this process: recognised while they live, reaped when they have ended.

1. The service is a *child subreaper*: a process whose parent has died becomes its child and must be reaped when it
   ends. `waitpid(-1)` would steal the exit status of children that other code in this process waits for. So
   children are checked one by one, without those started here: registered ones, and any that a plug-in may own.
2. OrphanReaper are recognised by the marker of their run while they live, because a zombie has no environment.

Lock: held to change the number of starts, and never while /proc is read. Starts and ends of all runs need it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType

from jobscheduler.tasks.command.adopted_processes import ADOPTED
from jobscheduler.tasks.command.processes import Process, read_process
from jobscheduler.tasks.command.run_markers import MARKERS

MIN_SCAN_INTERVAL_S = 0.1  # between two scans at the ends of runs

ZOMBIE_GRACE_S = 5.0  # until a zombie is reaped that a plug-in may have started but never waited for

_MAX_NEW_AT_ONCE = 16  # orphans that the thread ending a run examines
_MARKERS_TIMEOUT_S = 0.1  # seconds to wait for markers; the next scan sees later ones


class _Starts:
    """The number of starts at work, and the context manager around each. Every run uses the only one.

    Lock: held to change the number.
    """

    __slots__ = ("_lock", "_register", "count")

    def __init__(self, register: Callable[[int], None]) -> None:
        """`register` is what a start calls with the pid."""
        self._lock = threading.Lock()
        self._register = register
        self.count = 0

    def __enter__(self) -> Callable[[int], None]:
        with self._lock:
            self.count += 1
        return self._register

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._lock:
            self.count -= 1


class OrphanReaper:
    """The adopted processes, of which ended ones are reaped, and the main processes, which are left to their runs.

    `starting` is the context manager around the start of a main process. It yields `register`, to call with the pid.
    """

    def __init__(self) -> None:
        self.starting = _Starts(self.register)
        self._known: dict[int, int] = {}
        self._zombies: dict[int, float] = {}
        self._scanned_at = 0.0

    # -- main processes

    def register(self, pid: int) -> None:
        """Leave the main process with this pid alone until `forget`."""
        ADOPTED.own_pids.add(pid)
        ADOPTED.discard(pid)  # a scan may have seen it before
        self._known.pop(pid, None)

    def forget(self, pid: int) -> None:
        """Forget a main process just before its run reaps it. Afterwards the pid may belong to another process."""
        ADOPTED.own_pids.discard(pid)

    # -- orphans

    def adopt(self, processes: Iterable[Process]) -> None:
        """Note that these processes belong to runs, so that they are reaped as soon as they end as orphans."""
        self._known.update((process.pid, process.start) for process in processes if process.pid not in ADOPTED.own_pids)

    def may_exist(self) -> bool:
        """Return whether there may be orphans. Cheap when a run has left none."""
        return _has_children() and (self._has_just_scanned() or self._has_orphans())

    def _has_just_scanned(self) -> bool:
        """Return whether the next scan may wait for the thread. When many runs end at once, scans cost too much."""
        return time.monotonic() - self._scanned_at < MIN_SCAN_INTERVAL_S

    def _has_orphans(self) -> bool:
        """Return whether there are orphans. Request the markers of a few new ones while they live."""
        self._scanned_at = time.monotonic()
        has_orphans, new = ADOPTED.new(_MAX_NEW_AT_ONCE)
        for process in new:
            self._identify(process)
        return has_orphans

    def reap(self) -> bool:
        """Reap the orphans that have ended. Return whether others are left."""
        self._scanned_at = time.monotonic()
        adopted = ADOPTED.processes()
        self._discard_ended({process.pid for process in adopted})
        left = [process for process in adopted if not self._reap(process)]
        if left:
            MARKERS.wait(_MARKERS_TIMEOUT_S)
            for process in left:
                self._identify(process)
        return bool(left)

    def _discard_ended(self, adopted: set[int]) -> None:
        for pid, start in tuple(self._known.items()):
            if pid not in adopted and ((now := read_process(pid)) is None or now.start != start):
                self._known.pop(pid, None)
        for gone in self._zombies.keys() - adopted:
            del self._zombies[gone]

    def _reap(self, process: Process) -> bool:
        """Reap a process if it has ended and was adopted. Return whether it has been reaped."""
        pid = process.pid
        with suppress(ChildProcessError):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                self._identify(process)
                return False
            if not self._is_orphan(process):
                return False
            ADOPTED.discard(pid)
            os.waitpid(pid, os.WNOHANG)
        return True

    def _identify(self, process: Process) -> None:
        """Recognise an orphan by its marker while it lives. Does not wait for the marker."""
        markers = MARKERS.known(process.identity) if process.pid not in self._known else None
        if markers and markers[0]:
            self._known[process.pid] = process.start

    def _is_orphan(self, process: Process) -> bool:
        """Return whether this zombie was adopted. Otherwise a caller in this process will ask for its status."""
        now = read_process(process.pid)
        if now is None:
            return True
        if now.session == now.pid and self.starting.count:  # it may be a main process that is not registered yet
            return False
        if self._known.get(now.pid) == now.start or now.session not in (now.pid, os.getsid(0)):
            return True
        return time.monotonic() - self._zombies.setdefault(now.pid, time.monotonic()) > ZOMBIE_GRACE_S


def _has_children() -> bool:
    """Return whether there are children. Cheaper than a list, and after most runs there are none."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
