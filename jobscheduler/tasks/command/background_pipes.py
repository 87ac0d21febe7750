"""Drain the output pipes that background processes of ended runs still write to, so that no write blocks or fails.

Each pipe costs the service a descriptor while its background process lives. Beyond `MAX_PIPES_OF_JOB` of one job or
`MAX_PIPES` in all, the oldest goes to a process that only reads pipes (`pipe_discarder`). When the service ends, all
pipes go there. That process reports each closed pipe, so that the service can count the open pipes of each job.
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

from jobscheduler.tasks.command.adopted_processes import ADOPTED

MAX_PIPES_OF_JOB = 32  # pipes of one job that the service reads itself

MAX_PIPES = 256  # pipes of all jobs together that the service reads itself

_CHUNK = 64 * 1024
_DISCARDER = Path(__file__).with_name("pipe_discarder.py")


class BackgroundPipes:
    """Reads and discards pipes. Keeps them by descriptor, oldest first, each with the id of its job.

    Lock: held to change the state, never to wait for a pipe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipes: OrderedDict[int, str] = OrderedDict()
        self._of_job: Counter[str] = Counter()
        self._count: Counter[str] = Counter()
        self._handed_over: dict[int, str] = {}
        self._next_number = 0
        self._discarder: socket.socket | None = None
        self._discarder_pid = 0
        self._epoll: select.epoll | None = None

    def __bool__(self) -> bool:
        return bool(self._pipes or self._discarder_pid)

    def count_by_job(self) -> Mapping[str, int]:
        """Return the number of open pipes of each job."""
        with self._lock:
            return dict(self._count)

    def count_of(self, job_id: str) -> int:
        """Return the number of open pipes of one job."""
        return self._count[job_id]

    def add(self, pipe: int, job_id: str) -> None:
        """Take over a pipe."""
        with self._lock:
            self._pipes[pipe] = job_id
            self._of_job[job_id] += 1
            self._count[job_id] += 1
            if self._epoll is not None:
                self._epoll.register(pipe, select.EPOLLIN)
            self._hand_over_surplus(job_id)

    def open(self) -> bool:
        """Prepare to read. Return False if no descriptor is left."""
        with self._lock, suppress(OSError):
            self._epoll = select.epoll()
            for pipe in (*self._pipes, *((self._discarder.fileno(),) if self._discarder else ())):
                self._epoll.register(pipe, select.EPOLLIN)
            return True
        return False

    def close(self) -> bool:
        """Stop reading, unless a pipe is left. Return whether reading has stopped."""
        with self._lock:
            if self:
                return False
            if self._epoll is not None:
                self._epoll.close()
                self._epoll = None
            return True

    def discard(self, seconds: float) -> bool:
        """Discard the output of the next `seconds`. Return as soon as some comes, with whether a pipe was closed."""
        epoll = self._epoll
        readable = [descriptor for descriptor, _ in epoll.poll(seconds)] if epoll else []
        ended = [pipe for pipe in readable if pipe in self._pipes and not _discard(pipe)]
        for pipe in ended:
            self._end(pipe)
        with self._lock:
            if self._discarder is not None and self._discarder.fileno() in readable:
                self._read_from_discarder(self._discarder)
            if self._discarder is None and self._discarder_pid:
                self._reap_discarder()
        return bool(ended)

    def _end(self, pipe: int) -> None:
        with self._lock:
            if pipe in self._pipes:
                _take_one(self._count, self._drop(pipe))

    def _drop(self, pipe: int) -> str:
        """Close a pipe and return its job. Lock: held by the caller."""
        job_id = self._pipes.pop(pipe)
        _take_one(self._of_job, job_id)
        if self._epoll is not None:
            self._epoll.unregister(pipe)
        os.close(pipe)
        return job_id

    # -- the other process

    def _hand_over_surplus(self, job_id: str) -> None:
        if self._of_job[job_id] > MAX_PIPES_OF_JOB:
            self._hand_over_pipe(next(pipe for pipe, owner in self._pipes.items() if owner == job_id))
        elif len(self._pipes) > MAX_PIPES:
            self._hand_over_pipe(next(iter(self._pipes)))

    def _hand_over_pipe(self, pipe: int) -> bool:
        """Hand a pipe to the discarder process. Return False if it stays here. Lock: held by the caller."""
        try:
            discarder = self._discarder or self._start_discarder()
            self._next_number += 1
            socket.send_fds(discarder, [self._next_number.to_bytes(8, "big")], [pipe], socket.MSG_NOSIGNAL)
        except OSError:
            return False
        self._handed_over[self._next_number] = self._drop(pipe)
        return True

    def _start_discarder(self) -> socket.socket:
        """Start the discarder process and watch its connection. Raises: `OSError`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)
            try:
                if self._discarder_pid:  # the former discarder is about to end
                    raise BlockingIOError
                self._discarder_pid = start_discarder(theirs.fileno())
                ADOPTED.own_pids.add(self._discarder_pid)
                if self._epoll is not None:
                    self._epoll.register(ours, select.EPOLLIN)
            except OSError:
                ours.close()
                raise
        self._discarder = ours
        return ours

    def _read_from_discarder(self, discarder: socket.socket) -> None:
        """Note the pipes that the discarder has closed. Drop it when none is left. Lock: held by the caller."""
        try:
            while number := discarder.recv(8):
                self._discard_handed_over(int.from_bytes(number, "big"))
        except BlockingIOError:
            if self._handed_over:
                return
        except OSError:
            pass  # the discarder was killed: it reads no pipe any more
        self._drop_discarder()

    def _discard_handed_over(self, number: int) -> None:
        if number in self._handed_over:
            _take_one(self._count, self._handed_over.pop(number))

    def _drop_discarder(self) -> None:
        """Close the connection. The discarder ends once all its pipes are closed. Lock: held by the caller."""
        if self._discarder is not None:
            if self._epoll is not None:
                self._epoll.unregister(self._discarder)
            self._discarder.close()
            self._discarder = None
            for number in tuple(self._handed_over):
                self._discard_handed_over(number)

    def _reap_discarder(self) -> None:
        with suppress(ChildProcessError):
            if os.waitpid(self._discarder_pid, os.WNOHANG) == (0, 0):
                return
        ADOPTED.own_pids.discard(self._discarder_pid)
        self._discarder_pid = 0

    def detach(self) -> None:
        """Hand every pipe to a process that outlives this one, just before this process ends."""
        with self._lock:
            for pipe in tuple(self._pipes):
                if not self._hand_over_pipe(pipe):
                    with suppress(OSError):  # no process left, or no `cat`: the write fails then
                        _start_cat(pipe)
                    self._drop(pipe)
            self._drop_discarder()


def _take_one(counts: Counter[str], job_id: str) -> None:
    """Subtract one from the count of a job, and drop a count of zero."""
    counts[job_id] -= 1
    if not counts[job_id]:
        del counts[job_id]


def start_discarder(connection: int) -> int:
    """Start the discarder process with its end of the connection as standard input. Return its pid."""
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    actions = [(os.POSIX_SPAWN_DUP2, connection, 0), *null]
    command = [sys.executable, "-I", "-S", str(_DISCARDER)]
    return os.posix_spawn(sys.executable, command, {}, file_actions=actions, setsid=True)


def _start_cat(pipe: int) -> None:
    """Start a program that discards the output of one pipe, until no process can write to it."""
    os.set_blocking(pipe, True)
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, pipe, 0), *null], setsid=True)


def _discard(pipe: int) -> bool:
    """Discard the available output. Return False when no process can write any more."""
    try:
        return bool(os.read(pipe, _CHUNK))
    except BlockingIOError:
        return True
    except OSError:
        return False
