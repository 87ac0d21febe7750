"""The server on the Unix socket: the standard library's, one thread a connection, and each connection for itself.

A client that hangs, drips or sends garbage holds its own thread until `PATIENCE` is over, and nothing else. The head
of a request is bounded as a whole, and no user takes the places of others.
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

IDLE_TIMEOUT_S = 10.0
"""How long a client may keep silent, in seconds."""

MAX_CONNECTION_S = 60.0
"""How long a connection may last, in seconds: longer than any answer takes that is waited for."""

MAX_CONNECTIONS, MOST_OF_USER = 192, 128
"""How many connections are answered at once, of all users and of one; further ones wait."""

MOST_WAITING, MOST_WAITING_OF_USER = 256, 192
"""How many connections wait at once, of all users and of one; further ones are closed."""

POLL_S = 60.0
"""How often the server's thread wakes up for nothing, in seconds; it is woken for its end."""

LISTEN_BACKLOG = 5.0
"""How long a connection waits for room before the next look closes it unanswered, in seconds."""

_PATH_MAX = 107  # bytes, unix(7)

App = Callable[[dict[str, Any], Callable[..., Any]], Any]


class ListenError(Exception):
    """The socket cannot be made; the problem says why and what to do."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class ControlServer:
    """The control socket. A context manager: leaving it closes the socket and removes its file.

    Raises `CannotListen` when entered if the socket cannot be made.
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
        if _identity(self._path) == self._created:  # it may be another service's by now
            with suppress(OSError):
                self._path.unlink()
        self._close()

    def _close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            with suppress(OSError):
                server.socket.shutdown(socket.SHUT_RDWR)  # which wakes its thread up
            server.shutdown()
            server.server_close()

    def maintain(self, now: float) -> None:
        """Close connections that have lasted too long, and listen anew if somebody has removed the socket's file.

        To be called once in a while (monotonic seconds).
        """
        if self._server is not None:
            self._server.maintain(now)
        if _identity(self._path) is None:
            self._close()
            with suppress(OSError):  # its directory is gone, too
                self._listen()


class _Server(ThreadingMixIn, WSGIServer):
    """wsgiref's server, on a Unix socket."""

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
        """Take the place of a socket file that nobody listens on; it is made beside it and moved there whole.

        Raises:
            OSError: EADDRINUSE, somebody listens there or it is not a socket.

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
        """Accept a connection. wsgiref wants an address of two parts, which a Unix socket's client does not have."""
        connection, _ = super().get_request()
        return connection, ("local", 0)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection on a thread of its own, now or when there is room."""
        del client_address
        now = time.monotonic()
        with self._lock:
            place = self._queue.admit(request, _peer(request)[1], now)
        if place is Admission.ADMITTED:
            self._answer(request)
        elif place is Admission.REFUSED:
            super().shutdown_request(request)

    def _answer(self, request: socket.socket | None) -> None:
        """Start the thread of a connection. When the host has no thread left, close it and try the next."""
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
        """Close a connection, and give its place to one that waits."""
        self._answer(self._close(request))

    def _close(self, request: socket.socket) -> socket.socket | None:
        """Close a connection; return the one that takes its place."""
        with self._lock:
            self._open.pop(request, None)
            following = self._queue.release(request)
        super().shutdown_request(request)
        return following

    def server_close(self) -> None:
        """Stop listening, and close the connections that wait for room."""
        super().server_close()
        with self._lock:
            unanswered = self._queue.expired(math.inf)
        for connection in unanswered:
            super().shutdown_request(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away in the middle."""

    def maintain(self, now: float) -> None:
        """Break off connections that have lasted too long; their threads find out and close them.

        Those that have waited too long for room are closed unanswered.
        """
        with self._lock:
            late = [one for one, since in self._open.items() if now - since > MAX_CONNECTION_S]
            unanswered = self._queue.expired(now - LISTEN_BACKLOG)
        for connection in late:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for connection in unanswered:
            super().shutdown_request(connection)


def _open_to_group(path: Path) -> None:
    """Let the group of a socket file use it: of that very file, whatever another user puts under its name meanwhile."""
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
        """Add who asks: `control.uid` and `control.pid`, from the kernel."""
        pid, uid, _ = _peer(self.connection)
        return {**super().get_environ(), "control.uid": uid, "control.pid": pid}

    def handle(self) -> None:
        """Answer one request; what went wrong with a connection is over with it."""
        self.rfile = BoundedHead(self.rfile)
        with suppress(OSError, ValueError):
            try:
                super().handle()
            except HeadTooLong:
                self.send_error(431, f"the head of a request has at most {MAX_HEAD_BYTES} bytes")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer in JSON what is no request at all."""
        del explain
        body = json.dumps({"error": {"message": (message or "bad request").lower(), "help": None}}).encode() + b"\n"
        self.send_response(code, "Bad Request")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def get_stderr(self) -> Any:
        """Give a place for what wsgiref says about clients that do not read their answer: it is not told."""
        return io.StringIO()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
        """Write nothing to standard error: what matters is an event of the log."""


def _peer(connection: socket.socket) -> tuple[int, int, int]:
    """Return process, user and group at the other end, as the kernel knows them."""
    pid, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid, gid


ServerHandler.http_version = "1.0"  # one request a connection


def _ensure_no_listener(path: Path) -> None:
    """Raise EADDRINUSE if somebody listens on this path, or if it is something else than a socket."""
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
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _describe_error(path: Path, error: OSError) -> Problem:
    name = f"the control socket `{path}`"
    other = "name another with `--socket FILE`"
    match error.errno:
        case errno.EADDRINUSE:
            return Problem(f"{name} is in use by another service", help=f"stop that one, or {other}")
        case errno.EEXIST:
            return Problem(f"{name} cannot be made: there is a file of that name", help=other)
        case errno.ENOENT:
            help_ = f"make its directory with `mkdir -p {path.parent}`, or {other}"
            return Problem(f"{name} cannot be made: the directory `{path.parent}` does not exist", help=help_)
        case errno.ENAMETOOLONG:
            return Problem(f"{name} cannot be made: a socket's path has at most {_PATH_MAX} bytes", help=other)
        case _:
            return Problem(f"{name} cannot be made: {os.strerror(error.errno or 0).lower()}", help=other)
