"""A request to the database as a generator of single statements: each is one transaction, committed by itself.

So no lock is held while a program is frozen or cut off between two statements: a new leader never waits for an old
one. It also makes every place where a program may die a place where a test can have it die.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable

from jobscheduler.database.errors import translate_errors

T = TypeVar("T")

Rows = Sequence[Sequence[Any]]

Steps = Generator[Executable, Rows, T]  # yields statements, is sent the rows of each, and returns the answer


def execute(connection: Connection, statement: Executable) -> Rows:
    """Execute one statement on a connection that commits each; return its rows, without any for a change.

    Raises:
        Unavailable: the database did not answer, or refused. Whether a change was made is then unknown.

    """
    with translate_errors():
        result = connection.execute(statement)
        return result.all() if result.returns_rows else ()


def perform(connection: Connection, steps: Steps[T]) -> T:
    """Execute all statements of a request; return its answer.

    Raises:
        Unavailable: as `execute`.

    """
    try:
        statement = next(steps)
        while True:
            statement = steps.send(execute(connection, statement))
    except StopIteration as end:
        answer: T = end.value
        return answer
