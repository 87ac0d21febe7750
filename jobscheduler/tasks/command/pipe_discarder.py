"""A program that reads and discards the output pipes of background processes of jobs.

Its standard input is a connection to the service. Each packet is a number of eight bytes with a descriptor. The program
sends the number back when that pipe is closed. It ends when the service has ended and all pipes are closed.
"""

from __future__ import annotations

import os
import resource
import select
import socket
from contextlib import suppress

_CHUNK = 64 * 1024


class PipeDiscarder:
    """Reads the pipes that arrive on one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._service: socket.socket | None = connection
        self._pipes: dict[int, bytes] = {}
        self._epoll = select.epoll()
        self._epoll.register(connection, select.EPOLLIN)

    def work(self) -> None:
        """Read until no pipe is left and the service has ended."""
        while self._service is not None or self._pipes:
            for descriptor, _ in self._epoll.poll():
                if descriptor in self._pipes:
                    self._discard(descriptor)
                elif self._service is not None:
                    self._take(self._service)

    def _take(self, service: socket.socket) -> None:
        """Receive one more pipe, or the end of the service."""
        try:
            number, descriptors, _, _ = socket.recv_fds(service, 8, 1)
        except OSError:
            number, descriptors = b"", []
        for descriptor in descriptors:
            os.set_blocking(descriptor, False)
            self._pipes[descriptor] = number
            self._epoll.register(descriptor, select.EPOLLIN)
        if not number:
            self._epoll.unregister(service)
            service.close()
            self._service = None

    def _discard(self, pipe: int) -> None:
        try:
            if os.read(pipe, _CHUNK):
                return
        except BlockingIOError:  # nothing to read for now
            return
        except OSError:
            pass  # the pipe cannot be read: it is closed like one that has ended
        self._epoll.unregister(pipe)
        os.close(pipe)
        number = self._pipes.pop(pipe)
        if self._service is not None:
            with suppress(OSError):
                self._service.send(number, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)


if __name__ == "__main__":
    _, maximum = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (maximum, maximum))
    PipeDiscarder(socket.socket(fileno=0)).work()
