"""The statements on the one row of the lease.

Nothing is concluded from a count of rows: each change is followed by a look at the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, exists, select, update

from jobscheduler.cluster.database_time import from_now, seconds_until
from jobscheduler.cluster.request_states import any_open
from jobscheduler.cluster.schema import FREE, LEADER
from jobscheduler.cluster.steps import Rows, Steps
from jobscheduler.cluster.tables import LEASE
from jobscheduler.cluster.values import Term
from jobscheduler.database.errors import Unavailable


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """The lease as the database has it. `left` is how many seconds it still holds; not above zero: it is free.

    `settled` is the instant up to which the holder had every slot decided, `at` the present time of the database.
    `has_requests`: something is asked of the leader, or its answer is missing.
    """

    holder: str
    term: Term
    left: float
    settled: str | None = None
    at: datetime | None = None
    has_requests: bool = False

    @property
    def is_free(self) -> bool:
        """Whether another node may take it."""
        return self.left <= 0


def look() -> Steps[LeaseRow]:
    """Read the lease."""
    rows = yield _LOOK
    return _row(rows)


def take(node: str, instance: str, seconds: float) -> Steps[LeaseRow]:
    """Take the lease if it is free; return it as it is then. The term grows by one."""
    values = {
        "holder": node,
        "instance": instance,
        "term": LEASE.c.term + 1,
        "expires_at": from_now(seconds),
    }
    yield update(LEASE).where(LEASE.c.name == LEADER, LEASE.c.expires_at <= from_now()).values(values)
    rows = yield _LOOK
    return _row(rows)


def renew(term: Term, seconds: float, settled: str | None = None) -> Steps[LeaseRow]:
    """Renew the lease if it is still of this term; return it as it is then.

    A lease that has expired is not renewed, also if no other node has taken it: the node takes it anew, with another
    term, and accounts for the time between.
    """
    values = {"expires_at": from_now(seconds), **({} if settled is None else {"settled": settled})}
    yield update(LEASE).where(is_leader(term)).values(values)
    rows = yield _LOOK
    return _row(rows)


def release(term: Term, settled: str | None = None) -> Steps[LeaseRow]:
    """Give the lease back at once, if it is still of this term."""
    values = {"expires_at": from_now(), "holder": FREE, **({} if settled is None else {"settled": settled})}
    yield update(LEASE).where(LEASE.c.name == LEADER, *_of(term)).values(values)
    rows = yield _LOOK
    return _row(rows)


def is_leader(term: Term) -> ColumnElement[bool]:
    """Return the condition on `js_lease` that the lease is of this term and has not expired."""
    return and_(LEASE.c.name == LEADER, *_of(term), LEASE.c.expires_at > from_now())


def leads(term: Term) -> ColumnElement[bool]:
    """Return the condition, for a change of another table, that the lease is of this term.

    The statement locks the row of the lease until it is committed: no other node takes the lease in between.
    """
    return exists(select(LEASE.c.term).where(is_leader(term)).with_for_update(read=True))


def _of(term: Term) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return LEASE.c.instance == term.instance, LEASE.c.term == term.number


_COLUMNS = (
    LEASE.c.holder,
    LEASE.c.instance,
    LEASE.c.term,
    seconds_until(LEASE.c.expires_at),
    LEASE.c.settled,
    from_now(),
    any_open(),  # so that an idle leader needs no statement for it
)
_LOOK = select(*_COLUMNS).where(LEASE.c.name == LEADER)


def _row(rows: Rows) -> LeaseRow:
    if not rows:
        raise Unavailable("the row of the lease is missing", "`jobscheduler db init` makes it")
    holder, instance, term, left, settled, at, has_requests = rows[0]
    return LeaseRow(holder, Term(instance, int(term)), float(left), settled, at, bool(has_requests))
