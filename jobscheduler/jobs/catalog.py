"""What each item of a source holds: its last good definition, what is wrong with it, and which item owns which id.

Good news counts at once, bad news when it has settled: an item that is gone, or that cannot be read as a job, or whose
id another one has, is left alone until it has been so for a quiet second. No I/O and no clock: `now` is an argument, in
seconds of any clock that only moves forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from jobscheduler.model import Fingerprint, Job, Problem, name_sort_key

SETTLE_DELAY = 1.0
"""How long bad news must have been so before it counts, in seconds."""

ParseResult = Job | tuple[Problem, ...] | None
"""What a look at an item gave: a definition, problems, or nothing because it is gone."""


class ItemState(StrEnum):
    """How an item stands."""

    GOOD = "good"
    STALE = "stale"
    REFUSED = "refused"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ItemStatus:
    """How an item stands and why: its problems, or the item that already has its id."""

    state: ItemState
    problems: tuple[Problem, ...] = ()
    incumbent: str | None = None


GOOD = ItemStatus(ItemState.GOOD)


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A change in how an item stands, to be told once: before and after, and the definition concerned if any."""

    name: str
    before: ItemStatus
    after: ItemStatus
    job: Job | None


@dataclass(slots=True)
class _Item:
    fingerprint: Fingerprint
    since: float
    job: Job | None = None
    problems: tuple[Problem, ...] = ()
    missing_since: bool = False
    reread: bool = False
    reported: ItemStatus = GOOD


