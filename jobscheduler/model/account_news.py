"""What a node of a cluster reads of the account that all of them share: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from jobscheduler.model.entries import Record
from jobscheduler.model.pauses import Pause
from jobscheduler.model.standing import NO_RESULTS, ResultState


@dataclass(frozen=True, slots=True)
class SharedRun:
    """A run of some node that has no record yet. `scheduled` is None for a run by hand, `started` until it begins.

    `waits`: it is queued, for a worker, for its turn or for a further attempt.
    """

    job_id: str
    run_id: str
    scheduled: datetime | None
    started: datetime | None
    attempt: int
    node: str | None = None
    waits: bool = False


class FoundRun(NamedTuple):
    """How far a run of the account is: its record once it has ended, and the node that ran it, or runs it."""

    job_id: str
    record: Record | None
    node: str | None
    attempt: int


@dataclass(frozen=True, slots=True)
class AccountNews:
    """The account as it was last read, at `known_at` of the clock of this host; None if it never was.

    `runs` are those without a record, by job; `pauses` and `results` are what the leader wrote last.
    """

    runs: Mapping[str, tuple[SharedRun, ...]] = field(default_factory=dict)
    pauses: tuple[Pause, ...] = ()
    results: ResultState = NO_RESULTS
    known_at: datetime | None = None
