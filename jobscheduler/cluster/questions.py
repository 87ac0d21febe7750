"""Asks the database on one thread, so that no caller waits longer for an answer than it wants to.

A database that hangs holds this thread, and each caller for its own time. Questions of callers that have given up are
not asked any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Self, TypeVar

from jobscheduler.cluster.schema import check_version
from jobscheduler.cluster.steps import Steps, perform
from jobscheduler.database.cached_connection import CachedConnection
from jobscheduler.database.engine import Database
from jobscheduler.database.errors import Unavailable
from jobscheduler.util.hang_guard import Worker

MAX_WAITING = 64  # questions that wait for an answer; further ones are refused

_MAX_TRIES = 3  # tries of a question that conflicts with the transactions of others

T = TypeVar("T")


class NotSent(Unavailable):
    """The database cannot be used now, and was not asked: nothing has changed there."""


@dataclass(slots=True)
class _Question(Generic[T]):
    """A question, and whether its caller has given it up before it was sent. Lock: that of the thread of questions."""

    request: Callable[[], Steps[T]]
    is_sent: bool = False
    is_given_up: bool = field(default=False)


class Questions:
    """Asks a database, one question after the other. A context manager: leaving it ends the thread.

    Thread: any. Lock: `_lock` guards the questions that wait; it is held for no call.
    """

    def __init__(self, database: Database) -> None:
        self._connection = CachedConnection(database, database.polling, check=check_version)
        self._worker = Worker()
        self._lock = threading.Lock()
        self._waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._worker.submit(self._connection.drop)
        self._worker.close()

    def ask(self, request: Callable[[], Steps[T]], wait: float) -> T:
        """Return the answer to a question; wait for it at most `wait` seconds.

        Raises:
            NotSent: the database cannot be reached, or is busy with other questions.
            Unavailable: it has not answered, or refuses. Whether a change was made is unknown.

        """
        with self._lock:
            if self._waiting >= MAX_WAITING:
                raise NotSent(f"{MAX_WAITING} questions wait for the database of the cluster already")
            self._waiting += 1
        question = _Question(request)
        call = self._worker.submit(lambda: self._answer(question))
        if call.wait(wait):
            return call.result()
        with self._lock:
            question.is_given_up = True
        silence = f"the database of the cluster has not answered for {wait:g} s"
        raise Unavailable(silence, is_silent=True) if question.is_sent else NotSent(silence, is_silent=True)

    def _answer(self, question: _Question[T]) -> T:
        """Ask the database. Thread: that of the questions."""
        try:
            for number in range(_MAX_TRIES):
                try:
                    return self._asked_once(question)
                except Unavailable as reason:
                    with suppress(Unavailable):
                        self._connection.drop()
                    if not reason.retryable or number == _MAX_TRIES - 1:
                        raise
            raise AssertionError("the last try returns or raises")
        finally:
            with self._lock:
                self._waiting -= 1

    def _asked_once(self, question: _Question[T]) -> T:
        try:
            connection = self._connection.get()
        except Unavailable as reason:
            raise NotSent(str(reason), reason.help, is_silent=reason.is_silent) from None
        with self._lock:
            if question.is_given_up:
                raise NotSent("the caller does not wait for the answer any more")
            question.is_sent = True
        return perform(connection, question.request())
