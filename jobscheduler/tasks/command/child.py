"""The main process of a command: its start, its output, its end. Nothing in here waits."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobscheduler.tasks.command.fd_budget import FD_BUDGET, FD_LIMIT
from jobscheduler.tasks.command.keyring import join_new_session_keyring
from jobscheduler.tasks.command.output_buffer import HeadTailBuffer
from jobscheduler.tasks.command.posix_spawn import spawn
from jobscheduler.tasks.command.processes import Process, read_process
from jobscheduler.tasks.command.reaper import REAPER

_CHUNK = 64 * 1024
_LAST_READ = 1 << 20  # bytes that are still taken after the main process has ended


@dataclass(frozen=True, slots=True)
class SpawnSpec:
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


class ChildProcess:
    """The main process of a run. `start` makes one; `close` must follow, once it has ended or was given up.

    `pidfd` becomes readable when it ends; it is None when there was no descriptor left for it.
    """

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self._lock = threading.Lock()
        self._is_reaped = False
        self._was: Process | None = None
        self.output = HeadTailBuffer()
        self.pidfd = _pidfd(pid)
        self.pipe: int | None = pipe
        self.left_pipe = False  # whether a process in the background still writes when this one has been reaped

    @classmethod
    def start(cls, plan: SpawnSpec) -> ChildProcess:
        """Start the command. Raises `OSError` or `ValueError` if that is impossible."""
        with FD_BUDGET:
            ours, theirs = os.pipe()
            passed = [theirs]
            try:
                FD_BUDGET.check(theirs)
                os.set_blocking(ours, False)
                if plan.owner is not None:
                    os.fchown(theirs, plan.owner, -1)
                stdin = _dev_null() if plan.stdin is None else _memory_file(plan.stdin, passed)
                return cls(_start_process(plan, stdin, theirs), ours)
            except BaseException:
                os.close(ours)
                raise
            finally:
                for descriptor in passed:
                    os.close(descriptor)

    def read(self) -> int | None:
        """Take what the pipe holds and return how much that was: 0 at its end, None when there is nothing now.

        Its end does not close it: who listens to it has to be told first.
        """
        if self.pipe is None:
            return 0
        try:
            chunk = os.read(self.pipe, _CHUNK)
        except BlockingIOError:
            return None
        self.output.add(chunk)
        return len(chunk)

    def has_ended(self) -> bool:
        """Whether the main process has ended; it is not reaped by this, so that its pid stays its own."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, options) is not None
        except ChildProcessError:
            return True

    def send(self, *signals: signal.Signals, group: bool) -> bool:
        """Signal it, or its whole group, unless it has been reaped; return whether that was permitted.

        Lock: held against the reaping, so that the pid is that of this process.
        """
        with self._lock:
            results = () if self._is_reaped else [self._send(number, group=group) for number in signals]
        return all(results)

    def _send(self, number: signal.Signals, *, group: bool) -> bool:
        try:
            if group:
                os.killpg(self.pid, number)
            elif self.pidfd is not None:
                signal.pidfd_send_signal(self.pidfd, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return True

    def remember(self) -> None:
        """Keep how the main process ended, for `was`; to be called before `close`."""
        self._was = read_process(self.pid)

    @property
    def last_seen(self) -> Process | None:
        """The main process as it had ended, if that was to be remembered."""
        return self._was

    def close(self, job_id: str = "") -> int | None:
        """Take the last output, reap the main process and let go of what it left; returns its status.

        The status is as `subprocess` has it: negative for a signal. None if it has not ended, or if somebody else
        took the status away.
        """
        self._read_the_rest()
        self.close_pidfd()
        REAPER.forget(self.pid)
        status = self._reap()
        self.left_pipe = self.pipe is not None
        REAPER.take_over(self.pipe, job_id)
        self.pipe = None
        return status

    def close_pidfd(self) -> None:
        """Close it; nobody listens to it any more."""
        with self._lock:
            if self.pidfd is not None:
                os.close(self.pidfd)
                self.pidfd = None

    def _reap(self) -> int | None:
        try:
            with self._lock:
                self._is_reaped = True
                pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return None
        return os.waitstatus_to_exitcode(status) if pid else None

    def _read_the_rest(self) -> None:
        """Take what was written before the end, and no more than that of one who goes on writing."""
        taken = 0
        while taken < _LAST_READ and (size := self.read()) is not None:
            if size == 0:
                self.close_pipe()
                return
            taken += size

    def close_pipe(self) -> None:
        """Close it at its end."""
        if self.pipe is not None:
            os.close(self.pipe)
            self.pipe = None


def _start_process(plan: SpawnSpec, stdin: int, output: int) -> int:
    with REAPER.start() as register:
        join_new_session_keyring()
        pid = None
        FD_LIMIT.lower(output)
        try:
            pid = spawn(plan.command, plan.environment, plan.directory, plan.umask, stdin, output)
            if pid is None:
                pid = _start_with_subprocess(plan, stdin, output)
        finally:
            FD_LIMIT.restore(pid)
        register(pid)
        return pid


def _start_with_subprocess(plan: SpawnSpec, stdin: int, output: int) -> int:
    """Have `subprocess` start the command: slower, but always able to, and with a reason when it cannot be."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    if blocked:  # a child starts with the signal mask of the thread that starts it
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
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
    finally:
        if blocked:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    process.returncode = -1  # ours to reap, not Popen's, which takes a lost status for success
    return process.pid


@functools.cache
def _dev_null() -> int:
    """What a command reads that is given nothing: opened once, for all of them."""
    return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def _memory_file(text: bytes, opened: list[int]) -> int:
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
