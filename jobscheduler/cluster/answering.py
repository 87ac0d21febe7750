"""Does as the leader what people ask of other nodes, each request once.

A request is taken in the database before it is done, so no other leader does it. One whose answer could not be written
comes again, and gets the answer that it had. What a former leader took and did not answer may have been done by it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from jobscheduler.cluster import requests
from jobscheduler.cluster.questions import Questions
from jobscheduler.cluster.requests import Request
from jobscheduler.cluster.values import Term
from jobscheduler.database.errors import Unavailable

_QUESTION_S = 2.0  # seconds that a look waits for the database

_LEFT = {
    "status": 409,
    "answer": {
        "error": {
            "message": "the leader that took the request is gone: it is unknown what became of it",
            "help": "`jobscheduler list` and `jobscheduler history` show what has become of it",
        }
    },
}

Perform = Callable[[str, Mapping[str, Any], str], Mapping[str, Any]]  # verb, arguments, user -> answer as JSON


class RequestAnswerer:
    """Takes and answers requests. Thread: one."""

    def __init__(self, questions: Questions, term: Callable[[], Term | None], perform: Perform) -> None:
        """`term` returns the term for which this node leads and decides now; `perform` does a request."""
        self._questions = questions
        self._term = term
        self._perform = perform
        self._former_term: Term | None = None
        self._done: dict[str, str] = {}

    def step(self) -> None:
        """Answer what is asked, if this node leads.

        Raises:
            Unavailable: the database cannot be used.

        """
        term = self._term()
        if term is None:
            return
        if term != self._former_term:
            self._begin(term)
        for request in self._questions.ask(lambda: requests.take_requests(term), _QUESTION_S):
            if self._term() != term:
                return  # the next leader says that it is unknown what became of it
            if request.token not in self._done:
                self._done[request.token] = json.dumps(self._answer(request))
            self._write(term, request.token, self._done[request.token])
            del self._done[request.token]

    def _begin(self, term: Term) -> None:
        """Begin a term: what a former leader has left is answered first."""
        self._done.clear()
        for request in self._questions.ask(lambda: requests.left_by_former(term), _QUESTION_S):
            self._write(term, request.token, json.dumps(_LEFT))
        self._former_term = term

    def _answer(self, request: Request) -> Mapping[str, Any]:
        """Do a request for its user, who is named with the node: numbers of users differ from host to host."""
        arguments = json.loads(request.arguments)
        return self._perform(request.verb, arguments, f"{request.by}@{request.node}")

    def _write(self, term: Term, token: str, text: str) -> None:
        self._questions.ask(lambda: requests.answer(term, token, text), _QUESTION_S)


class AnsweringThread:
    """The thread that answers: it takes a step when it is woken. A context manager."""

    def __init__(self, answerer: RequestAnswerer, asked: threading.Event) -> None:
        """`asked` is set by each look at the lease that has seen a request, until that is answered."""
        self._answerer = answerer
        self._asked = asked
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="requests", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._is_closing = True
        self._asked.set()
        self._thread.join(2 * _QUESTION_S)

    def _run(self) -> None:
        while not self._is_closing:
            self._asked.wait()
            self._asked.clear()
            with suppress(Unavailable):  # the next look wakes it again, and the thread of the account tells of it
                self._answerer.step()
