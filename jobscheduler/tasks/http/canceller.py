"""End an exchange from another thread: its connection, and the search for the addresses of its server."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock
from typing import Any

Addresses = Sequence[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]  # as returned by `getaddrinfo`


class Canceller:
    """Shuts a connection down from another thread. Harmless after the end of the exchange.

    `resolved` receives the addresses of the server, or the error of the resolver or of `cancel`.
    """

    def __init__(self) -> None:
        self.resolved: SimpleQueue[Addresses | Exception] = SimpleQueue()
        self._lock = Lock()
        self._duplicate: socket.socket | None = None
        self._is_cancelled = False

    def attach(self, sock: socket.socket) -> None:
        """Make `cancel` shut down this connection, and no earlier one."""
        with self._lock:
            self._release()
            self._duplicate = sock.dup()
            if self._is_cancelled:
                raise ConnectionAbortedError("stopped")

    def cancel(self) -> None:
        """Shut down the connection, and every later one."""
        with self._lock:
            self._is_cancelled = True
            self.resolved.put(ConnectionAbortedError("stopped"))
            if self._duplicate is not None:
                with suppress(OSError):
                    self._duplicate.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the duplicate descriptor."""
        with self._lock:
            self._release()

    def _release(self) -> None:
        if self._duplicate is not None:
            self._duplicate.close()
            self._duplicate = None
