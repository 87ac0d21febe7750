"""Connections of the page: one request each, complete within ten seconds, and places that no address keeps.

waitress counts how long a connection is silent, not how old its request is, and answers on one pool of threads. Here

1. every answer ends its connection, so no client can have many answers made that it does not read;
2. a request has to be complete, and an answer taken, within a time that counts from its beginning;
3. a new connection takes the place of the oldest that is not being answered, of the same address or of any;
4. metrics and health have threads of their own, so that a page that takes long never holds them up;
5. health that was found out a moment ago is told by the loop itself, so that a mass of requests for it does not make
   a probe wait, or take the service for unhealthy;
6. only so many requests wait for a thread, further ones are told to come again. Together they are fewer than the
   connections of one address, so that (3) always finds a place for a new one.
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

REQUEST_TIMEOUT_S = 10.0  # how long a request may take to be complete
ANSWER_TIMEOUT_S = 30.0  # how long a client may take to read its answer
MAX_OF_ADDRESS = 64  # connections of one address; all loopback addresses count as one
PAGES_LANE = "pages"
HEALTH = "healthz"
LANES = {PAGES_LANE: (2, 24), HEALTH: (1, 16), "metrics": (1, 4)}  # threads, and how many requests may wait for them
RETRY_AFTER_S = 5  # when a client may ask again that found all places taken


class Connection(HTTPChannel):  # type: ignore[misc] # waitress has no types
    """One connection, for one request."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self.began = time.monotonic()
        self.answered: float | None = None
        self.is_for_loop = False  # whether its request is answered by the loop, without a thread
        super().__init__(*arguments, **more)
        self.address = _address_of(self)

    def received(self, data: bytes) -> bool:
        """Take what came in. The first complete request is the last."""
        taken: bool = super().received(data)
        for request in self.requests:
            request.headers["CONNECTION"] = "close"
        if self.is_for_loop:
            self.is_for_loop = False
            self.service()
        return taken

    def service(self) -> None:
        """Answer the request."""
        super().service()
        self.answered = time.monotonic()

    def check_client_disconnected(self) -> bool:
        """Tell whether the client has left, or will send nothing more; a request finds this in its environment."""
        look = select.poll()
        try:
            look.register(self.socket, select.POLLRDHUP)
            return not self.connected or bool(look.poll(0))
        except (OSError, ValueError):  # it has been closed
            return True

    def is_being_answered(self) -> bool:
        """Tell whether its request waits for a thread or is on one."""
        return bool(self.requests)

    def is_late(self, now: float) -> bool:
        """Tell whether the client takes too long to send its request or to read its answer."""
        if self.is_being_answered():
            return False
        if self.answered is not None:
            return now - self.answered > ANSWER_TIMEOUT_S
        return now - self.began > REQUEST_TIMEOUT_S


class Busy(Error):  # type: ignore[misc] # as above
    """An answer to a request for which there is no place."""

    code = 503
    reason = "Service Unavailable"

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Say when to come again."""
        status, headers, body = super().to_response(ident)
        return status, [*headers, ("Retry-After", str(RETRY_AFTER_S))], body


class LaneThreads:
    """Gives requests to threads: as a dispatcher of waitress, made of several.

    `offer` tells whether the loop can answer a request for health without waiting. It is told whether one
    waits already.
    """

    def __init__(self, offer: Callable[[bool], bool]) -> None:
        self._offer = offer
        self._lanes = {name: ThreadedTaskDispatcher() for name in LANES}
        self._refusals = ThreadedTaskDispatcher()
        for name, (threads, _) in LANES.items():
            self._lanes[name].set_thread_count(threads)
        self._refusals.set_thread_count(1)

    def add_task(self, connection: Connection) -> None:
        """Have a request answered, if there is a place for it."""
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
        """Have so many threads of each kind; 0 ends them."""
        for one in (*self._lanes.values(), self._refusals):
            one.set_thread_count(count)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> None:
        """End the threads."""
        for one in (*self._lanes.values(), self._refusals):
            one.shutdown(cancel_pending, timeout)


class Server(TcpWSGIServer):  # type: ignore[misc] # as above
    """waitress' server with the rules of this module. Everything in it happens on the loop's thread."""

    channel_class = Connection

    def handle_accept(self) -> None:
        """Accept a connection, and close the oldest if there are too many now."""
        known = set(self.active_channels)
        super().handle_accept()
        for new in set(self.active_channels) - known:
            self._make_room_for(self.active_channels[new])

    def maintenance(self, now: float) -> None:
        """Close connections that take too long, besides those that are silent.

        At once: waitress closes when something can be sent, and a client that does not read prevents that.
        """
        super().maintenance(now)
        for one in list(self.active_channels.values()):
            if one.is_late(time.monotonic()):
                one.handle_close()

    def _make_room_for(self, new: Connection) -> None:
        others = [one for one in self.active_channels.values() if one is not new]
        siblings = [one for one in others if one.address == new.address]
        if len(siblings) >= MAX_OF_ADDRESS:
            _oldest(siblings, new).handle_close()
        elif len(others) >= self.adj.connection_limit:
            _oldest(others, new).handle_close()

    def readable(self) -> bool:
        """Accept at any time; waitress stops at its limit, for as long as others keep their connections."""
        super().readable()
        return bool(self.accepting)


def serve_on(sockets: list[Any], app: Any, limits: dict[str, Any]) -> Server:
    """Make the server of one listening socket; `limits` are adjustments of waitress."""
    adjustments = Adjustments(sockets=sockets, **limits)
    (listener,) = sockets
    information = (listener.family, listener.type, listener.proto, listener.getsockname())
    return Server(
        app,
        {},
        True,
        listener,
        dispatcher=LaneThreads(app.wellness.offer),
        adj=adjustments,
        bind_socket=False,
        sockinfo=information,
    )


def _address_of(one: Connection) -> str:
    address = str(one.addr[0]).partition("%")[0]
    return "loopback" if ipaddress.ip_address(address).is_loopback else address


def _oldest(connections: list[Connection], new: Connection) -> Connection:
    """Return the oldest connection that nothing is being done for; the new one if all are being answered."""
    idle = [one for one in connections if not one.is_being_answered()]
    return min(idle, key=lambda one: one.began, default=new)
