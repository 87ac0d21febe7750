"""The statements by which a service that stands by has the leader do what a person asks of it.

A request goes from `asked` to `taken` to `answered`. The leader takes it before it acts, so no request is done twice.
The service that asked withdraws what is not taken in time, so nothing is done that its person no longer waits for. If
it cannot, because it has ended or no longer reaches the database, the request is too old after `MAX_AGE_S`.
A request whose leader is gone stays `taken`: the next leader answers that it is unknown what became of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, insert, or_, select, update

from jobscheduler.cluster.database_time import from_now
from jobscheduler.cluster.lease_rows import leads
from jobscheduler.cluster.request_states import RequestState, is_asked
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import REQUESTS
from jobscheduler.cluster.values import Term

MAX_AT_ONCE = 100  # requests that a leader takes at once


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks: a verb with its arguments as JSON. `token` names it; `node` is where it was asked."""

    token: str
    verb: str
    arguments: str
    by: str
    node: str


@dataclass(frozen=True, slots=True)
class Answer:
    """How far a request is, and the answer as JSON if there is one."""

    state: RequestState
    text: str | None = None


def ask(request: Request) -> Steps[None]:
    """Write a request. Repeated with the same token it fails, and stands once."""
    values = {name: getattr(request, name) for name in ("token", "verb", "arguments", "by", "node")}
    yield insert(REQUESTS).values(values | {"state": RequestState.ASKED.value, "asked_at": from_now()})


def answer_to(token: str) -> Steps[Answer | None]:
    """Return how far a request is, None if there is none of this token."""
    rows = yield select(REQUESTS.c.state, REQUESTS.c.answer).where(REQUESTS.c.token == token)
    return Answer(RequestState(rows[0][0]), rows[0][1]) if rows else None


def withdraw_request(token: str) -> Steps[Answer | None]:
    """Withdraw a request that no leader has taken; return how far it is then."""
    is_waiting = and_(REQUESTS.c.token == token, REQUESTS.c.state == RequestState.ASKED.value)
    yield update(REQUESTS).where(is_waiting).values(state=RequestState.WITHDRAWN.value, answered_at=from_now())
    return (yield from answer_to(token))


def take_requests(term: Term) -> Steps[list[Request]]:
    """Take what is asked; return what this term has taken and not answered, in the order in which it was asked.

    A request that comes a second time was done: only its answer is missing.
    """
    is_own = and_(REQUESTS.c.state == RequestState.TAKEN.value, REQUESTS.c.term == term.number)
    open_ = yield select(REQUESTS.c.id, REQUESTS.c.state).where(or_(is_asked(), is_own)).limit(MAX_AT_ONCE)
    asked = [number for number, state in open_ if state == RequestState.ASKED.value]
    if asked:
        taken = {"state": RequestState.TAKEN.value, "term": term.number}
        yield update(REQUESTS).where(REQUESTS.c.id.in_(asked), is_asked(), leads(term)).values(taken)
    return (yield from _taken(REQUESTS.c.term == term.number)) if open_ else []


def left_by_former(term: Term) -> Steps[list[Request]]:
    """Return the requests that a former leader has taken and not answered."""
    return (yield from _taken(REQUESTS.c.term < term.number))


def answer(term: Term, token: str, text: str) -> Steps[None]:
    """Answer a request that was taken."""
    is_taken = and_(REQUESTS.c.token == token, REQUESTS.c.state == RequestState.TAKEN.value)
    values = {"state": RequestState.ANSWERED.value, "answer": text, "answered_at": from_now()}
    yield update(REQUESTS).where(is_taken, leads(term)).values(values)


def _taken(of_term: ColumnElement[bool]) -> Steps[list[Request]]:
    columns = (REQUESTS.c.token, REQUESTS.c.verb, REQUESTS.c.arguments, REQUESTS.c.by, REQUESTS.c.node)
    is_taken = REQUESTS.c.state == RequestState.TAKEN.value
    rows = yield select(*columns).where(is_taken, of_term).order_by(REQUESTS.c.id)
    return [Request(*row) for row in rows]
