"""Start the main process of a command, read its output, reap it. Nothing in here waits."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import threading
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from jobscheduler.model import ResourceUse
from jobscheduler.tasks.command.fd_budget import FD_BUDGET, FD_LIMIT
from jobscheduler.tasks.command.keyring import join_new_session_keyring
from jobscheduler.tasks.command.oom_score import OOM_SCORE
from jobscheduler.tasks.command.output_buffer import HeadTailBuffer
from jobscheduler.tasks.command.posix_spawn import spawn
from jobscheduler.tasks.command.processes import Process, read_process
from jobscheduler.tasks.command.reaper_thread import REAPER
from jobscheduler.tasks.command.usage import own_peak, resource_use

_LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT  # whether a process has ended, without reaping it
_CHUNK = 64 * 1024
_LAST_READ = 1 << 20  # bytes that are still read after the main process has ended


class SpawnSpec(NamedTuple):
    """All values that a start needs. `stdin` is the input of the command, or None.

    If helpers prepare the command, `program` is its program and `home` its directory; else `program` is None. `owner`
    is the user who must be able to open `/dev/stderr`, None for the user of the service.
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
    """The main process of a run. Make it with `start`. Call `close` once it has ended or was given up.

    `pidfd` becomes readable when it ends; it is None if no descriptor was left. `use` is what it has used, once it was
    reaped.
    """

    def __init__(self, pid: int, pipe: int) -> None:
        self.pid = pid
        self.use: ResourceUse | None = None
        self._inherited_peak = own_peak()
        self._lock = threading.Lock()
        self._is_reaped = False
        self._was: Process | None = None
        self.output = HeadTailBuffer()
        self.pidfd = _pidfd(pid)
        self.pipe: int | None = pipe
        self.left_pipe = False  # whether a background process still writes after this one was reaped

    @classmethod
    def start(cls, spec: SpawnSpec) -> ChildProcess:
        """Start the command. Raises: `OSError` or `ValueError` if that is impossible."""
        with FD_BUDGET:
            ours, theirs = os.pipe()
            passed = [theirs]
            try:
                FD_BUDGET.check(theirs)
                os.set_blocking(ours, False)
                if spec.owner is not None:
                    os.fchown(theirs, spec.owner, -1)
                stdin = _dev_null() if spec.stdin is None else _memory_file(spec.stdin, passed)
                return cls(_start_process(spec, stdin, theirs), ours)
            except BaseException:
                os.close(ours)
                raise
            finally:
                for descriptor in passed:
                    os.close(descriptor)

    def read(self) -> int | None:
        """Read the available output and return its size: 0 at its end, None if there is none now.

        Does not close the pipe at its end, because the caller must first stop watching it.
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
        """Return whether the main process has ended. Does not reap it, so that its pid remains valid."""
        try:
            return os.waitid(os.P_PID, self.pid, _LOOK) is not None
        except ChildProcessError:  # another part of the process has reaped it
            return True

    def send(self, *signals: signal.Signals, group: bool) -> bool:
        """Signal it, or its whole group, unless it has been reaped. Return whether that was permitted.

        Lock: held so that it is not reaped meanwhile and the pid remains its own.
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
        except ProcessLookupError:  # it has ended, as wanted
            return True
        except OSError:  # not permitted: the process has another user
            return False
        return True

    def remember(self, statuses: Container[int]) -> None:
        """Remember the main process for `last_seen` if it has exited with one of these statuses.

        Call this before `close`. Looking at the status takes a tenth of the time of reading the process.
        """
        with suppress(ChildProcessError):  # another part of the process has reaped it
            ended = os.waitid(os.P_PID, self.pid, _LOOK)
            if ended is not None and ended.si_code == os.CLD_EXITED and ended.si_status in statuses:
                self._was = read_process(self.pid)

    @property
    def last_seen(self) -> Process | None:
        """The main process as it ended, if `remember` was called and it had such a status."""
        return self._was

    def close(self, job_id: str = "") -> int | None:
        """Read the last output, reap the main process and release its resources. Return its status.

        The status is as in `subprocess`: negative for a signal. None if it has not ended, or if other code has taken
        the status.
        """
        self._read_the_rest()
        self.close_pidfd()
        REAPER.orphans.forget(self.pid)
        status = self._reap()
        self.left_pipe = self.pipe is not None
        REAPER.take_over(self.pipe, job_id)
        self.pipe = None
        return status

    def close_pidfd(self) -> None:
        """Close the pidfd. The caller no longer watches it."""
        with self._lock:
            if self.pidfd is not None:
                os.close(self.pidfd)
                self.pidfd = None

    def _reap(self) -> int | None:
        try:
            with self._lock:
                self._is_reaped = True
                pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        except ChildProcessError:  # another part of the process has reaped it: the status is lost
            return None
        if pid:
            self.use = resource_use(usage, self._inherited_peak)
        return os.waitstatus_to_exitcode(status) if pid else None

    def _read_the_rest(self) -> None:
        """Read the output written before the end, with a limit because a background process may go on writing."""
        taken = 0
        while taken < _LAST_READ and (size := self.read()) is not None:
            if size == 0:
                self.close_pipe()
                return
            taken += size

    def close_pipe(self) -> None:
        """Close the pipe at its end."""
        if self.pipe is not None:
            os.close(self.pipe)
            self.pipe = None


def _start_process(spec: SpawnSpec, stdin: int, output: int) -> int:
    with REAPER.start() as register:
        join_new_session_keyring()
        pid = None
        FD_LIMIT.lower(output)
        OOM_SCORE.raise_for_start()
        try:
            pid = spawn(spec.command, spec.environment, spec.directory, spec.umask, stdin, output)
            if pid is None:
                pid = _start_with_subprocess(spec, stdin, output)
        finally:
            OOM_SCORE.restore()
            FD_LIMIT.restore(pid)
        register(pid)
        return pid


def _start_with_subprocess(spec: SpawnSpec, stdin: int, output: int) -> int:
    """Start the command with `subprocess`: slower, but it works everywhere and gives the reason of a failure."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    if blocked:  # a child inherits the signal mask of the starting thread
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        process = subprocess.Popen(
            spec.command,
            env=spec.environment,
            cwd=spec.directory,
            umask=spec.umask,
            stdin=stdin,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    finally:
        if blocked:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    process.returncode = -1  # we reap it, because Popen takes a lost status for success
    return process.pid


@functools.cache
def _dev_null() -> int:
    """Return the input of commands without `stdin`, opened once for all of them."""
    return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def _memory_file(text: bytes, opened: list[int]) -> int:
    """Return a file in memory with `text`. Unlike a pipe, it needs no writer and may stay unread."""
    fd = os.memfd_create("stdin")
    opened.append(fd)
    with open(fd, "wb", closefd=False) as file:
        file.write(text)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _pidfd(pid: int) -> int | None:
    """Return a pidfd, None if no descriptor is left. No error, because the command already runs."""
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None
