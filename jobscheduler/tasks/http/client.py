"""One exchange over HTTP, bounded in time and size. The only importer of urllib3.

1. There is one bound in time for the whole exchange: before each operation of the socket its timeout is set to what
   is left, so that a server that sends a byte now and then does not prolong it. Names are resolved on another thread.
2. A run that has to stop shuts the connection down through a duplicate of its descriptor, which is there from before
   it connects until the exchange is over; whoever waits in `connect`, in the TLS handshake or in `recv` wakes up.
3. Connections are made here and not by a pool: no proxy from the environment, no retry, nothing kept open.
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

CONNECT_TIMEOUT_S = 10.0
"""Seconds for a connection to one address of the server."""

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Bytes that are read of one answer."""

_CHUNK = 64 * 1024
_LENGTH = re.compile(r"[0-9]{1,18}")  # an exabyte: what is longer overflows the operations of a socket


Addresses = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]
"""What `getaddrinfo` returns."""


class _FinalResponse(HTTPResponse):
    """A response that skips informational answers (102, 103 and the like), which http.client takes for final ones.

    101 stays final: the connection has another protocol after it, and no request of ours asks for that. The bound on
    the bytes of a head also bounds how many such answers are read.
    """

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == 101 or not 100 <= status < 200:
                return version, status, reason
            parse_headers(self.fp)


class Deadline:
    """The bound in time of an exchange: an instant of `time.monotonic()`."""

    def __init__(self, until: float) -> None:
        self.until = until

    def left(self) -> float:
        """Seconds that are left; raises `TimeoutError` when there are none."""
        seconds = self.until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the time is up")
        return seconds

    def expired(self) -> bool:
        """Whether the time is over; a socket's clock may be a little ahead."""
        return time.monotonic() >= self.until - 0.01


class Canceller:
    """Shuts a connection down from another thread; harmless when it comes late.

    `resolved` is where the addresses of the server come in, or the error in their place, also that of a pull.
    """

    def __init__(self) -> None:
        self.resolved: SimpleQueue[Addresses | Exception] = SimpleQueue()
        self._lock = Lock()
        self._hold: socket.socket | None = None
        self._is_cancelled = False

    def attach(self, sock: socket.socket) -> None:
        """Hold this connection from now on, and no other."""
        with self._lock:
            self._let_go()
            self._hold = sock.dup()
            if self._is_cancelled:
                raise ConnectionAbortedError("stopped")

    def cancel(self) -> None:
        """Shut the connection down, and every later one."""
        with self._lock:
            self._is_cancelled = True
            self.resolved.put(ConnectionAbortedError("stopped"))
            if self._hold is not None:
                with suppress(OSError):
                    self._hold.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._hold is not None:
            self._hold.close()
            self._hold = None


@dataclass(frozen=True, slots=True)
class Request:
    """What to send, and to whom."""

    url: SplitResult
    method: str
    headers: Mapping[str, str]
    body: bytes | None
    verify: bool | str


@dataclass(frozen=True, slots=True)
class Response:
    """What came back: `location` is where a redirect points to."""

    status: int
    output: bytes
    location: str | None


def send(request: Request, limit: Deadline, lever: Canceller) -> Response:
    """Send the request and read the answer.

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
    """What follows the method on the wire."""
    query = f"?{url.query}" if url.query else ""
    return percent_encode((url.path or "/") + query)


def _answer(connection: _Plain | _Secure, method: str) -> Response:
    """Read the answer. What urllib3 and http.client stumble over in it is the server's fault and no crash.

    1. They raise plain errors for a size of a chunk or of a body below zero or beyond what memory could hold.
    2. When urllib3 refuses a header nobody closes what http.client had begun to read, and its descriptor stays open.
    """
    begun: list[HTTPResponse] = []

    def begin(*arguments: Any, **more: Any) -> HTTPResponse:
        begun.append(_FinalResponse(*arguments, **more))
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
    """How long the body says it is, None if nothing does.

    The libraries take a `Content-Length` that they cannot read for none, and then any body for a whole one.
    """
    lengths = {one.strip() for value in response.headers.getlist("Content-Length") for one in value.split(",")}
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
    """Whom to trust. Reading a host's certificates takes some 20 ms, so they are read again every ten minutes only."""
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
        del last  # which holds this frame: it would take the collector of cycles to get rid of either


def _addresses(host: str, port: int, limit: Deadline, lever: Canceller) -> Addresses:
    """The addresses of a server, within the limit.

    Nothing interrupts `getaddrinfo`, which takes minutes when no name server answers. So it is called on a thread that
    nobody has to wait for; the resolver's own limits end it. Addresses that are written out need none.
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
        found = lever.resolved.get(timeout=limit.left())
    except Empty:
        raise TimeoutError("the name was not resolved in time") from None
    if isinstance(found, Exception):
        try:
            raise found
        finally:
            del found  # as above
    return found


class _DeadlineSocket(socket.socket):
    """A socket that waits no longer than its limit, over all operations together, and takes no more than is allowed."""

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
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self.send(rest[:_CHUNK], flags) :]

    def _bound(self) -> None:
        if self.limit is not None:
            self.settimeout(self.limit.left())


class _PlainSocket(_DeadlineSocket):
    pass


class _TlsSocket(_DeadlineSocket, ssl.SSLSocket):
    pass


class _ManagedConnection:
    """A connection of urllib3 that gets its socket from here."""

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
        if isinstance(self.sock, _DeadlineSocket):  # TLS made a new one
            self.sock.limit = self.limit
            self.sock.allowance = self.allowance


class _Plain(_ManagedConnection, HTTPConnection):
    pass


class _Secure(_ManagedConnection, HTTPSConnection):
    pass
