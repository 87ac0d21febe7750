"""Reap orphans that this process has adopted, and drain output pipes that ended runs left open.

One thread serves all runs and exists only while there is work. In the first process of a container it stays, because
that process adopts the orphans of other programs, too.

1. A background process may write to the pipe of its ended run for ever. The thread reads and discards the output, so
   that the write neither blocks nor fails (`BackgroundPipes`).
2. Once a second it has the orphans reaped that have ended (`OrphanReaper`). That reads /proc, so it is done through the
   hang guard: while it hangs, `status` names it, and output is still read.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

from jobscheduler.tasks.command.background_pipes import BackgroundPipes
from jobscheduler.tasks.command.orphan_reaper import OrphanReaper
from jobscheduler.tasks.hung_paths import GUARD
from jobscheduler.util.hang_guard import CallHung, HangGuard

SCAN_INTERVAL_S = 1.0  # between two scans for orphans

HUNG_S = 5.0  # after which a read of a pipe that has not returned is an issue

SCANNED = "the list of processes in `/proc`"  # the guard's name for what a scan reads

_PR_SET_CHILD_SUBREAPER = 36


class ReaperThread:
    """The thread that serves orphans and pipes. Use the instance `REAPER`, as one process is the parent of all."""

    def __init__(self, guard: HangGuard = GUARD) -> None:
        self.orphans = OrphanReaper()
        self.pipes = BackgroundPipes()
        self._guard = guard
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._requested = False
        self._subreaper = False
        self._reading_since = 0.0  # monotonic; 0 while the thread does not read

    def start(self) -> AbstractContextManager[Callable[[int], None]]:
        """Return a context manager for the start of a main process. It yields `register`, to call with the pid.

        From then until `forget` the pid is left alone. The first call makes this process the parent of orphans.
        """
        if not self._subreaper:
            self._become_subreaper()
        return self.orphans.starting

    def take_over(self, pipe: int | None, job_id: str = "") -> None:
        """Take over from a run that has reaped its main process. `pipe` is its output if that is still open."""
        if pipe is not None:
            self.pipes.add(pipe, job_id)
        if pipe is not None or self.orphans.may_exist():
            self._watch()

    def keep_reaping(self) -> None:
        """Reap orphans before and between runs, too, if this is the first process of a container."""
        if os.getpid() == 1:
            self._watch()

    def is_hung(self, now: float) -> bool:
        """Return whether a read of a pipe hangs at `now` (monotonic seconds).

        The kernel lets a read wait for a writer that hangs in its write, as one does whose memory is on a dead disk.
        """
        since = self._reading_since
        return since > 0 and now - since > HUNG_S

    def _become_subreaper(self) -> None:
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
        try:
            self._serve()
        except BaseException:
            with self._lock:
                self._thread = None  # the next `take_over` starts another
            raise

    def _serve(self) -> None:
        while not self.pipes.open():
            time.sleep(0.1)  # no descriptor left
        self._reap()
        while True:
            next_scan = time.monotonic() + SCAN_INTERVAL_S
            while time.monotonic() < next_scan and not self._discard():
                pass
            if not self._has_work():
                return

    def _discard(self) -> bool:
        self._reading_since = time.monotonic()
        try:
            return self.pipes.discard(SCAN_INTERVAL_S)
        finally:
            self._reading_since = 0.0

    def _has_work(self) -> bool:
        """Return whether work is left. If not, the thread ends, and the next `take_over` starts another."""
        self._requested = False
        orphans = self._reap()
        with self._lock:
            if orphans or self._requested or os.getpid() == 1 or not self.pipes.close():
                return True
            self._thread = None
            return False

    def _reap(self) -> bool:
        """Reap the orphans that have ended. Return whether others are left, or may be because the scan hangs."""
        try:
            return self._guard.call(SCANNED, self.orphans.reap)
        except (CallHung, RuntimeError):  # RuntimeError: the host has no thread left for the scan
            return True


REAPER = ReaperThread()  # the only one in this process
