"""Serve the application through waitress: sockets, threads and limits."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self

from jobscheduler.util.text import format_error
from jobscheduler.web.access import AccessCheck
from jobscheduler.web.view import ServiceView

MAX_CONNECTIONS = 128  # connections at once; a new one replaces the oldest

IDLE_TIMEOUT_S = 10  # seconds without traffic until a connection is closed

CLEANUP_INTERVAL_S = 2  # seconds between two searches for silent or slow connections

SHUTDOWN_WAIT_S = 1.0  # seconds that closing may take

QUIET_S = 600.0  # seconds until the same warning of waitress is logged again

_log = logging.getLogger("web")
_NOISY_LOGGERS = ("waitress", "waitress.queue")


class WebServer:
    """Serve the pages on `address` (an IP address and a port, 0 for any) while the context is entered.

    If that fails, one warning is logged, `error` says why, and nothing is served: runs matter more than the pages.
    Afterwards `address` is the address in use.
    """

    def __init__(self, address: tuple[str, int], view: ServiceView, *, token: str | None) -> None:
        self._address = address
        self._view = view
        self._token = token
        self._server: Any = None
        self._loop: threading.Thread | None = None
        self._is_closing = False
        self._filter = _RateLimitFilter(time.monotonic)
        self.address = address
        self.error: str | None = None

    def __enter__(self) -> Self:
        for name in _NOISY_LOGGERS:
            logging.getLogger(name).addFilter(self._filter)
        try:
            self._begin()
        except Exception as error:
            host, port = self._address
            why = error.strerror if isinstance(error, OSError) else format_error(error)
            self.error = f"the page cannot be served on `{host}`, port {port}: {why}"
            _log.warning(self.error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing = True
        if self._loop is not None:
            with suppress(OSError):
                self._server.trigger.pull_trigger(self._end)  # sockets belong to the loop's thread
            self._loop.join(SHUTDOWN_WAIT_S)
        for name in _NOISY_LOGGERS:
            logging.getLogger(name).removeFilter(self._filter)

    def _begin(self) -> None:
        """Listen, and start the threads. After an exception nothing is left open."""
        with ExitStack() as stack:
            listener = _listener(self._address)
            stack.callback(listener.close)
            self._server = self._serve_on(listener)
            loop = threading.Thread(target=self._run, name="web", daemon=True)
            loop.start()
            stack.pop_all()
        self._loop, self.address = loop, listener.getsockname()[:2]

    def _serve_on(self, listener: socket.socket) -> Any:
        from jobscheduler.web.app import App  # noqa: PLC0415 - an extra
        from jobscheduler.web.connections import serve_on  # noqa: PLC0415 - an extra

        limits = {
            "connection_limit": MAX_CONNECTIONS,
            "channel_timeout": IDLE_TIMEOUT_S,
            "cleanup_interval": CLEANUP_INTERVAL_S,
            "max_request_header_size": 16 * 1024,
            "max_request_body_size": 1024,
            "asyncore_use_poll": True,  # the service may have more descriptors than select can handle
            "asyncore_loop_timeout": 5,
            "ident": None,
            "clear_untrusted_proxy_headers": True,
        }
        return serve_on([listener], App(self._view, AccessCheck(socket.gethostname(), self._token)), limits)

    def _run(self) -> None:
        """Serve until the end; log an exception of the loop, and go on."""
        while not self._is_closing:
            try:
                self._server.run()
            except Exception:
                _log.warning("serving was interrupted", exc_info=True)
                time.sleep(1)

    def _end(self) -> None:
        """Close every socket, which ends the loop; busy threads end by themselves.

        Thread: the loop's.
        """
        self._server.task_dispatcher.set_thread_count(0)
        self._server.close_sockets()


def _listener(address: tuple[str, int]) -> socket.socket:
    """Bind the address.

    Raises:
        OSError: it is in use, or not this host's, or the port is for root only.

    """
    listener = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(MAX_CONNECTIONS)
    except OSError:
        listener.close()
        raise
    return listener


class _RateLimitFilter(logging.Filter):
    """Pass each kind of warning once in a while: under load waitress has one for every request."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._reported: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether this kind of warning was not logged for a while."""
        if record.name == "waitress.queue":
            return False  # more requests than threads: they only wait
        now, kind = self._clock(), str(record.msg)[:24]  # the rest may be text from a client
        if now - self._reported.get(kind, -QUIET_S) < QUIET_S:
            return False
        self._reported[kind] = now
        return True
