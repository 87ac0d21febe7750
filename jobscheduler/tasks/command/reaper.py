"""Reap orphans that this process has adopted, and drain output pipes that ended runs left open.

One thread serves all runs and exists only while there is work. In the first process of a container it stays, because
that process adopts the orphans of other programs, too.

1. A background process may write to the pipe of its ended run for ever. The thread reads and discards the output, so
   that the write neither blocks nor fails (`PipeDrain`).
2. The service is a *child subreaper*: a process whose parent has died becomes its child and must be reaped when it
   ends. `waitpid(-1)` would steal the exit status of children that other code in this process waits for. So the
   thread checks children one by one and skips those started here: registered ones, and any that a plug-in may own.
3. Orphans are recognised by the marker of their run while they live, because a zombie has no environment.

Lock: held to change the state of starts, and never while /proc is read. Starts and ends of all runs need it.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import TracebackType

from jobscheduler.tasks.command.adopted import ADOPTED
from jobscheduler.tasks.command.pipe_drain import PipeDrain
from jobscheduler.tasks.command.processes import Process, read_process
from jobscheduler.tasks.command.run_markers import MARKERS

SCAN_INTERVAL_S = 1.0  # between two scans for orphans

MIN_SCAN_INTERVAL_S = 0.1  # between two scans at the ends of runs

ZOMBIE_GRACE_S = 5.0  # until a zombie is reaped that a plug-in may have started but never waited for

_MAX_NEW_AT_ONCE = 16  # orphans that the thread ending a run examines
_MARKERS_TIMEOUT_S = 0.1  # seconds to wait for markers; the next scan sees later ones

_PR_SET_CHILD_SUBREAPER = 36


class _Start:
    """A context manager around a start. A class and not a generator, because every run uses it."""

    __slots__ = ("_reaper",)

    def __init__(self, reaper: OrphanReaper) -> None:
        self._reaper = reaper

    def __enter__(self) -> Callable[[int], None]:
        self._reaper.starting(1)
        return self._reaper.register

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._reaper.starting(-1)


class OrphanReaper:
    """Reaps orphans and drains pipes of ended runs. Use the instance `REAPER`, as one process is the parent of all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._requested = False
        self._pipes = PipeDrain()
        self._starts = 0
        self._orphans: dict[int, int] = {}
        self._zombies: dict[int, float] = {}
        self._subreaper = False
        self._scanned_at = 0.0

    def start(self) -> _Start:
        """Return a context manager for the start of a main process. It yields `register`, to call with the pid.

        From then until `forget` the pid is left alone. The first call makes this process the parent of orphans.
        """
        self._become_subreaper()
        return _Start(self)

    def starting(self, more: int) -> None:
        """Add `more` to the number of main processes that are being started."""
        with self._lock:
            self._starts += more

    def register(self, pid: int) -> None:
        """Leave the main process with this pid alone until `forget`."""
        ADOPTED.own_pids.add(pid)
        ADOPTED.discard(pid)  # a scan may have seen it before
        self._orphans.pop(pid, None)

    def forget(self, pid: int) -> None:
        """Forget a main process just before its run reaps it. Afterwards the pid may belong to another process."""
        ADOPTED.own_pids.discard(pid)

    def adopt(self, processes: Iterable[Process]) -> None:
        """Note that these processes belong to runs, so that they are reaped as soon as they end as orphans."""
        self._orphans.update(
            (process.pid, process.start) for process in processes if process.pid not in ADOPTED.own_pids
        )

    def take_over(self, pipe: int | None, job_id: str = "") -> None:
        """Take over from a run that has reaped its main process. `pipe` is its output if that is still open."""
        if pipe is not None:
            self._pipes.add(pipe, job_id)
        if pipe is not None or (_has_children() and (self._has_just_scanned() or self._has_orphans())):
            self._watch()

    def open_pipes(self) -> Mapping[str, int]:
        """Return the number of output pipes per job that processes of ended runs still write to."""
        return self._pipes.open_count()

    def open_pipes_of_jobs(self, job_id: str) -> int:
        """Return the number of open output pipes of one job."""
        return self._pipes.open_counts(job_id)

    def detach(self) -> None:
        """Hand every open pipe to a process that outlives this one, just before this process ends."""
        self._pipes.detach()

    def keep_reaping(self) -> None:
        """Reap orphans before and between runs, too, if this is the first process of a container."""
        if os.getpid() == 1:
            self._watch()

    def _become_subreaper(self) -> None:
        if not self._subreaper:
            self._subreaper = True
            with suppress(OSError, AttributeError):
                ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def _watch(self) -> None:
        with self._lock:
            self._requested = True
            if self._thread is None:
                self._start_thread()

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._work, name="reaper", daemon=True)
        with suppress(RuntimeError):  # the host has no thread left: the next run that ends tries again
            thread.start()
            self._thread = thread

    def _work(self) -> None:
        while not self._pipes.open():
            time.sleep(0.1)  # no descriptor left
        self._reap_orphans()
        while True:
            next_scan = time.monotonic() + SCAN_INTERVAL_S
            while time.monotonic() < next_scan and not self._pipes.discard(SCAN_INTERVAL_S):
                pass
            if not self._has_work():
                return

    def _has_work(self) -> bool:
        """Return whether work is left. If not, the thread ends, and the next `take_over` starts another."""
        self._requested = False
        orphans = self._reap_orphans()
        with self._lock:
            if orphans or self._requested or os.getpid() == 1 or not self._pipes.close():
                return True
            self._thread = None
            return False

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

    def _reap_orphans(self) -> bool:
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
        for pid, start in tuple(self._orphans.items()):
            if pid not in adopted and ((now := read_process(pid)) is None or now.start != start):
                self._orphans.pop(pid, None)
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
        marks = MARKERS.known(process.identity) if process.pid not in self._orphans else None
        if marks and marks[0]:
            self._orphans[process.pid] = process.start

    def _is_orphan(self, process: Process) -> bool:
        """Return whether this zombie was adopted. Otherwise a caller in this process will ask for its status."""
        now = read_process(process.pid)
        if now is None:
            return True
        if now.session == now.pid and self._starts:  # it may be a main process that is not registered yet
            return False
        if self._orphans.get(now.pid) == now.start or now.session not in (now.pid, os.getsid(0)):
            return True
        return time.monotonic() - self._zombies.setdefault(now.pid, time.monotonic()) > ZOMBIE_GRACE_S


def _has_children() -> bool:
    """Return whether there are children. Cheaper than a list, and after most runs there are none."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


REAPER = OrphanReaper()  # the only one in this process
