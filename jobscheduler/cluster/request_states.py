"""How far a request to the leader is, and whether any waits for it."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import ColumnElement, and_, exists, or_, select

from jobscheduler.cluster.database_time import from_now
from jobscheduler.cluster.tables import REQUESTS

MAX_AGE_S = 20.0  # seconds after which no leader takes a request any more


class RequestState(StrEnum):
    """How far a request is."""

    ASKED = "asked"
    TAKEN = "taken"
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"


def is_asked() -> ColumnElement[bool]:
    """Return the condition that a leader may take a request."""
    return and_(REQUESTS.c.state == RequestState.ASKED.value, REQUESTS.c.asked_at > from_now(-MAX_AGE_S))


def any_open() -> ColumnElement[bool]:
    """Return the condition that a request waits for a leader, or for its answer."""
    is_taken = REQUESTS.c.state == RequestState.TAKEN.value
    return exists(select(REQUESTS.c.id).where(or_(is_asked(), is_taken)))
