"""The server on the Unix socket: the standard library's, one thread a connection, and each connection for itself.

A client that hangs, drips or sends garbage holds its own thread until `PATIENCE` is over, and nothing else.
"""

from __future__ import annotations

import errno
import json
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

from jobscheduler.model import Problem

PATIENCE = 10.0
"""How long a client may keep silent, in seconds."""

LONGEST = 60.0
"""How long a connection may last, in seconds: longer than any answer takes that is waited for."""

MOST = 256
"""How many connections may be open at once; further ones wait."""

POLL = 60.0
"""How often the server's thread wakes up for nothing, in seconds; it is woken for its end."""

QUEUED = 5.0
"""How long a connection waits for room at most before it is closed unanswered, in seconds."""

_PATH_MAX = 107  # bytes, unix(7)

App = Callable[[dict[str, Any], Callable[..., Any]], Any]


class CannotListen(Exception):
    """The socket cannot be made; the problem says why and what to do."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Control:
    """The control socket. A context manager: leaving it closes the socket and removes its file.

    Raises `CannotListen` when entered if the socket cannot be made.
    """

    def __init__(self, path: Path, app: App) -> None:
        self._path = path
        self._app = app
        self._server: _Server | None = None
        self._made: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        try:
            self._listen()
        except OSError as error:
            raise CannotListen(_explained(self._path, error)) from None
        return self

    def _listen(self) -> None:
        self._server = _Server(self._path, self._app)
        self._made = _identity(self._path)
        threading.Thread(target=self._server.serve_forever, args=(POLL,), name="control", daemon=True).start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if _identity(self._path) == self._made:  # it may be another service's by now
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

    def tend(self, now: float) -> None:
        """Close connections that have lasted too long, and listen anew if somebody has removed the socket's file.

        To be called once in a while (monotonic seconds).
        """
        if self._server is not None:
            self._server.tend(now)
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
        self._lock = threading.Condition()
        super().__init__(path, _Handler)  # type: ignore[arg-type] # a path, not host and port
        self.set_app(app)

    def server_bind(self) -> None:
        """Take the place of a socket file that nobody listens on; it is made beside it and moved there whole.

        Raises:
            OSError: EADDRINUSE, somebody listens there or it is no socket.

        """
        path = Path(str(self.server_address))
        if len(os.fsencode(path)) > _PATH_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        _make_sure_of_no_listener(path)
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
        with self._lock:
            self._open[connection] = time.monotonic()
        return connection, ("local", 0)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Wait for room for one more connection, a moment; tell whether there is any."""
        del client_address
        with self._lock:
            return self._lock.wait_for(lambda: len(self._open) <= MOST, QUEUED)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._open.pop(request, None)
            self._lock.notify()
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away in the middle."""

    def tend(self, now: float) -> None:
        """Break off connections that have lasted too long; their threads find out and close them."""
        with self._lock:
            late = [one for one, since in self._open.items() if now - since > LONGEST]
        for connection in late:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


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

    timeout = PATIENCE

    def get_environ(self) -> dict[str, Any]:
        """Add who asks: `control.uid` and `control.pid`, from the kernel."""
        pid, uid, _ = struct.unpack("3i", self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return {**super().get_environ(), "control.uid": uid, "control.pid": pid}

    def handle(self) -> None:
        """Answer one request; what went wrong with a connection is over with it."""
        with suppress(OSError, ValueError):
            super().handle()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer in JSON what is no request at all."""
        del explain
        body = json.dumps({"error": {"message": (message or "bad request").lower(), "help": None}}).encode() + b"\n"
        self.send_response(code, "Bad Request")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is inherited
        """Write nothing to standard error: what matters is an event of the log."""


ServerHandler.http_version = "1.0"  # one request a connection


def _make_sure_of_no_listener(path: Path) -> None:
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


def _explained(path: Path, error: OSError) -> Problem:
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
