"""How a cluster stands, as one of its nodes knows it: plain values that verbs, pages and metrics show."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from jobscheduler.model.problems import Problem


class Role(StrEnum):
    """What a node does: the leader decides slots and starts runs, the others stand by."""

    LEADER = "leader"
    STANDBY = "standby"


class Difference(StrEnum):
    """How a job of this node differs from that of the leader."""

    ONLY_HERE = "only here"
    ONLY_THERE = "only on the leader"
    CHANGED = "different"


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node. `silent` is how many seconds ago it last said that it is alive, by the clock of the database.

    `skew` is how many seconds its clock is ahead of the database's. `differs`: it has other definitions than the
    leader, or other time zone data, whose version is `tzdata`.
    """

    name: str
    host: str
    version: str
    silent: float
    skew: float = 0.0
    is_alive: bool = True
    differs: bool = False
    tzdata: str = ""


@dataclass(frozen=True, slots=True)
class DriftedJob:
    """A job in which this node and the leader differ."""

    job_id: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The cluster as the node `node` knows it. Instants are those of its host's clock.

    `leader` and `term` are None while no node is known to lead; `since` is from when this node has its `role`.
    `database` is the URL without its password. `away_since` is set while the database does not answer, with the reason
    `away`; all else is then what was last known, at `known_at` (None: never).
    `queued` and `running` count the rows of the account that wait and that are at work, on all nodes. `skew` is that of
    this node; with one of more than `max_skew` seconds it may not lead. `seed` seeds `jitter`, None until it is known.
    """

    node: str
    role: Role
    leader: str | None = None
    term: int | None = None
    since: datetime | None = None
    nodes: tuple[NodeView, ...] = ()
    drift: tuple[DriftedJob, ...] = ()
    database: str = ""
    known_at: datetime | None = None
    away_since: datetime | None = None
    away: str = ""
    queued: int = 0
    running: int = 0
    skew: float = 0.0
    max_skew: float = 30.0
    seed: str | None = None

    @property
    def leads(self) -> bool:
        """Whether this node is the leader."""
        return self.role is Role.LEADER

    @property
    def is_away(self) -> bool:
        """Whether the database does not answer."""
        return self.away_since is not None


@dataclass(frozen=True, slots=True)
class Unanswered:
    """What came of a request to the leader that has no answer: why, and whether it may have been done all the same."""

    problem: Problem
    may_be_done: bool = False
