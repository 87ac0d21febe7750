"""An account of several services in memory: it refuses, answers late or never, and knows one leader at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from jobscheduler.model import (
    Checkpoint,
    Event,
    FullCheckpoint,
    InFlightRun,
    LogFields,
    Pause,
    Record,
    RecoveredState,
    Status,
)
from jobscheduler.runner import Run
from jobscheduler.scheduler import Answer, Resumed, Trusted
from jobscheduler.scheduler.clock_setback import ClockSetbackState

NOON = datetime(2096, 11, 22, 12, tzinfo=UTC)  # when everything begins

Key = tuple[str, datetime | str]  # the job, and the slot or the id of a manual run


@dataclass
class Row:
    """What the account says of a slot, or of a range of slots up to `last`: `queued`, `running` or `final`."""

    job_id: str
    slot: datetime | None
    run_id: str
    node: str
    term: int
    state: str = "queued"
    record: Record | None = None
    last: datetime | None = None

    @property
    def span(self) -> tuple[datetime, datetime]:
        """The slots of the row."""
        assert self.slot is not None
        return self.slot, self.last or self.slot


@dataclass
class MemoryAccount:
    """The database of all services. `dead` are the nodes that do not answer any more."""

    rows: dict[Key, Row] = field(default_factory=dict)
    leader: str = ""
    term: int = 0
    checkpoint: Checkpoint | None = None
    full: FullCheckpoint | None = None
    pauses: dict[str, Pause] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    to_stop: set[str] = field(default_factory=set)
    refused: int = 0

    def records(self) -> list[Record]:
        """Return the final records."""
        return [row.record for row in self.rows.values() if row.record is not None]

    def at_work(self) -> set[str]:
        """Return the ids of all runs at work."""
        return {row.run_id for row in self.rows.values() if row.state == "running"}

    def covers(self, job_id: str, slot: datetime) -> bool:
        """Return whether a range of missed slots has this one."""
        return any(row.job_id == job_id and row.slot and row.slot <= slot <= row.span[1] for row in self.rows.values())

    def recovered(self, now: datetime) -> RecoveredState | None:
        """Return what a new leader has to know."""
        if self.checkpoint is None or self.full is None:
            return None
        slots: dict[str, list[tuple[datetime, datetime]]] = {}
        for row in self._slots():
            if row.state != "queued":
                slots.setdefault(row.job_id, []).append(row.span)
        running = [row for row in self.rows.values() if row.state == "running" and row.node in self.dead]
        asked = [row for row in self.rows.values() if row.state == "queued" and row.slot is None]
        return RecoveredState(
            self.checkpoint,
            now,
            clean_stop=True,
            is_shared=True,
            in_flight=tuple(
                InFlightRun(row.job_id, row.run_id, row.slot, now if row.state == "running" else None)
                for row in (*running, *asked)
            ),
            pending=tuple((row.job_id, row.span[0]) for row in self._slots() if row.state == "queued"),
            recorded={job_id: tuple(sorted(spans)) for job_id, spans in slots.items()},
            last_decided_slot=self._last_decided,
            full=replace(self.full, pauses=tuple(self.pauses.values())),
            at_work=tuple(
                InFlightRun(row.job_id, row.run_id, row.slot, now)
                for row in self.rows.values()
                if row.state == "running" and row.node not in self.dead
            ),
        )

    def _slots(self) -> Iterator[Row]:
        return (row for row in self.rows.values() if row.slot is not None)

    def _last_decided(self, job_id: str, after: datetime) -> datetime | None:
        ends = [row.span[1] for row in self._slots() if row.job_id == job_id]
        return max((end for end in ends if end > after), default=None)


class Door:
    """The account as one service uses it: requests wait in their order until the test has them answered.

    `is_fenced`: the account has refused a request, because another service leads.
    """

    def __init__(self, account: MemoryAccount, node: str) -> None:
        self.requests: deque[Callable[[], Callable[[], object] | None]] = deque()
        self.is_fenced = False
        self.claims = self
        self._account = account
        self._node = node
        self._term = 0

    def take_lease(self) -> None:
        """Lead from now on."""
        self._account.leader, self._account.term = self._node, self._account.term + 1
        self._term = self._account.term
        self.is_fenced = False

    def answer(self, count: int | None = None, *, is_lost: bool = False, twice: bool = False) -> None:
        """Perform requests in their order, and answer unless the answer `is_lost`."""
        for _ in range(len(self.requests) if count is None else min(count, len(self.requests))):
            answer = self.requests.popleft()()
            for _ in range(0 if answer is None or is_lost else 1 + twice):
                assert answer is not None
                answer()

    # -- as `Claims`

    def claim(self, run: Run, answer: Answer) -> None:
        """Ask for a slot."""
        self.requests.append(partial(self._claim, self._term, run, answer))

    def begin(self, run: Run, answer: Answer) -> None:
        """Ask whether a run may begin."""
        self.requests.append(partial(self._begin, run, answer))

    def stop(self, job_id: str, run_id: str, reason: str, by: str = "") -> None:
        """Note that a run has to end."""
        self._account.to_stop.add(run_id)

    def give_back(self, run: Run) -> None:
        """Queue a run that did not begin; miss it if another service leads by now."""
        row = self._account.rows.get(_key_of(run))
        if row is None or row.run_id != run.run_id or row.state != "running":
            return
        row.state = "queued" if row.term == self._account.term else "final"
        if row.state == "final":
            row.record = Record(NOON, Status.MISSED, row.job_id, row.run_id, row.slot, reason="down")

    def _claim(self, term: int, run: Run, answer: Answer) -> Callable[[], object] | None:
        rows, key = self._account.rows, _key_of(run)
        if not self._leads(term):
            return None
        row = rows.get(key)
        if row is None and (run.scheduled is None or not self._account.covers(run.job.id, run.scheduled)):
            rows[key] = Row(run.job.id, run.scheduled, run.run_id, self._node, self._term)
        elif row is not None and row.state == "queued" and row.term < self._term:  # left by a former leader
            row.run_id, row.node, row.term = run.run_id, self._node, self._term
        is_won = key in rows and rows[key].run_id == run.run_id
        self._account.refused += not is_won
        return partial(answer, is_won)

    def _begin(self, run: Run, answer: Answer) -> Callable[[], object]:
        row = self._account.rows.get(_key_of(run))
        may_begin = row is not None and row.run_id == run.run_id and row.state == "queued"
        if row is not None and may_begin:
            row.state, row.node = "running", self._node
        self._account.refused += not may_begin
        return partial(answer, may_begin)

    # -- as `Accounting`

    def record(self, record: Record) -> None:
        """Keep a record."""
        self.requests.append(partial(self._record, self._term, record))

    def _record(self, term: int, record: Record) -> None:
        key = record.job_id, record.scheduled or record.run_id or ""
        row = self._account.rows.get(key)
        is_own = row is not None and row.state == "running" and (row.run_id, row.node) == (record.run_id, self._node)
        if not is_own and not self._leads(term):
            return
        if row is None and (record.scheduled is None or not self._account.covers(record.job_id, record.scheduled)):
            row = Row(record.job_id, record.scheduled, record.run_id or "", self._node, self._term)
            self._account.rows[key] = row
        is_other = row is not None and row.state == "running" and row.run_id != record.run_id
        if row is None or row.state == "final" or is_other:
            self._account.refused += 1
            return
        last = dict(record.details).get("last")
        row.state, row.record, row.last = "final", record, last if isinstance(last, datetime) else None

    def pending(
        self, job_id: str, slot: datetime, now: datetime, starts: datetime | None = None, extra: LogFields = ()
    ) -> None:
        """Nothing: the row of the claim says it."""

    def requested(self, run: Run, now: datetime) -> None:
        """Nothing, as for `pending`."""

    def decided_ahead(self, job_id: str, ahead: ClockSetbackState, now: datetime) -> None:
        """Nothing: no clock is set back here."""

    def note(self, event: Event) -> None:
        """Nothing."""

    def paused(self, pause: Pause, now: datetime, *, again: bool = False) -> None:
        """Keep a pause."""
        self._account.pauses[pause.id] = pause

    def resumed(self, change: Resumed, now: datetime) -> None:
        """Keep the end of a pause."""
        pause = self._account.pauses[change.pause.id]
        if change.exempt is not None:
            self._account.pauses[pause.id] = replace(pause, exempt=(*pause.exempt, change.exempt))
        elif change.by is not None:
            self._account.pauses[pause.id] = replace(pause, until=min(pause.end, now), is_resumed=True)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint."""
        self.requests.append(partial(self._checkpoint, self._term, checkpoint))

    def _checkpoint(self, term: int, checkpoint: Checkpoint) -> None:
        if self._leads(term):
            self._account.checkpoint, self._account.full = checkpoint, checkpoint.full or self._account.full

    @property
    def wants_full(self) -> bool:
        """No checkpoint is too far away."""
        return False

    def trusted(self, state: RecoveredState | None, now: datetime) -> Trusted:
        """Trust the account."""
        return Trusted(state)

    def _leads(self, term: int) -> bool:
        """Return whether what was asked in a term counts: what is left of an earlier one is given up."""
        is_leader = (self._account.leader, self._account.term) == (self._node, term)
        self.is_fenced = self.is_fenced or not is_leader
        return is_leader


def _key_of(run: Run) -> Key:
    return run.job.id, run.scheduled or run.run_id
