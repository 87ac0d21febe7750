"""What a node does with the database for people: asks the leader, answers as the leader, and reads the account.

Each has a connection of its own beside those of the lease and of the account: whatever people ask, claims do not wait
for it, and a database that hangs holds those who ask alone.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from jobscheduler.cluster.account_lines import AccountLines
from jobscheduler.cluster.account_reader import AccountReader
from jobscheduler.cluster.answering import AnsweringThread, Perform, RequestAnswerer
from jobscheduler.cluster.asking import Asking
from jobscheduler.cluster.questions import Questions
from jobscheduler.cluster.values import Term
from jobscheduler.database.engine import Database
from jobscheduler.database.limits import Limits
from jobscheduler.model import Record
from jobscheduler.model.cluster_view import Unanswered

CONNECT_LIMIT_S, ANSWER_LIMIT_S = 2, 5  # seconds to connect, and for each answer


class NodeRequests:
    """Asks, answers and reads. A context manager: leaving it ends its threads.

    `reader` reads how the jobs stand, `lines` the records. Thread: any, for them and for `ask`.
    """

    def __init__(self, url: str, node: str, observe: Callable[[Record], object]) -> None:
        """`node` is the name of this one; `observe` gets the records that were read, each once.

        Raises:
            DatabaseConfigError: as `Database`.

        """
        database = Database(url, Limits(CONNECT_LIMIT_S, ANSWER_LIMIT_S, "READ COMMITTED"))
        self._asks, self._answers, self._reads = (Questions(database) for _ in range(3))
        self._asking = Asking(self._asks, node, lambda: secrets.token_hex(8))
        self.reader = AccountReader(self._reads, database.kind, observe)
        self.lines = AccountLines(self._reads, database.kind)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for questions in (self._asks, self._answers, self._reads):
            self._stack.enter_context(questions)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def answer(self, asked: threading.Event, term: Callable[[], Term | None], perform: Perform) -> None:
        """Answer from now on what is asked of the leader, while this node leads.

        `asked` is set while something is; `term` returns the term for which this node decides now; `perform` does what
        is asked, and never raises.
        """
        self._stack.enter_context(AnsweringThread(RequestAnswerer(self._answers, term, perform), asked))

    def ask(self, verb: str, arguments: str, by: str) -> str | Unanswered:
        """Ask the leader to do something for a user, and wait for what comes of it (see `Asking.ask`)."""
        return self._asking.ask(verb, arguments, by)
