"""How long a connection to a database waits, and what its transactions see of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a connection, in whole seconds.

    `answer` is for each answer of a server, and for a lock of SQLite. `isolation` holds where a server has levels; with
    AUTOCOMMIT each statement is a transaction.
    """

    connect: int
    answer: int
    isolation: Literal["REPEATABLE READ", "READ COMMITTED", "AUTOCOMMIT"] = "REPEATABLE READ"
