"""The output pipes of ended runs that are still written to: read and thrown away, so that no write blocks or breaks.

Each costs the service a descriptor for as long as a process in the background lives. Beyond `MOST_OF_A_JOB` of one job
and `MOST` in all, the oldest goes to a process that does nothing but read them (`pipe_reader`). So do all of them when
the service ends. That process says which have come to their end, so that it is known how many each job has.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from jobscheduler.tasks.command.adopted import ADOPTED

MAX_PIPES_OF_JOB = 32
"""Pipes of one job that the service reads itself."""

MAX_PIPES = 256
"""Pipes of all jobs together that the service reads itself."""

_CHUNK = 64 * 1024
_READER = Path(__file__).with_name("pipe_reader.py")


class PipeDrain:
    """Pipes by their descriptors, the oldest first, each with the id of its job.

    Lock: held to change what is known, never while a pipe is waited for.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipes: OrderedDict[int, str] = OrderedDict()
        self._of_job: Counter[str] = Counter()
        self._count: Counter[str] = Counter()
        self._handed_over: dict[int, str] = {}
        self._next_number = 0
        self._reader: socket.socket | None = None
        self._reader_pid = 0
        self._epoll: select.epoll | None = None

    def __bool__(self) -> bool:
        return bool(self._pipes or self._reader_pid)

    def open_count(self) -> Mapping[str, int]:
        """How many pipes of each job are still written to by processes that its runs have left."""
        with self._lock:
            return dict(self._count)

    def open_counts(self, job_id: str) -> int:
        """How many of one job."""
        return self._count[job_id]

    def add(self, pipe: int, job_id: str) -> None:
        """Take a pipe over."""
        with self._lock:
            self._pipes[pipe] = job_id
            self._of_job[job_id] += 1
            self._count[job_id] += 1
            if self._epoll is not None:
                self._epoll.register(pipe, select.EPOLLIN)
            self._hand_over_surplus(job_id)

    def open(self) -> bool:
        """Get ready to read; False when there is no descriptor left for it."""
        with self._lock, suppress(OSError):
            self._epoll = select.epoll()
            for pipe in (*self._pipes, *((self._reader.fileno(),) if self._reader else ())):
                self._epoll.register(pipe, select.EPOLLIN)
            return True
        return False

    def close(self) -> bool:
        """Stop reading, unless a pipe is left; return whether it is stopped."""
        with self._lock:
            if self:
                return False
            if self._epoll is not None:
                self._epoll.close()
                self._epoll = None
            return True

    def discard(self, seconds: float) -> bool:
        """Throw away what was written within the next moment; return whether a pipe came to its end."""
        epoll = self._epoll
        heard = [descriptor for descriptor, _ in epoll.poll(seconds)] if epoll else []
        ended = [pipe for pipe in heard if pipe in self._pipes and not _discard(pipe)]
        for pipe in ended:
            self._end(pipe)
        with self._lock:
            if self._reader is not None and self._reader.fileno() in heard:
                self._read_reader(self._reader)
            if self._reader is None and self._reader_pid:
                self._reap_reader()
        return bool(ended)

    def _end(self, pipe: int) -> None:
        with self._lock:
            if pipe in self._pipes:
                _take_one(self._count, self._drop(pipe))

    def _drop(self, pipe: int) -> str:
        """Close a pipe here. Under the lock."""
        job_id = self._pipes.pop(pipe)
        _take_one(self._of_job, job_id)
        if self._epoll is not None:
            self._epoll.unregister(pipe)
        os.close(pipe)
        return job_id

    # -- the other process

    def _hand_over_surplus(self, job_id: str) -> None:
        if self._of_job[job_id] > MAX_PIPES_OF_JOB:
            self._hand_over_pipe(next(pipe for pipe, one in self._pipes.items() if one == job_id))
        elif len(self._pipes) > MAX_PIPES:
            self._hand_over_pipe(next(iter(self._pipes)))

    def _hand_over_pipe(self, pipe: int) -> bool:
        """Let the other process read a pipe; False if it cannot be, and stays here. Under the lock."""
        try:
            reader = self._reader or self._start_reader()
            self._next_number += 1
            socket.send_fds(reader, [self._next_number.to_bytes(8, "big")], [pipe], socket.MSG_NOSIGNAL)
        except OSError:
            return False
        self._handed_over[self._next_number] = self._drop(pipe)
        return True

    def _start_reader(self) -> socket.socket:
        """Start it, and listen to it. Raises `OSError`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)
            try:
                if self._reader_pid:  # the former one is at its end
                    raise BlockingIOError
                self._reader_pid = start_reader(theirs.fileno())
                ADOPTED.own_pids.add(self._reader_pid)
                if self._epoll is not None:
                    self._epoll.register(ours, select.EPOLLIN)
            except OSError:
                ours.close()
                raise
        self._reader = ours
        return ours

    def _read_reader(self, reader: socket.socket) -> None:
        """Take note of the pipes that have come to their end there; let go of it when none is left. Under the lock."""
        try:
            while said := reader.recv(8):
                self._discard_handed_over(int.from_bytes(said, "big"))
        except BlockingIOError:
            if self._handed_over:
                return
        except OSError:
            pass
        self._drop_reader()

    def _discard_handed_over(self, number: int) -> None:
        if number in self._handed_over:
            _take_one(self._count, self._handed_over.pop(number))

    def _drop_reader(self) -> None:
        """Close the connection, at which it ends when it has read all pipes to their end. Under the lock."""
        if self._reader is not None:
            if self._epoll is not None:
                self._epoll.unregister(self._reader)
            self._reader.close()
            self._reader = None
            for number in tuple(self._handed_over):
                self._discard_handed_over(number)

    def _reap_reader(self) -> None:
        with suppress(ChildProcessError):
            if os.waitpid(self._reader_pid, os.WNOHANG) == (0, 0):
                return
        ADOPTED.own_pids.discard(self._reader_pid)
        self._reader_pid = 0

    def detach(self) -> None:
        """Give every pipe to a process that outlives this one, which is about to end."""
        with self._lock:
            for pipe in tuple(self._pipes):
                if not self._hand_over_pipe(pipe):
                    with suppress(OSError):  # no process left, or no `cat`: nothing better can be done
                        _start_cat(pipe)
                    self._drop(pipe)
            self._drop_reader()


def _take_one(counts: Counter[str], job_id: str) -> None:
    """Count one less; a job with none is forgotten."""
    counts[job_id] -= 1
    if not counts[job_id]:
        del counts[job_id]


def start_reader(connection: int) -> int:
    """Start the process that reads pipes, with its end of a connection as standard input; return its pid."""
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    actions = [(os.POSIX_SPAWN_DUP2, connection, 0), *null]
    command = [sys.executable, "-I", "-S", str(_READER)]
    return os.posix_spawn(sys.executable, command, {}, file_actions=actions, setsid=True)


def _start_cat(pipe: int) -> None:
    """Start a program that throws away what comes through one pipe, until no process can write any more."""
    os.set_blocking(pipe, True)
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, pipe, 0), *null], setsid=True)


def _discard(pipe: int) -> bool:
    """Read what is there and throw it away; False when no process can write any more."""
    try:
        return bool(os.read(pipe, _CHUNK))
    except BlockingIOError:
        return True
    except OSError:
        return False
