"""Has the leader do what a person asks of a service that stands by, and says what came of it.

1. The request is written, and its answer looked for again and again. Nothing else waits meanwhile.
2. A request that no leader has taken in time is withdrawn: nothing was done.
3. One that was taken and is not answered may have been done: its leader is dead, frozen or cut off.
4. Where the database no longer answers, it is tried for some seconds to withdraw the request. After that it is too old
   to be taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from jobscheduler.cluster import requests
from jobscheduler.cluster.questions import NotSent, Questions
from jobscheduler.cluster.request_states import RequestState
from jobscheduler.cluster.requests import Answer, Request
from jobscheduler.cluster.steps import Steps
from jobscheduler.database.errors import Unavailable
from jobscheduler.model import Problem
from jobscheduler.model.cluster_view import Unanswered

WRITE_S = 5.0  # seconds in which a request must have been written

TAKE_S = 12.0  # seconds in which a leader must have taken it: a dead one is replaced by then

ANSWER_S = 10.0  # seconds more in which a request that was taken must have its answer

LOOK_S = 0.1  # seconds from one look for an answer to the next

_QUESTION_S = 2.0  # seconds that one look waits for the database

_HOW_FAR = "`jobscheduler list` and `jobscheduler history` show what has become of it"


@dataclass(frozen=True, slots=True)
class AskTimes:
    """The limits of a request, in seconds: see the constants of this module."""

    write: float = WRITE_S
    take: float = TAKE_S
    answer: float = ANSWER_S
    look: float = LOOK_S


class Asking:
    """Asks the leader. Thread: any; each call waits on the thread of its caller."""

    def __init__(
        self,
        questions: Questions,
        node: str,
        new_token: Callable[[], str],
        times: AskTimes | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`node` is the name of this one; `new_token` returns a text that names one request and no other."""
        self._questions = questions
        self._node = node
        self._new_token = new_token
        self._times = times or AskTimes()
        self._monotonic = monotonic
        self._sleep = sleep

    def ask(self, verb: str, arguments: str, by: str) -> str | Unanswered:
        """Ask the leader to do something for a user; return its answer. Arguments and answer are JSON."""
        request = Request(self._new_token(), verb, arguments, by, self._node)
        begun = self._monotonic()
        not_written = self._write(request, begun + self._times.write)
        if not_written is not None:
            return not_written
        answer = self._wait(request.token, begun + self._times.take, RequestState.ASKED)
        if answer is None or answer.state is RequestState.ASKED:
            answer = self._withdraw(request.token, begun + self._times.take + self._times.write)
        if answer is not None and answer.state is RequestState.TAKEN:
            answer = self._wait(request.token, self._monotonic() + self._times.answer, RequestState.TAKEN) or answer
        return _outcome(answer)

    def _write(self, request: Request, until: float) -> Unanswered | None:
        """Write a request; return why it was not done if that fails."""
        was_sent = False
        while True:
            try:
                self._questions.ask(lambda: _written(request), min(_QUESTION_S, self._times.write))
            except Unavailable as reason:
                was_sent = was_sent or not isinstance(reason, NotSent)
                if self._monotonic() >= until:
                    return _not_written(reason, was_sent=was_sent)
                self._sleep(self._times.look)
            else:
                return None

    def _wait(self, token: str, until: float, while_: RequestState) -> Answer | None:
        """Look for the answer until a request is no longer in a state; return how far it is, None if that is unknown.

        A request that is taken in time is waited for as one that is taken.
        """
        known: Answer | None = None
        while True:
            known = self._look(lambda: requests.answer_to(token)) or known
            is_over = known is not None and known.state is not while_
            if is_over or self._monotonic() >= until:
                return known
            self._sleep(self._times.look)

    def _withdraw(self, token: str, until: float) -> Answer | None:
        """Withdraw a request; return how far it is then, None if the database does not say."""
        while True:
            answer = self._look(lambda: requests.withdraw_request(token))
            if answer is not None or self._monotonic() >= until:
                return answer
            self._sleep(self._times.look)

    def _look(self, request: Callable[[], Steps[Answer | None]]) -> Answer | None:
        try:
            return self._questions.ask(request, _QUESTION_S)
        except Unavailable:
            return None


def _written(request: Request) -> Steps[None]:
    """Write a request that is not there yet: an earlier try may have written it without an answer."""
    if (yield from requests.answer_to(request.token)) is None:
        yield from requests.ask(request)


def _outcome(answer: Answer | None) -> str | Unanswered:
    """Return the answer of a leader, or what is to say without one."""
    if answer is not None and answer.text is not None:
        return answer.text
    if answer is None:
        message = "the database of the cluster no longer answers: it is unknown whether the leader has done this"
        return Unanswered(Problem(message, help=_HOW_FAR), may_be_done=True)
    if answer.state is RequestState.WITHDRAWN:
        message = "no leader has taken the request: nothing was done"
        help_ = "`jobscheduler cluster` shows which node leads; one that is dead is replaced within seconds"
        return Unanswered(Problem(message, help=help_))
    message = "the leader has taken the request and does not answer: it is unknown what became of it"
    return Unanswered(Problem(message, help=_HOW_FAR), may_be_done=True)


def _not_written(reason: Unavailable, *, was_sent: bool) -> Unanswered:
    outcome = "it is unknown whether the leader has done this" if was_sent else "nothing was done"
    help_ = "`jobscheduler cluster` shows which node leads: ask that one, on its own host"
    return Unanswered(Problem(f"the leader cannot be asked, {outcome}: {reason}", help=help_), may_be_done=was_sent)
