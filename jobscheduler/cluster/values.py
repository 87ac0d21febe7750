"""The values that pass between the account and its callers (frozen, no I/O)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

CLOCK = "clock"  # the reason of slots that only a wrong clock missed, and what a run that corrects it says

WORKER_LOST = "worker_lost"  # the reason of a run whose worker no longer answers

Key = tuple[str, str]  # job id and slot: what names a row of the account


class State(StrEnum):
    """How far the row of a slot is."""

    QUEUED = "queued"  # claimed; waits for a worker, for its turn or for a further attempt
    RUNNING = "running"  # an attempt has begun
    ENDED = "ended"  # the attempt has ended, and the leader has not decided what follows
    FINAL = "final"  # the slot has its one status


class ClaimResult(StrEnum):
    """What became of a claim."""

    WON = "won"  # the row is there, with the run id of the claim
    TAKEN = "taken"  # the slot has the row of another claim
    COVERED = "covered"  # the slot is in a range of missed slots, or older than what is kept
    CLASH = "clash"  # another slot has the run id: the claim is to be made again with another one


@dataclass(frozen=True, slots=True)
class Term:
    """One time for which one instance is the leader. `number` grows with each holder of the lease."""

    instance: str
    number: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Which runs are whose: a node serves a queue, in one role. `instance` is one process of it."""

    node: str
    role: str
    queue: str
    instance: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What a leader wants to write about a slot that has no row: a run that is to come, or the final status at once.

    With a `status` (`SKIPPED`, `MISSED`) the row is final. `last_slot` and `slots` make it a range. `corrects` is
    `clock` for a slot that only a wrong clock had missed; `next_slot` is then the slot after it, if there is one.
    `wait` is how many seconds the run must not begin yet.
    """

    job_id: str
    slot: str
    run_id: str
    queue: str = ""
    definition: str = ""
    status: str | None = None
    reason: str | None = None
    last_slot: str | None = None
    slots: int = 1
    corrects: str | None = None
    next_slot: str | None = None
    trigger: str | None = None
    by: str | None = None
    wait: float | None = None
    details: str | None = None

    @property
    def key(self) -> Key:
        """The key of the row."""
        return self.job_id, self.slot


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that a worker wants to begin. `begun_by` is a number of this request alone, as text.

    A request that is repeated, because its answer was lost, has the same number; a second delivery has another.
    With `run_id` it may begin only if the row still has that run. `former` is the `begun_by` of the attempt before,
    which this worker has made: the run goes on with this one, and was never given back in between.
    """

    job_id: str
    slot: str
    attempt: int
    begun_by: str
    run_id: str | None = None
    former: str | None = None

    @property
    def key(self) -> Key:
        """The key of the row."""
        return self.job_id, self.slot


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt has ended, as its worker knows it. `details` is JSON; `duration` and `cpu` are seconds."""

    status: str
    reason: str | None = None
    exit_code: int | None = None
    duration: float | None = None
    cpu: float | None = None
    max_rss: int | None = None
    details: str | None = None
    output: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The final status of a run that has not begun. `by` is the person who asked for it."""

    status: str
    reason: str
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """What the account says of a run at work. `stop` is why it has to end, `by` the person who asked for that."""

    attempt: int
    stop: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a beat finds: the runs of its instance at work, and what there is of others.

    `has_others`: runs of other instances are at work, or have ended and are not final. `silence` is how many seconds
    ago the worker of a run at work has last said that it lives, at most.
    """

    own: Mapping[Key, Beat]
    has_others: bool = False
    silence: float = 0.0


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A row that is not final, or one that a reader asked for; ages are seconds of the database's clock."""

    job_id: str
    slot: str
    run_id: str
    state: State
    attempt: int
    term: int
    status: str | None = None
    reason: str | None = None
    last_slot: str | None = None
    slots: int = 1
    corrects: str | None = None
    queue: str | None = None
    node: str | None = None
    instance: str | None = None
    begun_by: str | None = None
    trigger: str | None = None
    by: str | None = None
    stop: str | None = None
    definition: str | None = field(default=None, repr=False)
    started_at: datetime | None = None

    @property
    def key(self) -> Key:
        """The key of the row."""
        return self.job_id, self.slot


class Fenced(Exception):
    """The lease is no longer of this term: nothing was written, and another node may lead."""

    def __init__(self, term: Term) -> None:
        super().__init__(f"the lease is no longer of term {term.number}")
        self.term = term