@dataclass(slots=True)
class Catalog:
    """All items of all sources. `desired` is what should be in force: id to definition.

    `is_unknown` tells by the name of an item that its source cannot be read now: no bad news of it settles then.
    """

    desired: dict[str, Job] = field(default_factory=dict)
    is_unknown: Callable[[str], bool] = lambda name: False
    _items: dict[str, _Item] = field(default_factory=dict)
    _owner: dict[str, str] = field(default_factory=dict)
    _claims: dict[str, set[str]] = field(default_factory=dict)
    _released: dict[str, tuple[Job, float]] = field(default_factory=dict)
    _unsettled: set[str] = field(default_factory=set)
    _changed_ids: set[str] = field(default_factory=set)
    _departed: list[StatusChange] = field(default_factory=list)
    _bad: dict[str, ItemStatus] = field(default_factory=dict)

    def fingerprints(self) -> dict[str, Fingerprint]:
        """Return the signature of each item at its last look: None for one that was gone, () to have it read again."""
        return {
            name: None if held.missing_since else () if held.reread else held.fingerprint
            for name, held in self._items.items()
        }

    def invalidate_all(self, has: Callable[[str], bool] = lambda name: True) -> None:
        """Have every item, or those that `has` by their names, read again at the next look, whatever its signature."""
        for name, held in self._items.items():
            if has(name):
                held.fingerprint = ()

    def host_dependent_items(self) -> list[str]:
        """List the items with findings that may heal without an edit."""
        return [
            name
            for name, held in self._items.items()
            if held.problems and any(problem.host_dependent for problem in held.problems)
        ]

    def observe(
        self,
        name: str,
        signature: Fingerprint,
        verdict: ParseResult,
        now: float,
        *,
        age: float = 0.0,
        again: bool = False,
    ) -> None:
        """Take note of what a look at an item gave. Items of a first load are to be seen in the order of names.

        `age` is for how long it has been so: if long enough, bad news has settled already. `again` says that the item
        has to be read once more, even if its signature stays as it is.
        """
        held = self._items.get(name)
        if held is None:
            if verdict is None:
                return
            held = self._items[name] = _Item(signature, now - age)
        is_new = held.job is None and not held.problems
        was = (held.fingerprint, held.missing_since, held.problems)
        held.fingerprint, held.missing_since, held.reread = signature, verdict is None, again
        if isinstance(verdict, Job):
            held.problems = ()
            self._assign(name, held, verdict, now)
        elif verdict is not None:
            held.problems = verdict
        if not is_new and was != (held.fingerprint, held.missing_since, held.problems):
            held.since = now - age
        self._unsettled.add(name)

    def apply_settled(self, now: float) -> None:
        """Let go of every item that has been gone for long enough, and of ids that nobody took from who left them."""
        left = [
            (job_id, since) for job_id, (job, since) in self._released.items() if not self.is_unknown(job.source_name)
        ]
        for job_id in [one for one, since in left if now - since >= SETTLE_DELAY]:
            del self._released[job_id]
            self._refresh(job_id)
        for name in [one for one in self._unsettled if self._items[one].missing_since and self._is_settled(one, now)]:
            held = self._items.pop(name)
            self._unsettled.discard(name)
            self._bad.pop(name, None)
            if held.reported != GOOD:
                self._departed.append(StatusChange(name, held.reported, ItemStatus(ItemState.GONE), None))
            if held.job is not None:
                self._release(name, held.job.id, now)

    def due_for_recheck(self, now: float) -> list[str]:
        """List the items whose bad news is due to be looked at once more, and then to be believed."""
        return [name for name in self._unsettled if self._is_settled(name, now)]

    def next_settle_at(self) -> float | None:
        """Say when the next bad news will have settled; None if there is none."""
        doubts = [self._items[name].since for name in self._unsettled if not self.is_unknown(name)]
        doubts += [since for job, since in self._released.values() if not self.is_unknown(job.source_name)]
        return min(doubts) + SETTLE_DELAY if doubts else None

    def pop_changed_ids(self) -> set[str]:
        """Return the ids whose desired definition may have changed since the last call."""
        touched, self._changed_ids = self._changed_ids, set()
        return touched

    def pop_changes(self, now: float) -> list[StatusChange]:
        """Return what has changed, and has settled, since it was last told; each change once."""
        told, self._departed = self._departed, []
        doubtful: set[str] = set()  # a new one: emptied, that of a start would stay as large as it was
        for name in sorted(self._unsettled):
            held, condition = self._items[name], self.status(name)
            if condition == held.reported:
                continue
            if condition.state is ItemState.GOOD or (
                condition.state is not ItemState.GONE and self._is_settled(name, now)
            ):
                told.append(StatusChange(name, held.reported, condition, held.job))
                held.reported = condition
                if condition == GOOD:
                    self._bad.pop(name, None)
                else:
                    self._bad[name] = condition
            else:
                doubtful.add(name)
        self._unsettled = doubtful
        return told

    def status(self, name: str) -> ItemStatus:
        """Say how an item stands now."""
        held = self._items[name]
        owner = self._owner.get(held.job.id) if held.job else None
        if held.missing_since:
            return ItemStatus(ItemState.GONE)
        if held.problems:
            return ItemStatus(ItemState.STALE if owner == name else ItemState.REFUSED, held.problems)
        return GOOD if owner == name else ItemStatus(ItemState.REFUSED, incumbent=owner)

    def bad_items(self) -> dict[str, ItemStatus]:
        """Return the items that were last told to be stale or refused."""
        return dict(self._bad)

    def _is_settled(self, name: str, now: float) -> bool:
        return now - self._items[name].since >= SETTLE_DELAY and not self.is_unknown(name)

    def _assign(self, name: str, held: _Item, job: Job, now: float) -> None:
        """Put a new definition into an item: it gives its former id free and claims its new one.

        If that is taken, the two may be about to swap: its former job stays in force until somebody takes its id, or
        it has settled that nobody does.
        """
        former, held.job = held.job, job
        if former is not None and former.id != job.id:
            if self._is_claimed(job.id, name):
                self._released[former.id] = former, now
            self._release(name, former.id, now)
        self._claims.setdefault(job.id, set()).add(name)
        if not self._is_claimed(job.id, name):
            self._owner[job.id] = name
        self._refresh(job.id)

    def _is_claimed(self, job_id: str, name: str) -> bool:
        """Tell whether an id belongs to another item that is there."""
        owner = self._owner.get(job_id)
        return owner is not None and owner != name and not self._items[owner].missing_since

    def _release(self, name: str, job_id: str, now: float) -> None:
        """Give an id free: of those that wait for it, the one whose name sorts first takes over."""
        waiting = self._claims[job_id]
        waiting.discard(name)
        if self._owner.get(job_id) == name:
            del self._owner[job_id]
            present = [one for one in waiting if not self._items[one].missing_since] or waiting
            if present:
                self._owner[job_id] = min(present, key=name_sort_key)
            self._mark_unsettled(waiting, now)
        if not waiting:
            del self._claims[job_id]
        self._refresh(job_id)

    def _mark_unsettled(self, names: Iterable[str], now: float) -> None:
        for name in names:
            self._items[name].since = now
            self._unsettled.add(name)

    def _refresh(self, job_id: str) -> None:
        owner = self._owner.get(job_id)
        job = self._items[owner].job if owner is not None else None
        if job is not None:
            self._released.pop(job_id, None)
        elif job_id in self._released:
            job, _ = self._released[job_id]
        if job is None:
            self.desired.pop(job_id, None)
        else:
            self.desired[job_id] = job
        self._changed_ids.add(job_id)
