"""Make one HTTP exchange, limited in time and size. The only importer of urllib3.

1. One deadline covers the whole exchange. Before each socket operation, the timeout is set to the time left, so that
   a server that sends a byte now and then cannot extend it. Names are resolved on another thread.
2. To stop a run, its connection is shut down through a duplicate of the descriptor. The duplicate exists from before
   `connect` to the end of the exchange, so `connect`, the TLS handshake and `recv` all wake up.
3. Connections are made here, without a pool: no proxy from the environment, no retry, no connection kept open.
"""

from __future__ import annotations

import errno
import functools
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPResponse, parse_headers
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any
from urllib.parse import SplitResult

from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProtocolError

from jobscheduler.tasks.command.output_buffer import HeadTailBuffer
from jobscheduler.tasks.http.fields import percent_encode
from jobscheduler.tasks.http.size_limits import Allowance
from jobscheduler.tasks.hung_paths import GUARD

CONNECT_TIMEOUT_S = 10.0  # for a connection to one address of the server

MAX_ANSWER_BYTES = 16 * 1024 * 1024  # read of one response

_CHUNK = 64 * 1024
_LENGTH = re.compile(r"[0-9]{1,18}")  # an exabyte; a longer number overflows socket operations


Addresses = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]  # as returned by `getaddrinfo`


class _FinalResponse(HTTPResponse):
    """A response that skips informational responses (102, 103 and so on), which http.client takes for final ones.

    101 stays final, because the connection then changes its protocol, which no request here asks for. The limit on
    the size of the head also limits the number of such responses.
    """

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == 101 or not 100 <= status < 200:
                return version, status, reason
            parse_headers(self.fp)


class Deadline:
    """The deadline of an exchange: an instant of `time.monotonic()`."""

    def __init__(self, until: float) -> None:
        self.until = until

    def left(self) -> float:
        """Return the seconds left. Raises: `TimeoutError` if none are left."""
        seconds = self.until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the time is up")
        return seconds

    def expired(self) -> bool:
        """Return whether the deadline has passed. Allows for a socket timeout that fires slightly early."""
        return time.monotonic() >= self.until - 0.01


