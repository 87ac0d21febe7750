"""The server on the Unix socket, with one thread for each connection.

A client that hangs, sends slowly or sends garbage holds only its own thread, until `IDLE_TIMEOUT_S` or
`MAX_CONNECTION_S` is over. The head of a request is limited as a whole, and one user cannot take up all the room.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from types import TracebackType
from typing import Any, Self

from jobscheduler.control.connection import Application, ConnectionHandler, peer_of
from jobscheduler.control.connection_limits import AdmissionDecision, ConnectionLimits, ConnectionQueue
from jobscheduler.control.socket_file import bind_socket, describe_listen_error, file_identity
from jobscheduler.model.errors import ProblemError

MAX_CONNECTION_S = 60.0  # seconds that a connection may last: longer than any answer that a request waits for

MAX_CONNECTIONS, MAX_OF_USER = 192, 128  # connections open at once, of all users and of one; further ones wait

MAX_WAITING, MAX_WAITING_OF_USER = 256, 192  # waiting connections, of all users and of one; others are closed

POLL_S = 60.0  # seconds between two checks whether the server must stop; a stop also wakes its thread

MAX_WAIT_FOR_ROOM_S = 5.0  # seconds that a connection waits; the next `maintain` then closes it unanswered


class ListenError(ProblemError):
    """The socket cannot be made; the problem says why and what to do."""


@dataclass(frozen=True, slots=True)
class MadeSocket:
    """A socket file: its number among those of its server, and device and inode, which a later file may have again."""

    number: int
    identity: tuple[int, int] | None


class ControlServer:
    """The control socket, as a context manager: leaving it closes the socket and removes its file.

    Raises:
        ListenError: on entering, the socket cannot be made.

    """

    def __init__(self, path: Path, application: Application) -> None:
        self._path = path
        self._application = application
        self._server: _Server | None = None
        self._created: tuple[int, int] | None = None
        self._times_made = 0

    def __enter__(self) -> Self:
        try:
            self._listen()
        except OSError as error:
            raise ListenError(describe_listen_error(self._path, error)) from None
        return self

    @property
    def made(self) -> MadeSocket:
        """The socket file that this server made last."""
        return MadeSocket(self._times_made, self._created)

    def _listen(self) -> None:
        self._server = _Server(self._path, self._application)
        self._created = file_identity(self._path)
        self._times_made += 1
        threading.Thread(target=self._server.serve_forever, args=(POLL_S,), name="control", daemon=True).start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if file_identity(self._path) == self._created:  # by now the file may belong to another service
            with suppress(OSError):
                self._path.unlink()
        self._close()

    def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            with suppress(OSError):
                server.socket.shutdown(socket.SHUT_RDWR)  # wakes the server's thread
            server.shutdown()
            server.server_close()

    def maintain(self, now: float) -> None:
        """Close connections that have lasted too long; listen anew if another process has removed the socket's file.

        Call it from time to time with monotonic seconds.
        """
        if self._server is not None:
            self._server.maintain(now)
        if file_identity(self._path) is None:
            self._close()
            with suppress(OSError):  # its directory is gone, too
                self._listen()


class _Server(ThreadingMixIn, UnixStreamServer):
    """The server of the standard library, with bounds on its connections."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, path: Path, application: Application) -> None:
        self._open: dict[socket.socket, float] = {}
        self._queue: ConnectionQueue[socket.socket] = ConnectionQueue(
            ConnectionLimits(MAX_CONNECTIONS, MAX_OF_USER, MAX_WAITING, MAX_WAITING_OF_USER)
        )
        self._lock = threading.Lock()
        super().__init__(str(path), partial(ConnectionHandler, application))

    def server_bind(self) -> None:
        """Replace a socket file that no process listens on. The new file is made beside it and renamed when complete.

        Raises:
            OSError: EADDRINUSE, another process listens there; EEXIST, the file is not a socket.

        """
        bind_socket(self.socket, Path(str(self.server_address)))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection on a thread of its own, now or when there is room."""
        del client_address
        now = time.monotonic()
        with self._lock:
            admission = self._queue.admit(request, peer_of(request)[1], now)
        if admission is AdmissionDecision.ADMITTED:
            self._answer(request)
        elif admission is AdmissionDecision.REFUSED:
            super().shutdown_request(request)

    def _answer(self, request: socket.socket | None) -> None:
        """Start the thread of a connection. If the host has no thread left, close it and try the next."""
        while request is not None:
            with self._lock:
                self._open[request] = time.monotonic()
            try:
                super().process_request(request, "")
            except RuntimeError:
                request = self._close(request)
            else:
                return

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, and answer one that waits for its room."""
        self._answer(self._close(request))

    def _close(self, request: socket.socket) -> socket.socket | None:
        """Close a connection; return the waiting one that gets its room."""
        with self._lock:
            self._open.pop(request, None)
            next_request = self._queue.release(request)
        super().shutdown_request(request)
        return next_request

    def server_close(self) -> None:
        """Stop listening, and close the connections that wait for room."""
        super().server_close()
        with self._lock:
            unanswered = self._queue.expired(math.inf)
        for connection in unanswered:
            super().shutdown_request(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report nothing about a client that left in the middle."""

    def maintain(self, now: float) -> None:
        """Break off connections that have lasted too long; their threads notice that and close them.

        Connections that have waited too long for room are closed unanswered.
        """
        with self._lock:
            late = [connection for connection, since in self._open.items() if now - since > MAX_CONNECTION_S]
            unanswered = self._queue.expired(now - MAX_WAIT_FOR_ROOM_S)
        for connection in late:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for connection in unanswered:
            super().shutdown_request(connection)
