"""What ended runs leave behind: pipes that are still written to, and orphans that this process has adopted.

One thread for all runs, which exists only while there is something to look after.

1. A background process may write to the pipe of its ended run for ever. The thread reads and throws away, so that
   the write neither blocks nor breaks. When the service ends, a small program takes its place for each pipe.
2. The service is a *child subreaper*: a process whose parent has died becomes its child, wherever it went, and must
   be reaped when it ends. Reaping by `waitpid(-1)` would steal the exit status of processes that somebody here
   waits for, so the thread looks at single children and leaves those alone that were started from here: the
   registered ones, and any that could be a plug-in's.
3. The kernel gives orphans to the first thread of the subreaper. `/proc/self/task/PID/children` of that thread lists
   them; children started by pool threads are not in it.
"""

from __future__ import annotations

import ctypes
import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from jobscheduler.tasks.processes import MARK, Process, everybody, look_at

TICK = 1.0
"""Seconds between two looks at the orphans."""

OFTEN = 0.1
"""Seconds between two looks that are made because a run has ended."""

PATIENCE = 5.0
"""Seconds after which a zombie is reaped that might have been started by a plug-in but for which nobody waits."""

_PR_SET_CHILD_SUBREAPER = 36
_CHUNK = 64 * 1024


class _Start:
    """A start that is being made: a context manager, written out because it is part of every run."""

    __slots__ = ("_aftermath",)

    def __init__(self, aftermath: Aftermath) -> None:
        self._aftermath = aftermath

    def __enter__(self) -> Callable[[int], None]:
        self._aftermath.starting(1)
        return self._aftermath.register

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._aftermath.starting(-1)


