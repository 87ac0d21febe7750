"""Drain the output pipes that background processes of ended runs still write to, so that no write blocks or fails.

Each pipe costs the service a descriptor while its background process lives. Beyond `MAX_PIPES_OF_JOB` of one job or
`MAX_PIPES` in all, the oldest goes to a process that only reads pipes (`discarder_process`). When the service ends, all
pipes go there. That process reports each closed pipe, so that the service can count the open pipes of each job.
"""

from __future__ import annotations

import os
import select
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from contextlib import suppress

from jobscheduler.tasks.command.discarder_process import DiscarderProcess

MAX_PIPES_OF_JOB = 32  # pipes of one job that the service reads itself

MAX_PIPES = 256  # pipes of all jobs together that the service reads itself

_CHUNK = 64 * 1024


class BackgroundPipes:
    """Reads and discards pipes. Keeps them by descriptor, oldest first, each with the id of its job.

    Lock: held to change the state, never to wait for a pipe.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipes: OrderedDict[int, str] = OrderedDict()
        self._of_job: Counter[str] = Counter()
        self._count: Counter[str] = Counter()
        self._epoll: select.epoll | None = None
        self._discarder = DiscarderProcess(self._watch, self._unwatch)

    def __bool__(self) -> bool:
        return bool(self._pipes or self._discarder.pid)

    def count_by_job(self) -> Mapping[str, int]:
        """Return the number of open pipes of each job. Never waits, not even for a call of a pipe that hangs."""
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
            self._watch(pipe)
            self._hand_over_surplus(job_id)

    def open(self) -> bool:
        """Prepare to read. Return False if no descriptor is left."""
        with self._lock, suppress(OSError):
            self._epoll = select.epoll()
            for descriptor in (*self._pipes, *self._discarder.descriptors()):
                self._watch(descriptor)
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
            if any(descriptor in readable for descriptor in self._discarder.descriptors()):
                for job_id in self._discarder.closed():
                    _take_one(self._count, job_id)
            self._discarder.reap()
        return bool(ended)

    def _end(self, pipe: int) -> None:
        """Close a pipe, without the lock: a process that hangs in a write holds up the close, and so the caller."""
        with self._lock:
            if pipe not in self._pipes:
                return
            _take_one(self._count, self._forget(pipe))
        os.close(pipe)

    def _forget(self, pipe: int) -> str:
        """Forget a pipe that the caller closes, and return its job. Lock: held by the caller."""
        job_id = self._pipes.pop(pipe)
        _take_one(self._of_job, job_id)
        self._unwatch(pipe)
        return job_id

    def _watch(self, descriptor: int) -> None:
        if self._epoll is not None:
            self._epoll.register(descriptor, select.EPOLLIN)

    def _unwatch(self, descriptor: int) -> None:
        if self._epoll is not None:
            self._epoll.unregister(descriptor)

    # -- other processes

    def _hand_over_surplus(self, job_id: str) -> None:
        if self._of_job[job_id] > MAX_PIPES_OF_JOB:
            self._hand_over_pipe(next(pipe for pipe, owner in self._pipes.items() if owner == job_id))
        elif len(self._pipes) > MAX_PIPES:
            self._hand_over_pipe(next(iter(self._pipes)))

    def _hand_over_pipe(self, pipe: int) -> bool:
        """Hand a pipe to the discarder. Return False if it stays here. Lock: held by the caller."""
        try:
            self._discarder.hand_over(pipe, self._pipes[pipe])
        except OSError:
            return False
        self._forget(pipe)
        os.close(pipe)
        return True

    def detach(self) -> None:
        """Hand every pipe to a process that outlives this one, just before this process ends."""
        with self._lock:
            for pipe in tuple(self._pipes):
                if not self._hand_over_pipe(pipe):
                    with suppress(OSError):  # no process left, or no `cat`: the write fails then
                        _start_cat(pipe)
                    self._forget(pipe)
                    os.close(pipe)
            for job_id in self._discarder.leave():
                _take_one(self._count, job_id)


def _take_one(counts: Counter[str], job_id: str) -> None:
    """Subtract one from the count of a job, and drop a count of zero."""
    counts[job_id] -= 1
    if not counts[job_id]:
        del counts[job_id]


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
