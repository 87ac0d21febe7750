"""The connections of the pages: one request each, complete within ten seconds, and no address can occupy all of them.

waitress limits how long a connection is silent, not how long its request takes, and has one pool of threads. Here

1. every answer ends its connection, so no client can request many answers without reading them;
2. a request must be complete, and an answer read, within a time that counts from its beginning;
3. a new connection replaces the oldest that is not being answered, of the same address or of any;
4. metrics and health have threads of their own, so that a slow page never delays them;
5. the loop itself returns a health result of a moment ago, so that a mass of requests for it neither delays a probe
   nor makes the service look unhealthy;
6. a limited number of requests wait for a thread, and further ones get 503. Their limits add up to fewer than the
   connections of one address, so that (3) can always replace one.

The one private member of waitress that we use:

| class           | member | why                                                 |
|-----------------|--------|-----------------------------------------------------|
| `TcpWSGIServer` | `_map` | waitress names the sockets of a server nowhere else |

`tests/unit/test_library_members.py` fails when a release changes one of them, or when this list is incomplete.
"""

from __future__ import annotations

import ipaddress
import select
import time
from collections.abc import Callable
from typing import Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher
from waitress.utilities import Error
from waitress.wasyncore import close_all

REQUEST_TIMEOUT_S = 10.0  # seconds until a request must be complete
ANSWER_TIMEOUT_S = 30.0  # seconds until a client must have read its answer
MAX_OF_ADDRESS = 64  # connections of one address; all loopback addresses count as one
PAGES_LANE = "pages"
HEALTH = "healthz"
LANES = {PAGES_LANE: (2, 24), HEALTH: (1, 16), "metrics": (1, 4)}  # threads, and how many requests may wait for them
RETRY_AFTER_S = 5  # seconds until a refused client should ask again


class Connection(HTTPChannel):  # type: ignore[misc] # waitress has no types
    """One connection, for one request."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.began = time.monotonic()
        self.answered: float | None = None
        self.is_for_loop = False  # the loop answers its request, without a thread
        super().__init__(*arguments, **options)
        self.address = _address_of(self)

    def received(self, data: bytes) -> bool:
        """Take received bytes. The first complete request is the last."""
        is_accepted: bool = super().received(data)
        for request in self.requests:
            request.headers["CONNECTION"] = "close"
        if self.is_for_loop:
            self.is_for_loop = False
            self.service()
        return is_accepted

    def service(self) -> None:
        """Answer the request."""
        super().service()
        self.answered = time.monotonic()

    def check_client_disconnected(self) -> bool:
        """Return whether the client has left, or will send nothing more. A request calls this from its environment."""
        poll = select.poll()
        try:
            poll.register(self.socket, select.POLLRDHUP)
            return not self.connected or bool(poll.poll(0))
        except (OSError, ValueError):  # it has been closed
            return True

    def is_being_answered(self) -> bool:
        """Return whether its request waits for a thread or is on one."""
        return bool(self.requests)

    def is_late(self, now: float) -> bool:
        """Return whether the client takes too long to send its request or to read its answer."""
        if self.is_being_answered():
            return False
        if self.answered is not None:
            return now - self.answered > ANSWER_TIMEOUT_S
        return now - self.began > REQUEST_TIMEOUT_S


class Busy(Error):  # type: ignore[misc] # as above
    """The answer to a request that finds the queue full."""

    code = 503
    reason = "Service Unavailable"

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Add the time until the client should ask again."""
        status, headers, body = super().to_response(ident)
        return status, [*headers, ("Retry-After", str(RETRY_AFTER_S))], body


class LaneThreads:
    """Pass requests to threads: a dispatcher for waitress, made of several.

    `offer` returns whether the loop can answer a health request without waiting. Its argument is whether one waits
    already.
    """

    def __init__(self, offer: Callable[[bool], bool]) -> None:
        self._offer = offer
        self._lanes = {name: ThreadedTaskDispatcher() for name in LANES}
        self._refusals = ThreadedTaskDispatcher()
        for name, (threads, _) in LANES.items():
            self._lanes[name].set_thread_count(threads)
        self._refusals.set_thread_count(1)

    def add_task(self, connection: Connection) -> None:
        """Queue a request, or refuse it if the queue is full."""
        name = getattr(connection.requests[0], "path", "").strip("/")
        name = name if name in LANES else PAGES_LANE
        lane = self._lanes[name]
        if name == HEALTH and self._offer(bool(lane.queue)):
            connection.is_for_loop = True  # not now: waitress holds a lock of the connection
        elif len(lane.queue) < LANES[name][1]:
            lane.add_task(connection)
        else:
            connection.requests[0].error = Busy("Too many requests are being answered.")
            self._refusals.add_task(connection)

    def set_thread_count(self, count: int) -> None:
        """Set the number of threads of each lane; 0 ends them."""
        for dispatcher in (*self._lanes.values(), self._refusals):
            dispatcher.set_thread_count(count)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> None:
        """End the threads."""
        for dispatcher in (*self._lanes.values(), self._refusals):
            dispatcher.shutdown(cancel_pending, timeout)


class Server(TcpWSGIServer):  # type: ignore[misc] # as above
    """waitress' server with the rules of this module.

    Thread: the loop's, for everything in it.
    """

    channel_class = Connection

    def handle_accept(self) -> None:
        """Accept a connection, and close the oldest if there are too many now."""
        known = set(self.active_channels)
        super().handle_accept()
        for new in set(self.active_channels) - known:
            self._make_room_for(self.active_channels[new])

    def maintenance(self, now: float) -> None:
        """Close connections that take too long, besides those that are silent.

        They are closed at once: waitress would wait until it can send, which a client that does not read prevents.
        """
        super().maintenance(now)
        for connection in list(self.active_channels.values()):
            if connection.is_late(time.monotonic()):
                connection.handle_close()

    def close_sockets(self) -> None:
        """Close every socket, which ends the loop."""
        close_all(self._map, ignore_all=True)

    def _make_room_for(self, new: Connection) -> None:
        others = [connection for connection in self.active_channels.values() if connection is not new]
        siblings = [connection for connection in others if connection.address == new.address]
        if len(siblings) >= MAX_OF_ADDRESS:
            _oldest(siblings, new).handle_close()
        elif len(others) >= self.adj.connection_limit:
            _oldest(others, new).handle_close()

    def readable(self) -> bool:
        """Return whether the server accepts connections: at any time, unlike waitress.

        waitress stops at its limit, for as long as clients keep their connections.
        """
        super().readable()
        return bool(self.accepting)


def serve_on(sockets: list[Any], app: Any, limits: dict[str, Any]) -> Server:
    """Create the server of one listening socket; `limits` are adjustments of waitress."""
    adjustments = Adjustments(sockets=sockets, **limits)
    (listener,) = sockets
    socket_info = (listener.family, listener.type, listener.proto, listener.getsockname())
    return Server(
        app,
        {},
        True,
        listener,
        dispatcher=LaneThreads(app.wellness.offer),
        adj=adjustments,
        bind_socket=False,
        sockinfo=socket_info,
    )


def _address_of(connection: Connection) -> str:
    address = str(connection.addr[0]).partition("%")[0]
    return "loopback" if ipaddress.ip_address(address).is_loopback else address


def _oldest(connections: list[Connection], new: Connection) -> Connection:
    """Return the oldest connection that is not being answered; the new one if all are."""
    idle = [connection for connection in connections if not connection.is_being_answered()]
    return min(idle, key=lambda connection: connection.began, default=new)
