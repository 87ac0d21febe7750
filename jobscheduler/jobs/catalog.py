"""The state of each item of a source: its last good definition, its problems, and which item owns which id.

Good news counts at once, bad news when it has settled. An item that is missing, that cannot be read as a job, or whose
id another item has, is left alone until it has been so for a second. No I/O and no clock: `now` is an argument, in
seconds of any clock that only moves forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from jobscheduler.model import Fingerprint, Job, Problem, name_sort_key

SETTLE_DELAY_S = 1.0  # bad news counts after it has been so for this long

ParseResult = Job | tuple[Problem, ...] | None  # a definition, problems, or None because the item is missing


class ItemState(StrEnum):
    """The state of an item."""

    GOOD = "good"
    STALE = "stale"
    REFUSED = "refused"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class ItemStatus:
    """The state of an item and the reason: its problems, or `incumbent`, the item that already has its id."""

    state: ItemState
    problems: tuple[Problem, ...] = ()
    incumbent: str | None = None


GOOD = ItemStatus(ItemState.GOOD)


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A change of the status of an item, to be logged once, with the definition that it is about, if any."""

    name: str
    before: ItemStatus
    after: ItemStatus
    job: Job | None


@dataclass(slots=True)
class _Item:
    fingerprint: Fingerprint
    since: float  # when it became as it is now
    job: Job | None = None  # the last good definition
    problems: tuple[Problem, ...] = ()
    is_missing: bool = False
    reread: bool = False
    reported: ItemStatus = GOOD