class Canceller:
    """Shuts a connection down from another thread. Harmless after the end of the exchange.

    `resolved` receives the addresses of the server, or the error of the resolver or of `cancel`.
    """

    def __init__(self) -> None:
        self.resolved: SimpleQueue[Addresses | Exception] = SimpleQueue()
        self._lock = Lock()
        self._hold: socket.socket | None = None
        self._is_cancelled = False

    def attach(self, sock: socket.socket) -> None:
        """Make `cancel` shut down this connection, and no earlier one."""
        with self._lock:
            self._let_go()
            self._hold = sock.dup()
            if self._is_cancelled:
                raise ConnectionAbortedError("stopped")

    def cancel(self) -> None:
        """Shut down the connection, and every later one."""
        with self._lock:
            self._is_cancelled = True
            self.resolved.put(ConnectionAbortedError("stopped"))
            if self._hold is not None:
                with suppress(OSError):
                    self._hold.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the duplicate descriptor."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._hold is not None:
            self._hold.close()
            self._hold = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request to send."""

    url: SplitResult
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    verify: bool | str


@dataclass(frozen=True, slots=True)
class Response:
    """A response. `location` is the target of a redirect."""

    status: int
    output: bytes
    location: str | None


def send(request: Request, limit: Deadline, lever: Canceller) -> Response:
    """Send the request and read the response.

    Raises `OSError` (`TimeoutError`, `ssl.SSLError` among them), `http.client.HTTPException` or
    `urllib3.exceptions.HTTPError`.
    """
    connection = _connection(request, limit, lever)
    try:
        connection.connect()
        connection.request(
            request.method,
            _target(request.url),
            body=request.body,
            headers=dict(request.headers),
            preload_content=False,
            decode_content=False,
        )
        return _answer(connection, request.method)
    finally:
        connection.close()


def _target(url: SplitResult) -> str:
    """Return the request target: the path and the query."""
    query = f"?{url.query}" if url.query else ""
    return percent_encode((url.path or "/") + query)


def _answer(connection: _Plain | _Secure, method: str) -> Response:
    """Read the response. An invalid response is a fault of the server, not a crash of the task.

    1. urllib3 and http.client raise plain errors for a size of a chunk or body that is negative or too large.
    2. When urllib3 refuses a header, it does not close the response of http.client. So it is closed here.
    """
    begun: list[HTTPResponse] = []

    def begin(*arguments: Any, **options: Any) -> HTTPResponse:
        begun.append(_FinalResponse(*arguments, **options))
        return begun[-1]

    connection.response_class = begin  # type: ignore[assignment]
    try:
        return _read(connection.getresponse(), method, connection.allowance)
    except (ValueError, OverflowError, MemoryError) as error:
        raise ProtocolError("a garbled answer") from error
    finally:
        for response in begun:
            response.close()


def _read(response: BaseHTTPResponse, method: str, allowance: Allowance) -> Response:
    output = HeadTailBuffer()
    try:
        announced = _announced(response, method)
        allowance.allow(_CHUNK)
        while output.total < MAX_ANSWER_BYTES and (chunk := response.read(_CHUNK)):
            output.add(chunk)
            allowance.allow(output.total + _CHUNK)
    finally:
        response.close()
    if announced is not None and output.total < min(announced, MAX_ANSWER_BYTES):
        raise ProtocolError("the answer is shorter than announced")
    return Response(response.status, output.kept(), response.headers.get("Location"))


def _announced(response: BaseHTTPResponse, method: str) -> int | None:
    """Return the announced length of the body, None if there is none.

    The libraries ignore an invalid `Content-Length` and then accept a truncated body. So it is checked here.
    """
    lengths = {part.strip() for value in response.headers.getlist("Content-Length") for part in value.split(",")}
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise ProtocolError("a garbled Content-Length")
    if method == "HEAD" or response.status in (204, 304) or "Transfer-Encoding" in response.headers:
        return None
    return int(lengths.pop()) if lengths else None


def _connection(request: Request, limit: Deadline, lever: Canceller) -> _Plain | _Secure:
    url = request.url
    host = url.hostname or ""
    if url.scheme == "http":
        return _made(_Plain(host, url.port or 80, timeout=None), limit, lever)
    trust = functools.partial(_trust, request.verify, int(time.monotonic() // 600))
    is_file = isinstance(request.verify, str)
    context = GUARD.call(f"the file of certificates `{request.verify}`", trust) if is_file else trust()
    return _made(_Secure(host, url.port or 443, timeout=None, ssl_context=context), limit, lever)


def _made(connection: _Plain | _Secure, limit: Deadline, lever: Canceller) -> _Plain | _Secure:
    connection.open_socket = functools.partial(_open, limit=limit, lever=lever)
    connection.limit = limit
    connection.allowance = Allowance()
    return connection


@functools.lru_cache(maxsize=16)
def _trust(verify: bool | str, epoch: int) -> ssl.SSLContext:
    """Return the TLS context. Reading certificates takes about 20 ms, so they are cached for ten minutes."""
    del epoch
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = _TlsSocket
    return context


def _open(host: str, port: int, limit: Deadline, lever: Canceller) -> socket.socket:
    """Connect to the first address of the server that answers."""
    last: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in _addresses(host, port, limit, lever):
        sock = _PlainSocket(family, kind, protocol)
        try:
            lever.attach(sock)
            sock.settimeout(min(CONNECT_TIMEOUT_S, limit.left()))
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(limit.left())
        sock.limit = limit
        return sock
    try:
        raise last
    finally:
        del last  # it refers to this frame, and the reference cycle would keep both


def _addresses(host: str, port: int, limit: Deadline, lever: Canceller) -> Addresses:
    """Return the addresses of a server, within the limit.

    `getaddrinfo` cannot be interrupted and takes minutes when no name server answers. So it runs on a thread that can
    be abandoned, and the limits of the resolver end it. Numeric addresses need no thread.
    """
    with suppress(socket.gaierror):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)

    def resolve() -> None:
        try:
            lever.resolved.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            lever.resolved.put(error)

    try:
        Thread(target=resolve, name="resolving", daemon=True).start()
    except RuntimeError as none_left:
        raise OSError(errno.EAGAIN, "the host has no thread left") from none_left
    try:
        result = lever.resolved.get(timeout=limit.left())
    except Empty:
        raise TimeoutError("the name was not resolved in time") from None
    if isinstance(result, Exception):
        try:
            raise result
        finally:
            del result  # as above
    return result


class _DeadlineSocket(socket.socket):
    """A socket with one deadline for all its operations and a limit on the received bytes."""

    limit: Deadline | None = None
    allowance: Allowance | None = None

    def recv_into(self, *arguments: Any) -> int:
        self._bound()
        count = super().recv_into(*arguments)
        if self.allowance is not None:
            self.allowance.count(count)
        return count

    def send(self, *arguments: Any) -> int:
        self._bound()
        return super().send(*arguments)

    def sendall(self, data: Any, flags: int = 0) -> None:
        unsent = memoryview(data).cast("B")
        while unsent:
            unsent = unsent[self.send(unsent[:_CHUNK], flags) :]

    def _bound(self) -> None:
        if self.limit is not None:
            self.settimeout(self.limit.left())


class _PlainSocket(_DeadlineSocket):
    pass


class _TlsSocket(_DeadlineSocket, ssl.SSLSocket):
    pass


class _ManagedConnection:
    """A connection of urllib3 with a socket made by this module."""

    host: str
    port: int
    sock: socket.socket | None
    open_socket: Callable[[str, int], socket.socket]
    limit: Deadline
    allowance: Allowance

    def _new_conn(self) -> socket.socket:
        return self.open_socket(self.host, self.port)

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        if isinstance(self.sock, _DeadlineSocket):  # TLS made a new socket
            self.sock.limit = self.limit
            self.sock.allowance = self.allowance


class _Plain(_ManagedConnection, HTTPConnection):
    pass


class _Secure(_ManagedConnection, HTTPSConnection):
    pass
