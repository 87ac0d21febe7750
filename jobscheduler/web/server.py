"""The door to waitress: sockets, threads and limits around the application."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self

from jobscheduler.web.access import AccessCheck
from jobscheduler.web.view import ServiceView

MAX_CONNECTIONS = 128
"""How many connections there may be at once; a new one takes the place of the oldest."""

IDLE_TIMEOUT_S = 10
"""Seconds after which a connection without traffic is closed."""

CLEANUP_INTERVAL_S = 2
"""How often connections are looked for that are silent or take too long, in seconds."""

SHUTDOWN_WAIT_S = 1.0
"""Seconds that closing may take."""

QUIET_S = 600.0
"""Seconds for which one and the same complaint of waitress is not repeated."""

_log = logging.getLogger("web")
_NOISY_LOGGERS = ("waitress", "waitress.queue")


class WebServer:
    """Serves the page on `address` (an IP address and a port, 0 for any) while it is entered.

    If that cannot be had, one warning is logged, `problem` says why, and nothing is served: runs matter more than
    their page. `bound` is where it listens.
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
            why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
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
        """Listen, and start the threads. Whatever stands in the way of that is raised, and nothing is left open."""
        with ExitStack() as undo:
            listener = _listener(self._address)
            undo.callback(listener.close)
            self._server = self._serve_on(listener)
            loop = threading.Thread(target=self._run, name="web", daemon=True)
            loop.start()
            undo.pop_all()
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
            "asyncore_use_poll": True,  # the service may have more descriptors than select takes
            "asyncore_loop_timeout": 5,
            "ident": None,
            "clear_untrusted_proxy_headers": True,
        }
        return serve_on([listener], App(self._view, AccessCheck(socket.gethostname(), self._token)), limits)

    def _run(self) -> None:
        """Serve until the end; what breaks the loop itself is told, and the loop goes on."""
        while not self._is_closing:
            try:
                self._server.run()
            except Exception:
                _log.warning("serving was interrupted", exc_info=True)
                time.sleep(1)

    def _end(self) -> None:
        """Close every socket, on the loop's thread, which ends for want of any; threads at work end by themselves."""
        from waitress.wasyncore import close_all  # noqa: PLC0415 - an extra

        self._server.task_dispatcher.set_thread_count(0)
        close_all(self._server._map, ignore_all=True)


def _listener(address: tuple[str, int]) -> socket.socket:
    """Bind the address.

    Raises:
        OSError: it is taken, or not this host's, or the port is for root only.

    """
    made = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(MAX_CONNECTIONS)
    except OSError:
        made.close()
        raise
    return made


class _RateLimitFilter(logging.Filter):
    """Lets each complaint through once in a while: under load waitress has one for every request."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._reported: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether this kind of complaint has not been heard for a while."""
        if record.name == "waitress.queue":
            return False  # more requests than threads: they wait, and that is all
        now, kind = self._clock(), str(record.msg)[:24]  # what follows may be anybody's text
        if now - self._reported.get(kind, -QUIET_S) < QUIET_S:
            return False
        self._reported[kind] = now
        return True