@dataclass(slots=True)
class Catalog:
    """All items of all sources. `desired` is what should be active, by id.

    `is_unknown` tells whether the source of an item cannot be read now. Bad news about the item does not settle then.
    """

    desired: dict[str, Job] = field(default_factory=dict)
    is_unknown: Callable[[str], bool] = lambda name: False
    _items: dict[str, _Item] = field(default_factory=dict)
    _owner: dict[str, str] = field(default_factory=dict)  # id -> the item that has it
    _claims: dict[str, set[str]] = field(default_factory=dict)  # id -> all items that define it
    _released: dict[str, tuple[Job, float]] = field(default_factory=dict)  # id without item -> former job, since when
    _unsettled: set[str] = field(default_factory=set)
    _changed_ids: set[str] = field(default_factory=set)
    _departed: list[StatusChange] = field(default_factory=list)
    _bad: dict[str, ItemStatus] = field(default_factory=dict)  # as logged last

    def fingerprints(self) -> dict[str, Fingerprint]:
        """Return the last fingerprint of each item: None if it was missing, () if it must be read again."""
        return {
            name: None if item.is_missing else () if item.reread else item.fingerprint
            for name, item in self._items.items()
        }

    def invalidate_all(self, covered: Callable[[str], bool] = lambda name: True) -> None:
        """Make the next sync read every item again that is `covered` by its name, whatever its fingerprint."""
        for name, item in self._items.items():
            if covered(name):
                item.fingerprint = ()

    def host_dependent_items(self) -> list[str]:
        """Return the items with problems that may heal without an edit."""
        return [
            name
            for name, item in self._items.items()
            if item.problems and any(problem.host_dependent for problem in item.problems)
        ]

    def observe(
        self,
        name: str,
        fingerprint: Fingerprint,
        result: ParseResult,
        now: float,
        *,
        age: float = 0.0,
        reread: bool = False,
    ) -> None:
        """Record what reading an item gave. The items of a first sync must come in the order of their names.

        `age` is for how long it has been so. If that is long enough, bad news has settled already. With `reread` the
        item must be read once more, even if its fingerprint stays the same.
        """
        item = self._items.get(name)
        if item is None:
            if result is None:
                return
            item = self._items[name] = _Item(fingerprint, now - age)
        is_new = item.job is None and not item.problems
        before = (item.fingerprint, item.is_missing, item.problems)
        item.fingerprint, item.is_missing, item.reread = fingerprint, result is None, reread
        if isinstance(result, Job):
            item.problems = ()
            self._assign(name, item, result, now)
        elif result is not None:
            item.problems = result
        if not is_new and before != (item.fingerprint, item.is_missing, item.problems):
            item.since = now - age
        self._unsettled.add(name)

    def apply_settled(self, now: float) -> None:
        """Remove items that have been missing for `SETTLE_DELAY_S`, and released ids that no other item claimed."""
        for job_id in [job_id for job_id, released in self._released.items() if self._may_drop(*released, now)]:
            del self._released[job_id]
            self._refresh(job_id)
        for name in [name for name in self._unsettled if self._items[name].is_missing and self._is_settled(name, now)]:
            item = self._items.pop(name)
            self._unsettled.discard(name)
            self._bad.pop(name, None)
            if item.reported != GOOD:
                self._departed.append(StatusChange(name, item.reported, ItemStatus(ItemState.GONE), None))
            if item.job is not None:
                self._release(name, item.job.id, now)

    def due_for_recheck(self, now: float) -> list[str]:
        """Return the items whose bad news has settled. They must be read once more before it counts."""
        return [name for name in self._unsettled if self._is_settled(name, now)]

    def next_settle_at(self) -> float | None:
        """Return when the next bad news will have settled; None if there is none."""
        since = [self._items[name].since for name in self._unsettled if not self.is_unknown(name)]
        since += [released_at for job, released_at in self._released.values() if not self.is_unknown(job.source_name)]
        return min(since) + SETTLE_DELAY_S if since else None

    def pop_changed_ids(self) -> set[str]:
        """Return the ids whose desired definition may have changed since the last call."""
        changed_ids, self._changed_ids = self._changed_ids, set()
        return changed_ids

    def pop_changes(self, now: float) -> list[StatusChange]:
        """Return each change of status that has settled, once."""
        changes, self._departed = self._departed, []
        unsettled: set[str] = set()  # a new set: the old one, emptied, would keep the size that it had at the start
        for name in sorted(self._unsettled):
            item, status = self._items[name], self.status(name)
            if status == item.reported:
                continue
            if status.state is ItemState.GOOD or (status.state is not ItemState.GONE and self._is_settled(name, now)):
                changes.append(StatusChange(name, item.reported, status, item.job))
                item.reported = status
                if status == GOOD:
                    self._bad.pop(name, None)
                else:
                    self._bad[name] = status
            else:
                unsettled.add(name)
        self._unsettled = unsettled
        return changes

    def status(self, name: str) -> ItemStatus:
        """Return the present status of an item."""
        item = self._items[name]
        owner = self._owner.get(item.job.id) if item.job else None
        if item.is_missing:
            return ItemStatus(ItemState.GONE)
        if item.problems:
            return ItemStatus(ItemState.STALE if owner == name else ItemState.REFUSED, item.problems)
        return GOOD if owner == name else ItemStatus(ItemState.REFUSED, incumbent=owner)

    def items(self) -> list[tuple[str, Job | None, ItemStatus]]:
        """Return every item with its last good definition and its present status."""
        return [(name, item.job, self.status(name)) for name, item in self._items.items()]

    def bad_now(self) -> dict[str, ItemStatus]:
        """Return the status of each item that is stale or refused or may be, also where that has not settled."""
        return self._bad | {name: self.status(name) for name in self._unsettled}

    def bad_items(self) -> dict[str, ItemStatus]:
        """Return the items that were last logged as stale or refused."""
        return dict(self._bad)

    def _may_drop(self, job: Job, since: float, now: float) -> bool:
        """Return whether a released id has been without an item for long enough."""
        return now - since >= SETTLE_DELAY_S and not self.is_unknown(job.source_name)

    def _is_settled(self, name: str, now: float) -> bool:
        return now - self._items[name].since >= SETTLE_DELAY_S and not self.is_unknown(name)

    def _assign(self, name: str, item: _Item, job: Job, now: float) -> None:
        """Give an item a new definition: it releases its former id and claims the new one.

        If another item has the new id, the two may be about to swap. So the former job stays active until another item
        claims its id, or `SETTLE_DELAY_S` is over.
        """
        former, item.job = item.job, job
        if former is not None and former.id != job.id:
            if self._is_claimed(job.id, name):
                self._released[former.id] = former, now
            self._release(name, former.id, now)
        self._claims.setdefault(job.id, set()).add(name)
        if not self._is_claimed(job.id, name):
            self._owner[job.id] = name
        self._refresh(job.id)

    def _is_claimed(self, job_id: str, name: str) -> bool:
        """Return whether another item has an id and is not missing."""
        owner = self._owner.get(job_id)
        return owner is not None and owner != name and not self._items[owner].is_missing

    def _release(self, name: str, job_id: str, now: float) -> None:
        """Release an id. Of the items that wait for it, the one whose name sorts first takes over."""
        waiting = self._claims[job_id]
        waiting.discard(name)
        if self._owner.get(job_id) == name:
            del self._owner[job_id]
            present = [name for name in waiting if not self._items[name].is_missing] or waiting
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
        """Set the desired definition of an id: that of its owner, or the former one while it is only released."""
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
