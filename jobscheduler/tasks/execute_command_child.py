"""Starting the main process of a command, and waiting for it while its output is read.

A run waits in its own pool thread with `poll`, on a pidfd, the output and a wake-up: no further thread, no signal
handler, no timer.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from threading import Lock

from jobscheduler.tasks.aftermath import AFTERMATH
from jobscheduler.tasks.descriptors import room_for_a_start
from jobscheduler.tasks.output import Output

_CHUNK = 64 * 1024
_LAST_READ = 1 << 20  # bytes that are still taken after the main process has ended
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


class Wake:
    """A descriptor that another thread makes readable; harmless when it comes late."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def set(self) -> None:
        """Make it readable. Does nothing once it is closed."""
        with self._lock:
            if self.fd >= 0:
                os.eventfd_write(self.fd, 1)

    def close(self) -> None:
        """Give the descriptor back; the second call does nothing."""
        with self._lock:
            if self.fd >= 0:
                os.close(self.fd)
            self.fd = -1


class Child:
    """The main process of a run. `start` makes one; `close` must follow, once it has ended or was given up."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int, wake: Wake) -> None:
        self._process = process
        self._pipe: int | None = pipe
        self._wake = wake
        self.pid = process.pid
        self.output = Output()
        self._pidfd = _pidfd(self.pid)
        self._poll = select.poll()
        self._poll.register(pipe, select.POLLIN)
        self._poll.register(wake.fd, select.POLLIN)
        if self._pidfd is not None:
            self._poll.register(self._pidfd, select.POLLIN)

    @classmethod
    def start(cls, plan: Plan) -> Child:
        """Start the command. Raises `OSError` if that is impossible."""
        with room_for_a_start(), ExitStack() as stack, ExitStack() as kept:
            stdin = _stdin(plan.stdin, stack)
            ours, theirs = os.pipe()
            stack.callback(os.close, theirs)
            kept.callback(os.close, ours)
            if plan.owner is not None:
                os.fchown(theirs, plan.owner, -1)
            wake = kept.enter_context(closing(Wake()))
            child = cls(_start(plan, stdin, theirs), ours, wake)
            kept.pop_all()
            return child

    def wake(self) -> None:
        """End `wait`, from any thread; does nothing once that is over."""
        self._wake.set()

    def wait(self) -> bool:
        """Read the output until the main process has ended; False if woken before."""
        while not self.has_ended():
            if any(fd == self._wake.fd for fd, _ in self.listen()):
                self._poll.unregister(self._wake.fd)
                return False
        return True

    def listen(self, seconds: float | None = None) -> list[tuple[int, int]]:
        """Take output until something happens, at most for so long; returns what happened."""
        if self._pidfd is None:
            seconds = _UNWATCHED if seconds is None else min(seconds, _UNWATCHED)
        events = self._poll.poll(None if seconds is None else seconds * 1000)
        if any(fd == self._pipe for fd, _ in events):
            self._read()
        return events

    def listen_for(self, seconds: float) -> None:
        """Wait for so long, and take the output that comes meanwhile."""
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
        self._wake.close()
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
        """Take what the pipe holds; 0 at its end."""
        if self._pipe is None:
            return 0
        chunk = os.read(self._pipe, _CHUNK)
        self.output.add(chunk)
        if not chunk:
            self._poll.unregister(self._pipe)
            os.close(self._pipe)
            self._pipe = None
        return len(chunk)

    def _read_the_rest(self) -> None:
        """Take what was written before the end, and no more than that of one who goes on writing."""
        taken = 0
        while self._pipe is not None and taken < _LAST_READ and _is_readable(self._pipe):
            taken += self._read()


def _start(plan: Plan, stdin: int, output: int) -> subprocess.Popen[bytes]:
    with AFTERMATH.start() as register, _no_signal_blocked():
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


@contextmanager
def _no_signal_blocked() -> Iterator[None]:
    """A child starts with the signal mask of the thread that starts it."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    if not blocked:
        yield
        return
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _stdin(text: bytes | None, stack: ExitStack) -> int:
    """A file in memory that holds `text`: nobody has to feed it, and nobody minds if it is never read."""
    if text is None:
        return subprocess.DEVNULL
    fd = os.memfd_create("stdin")
    stack.callback(os.close, fd)
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


def _is_readable(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(0))
