"""What each item of a source holds: its last good definition, what is wrong with it, and which item owns which id.

Good news counts at once, bad news when it has settled: an item that is gone, or that cannot be read as a job, or whose
id another one has, is left alone until it has been so for a quiet second. No I/O and no clock: `now` is an argument, in
seconds of any clock that only moves forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from jobscheduler.model import Job, Problem, Signature, in_order

SETTLED = 1.0
"""How long bad news must have been so before it counts, in seconds."""

Verdict = Job | tuple[Problem, ...] | None
"""What a look at an item gave: a definition, problems, or nothing because it is gone."""


class State(StrEnum):
    """How an item stands."""

    GOOD = "good"
    STALE = "stale"
    REFUSED = "refused"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Condition:
    """How an item stands and why: its problems, or the item that already has its id."""

    state: State
    problems: tuple[Problem, ...] = ()
    incumbent: str | None = None


GOOD = Condition(State.GOOD)


@dataclass(frozen=True, slots=True)
class Report:
    """A change in how an item stands, to be told once: before and after, and the definition concerned if any."""

    name: str
    before: Condition
    after: Condition
    job: Job | None


@dataclass(slots=True)
class _Held:
    signature: Signature
    since: float
    job: Job | None = None
    problems: tuple[Problem, ...] = ()
    gone: bool = False
    again: bool = False
    told: Condition = GOOD


@dataclass(slots=True)
class Catalog:
    """All items of all sources. `desired` is what should be in force: id to definition.

    `is_unknown` tells by the name of an item that its source cannot be read now: no bad news of it settles then.
    """

    desired: dict[str, Job] = field(default_factory=dict)
    is_unknown: Callable[[str], bool] = lambda name: False
    _items: dict[str, _Held] = field(default_factory=dict)
    _owner: dict[str, str] = field(default_factory=dict)
    _claims: dict[str, set[str]] = field(default_factory=dict)
    _leaving: dict[str, tuple[Job, float]] = field(default_factory=dict)
    _doubtful: set[str] = field(default_factory=set)
    _touched: set[str] = field(default_factory=set)
    _left: list[Report] = field(default_factory=list)
    _bad: dict[str, Condition] = field(default_factory=dict)

    def signatures(self) -> dict[str, Signature]:
        """Return the signature of each item at its last look: None for one that was gone, () to have it read again."""
        return {name: None if held.gone else () if held.again else held.signature for name, held in self._items.items()}

    def forget_signatures(self, has: Callable[[str], bool] = lambda name: True) -> None:
        """Have every item, or those that `has` by their names, read again at the next look, whatever its signature."""
        for name, held in self._items.items():
            if has(name):
                held.signature = ()

    def rejudged(self) -> list[str]:
        """List the items with findings that may heal without an edit."""
        return [
            name
            for name, held in self._items.items()
            if held.problems and any(problem.host for problem in held.problems)
        ]

    def see(
        self,
        name: str,
        signature: Signature,
        verdict: Verdict,
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
            held = self._items[name] = _Held(signature, now - age)
        is_new = held.job is None and not held.problems
        was = (held.signature, held.gone, held.problems)
        held.signature, held.gone, held.again = signature, verdict is None, again
        if isinstance(verdict, Job):
            held.problems = ()
            self._define(name, held, verdict, now)
        elif verdict is not None:
            held.problems = verdict
        if not is_new and was != (held.signature, held.gone, held.problems):
            held.since = now - age
        self._doubtful.add(name)

    def settle(self, now: float) -> None:
        """Let go of every item that has been gone for long enough, and of ids that nobody took from who left them."""
        left = [(job_id, since) for job_id, (job, since) in self._leaving.items() if not self.is_unknown(job.origin)]
        for job_id in [one for one, since in left if now - since >= SETTLED]:
            del self._leaving[job_id]
            self._refresh(job_id)
        for name in [one for one in self._doubtful if self._items[one].gone and self._is_settled(one, now)]:
            held = self._items.pop(name)
            self._doubtful.discard(name)
            self._bad.pop(name, None)
            if held.told != GOOD:
                self._left.append(Report(name, held.told, Condition(State.GONE), None))
            if held.job is not None:
                self._release(name, held.job.id, now)

    def unsettled(self, now: float) -> list[str]:
        """List the items whose bad news is due to be looked at once more, and then to be believed."""
        return [name for name in self._doubtful if self._is_settled(name, now)]

    def settle_at(self) -> float | None:
        """Say when the next bad news will have settled; None if there is none."""
        doubts = [self._items[name].since for name in self._doubtful if not self.is_unknown(name)]
        doubts += [since for job, since in self._leaving.values() if not self.is_unknown(job.origin)]
        return min(doubts) + SETTLED if doubts else None

    def take_touched(self) -> set[str]:
        """Return the ids whose desired definition may have changed since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def reports(self, now: float) -> list[Report]:
        """Return what has changed, and has settled, since it was last told; each change once."""
        told, self._left = self._left, []
        doubtful: set[str] = set()  # a new one: emptied, that of a start would stay as large as it was
        for name in sorted(self._doubtful):
            held, condition = self._items[name], self.condition(name)
            if condition == held.told:
                continue
            if condition.state is State.GOOD or (condition.state is not State.GONE and self._is_settled(name, now)):
                told.append(Report(name, held.told, condition, held.job))
                held.told = condition
                if condition == GOOD:
                    self._bad.pop(name, None)
                else:
                    self._bad[name] = condition
            else:
                doubtful.add(name)
        self._doubtful = doubtful
        return told

    def condition(self, name: str) -> Condition:
        """Say how an item stands now."""
        held = self._items[name]
        owner = self._owner.get(held.job.id) if held.job else None
        if held.gone:
            return Condition(State.GONE)
        if held.problems:
            return Condition(State.STALE if owner == name else State.REFUSED, held.problems)
        return GOOD if owner == name else Condition(State.REFUSED, incumbent=owner)

    def told(self) -> dict[str, Condition]:
        """Return the items that were last told to be stale or refused."""
        return dict(self._bad)

    def _is_settled(self, name: str, now: float) -> bool:
        return now - self._items[name].since >= SETTLED and not self.is_unknown(name)

    def _define(self, name: str, held: _Held, job: Job, now: float) -> None:
        """Put a new definition into an item: it gives its former id free and claims its new one.

        If that is taken, the two may be about to swap: its former job stays in force until somebody takes its id, or
        it has settled that nobody does.
        """
        former, held.job = held.job, job
        if former is not None and former.id != job.id:
            if self._is_taken(job.id, name):
                self._leaving[former.id] = former, now
            self._release(name, former.id, now)
        self._claims.setdefault(job.id, set()).add(name)
        if not self._is_taken(job.id, name):
            self._owner[job.id] = name
        self._refresh(job.id)

    def _is_taken(self, job_id: str, name: str) -> bool:
        """Tell whether an id belongs to another item that is there."""
        owner = self._owner.get(job_id)
        return owner is not None and owner != name and not self._items[owner].gone

    def _release(self, name: str, job_id: str, now: float) -> None:
        """Give an id free: of those that wait for it, the one whose name sorts first takes over."""
        waiting = self._claims[job_id]
        waiting.discard(name)
        if self._owner.get(job_id) == name:
            del self._owner[job_id]
            present = [one for one in waiting if not self._items[one].gone] or waiting
            if present:
                self._owner[job_id] = min(present, key=in_order)
            self._doubt(waiting, now)
        if not waiting:
            del self._claims[job_id]
        self._refresh(job_id)

    def _doubt(self, names: Iterable[str], now: float) -> None:
        for name in names:
            self._items[name].since = now
            self._doubtful.add(name)

    def _refresh(self, job_id: str) -> None:
        owner = self._owner.get(job_id)
        job = self._items[owner].job if owner is not None else None
        if job is not None:
            self._leaving.pop(job_id, None)
        elif job_id in self._leaving:
            job, _ = self._leaving[job_id]
        if job is None:
            self.desired.pop(job_id, None)
        else:
            self.desired[job_id] = job
        self._touched.add(job_id)
