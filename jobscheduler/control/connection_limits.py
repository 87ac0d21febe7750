"""Admit, queue or refuse connections, so that one user cannot take up the room of the others."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

Connection = TypeVar("Connection")


class AdmissionDecision(Enum):
    """The decision about a new connection."""

    ADMITTED = "admitted"
    QUEUED = "queued"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections are open and how many wait at once: of all users together, and of one user."""

    max_open: int
    max_open_of_user: int
    max_waiting: int
    max_waiting_of_user: int


@dataclass(slots=True)
class _Waiting(Generic[Connection]):
    connection: Connection
    since: float


class ConnectionQueue(Generic[Connection]):
    """Decide which connections are open and which wait; users that wait take turns.

    Lock: the caller holds one around every call.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._users: dict[Connection, int] = {}
        self._counts: Counter[int] = Counter()
        self._waiting: dict[int, deque[_Waiting[Connection]]] = {}  # the user whose turn is next comes first

    def admit(self, connection: Connection, user: int, now: float) -> AdmissionDecision:
        """Open, queue or refuse a new connection of a user."""
        if len(self._users) < self._limits.max_open and self._counts[user] < self._limits.max_open_of_user:
            self._open(connection, user)
            return AdmissionDecision.ADMITTED
        queue = self._waiting.get(user, deque())
        if self.waiting() >= self._limits.max_waiting or len(queue) >= self._limits.max_waiting_of_user:
            return AdmissionDecision.REFUSED
        queue.append(_Waiting(connection, now))
        self._waiting[user] = queue
        return AdmissionDecision.QUEUED

    def release(self, connection: Connection) -> Connection | None:
        """Free the room of a connection that has ended; open and return one that waits, if any."""
        user = self._users.pop(connection, None)
        if user is None:
            return None
        self._counts[user] -= 1
        return self._next()

    def expired(self, before: float) -> list[Connection]:
        """Remove and return the connections that have waited since before an instant."""
        expired = []
        for user, queue in list(self._waiting.items()):
            while queue and queue[0].since < before:
                expired.append(queue.popleft().connection)
            if not queue:
                del self._waiting[user]
        return expired

    def waiting(self) -> int:
        """Return how many connections wait."""
        return sum(map(len, self._waiting.values()))

    def _next(self) -> Connection | None:
        for user in list(self._waiting):
            if self._counts[user] >= self._limits.max_open_of_user:
                continue
            queue = self._waiting.pop(user)
            connection = queue.popleft().connection
            if queue:
                self._waiting[user] = queue  # behind the other users
            self._open(connection, user)
            return connection
        return None

    def _open(self, connection: Connection, user: int) -> None:
        self._users[connection] = user
        self._counts[user] += 1
