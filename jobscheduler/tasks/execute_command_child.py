"""Starting the main process of a command, and waiting for it while its output is read.

A run waits in its own pool thread with `poll`, on a pidfd, the output and a wake-up: no further thread, no signal
handler, no timer.
"""

from __future__ import annotations

import functools
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

from jobscheduler.tasks.aftermath import AFTERMATH
from jobscheduler.tasks.descriptors import STARTS
from jobscheduler.tasks.output import Output

_CHUNK = 64 * 1024
_LAST_READ = 1 << 20  # bytes that are still taken after the main process has ended
_EARLY = 0.01  # seconds for which output may wait in its pipe: it has room for 64 KiB
_UNWATCHED = 0.05  # seconds between two looks when there is no pidfd


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is needed to start a command: `stdin` is what it reads, None for nothing.

    `program` is what the command itself runs, and `home` where, if other programs prepare that; else None. `owner` is
    the user who must be able to open `/dev/stderr`, None if that is the service's own.
    """

    command: Sequence[bytes]
    environment: Mapping[bytes, bytes]
    directory: str
    umask: int
    stdin: bytes | None = None
    program: bytes | None = None
    home: str = ""
    owner: int | None = None


class _Bells:
    """Descriptors that another thread can make readable. Each run borrows one: making them anew would cost more."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._free: list[int] = []

    def borrow(self) -> int:
        """Give one that is not readable. Raises `OSError` when there is no descriptor left."""
        try:
            return self._free.pop()
        except IndexError:
            return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def give_back(self, bell: int, *, rung: bool) -> None:
        """Take one back; `rung` is whether it was made readable. Does nothing with a number below zero."""
        if bell < 0:
            return
        if rung or len(self._free) >= self._most:
            os.close(bell)
        else:
            self._free.append(bell)


_BELLS = _Bells(4)


class Child:
    """The main process of a run. `start` makes one; `close` must follow, once it has ended or was given up."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int, bell: int) -> None:
        self._process = process
        self._pipe: int | None = pipe
        self._lock = Lock()
        self._bell = bell
        self._rung = False
        self.pid = process.pid
        self.output = Output()
        self._pidfd = _pidfd(self.pid)
        self._hears_pipe = False
        self._poll = select.poll()
        self._poll.register(bell, select.POLLIN)
        if self._pidfd is not None:
            self._poll.register(self._pidfd, select.POLLIN)

    @classmethod
    def start(cls, plan: Plan) -> Child:
        """Start the command. Raises `OSError` if that is impossible."""
        with STARTS:
            ours, theirs = os.pipe()
            passed, bell = [theirs], -1
            try:
                STARTS.check(theirs)
                os.set_blocking(ours, False)
                if plan.owner is not None:
                    os.fchown(theirs, plan.owner, -1)
                stdin = _nothing() if plan.stdin is None else _in_memory(plan.stdin, passed)
                bell = _BELLS.borrow()
                return cls(_start(plan, stdin, theirs), ours, bell)
            except BaseException:
                os.close(ours)
                _BELLS.give_back(bell, rung=False)
                raise
            finally:
                for descriptor in passed:
                    os.close(descriptor)

    def wake(self) -> None:
        """End `wait`, from any thread; does nothing once that is over."""
        with self._lock:
            if self._bell >= 0 and not self._rung:
                os.eventfd_write(self._bell, 1)
                self._rung = True

    def wait(self) -> bool:
        """Read the output until the main process has ended; False if woken before."""
        seconds: float | None = _EARLY
        while True:
            heard = self.listen(seconds)
            if self._pidfd in heard:
                return True
            if self._bell in heard:
                self._poll.unregister(self._bell)
                return self.has_ended()
            if self._pidfd is None and self.has_ended():
                return True
            self._hear_pipe()
            seconds = None

    def _hear_pipe(self) -> None:
        """Listen to the output, too. Most commands have ended before: one wake-up is enough for both then."""
        if not self._hears_pipe and self._pipe is not None:
            self._hears_pipe = True
            self._poll.register(self._pipe, select.POLLIN)

    def listen(self, seconds: float | None = None) -> list[int]:
        """Take output until something happens, at most for so long; returns the descriptors where it did."""
        if self._pidfd is None:
            seconds = _UNWATCHED if seconds is None else min(seconds, _UNWATCHED)
        heard = [fd for fd, _ in self._poll.poll(None if seconds is None else seconds * 1000)]
        if self._pipe in heard:
            self._read()
        return heard

    def listen_for(self, seconds: float) -> None:
        """Wait for so long, and take the output that comes meanwhile."""
        self._hear_pipe()
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._pidfd is not None and self.has_ended():
                self._drop_pidfd()  # it would be news for ever
            self.listen(left)

    def has_ended(self) -> bool:
        """Whether the main process has ended; it is not reaped by this, so that its pid stays its own."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, options) is not None
        except ChildProcessError:
            return True

    def close(self) -> int | None:
        """Take the last output, reap the main process and let go of what it left; returns its status.

        The status is as `subprocess` has it: negative for a signal. None if it has not ended, or if somebody else
        took the status away.
        """
        self._read_the_rest()
        self._drop_pidfd()
        with self._lock:
            _BELLS.give_back(self._bell, rung=self._rung)
            self._bell = -1
        status = self._reap()
        AFTERMATH.inherit(self._pipe)
        return status

    def _drop_pidfd(self) -> None:
        if self._pidfd is not None:
            self._poll.unregister(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _reap(self) -> int | None:
        AFTERMATH.release(self.pid)
        self._process.returncode = -1  # ours to reap, not Popen's, which takes a lost status for success
        with suppress(ChildProcessError):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return os.waitstatus_to_exitcode(status) if pid else None
        return None

    def _read(self) -> int:
        """Take what the pipe holds; 0 at its end, and when there is nothing."""
        if self._pipe is None:
            return 0
        try:
            chunk = os.read(self._pipe, _CHUNK)
        except BlockingIOError:
            return 0
        self.output.add(chunk)
        if not chunk:
            if self._hears_pipe:
                self._poll.unregister(self._pipe)
            os.close(self._pipe)
            self._pipe = None
        return len(chunk)

    def _read_the_rest(self) -> None:
        """Take what was written before the end, and no more than that of one who goes on writing."""
        taken = 0
        while taken < _LAST_READ and (size := self._read()):
            taken += size


def _start(plan: Plan, stdin: int, output: int) -> subprocess.Popen[bytes]:
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    if blocked:  # a child starts with the signal mask of the thread that starts it
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        with AFTERMATH.start() as register:
            process = subprocess.Popen(
                plan.command,
                env=plan.environment,
                cwd=plan.directory,
                umask=plan.umask,
                stdin=stdin,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            register(process.pid)
            return process
    finally:
        if blocked:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@functools.cache
def _nothing() -> int:
    """What a command reads that is given nothing: opened once, for all of them."""
    return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def _in_memory(text: bytes, opened: list[int]) -> int:
    """A file in memory that holds `text`: nobody has to feed it, and nobody minds if it is never read."""
    fd = os.memfd_create("stdin")
    opened.append(fd)
    with open(fd, "wb", closefd=False) as file:
        file.write(text)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _pidfd(pid: int) -> int | None:
    """None when the service has no descriptor left: the command runs already and must not be started again."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
