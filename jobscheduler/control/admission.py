"""Which connections are answered now, which wait for that, and which are refused: no user takes the place of others."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

Connection = TypeVar("Connection")


class Admission(Enum):
    """What becomes of a new connection."""

    ADMITTED = "open"
    QUEUED = "waiting"
    REFUSED = "none"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections are answered at once and how many wait: of all users together, and of one."""

    max_open: int
    max_open_of_user: int
    max_waiting: int
    max_waiting_of_user: int


@dataclass(slots=True)
class _Waiting(Generic[Connection]):
    connection: Connection
    since: float


class ConnectionQueue(Generic[Connection]):
    """Gives connections their places. Users who wait take turns. The caller holds a lock around every call."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._users: dict[Connection, int] = {}
        self._counts: Counter[int] = Counter()
        self._waiting: dict[int, deque[_Waiting[Connection]]] = {}  # the user whose turn is next comes first

    def admit(self, connection: Connection, user: int, now: float) -> Admission:
        """Give a new connection of a user its place."""
        if len(self._users) < self._limits.max_open and self._counts[user] < self._limits.max_open_of_user:
            self._open(connection, user)
            return Admission.ADMITTED
        line = self._waiting.get(user, deque())
        if self.waiting() >= self._limits.max_waiting or len(line) >= self._limits.max_waiting_of_user:
            return Admission.REFUSED
        line.append(_Waiting(connection, now))
        self._waiting[user] = line
        return Admission.QUEUED

    def release(self, connection: Connection) -> Connection | None:
        """Give the place of a connection that is over to one that waits, and return that."""
        user = self._users.pop(connection, None)
        if user is None:
            return None
        self._counts[user] -= 1
        return self._next()

    def expired(self, before: float) -> list[Connection]:
        """Take out, and return, the connections that have waited since before an instant."""
        found = []
        for user, line in list(self._waiting.items()):
            while line and line[0].since < before:
                found.append(line.popleft().connection)
            if not line:
                del self._waiting[user]
        return found

    def waiting(self) -> int:
        """Return how many connections wait."""
        return sum(map(len, self._waiting.values()))

    def _next(self) -> Connection | None:
        for user in list(self._waiting):
            if self._counts[user] >= self._limits.max_open_of_user:
                continue
            line = self._waiting.pop(user)
            found = line.popleft().connection
            if line:
                self._waiting[user] = line  # behind the other users
            self._open(found, user)
            return found
        return None

    def _open(self, connection: Connection, user: int) -> None:
        self._users[connection] = user
        self._counts[user] += 1
