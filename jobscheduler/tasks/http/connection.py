"""Make connections of urllib3 whose every operation keeps the deadline of their exchange.

1. One deadline covers the whole exchange. Before each socket operation, the timeout is set to the time left, so that
   a server that sends a byte now and then cannot extend it. Names are resolved on another thread.
2. To stop a run, its connection is shut down through a duplicate of the descriptor. The duplicate exists from before
   `connect` to the end of the exchange, so `connect`, the TLS handshake and `recv` all wake up.
3. Connections are made here, without a pool: no proxy from the environment, no retry, no connection kept open.
"""

from __future__ import annotations

import errno
import functools
import os
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from threading import Thread
from typing import Any
from urllib.parse import SplitResult

from urllib3.connection import HTTPConnection, HTTPSConnection

from jobscheduler.tasks.http.canceller import Addresses, Canceller
from jobscheduler.tasks.http.deadline import Deadline
from jobscheduler.tasks.http.size_limits import Allowance
from jobscheduler.tasks.hung_paths import GUARD

CONNECT_TIMEOUT_S = 10.0  # for a connection to one address of the server

_MAX_AGE_S = 600  # seconds that certificates are cached at most
_CHUNK_BYTES = 64 * 1024  # sent at once


def make_connection(url: SplitResult, verify: bool | str, deadline: Deadline, canceller: Canceller) -> Connection:
    """Return a connection to the server of a URL that is not yet open. `verify` says whom TLS trusts."""
    host = url.hostname or ""
    if url.scheme == "http":
        return _equipped(_Plain(host, url.port or 80, timeout=None), deadline, canceller)
    trust = functools.partial(_trust, verify)
    is_file = isinstance(verify, str)
    context = GUARD.call(f"the file of certificates `{verify}`", trust) if is_file else trust()
    return _equipped(_Secure(host, url.port or 443, timeout=None, ssl_context=context), deadline, canceller)


def _equipped(connection: Connection, deadline: Deadline, canceller: Canceller) -> Connection:
    connection.open_socket = functools.partial(_open, deadline=deadline, canceller=canceller)
    connection.deadline = deadline
    connection.allowance = Allowance()
    return connection


def _trust(verify: bool | str) -> ssl.SSLContext:
    """Return the TLS context, with the certificates as they are on disk now.

    Reading them takes about 20 ms. So they are cached until a file of theirs changes, and for ten minutes at most:
    the state of a directory does not show a certificate that is rewritten in place.
    """
    return _context(verify, _states(verify), int(time.monotonic() // _MAX_AGE_S))


def _states(verify: bool | str) -> tuple[object, ...]:
    """Return what tells one state of the certificates from another: those of the job, or those of the host."""
    if isinstance(verify, str):
        return (_state(verify),)
    paths = ssl.get_default_verify_paths()
    return (_state(paths.cafile), _state(paths.capath)) if verify else ()


def _state(path: str | None) -> object:
    try:
        stat = None if path is None else os.stat(path)  # noqa: PTH116 - before each request
    except (OSError, ValueError) as error:
        return str(error)
    return None if stat is None else (path, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@functools.lru_cache(maxsize=16)
def _context(verify: bool | str, states: tuple[object, ...], epoch: int) -> ssl.SSLContext:
    del states, epoch  # they are the key: another state is another context
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = _TlsSocket
    return context


def _open(host: str, port: int, deadline: Deadline, canceller: Canceller) -> socket.socket:
    """Connect to the first address of the server that answers."""
    last: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in _addresses(host, port, deadline, canceller):
        sock = _PlainSocket(family, kind, protocol)
        try:
            canceller.attach(sock)
            sock.settimeout(min(CONNECT_TIMEOUT_S, deadline.left()))
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
            continue
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(deadline.left())
        sock.deadline = deadline
        return sock
    try:
        raise last
    finally:
        del last  # it refers to this frame, and the reference cycle would keep both


def _addresses(host: str, port: int, deadline: Deadline, canceller: Canceller) -> Addresses:
    """Return the addresses of a server, within the deadline.

    `getaddrinfo` cannot be interrupted and takes minutes when no name server answers. So it runs on a thread that can
    be abandoned, and the limits of the resolver end it. Numeric addresses need no thread.
    """
    with suppress(socket.gaierror):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)

    def resolve() -> None:
        try:
            canceller.resolved.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            canceller.resolved.put(error)

    try:
        Thread(target=resolve, name="resolving", daemon=True).start()
    except RuntimeError as none_left:
        raise OSError(errno.EAGAIN, "the host has no thread left") from none_left
    try:
        result = canceller.resolved.get(timeout=deadline.left())
    except Empty:
        raise TimeoutError("the name was not resolved in time") from None
    if isinstance(result, Exception):
        try:
            raise result
        finally:
            del result  # as above
    return result


class _DeadlineSocket(socket.socket):
    """A socket with one deadline for all its operations and a deadline on the received bytes."""

    deadline: Deadline | None = None
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
            unsent = unsent[self.send(unsent[:_CHUNK_BYTES], flags) :]

    def _bound(self) -> None:
        if self.deadline is not None:
            self.settimeout(self.deadline.left())


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
    deadline: Deadline
    allowance: Allowance

    def _new_conn(self) -> socket.socket:
        return self.open_socket(self.host, self.port)

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        if isinstance(self.sock, _DeadlineSocket):  # TLS made a new socket
            self.sock.deadline = self.deadline
            self.sock.allowance = self.allowance


class _Plain(_ManagedConnection, HTTPConnection):
    pass


class _Secure(_ManagedConnection, HTTPSConnection):
    pass


Connection = _Plain | _Secure
