"""The server on the Unix socket: the standard library's WSGI server, with one thread for each connection.

A client that hangs, sends slowly or sends garbage holds only its own thread, until `IDLE_TIMEOUT_S` or
`MAX_CONNECTION_S` is over. The head of a request is limited as a whole, and one user cannot take up all the room.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from jobscheduler.control.admission import Admission, ConnectionQueue, Limits
from jobscheduler.control.request_head import MAX_HEAD_BYTES, BoundedHead, HeadTooLong
from jobscheduler.model import Problem
from jobscheduler.model.errors import ProblemError

IDLE_TIMEOUT_S = 10.0  # seconds that a client may stay silent

MAX_CONNECTION_S = 60.0  # seconds that a connection may last: longer than any answer that a request waits for

MAX_CONNECTIONS, MOST_OF_USER = 192, 128  # connections open at once, of all users and of one; further ones wait

MOST_WAITING, MOST_WAITING_OF_USER = (
    256,
    192,
)  # waiting connections, of all users and of one; others are closed

POLL_S = 60.0  # seconds between two checks whether the server must stop; a stop also wakes its thread

LISTEN_BACKLOG = 5.0  # seconds that a connection waits for room; the next `maintain` then closes it unanswered

_PATH_MAX = 107  # bytes, unix(7)

App = Callable[[dict[str, Any], Callable[..., Any]], Any]


class ListenError(ProblemError):
    """The socket cannot be made; the problem says why and what to do."""


class ControlServer:
    """The control socket, as a context manager: leaving it closes the socket and removes its file.

    Raises:
        ListenError: on entering, the socket cannot be made.

    """

    def __init__(self, path: Path, app: App) -> None:
        self._path = path
        self._app = app
        self._server: _Server | None = None
        self._created: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        try:
            self._listen()
        except OSError as error:
            raise ListenError(_describe_error(self._path, error)) from None
        return self

    def _listen(self) -> None:
        self._server = _Server(self._path, self._app)
        self._created = _identity(self._path)
        threading.Thread(target=self._server.serve_forever, args=(POLL_S,), name="control", daemon=True).start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if _identity(self._path) == self._created:  # by now the file may belong to another service
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
        if _identity(self._path) is None:
            self._close()
            with suppress(OSError):  # its directory is gone, too
                self._listen()


class _Server(ThreadingMixIn, WSGIServer):
    """The WSGI server of the standard library, on a Unix socket."""

    address_family = socket.AF_UNIX
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, path: Path, app: App) -> None:
        self._open: dict[socket.socket, float] = {}
        self._queue: ConnectionQueue[socket.socket] = ConnectionQueue(
            Limits(MAX_CONNECTIONS, MOST_OF_USER, MOST_WAITING, MOST_WAITING_OF_USER)
        )
        self._lock = threading.Lock()
        super().__init__(path, _Handler)  # type: ignore[arg-type] # a path, not host and port
        self.set_app(app)

    def server_bind(self) -> None:
        """Replace a socket file that no process listens on. The new file is made beside it and renamed when complete.

        Raises:
            OSError: EADDRINUSE, another process listens there; EEXIST, the file is not a socket.

        """
        path = Path(str(self.server_address))
        if len(os.fsencode(path)) > _PATH_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        _ensure_no_listener(path)
        new = path.with_name(f".{os.getpid():x}")
        with suppress(FileNotFoundError):
            new.unlink()
        self.socket.bind(str(new))
        _open_to_group(new)
        new.rename(path)
        self.server_name, self.server_port = "localhost", 0
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. wsgiref expects an address of two parts, which a Unix client lacks."""
        connection, _ = super().get_request()
        return connection, ("local", 0)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection on a thread of its own, now or when there is room."""
        del client_address
        now = time.monotonic()
        with self._lock:
            admission = self._queue.admit(request, _peer(request)[1], now)
        if admission is Admission.ADMITTED:
            self._answer(request)
        elif admission is Admission.REFUSED:
            super().shutdown_request(request)

    def _answer(self, request: socket.socket | None) -> None:
        """Start the thread of a connection. If the host has no thread left, close it and try the next."""
        while request is not None:
            with self._lock:
                self._open[request] = time.monotonic()
            try:
                super().process_request(request, ("local", 0))
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
            unanswered = self._queue.expired(now - LISTEN_BACKLOG)
        for connection in late:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for connection in unanswered:
            super().shutdown_request(connection)


def _open_to_group(path: Path) -> None:
    """Allow the group of a socket file to use it.

    The descriptor pins the file, so another user cannot swap in another one under its name.
    """
    pinned = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_ISSOCK(os.fstat(pinned).st_mode):
            os.chmod(f"/proc/self/fd/{pinned}", 0o660)  # noqa: PTH101 - through the descriptor
    finally:
        os.close(pinned)


class _Handler(WSGIRequestHandler):
    """One connection."""

    timeout = IDLE_TIMEOUT_S
    requestline, request_version = "", "HTTP/1.0"  # until the first line has been read

    def get_environ(self) -> dict[str, Any]:
        """Add the client's `control.uid` and `control.pid`, from the kernel."""
        pid, uid, _ = _peer(self.connection)
        return {**super().get_environ(), "control.uid": uid, "control.pid": pid}

    def handle(self) -> None:
        """Answer one request. An error of the connection ends only this connection."""
        self.rfile = BoundedHead(self.rfile)
        with suppress(OSError, ValueError):
            try:
                super().handle()
            except HeadTooLong:
                self.send_error(431, f"the head of a request has at most {MAX_HEAD_BYTES} bytes")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a malformed request in JSON."""
        del explain
        body = json.dumps({"error": {"message": (message or "bad request").lower(), "help": None}}).encode() + b"\n"
        self.send_response(code, "Bad Request")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def get_stderr(self) -> Any:
        """Return a buffer that drops what wsgiref prints about clients that do not read their answer."""
        return io.StringIO()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
        """Write nothing to standard error: important events go to the log."""


def _peer(connection: socket.socket) -> tuple[int, int, int]:
    """Return process, user and group of the client, from the kernel."""
    pid, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid, gid


ServerHandler.http_version = "1.0"  # one request for each connection


def _ensure_no_listener(path: Path) -> None:
    """Check that no process listens on this path.

    Raises:
        OSError: EADDRINUSE, a process listens; EEXIST, the file is not a socket.

    """
    if not path.exists() and not path.is_symlink():
        return
    if not path.is_socket():
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return
        except FileNotFoundError:
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _describe_error(path: Path, error: OSError) -> Problem:
    name = f"the control socket `{path}`"
    help_other = "name another with `--socket FILE`"
    match error.errno:
        case errno.EADDRINUSE:
            return Problem(f"{name} is in use by another service", help=f"stop that one, or {help_other}")
        case errno.EEXIST:
            return Problem(f"{name} cannot be made: there is a file of that name", help=help_other)
        case errno.ENOENT:
            help_ = f"make its directory with `mkdir -p {path.parent}`, or {help_other}"
            return Problem(f"{name} cannot be made: the directory `{path.parent}` does not exist", help=help_)
        case errno.ENAMETOOLONG:
            return Problem(f"{name} cannot be made: a socket's path has at most {_PATH_MAX} bytes", help=help_other)
        case _:
            return Problem(f"{name} cannot be made: {os.strerror(error.errno or 0).lower()}", help=help_other)
