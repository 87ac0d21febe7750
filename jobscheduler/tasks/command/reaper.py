"""What ended runs leave behind: pipes that are still written to, and orphans that this process has adopted.

One thread for all runs, which exists only while there is something to look after; in the first process of a container
it stays, because that adopts what others leave there, too.

1. A background process may write to the pipe of its ended run for ever. The thread reads and throws away, so that
   the write neither blocks nor breaks (`LeftPipes`).
2. The service is a *child subreaper*: a process whose parent has died becomes its child, wherever it went, and must
   be reaped when it ends. Reaping by `waitpid(-1)` would steal the exit status of processes that are waited for in
   this process, so the thread looks at single children and leaves those alone that were started from here: the
   registered ones, and any that could be a plug-in's.
3. Orphans are known by the mark of their run while they live: a zombie has no environment any more.

Lock: held to change what is known about starts, never while /proc is read: starts and ends of all runs need it.
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

SCAN_INTERVAL_S = 1.0
"""Seconds between two looks at the orphans."""

MIN_SCAN_INTERVAL_S = 0.1
"""Seconds between two looks that are made because a run has ended."""

ZOMBIE_GRACE_S = 5.0
"""Seconds after which a zombie is reaped that might have been started by a plug-in but for which nothing waits."""

_MAX_NEW_AT_ONCE = 16  # orphans that are looked at by the thread that ends a run
_MARKERS_TIMEOUT_S = 0.1  # seconds to wait for marks; those that come later are seen by the next look

_PR_SET_CHILD_SUBREAPER = 36


class _Start:
    """A start that is being made: a context manager, written out because it is part of every run."""

    __slots__ = ("_reaper",)

    def __init__(self, aftermath: OrphanReaper) -> None:
        self._reaper = aftermath

    def __enter__(self) -> Callable[[int], None]:
        self._reaper.starting(1)
        return self._reaper.register

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._reaper.starting(-1)


class OrphanReaper:
    """Looks after what runs leave behind. Use the one instance `AFTERMATH`: there is one process to be parent."""

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
        """Surround the start of a main process; what this gives is to be called with its pid.

        From then until `release` the pid is left alone. The first call makes this process the parent of orphans.
        """
        self._become_subreaper()
        return _Start(self)

    def starting(self, more: int) -> None:
        """Take note that so many more main processes are being started."""
        with self._lock:
            self._starts += more

    def register(self, pid: int) -> None:
        """A main process has this pid; it is left alone until `release`."""
        ADOPTED.own_pids.add(pid)
        ADOPTED.discard(pid)  # seen before it was ours
        self._orphans.pop(pid, None)

    def forget(self, pid: int) -> None:
        """The run is about to reap its main process. Not after it: the pid could belong to the next one by then."""
        ADOPTED.own_pids.discard(pid)

    def adopt(self, processes: Iterable[Process]) -> None:
        """These processes belong to runs: those that are or become orphans may be reaped as soon as they end."""
        self._orphans.update((one.pid, one.start) for one in processes if one.pid not in ADOPTED.own_pids)

    def take_over(self, pipe: int | None, job_id: str = "") -> None:
        """A run of a job has reaped its main process; `pipe` is its output if it is still written to, and now ours."""
        if pipe is not None:
            self._pipes.add(pipe, job_id)
        if pipe is not None or (_has_children() and (self._has_just_scanned() or self._has_orphans())):
            self._watch()

    def open_pipes(self) -> Mapping[str, int]:
        """How many output pipes of each job are still written to by processes that its ended runs have left."""
        return self._pipes.open_count()

    def open_pipes_of_jobs(self, job_id: str) -> int:
        """How many of one job."""
        return self._pipes.open_counts(job_id)

    def detach(self) -> None:
        """Give every pipe that is still written to to a process that outlives this one, which is about to end."""
        self._pipes.detach()

    def keep_reaping(self) -> None:
        """Reap orphans also before and between runs, if this is the first process of a container."""
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
        thread = threading.Thread(target=self._work, name="aftermath", daemon=True)
        with suppress(RuntimeError):  # the host has no thread left: the next run that ends tries again
            thread.start()
            self._thread = thread

    def _work(self) -> None:
        while not self._pipes.open():
            time.sleep(0.1)  # no descriptor left
        self._reap_orphans()
        while True:
            look = time.monotonic() + SCAN_INTERVAL_S
            while time.monotonic() < look and not self._pipes.discard(SCAN_INTERVAL_S):
                pass
            if not self._has_work():
                return

    def _has_work(self) -> bool:
        """Whether anything is left; if not, the thread ends, and the next call of `inherit` starts another."""
        self._requested = False
        orphans = self._reap_orphans()
        with self._lock:
            if orphans or self._requested or os.getpid() == 1 or not self._pipes.close():
                return True
            self._thread = None
            return False

    def _has_just_scanned(self) -> bool:
        """Whether the next look may wait for the thread: in a herd there are always children, and a look costs."""
        return time.monotonic() - self._scanned_at < MIN_SCAN_INTERVAL_S

    def _has_orphans(self) -> bool:
        """Whether there are any; of a few new ones the marks are asked for already, while they live."""
        self._scanned_at = time.monotonic()
        has_some, new = ADOPTED.new(_MAX_NEW_AT_ONCE)
        for process in new:
            self._identify(process)
        return has_some

    def _reap_orphans(self) -> bool:
        """Reap the orphans that have ended; whether there are others."""
        self._scanned_at = time.monotonic()
        adopted = ADOPTED.processes()
        self._discard_ended({one.pid for one in adopted})
        left = [one for one in adopted if not self._reap(one)]
        if left:
            MARKERS.wait(_MARKERS_TIMEOUT_S)
            for one in left:
                self._identify(one)
        return bool(left)

    def _discard_ended(self, adopted: set[int]) -> None:
        for pid, start in tuple(self._orphans.items()):
            if pid not in adopted and ((now := read_process(pid)) is None or now.start != start):
                self._orphans.pop(pid, None)
        for gone in self._zombies.keys() - adopted:
            del self._zombies[gone]

    def _reap(self, process: Process) -> bool:
        """Reap a process if it has ended and was adopted; whether it is gone."""
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
        """Recognise an orphan by its mark while it lives. Does not wait for the mark to be read."""
        marks = MARKERS.known(process.identity) if process.pid not in self._orphans else None
        if marks and marks[0]:
            self._orphans[process.pid] = process.start

    def _is_orphan(self, process: Process) -> bool:
        """Whether this zombie was adopted, and not started here for a caller that will want its status."""
        now = read_process(process.pid)
        if now is None:
            return True
        if now.session == now.pid and self._starts:  # perhaps a main process that is not yet registered
            return False
        if self._orphans.get(now.pid) == now.start or now.session not in (now.pid, os.getsid(0)):
            return True
        return time.monotonic() - self._zombies.setdefault(now.pid, time.monotonic()) > ZOMBIE_GRACE_S


def _has_children() -> bool:
    """Cheaper than to list them, and after most runs the answer is no."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


REAPER = OrphanReaper()
"""The one of this process."""
