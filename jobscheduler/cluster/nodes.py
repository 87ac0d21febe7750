"""The statements by which services and workers say that they are alive, and what they have loaded.

An identity (node, role, queue) is one live instance. A new instance takes the place of one that has said that it ends,
that has been silent for long, or that is known to be gone: a process of this host that is not there any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Executable, and_, delete, func, or_, select, update
from sqlalchemy.dialects import mysql, postgresql, sqlite

from jobscheduler.cluster.database_time import from_now, seconds_since
from jobscheduler.cluster.steps import Steps
from jobscheduler.cluster.tables import NODES, RUNS
from jobscheduler.cluster.values import Identity, State


@dataclass(frozen=True, slots=True)
class Process:
    """Which process an instance is. `boot` names one boot of its host, and one namespace of process ids there."""

    host: str
    boot: str
    pid: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """What an instance runs: versions of the program and of the zone data, and a hash of the definitions in force.

    `slots` is how many runs it takes at once; `skew` is how many seconds its clock is ahead of the database's.
    """

    version: str = ""
    tzdata: str = ""
    jobset: str = ""
    slots: int = 0
    skew: float = 0.0

    def is_equal(self, other: Loaded) -> bool:
        """Return whether both have the same definitions in force, and the same zone data."""
        return (self.jobset, self.tzdata) == (other.jobset, other.tzdata)


@dataclass(frozen=True, slots=True)
class NodeRow:
    """An instance as the database knows it. `silent` is how many seconds ago it last said that it is alive."""

    identity: Identity
    process: Process
    silent: float
    loaded: Loaded = Loaded()


@dataclass(frozen=True, slots=True)
class Population:
    """The nodes that the database knows, and how many runs on all of them are queued, at work, and not final yet."""

    nodes: tuple[NodeRow, ...] = ()
    queued: int = 0
    running: int = 0
    ended: int = 0

    def has(self, identity: Identity) -> bool:
        """Return whether an instance is among them."""
        return any(row.identity == identity for row in self.nodes)


def register(
    dialect: str, identity: Identity, process: Process, lost_after: float, *, former: str | None = None
) -> Steps[NodeRow]:
    """Take an identity; return the row that has it then, which is another's if that one lives.

    `former` is an instance that the caller knows to be gone.
    """
    is_gone = or_(NODES.c.beat_at < from_now(-lost_after), NODES.c.instance == (former or identity.instance))
    values = _values(process) | {"instance": identity.instance, "beat_at": from_now()}
    yield _insert(dialect, identity, values)
    yield update(NODES).where(_is(identity), is_gone).values(values)
    rows = yield select(*_COLUMNS).where(_is(identity))
    return _row(rows[0])


def beat_node(identity: Identity, loaded: Loaded, lost_after: float) -> Steps[Population]:
    """Say that an instance is alive, and what it has loaded; return what there is on all nodes (see `population`).

    One that has lost its identity is not among them.
    """
    is_own = and_(_is(identity), NODES.c.instance == identity.instance)
    values = {name: getattr(loaded, name) for name in ("version", "tzdata", "jobset", "slots", "skew")}
    yield update(NODES).where(is_own).values(values | {"beat_at": from_now()})
    return (yield from population(lost_after))


def leave(identity: Identity) -> Steps[None]:
    """Give an identity back: its next instance need not wait."""
    yield delete(NODES).where(_is(identity), NODES.c.instance == identity.instance)


def population(lost_after: float) -> Steps[Population]:
    """Return the instances that have not been silent for so many seconds, by name, and the runs that are not final."""
    order = (NODES.c.node, NODES.c.role, NODES.c.queue)
    counts = [_count(state) for state in (State.QUEUED, State.RUNNING, State.ENDED)]
    rows = yield select(*counts, *_COLUMNS).where(NODES.c.beat_at >= from_now(-lost_after)).order_by(*order)
    return Population(tuple(_row(row[3:]) for row in rows), *rows[0][:3]) if rows else Population()


def _count(state: State) -> ColumnElement[int]:
    return select(func.count()).select_from(RUNS).where(RUNS.c.state == state.value).scalar_subquery()


def forget_lost(seconds: float) -> Steps[None]:
    """Remove instances that have been silent for so many seconds."""
    yield delete(NODES).where(NODES.c.beat_at < from_now(-seconds))


_COLUMNS = (
    NODES.c.node,
    NODES.c.role,
    NODES.c.queue,
    NODES.c.instance,
    NODES.c.host,
    NODES.c.boot,
    NODES.c.pid,
    seconds_since(NODES.c.beat_at),
    NODES.c.version,
    NODES.c.tzdata,
    NODES.c.jobset,
    NODES.c.slots,
    NODES.c.skew,
)


def _row(values: Sequence[Any]) -> NodeRow:
    node, role, queue, instance, host, boot, pid, silent, version, tzdata, jobset, slots, skew = values
    loaded = Loaded(version or "", tzdata or "", jobset or "", slots or 0, skew or 0.0)
    return NodeRow(Identity(node, role, queue, instance), Process(host, boot, pid), float(silent), loaded)


def _is(identity: Identity) -> ColumnElement[bool]:
    is_node = and_(NODES.c.node == identity.node, NODES.c.role == identity.role)
    return and_(is_node, NODES.c.queue == identity.queue)


def _values(process: Process) -> dict[str, Any]:
    return {"host": process.host, "boot": process.boot, "pid": process.pid}


def _insert(dialect: str, identity: Identity, values: dict[str, Any]) -> Executable:
    row = {"node": identity.node, "role": identity.role, "queue": identity.queue, **values}
    match dialect:
        case "mysql":
            return mysql.insert(NODES).values(row).on_duplicate_key_update(node=NODES.c.node)
        case "sqlite":
            return sqlite.insert(NODES).values(row).on_conflict_do_nothing()
    return postgresql.insert(NODES).values(row).on_conflict_do_nothing()
