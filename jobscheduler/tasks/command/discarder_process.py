"""Start the process that discards what is written to background pipes (`pipe_discarder`), and give it pipes.

Each pipe has a number. The process sends the number back when it has closed the pipe.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from jobscheduler.tasks.command.adopted_processes import ADOPTED

_PROGRAM = Path(__file__).with_name("pipe_discarder.py")


class DiscarderProcess:
    """The process and the connection to it, while it has pipes.

    `watch` gets the descriptor of the connection when it was opened, and `unwatch` before it is closed.
    Lock: the caller holds one around every call.
    """

    def __init__(self, watch: Callable[[int], object], unwatch: Callable[[int], object]) -> None:
        self.pid = 0
        self._watch = watch
        self._unwatch = unwatch
        self._connection: socket.socket | None = None
        self._jobs: dict[int, str] = {}  # the job of each pipe that the process has, by number
        self._next_number = 0

    def descriptors(self) -> tuple[int, ...]:
        """Return the descriptor of the connection, if there is one."""
        return () if self._connection is None else (self._connection.fileno(),)

    def hand_over(self, pipe: int, job_id: str) -> None:
        """Give the process a pipe of a job, and start it for the first one.

        Raises:
            OSError: it cannot be started, or takes no pipe now.

        """
        connection = self._connection or self._start()
        self._next_number += 1
        socket.send_fds(connection, [self._next_number.to_bytes(8, "big")], [pipe], socket.MSG_NOSIGNAL)
        self._jobs[self._next_number] = job_id

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)
            try:
                if self.pid:  # the former process is about to end
                    raise BlockingIOError
                self.pid = start_discarder(theirs.fileno())
                ADOPTED.own_pids.add(self.pid)
                self._watch(ours.fileno())
            except OSError:
                ours.close()
                raise
        self._connection = ours
        return ours

    def closed(self) -> list[str]:
        """Return the job of each pipe that the process has closed since. Leave it when no pipe is left."""
        if self._connection is None:
            return []
        jobs: list[str] = []
        try:
            while packet := self._connection.recv(8):
                job_id = self._jobs.pop(int.from_bytes(packet, "big"), None)
                jobs += [] if job_id is None else [job_id]
        except BlockingIOError:
            if self._jobs:
                return jobs
        except OSError:
            pass  # the process was killed: it reads no pipe any more
        return [*jobs, *self.leave()]

    def leave(self) -> list[str]:
        """Close the connection, and return the job of each pipe that the process has. It ends when they are closed."""
        if self._connection is None:
            return []
        self._unwatch(self._connection.fileno())
        self._connection.close()
        self._connection = None
        jobs, self._jobs = [*self._jobs.values()], {}
        return jobs

    def reap(self) -> None:
        """Reap the process if it was left and has ended."""
        if self._connection is not None or not self.pid:
            return
        with suppress(ChildProcessError):
            if os.waitpid(self.pid, os.WNOHANG) == (0, 0):
                return
        ADOPTED.own_pids.discard(self.pid)
        self.pid = 0


def start_discarder(connection: int) -> int:
    """Start the discarder process with its end of the connection as standard input. Return its pid."""
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    actions = [(os.POSIX_SPAWN_DUP2, connection, 0), *null]
    command = [sys.executable, "-I", "-S", str(_PROGRAM)]
    return os.posix_spawn(sys.executable, command, {}, file_actions=actions, setsid=True)