class Aftermath:
    """Looks after what runs leave behind. Use the one instance `AFTERMATH`: there is one process to be parent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._epoll: select.epoll | None = None
        self._asked = False
        self._pipes: set[int] = set()
        self._starts = 0
        self._ours: set[int] = set()
        self._orphans: set[tuple[int, int]] = set()
        self._zombies: dict[int, float] = {}
        self._subreaper = False
        self._looked_at = 0.0

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

    def release(self, pid: int) -> None:
        """The run is about to reap its main process. Not after it: the pid could belong to the next one by then."""
        with self._lock:
            self._ours.discard(pid)

    def recognise(self, processes: Iterable[Process]) -> None:
        """These processes belong to runs: those that are or become orphans may be reaped as soon as they end."""
        with self._lock:
            self._orphans.update(process.known for process in processes if process.pid not in self._ours)

    def inherit(self, pipe: int | None) -> None:
        """A run has reaped its main process; `pipe` is its output if somebody may still write, and now ours."""
        if pipe is not None or (_has_children() and (self._has_just_looked() or self._look_for_orphans())):
            self._watch(pipe)

    def hand_over(self) -> None:
        """Give every pipe that is still written to a reader that outlives this process, which is about to end."""
        with self._lock:
            pipes, self._pipes = self._pipes, set()
            if self._epoll is not None:
                for pipe in pipes:
                    self._epoll.unregister(pipe)
        for pipe in pipes:
            with suppress(OSError):  # no process left, or no `cat`: nothing better can be done
                _start_reader(pipe)
            os.close(pipe)

    def _become_subreaper(self) -> None:
        if not self._subreaper:
            self._subreaper = True
            with suppress(OSError, AttributeError):
                ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def register(self, pid: int) -> None:
        """A main process has this pid; it is left alone until `release`."""
        with self._lock:
            self._ours.add(pid)
            if self._orphans:
                self._orphans = {known for known in self._orphans if known[0] != pid}  # seen before it was ours

    def _watch(self, pipe: int | None) -> None:
        with self._lock:
            self._asked = True
            if pipe is not None:
                self._pipes.add(pipe)
                if self._epoll is not None:
                    self._epoll.register(pipe, select.EPOLLIN)
            if self._thread is None:
                self._begin()

    def _begin(self) -> None:
        thread = threading.Thread(target=self._work, name="aftermath", daemon=True)
        with suppress(RuntimeError):  # the host has no thread left: the next run that ends tries again
            thread.start()
            self._thread = thread

    def _work(self) -> None:
        while not self._armed():
            time.sleep(0.1)  # no descriptor left
        while True:
            look = time.monotonic() + TICK
            while time.monotonic() < look and not self._drain():
                pass
            if not self._has_work():
                return

    def _armed(self) -> bool:
        with self._lock, suppress(OSError):
            self._epoll = select.epoll()
            for pipe in self._pipes:
                self._epoll.register(pipe, select.EPOLLIN)
            return True
        return False

    def _has_work(self) -> bool:
        """Whether anything is left; if not, the thread ends, and the next call of `inherit` starts another."""
        self._asked = False
        orphans = self._look_for_orphans()
        with self._lock:
            if self._pipes or orphans or self._asked or self._epoll is None:
                return True
            self._epoll.close()
            self._epoll = self._thread = None
            return False

    def _drain(self) -> bool:
        """Throw away what was written within the next moment; whether a pipe came to its end."""
        epoll = self._epoll
        ended = [pipe for pipe, _ in (epoll.poll(TICK) if epoll else ()) if not _discard(pipe)]
        for pipe in ended:
            self._close(pipe)
        return bool(ended)

    def _close(self, pipe: int) -> None:
        with self._lock:
            self._pipes.discard(pipe)
            if self._epoll is not None:
                self._epoll.unregister(pipe)
            os.close(pipe)

    def _has_just_looked(self) -> bool:
        """Whether the next look may wait for the thread: in a herd there are always children, and a look costs."""
        return time.monotonic() - self._looked_at < OFTEN

    def _look_for_orphans(self) -> bool:
        """Reap the orphans that have ended; whether there are others."""
        with self._lock:
            self._looked_at = time.monotonic()
            strangers = [pid for pid in _children() if pid not in self._ours]
            self._forget_the_gone(set(strangers))
            left = [pid for pid in strangers if not self._reap(pid)]
            return bool(left)

    def _forget_the_gone(self, strangers: set[int]) -> None:
        self._orphans = {known for known in self._orphans if known[0] in strangers or look_at(known[0])}
        for gone in self._zombies.keys() - strangers:
            del self._zombies[gone]

    def _reap(self, pid: int) -> bool:
        with suppress(ChildProcessError):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                self._know(pid)
                return False
            if not self._is_orphan(pid):
                return False
            os.waitpid(pid, os.WNOHANG)
        return True

    def _know(self, pid: int) -> None:
        """Recognise an orphan by its mark while it lives: a zombie has no environment any more."""
        process = look_at(pid)
        if process and process.known not in self._orphans and _carries_a_mark(pid):
            self._orphans.add(process.known)

    def _is_orphan(self, pid: int) -> bool:
        """Whether this zombie was adopted, and not started here by somebody who will want its status."""
        process = look_at(pid)
        if process is None:
            return True
        if process.session == pid and self._starts:  # perhaps a main process that is not yet registered
            return False
        if process.known in self._orphans or process.session not in (pid, os.getsid(0)):
            return True
        return time.monotonic() - self._zombies.setdefault(pid, time.monotonic()) > PATIENCE


def _start_reader(pipe: int) -> None:
    """Start a program that throws away what comes through a pipe, until nobody can write any more."""
    os.set_blocking(pipe, True)
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, pipe, 0), *null], setsid=True)


def _discard(pipe: int) -> bool:
    """Read what is there and throw it away; False when nobody can write any more."""
    try:
        return bool(os.read(pipe, _CHUNK))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _has_children() -> bool:
    """Cheaper than to list them, and after most runs the answer is no."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _children() -> Iterator[int]:
    """The children of the first thread of this process, adopted ones among them."""
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_bytes()
    except OSError:  # a kernel without this file
        return (process.pid for process in everybody() if process.parent == os.getpid())
    return map(int, text.split())


def _carries_a_mark(pid: int) -> bool:
    try:
        return b"\0%b=" % MARK.encode() in b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


AFTERMATH = Aftermath()
"""The one of this process."""
