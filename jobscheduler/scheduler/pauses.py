"""Keeps the pauses: those in force, those that are to come back, and the ends that undecided slots still need.

1. What becomes of a slot depends on the ends of the pauses of its job: a slot before the latest end is skipped. So it
   makes no difference when it is decided, before a restart or after it.
2. A pause that was resumed is kept until every slot before its end is decided.
3. A pause whose time is over is kept for a day: when the clock is set back to before its end, it is in force again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from jobscheduler.model import EPOCH, FOREVER, Pause, PauseIndex, truncate_to_ms
from jobscheduler.model.selection import ALL, Selector
from jobscheduler.scheduler.clock_setback import CLOCK_MEMORY_S

MAX_PAUSES = 5000  # pauses and exemptions that are kept

_ID_BYTES = 4  # of the id of a pause, which has twice as many hexadecimal digits

JobTags = Mapping[str, Collection[str]]  # the tags of each job, by id


class TooManyPauses(Exception):
    """There are as many pauses as are kept; a pattern or a tag would do with one."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """A pause that ended: its time was over, or the user `by` resumed it. Only for `exempt`, if that is given."""

    pause: Pause
    by: str | None = None
    exempt: Selector | None = None


class Pauses:
    """All pauses; `index` finds those of a job, and `is_empty` says that there are none.

    Lock: the caller's. An index may be read without it.
    """

    def __init__(self, elapsed: Callable[[], float]) -> None:
        """`elapsed` returns seconds of a clock that is never set."""
        self.index = PauseIndex()
        self.is_empty = True
        self._elapsed = elapsed
        self._pauses: dict[str, Pause] = {}
        self._in_force: set[str] = set()
        self._over_since: dict[str, float] = {}
        self._next_end = FOREVER

    # -- questions

    def all(self) -> tuple[Pause, ...]:
        """Return every pause that is kept."""
        return tuple(self._pauses.values())

    def in_force(self, now: datetime) -> tuple[Pause, ...]:
        """Return the pauses in force, in the order in which they began."""
        return tuple(pause for pause in self._pauses.values() if pause.is_in_force(now))

    # -- changes

    def restore(self, pauses: Iterable[Pause], former: datetime, now: datetime) -> None:
        """Take over the pauses that the log tells of, as they were at the instant `former`.

        A pause that was resumed later than `now`, by a clock that was wrong, ends no slot to come.
        """
        known = {pause.id: pause for pause in pauses}
        self._pauses = {key: _not_after(pause, now) if pause.is_resumed else pause for key, pause in known.items()}
        self._in_force = {pause.id for pause in self._pauses.values() if pause.is_in_force(former)}
        self._changed()
        self._next_end = EPOCH  # the clock may have passed ends since, or be behind some again

    def add(
        self, selectors: Iterable[Selector], until: datetime | None, reason: str, by: str, now: datetime
    ) -> list[Pause]:
        """Pause what each of these selects; return the pauses that are new, or last longer than before.

        A pause of just the same jobs that lasts at least as long makes a further one needless.

        Raises:
            TooManyPauses: nothing has changed.

        """
        same = {pause.selector: pause for pause in self.in_force(now) if not pause.exempt}
        since, until = truncate_to_ms(now), None if until is None else truncate_to_ms(until)
        added = []
        for selector in selectors:
            former = same.get(selector)
            if former is not None and former.end >= (until or FOREVER):
                continue
            key = secrets.token_hex(_ID_BYTES) if former is None else former.id
            added.append(Pause(key, selector, since if former is None else former.since, until, reason, by))
        self._require_room(sum(pause.id not in self._pauses for pause in added))
        self._pauses |= {pause.id: pause for pause in added}
        self._in_force |= {pause.id for pause in added}
        self._changed()
        return added

    def resume(self, selectors: Collection[Selector], jobs: JobTags, by: str, now: datetime) -> list[Resumed]:
        """Let what these select run again, whatever paused it; return what has changed.

        A pause of just that is over. A pause of more goes on without the selected jobs, also without later ones.
        """
        now = truncate_to_ms(now)
        changes = [change for pause in self.in_force(now) for change in _resumed(pause, selectors, jobs, by)]
        self._require_room(sum(change.exempt is not None for change in changes))
        for change in changes:
            pause = self._pauses[change.pause.id]
            self._pauses[pause.id] = (
                replace(_not_after(pause, now), is_resumed=True)
                if change.exempt is None
                else replace(pause, exempt=(*pause.exempt, change.exempt))
            )
            if change.exempt is None:
                self._in_force.discard(pause.id)
        self._changed()
        return changes

    def _require_room(self, more: int) -> None:
        if more and more + sum(1 + len(pause.exempt) for pause in self._pauses.values()) > MAX_PAUSES:
            raise TooManyPauses

    # -- the clock

    def note_time(self, now: datetime) -> list[Pause | Resumed]:
        """Return the pauses that ended by now, and those that the clock was set back into; each once."""
        if now < self._next_end:
            return []
        changes: list[Pause | Resumed] = []
        for pause in self._pauses.values():
            if pause.is_resumed or pause.is_in_force(now) == (pause.id in self._in_force):
                continue
            changes.append(pause if pause.id not in self._in_force else Resumed(pause))
        self._in_force ^= {change.id if isinstance(change, Pause) else change.pause.id for change in changes}
        self._changed()
        return changes

    def clock_set_back(self, now: datetime) -> list[Pause | Resumed]:
        """Return the pauses that are in force again. No slot from `now` on was skipped for one that was resumed."""
        self._pauses = {
            key: _not_after(pause, now) if pause.is_resumed else pause for key, pause in self._pauses.items()
        }
        self._next_end = now
        return self.note_time(now)

    def forget(self, decided_until: datetime) -> None:
        """Forget what was resumed, for all slots up to this instant are decided; and what was over a day ago."""
        if not self._pauses:
            return
        elapsed = self._elapsed()
        over = {key for key, pause in self._pauses.items() if not pause.is_resumed} - self._in_force
        self._over_since = {key: self._over_since.get(key, elapsed) for key in over}
        self._pauses = {
            key: pause
            for key, pause in self._pauses.items()
            if (pause.end > decided_until if pause.is_resumed else not self._is_long_over(key, elapsed))
        }
        self._changed()

    def _is_long_over(self, key: str, elapsed: float) -> bool:
        return elapsed - self._over_since.get(key, elapsed) > CLOCK_MEMORY_S

    def _changed(self) -> None:
        """Publish the pauses anew, and find the next end."""
        self.index, self.is_empty = PauseIndex(self._pauses.values()), not self._pauses
        ends = (pause.end for key, pause in self._pauses.items() if key in self._in_force)
        self._next_end = min(ends, default=FOREVER)


def _not_after(pause: Pause, now: datetime) -> Pause:
    return replace(pause, until=min(pause.end, now))


def _resumed(pause: Pause, selectors: Iterable[Selector], jobs: JobTags, by: str) -> Iterable[Resumed]:
    """Return how a pause changes when these are resumed: it ends, or some jobs are exempt from it."""
    exempt = []
    for selector in selectors:
        if selector.text == ALL or selector == pause.selector or _selects_job_of(selector, pause, jobs):
            return [Resumed(pause, by)]
        if any(selector.matches(job_id, tags) and pause.covers(job_id, tags) for job_id, tags in jobs.items()):
            exempt.append(Resumed(pause, by, selector))
    return exempt


def _selects_job_of(selector: Selector, pause: Pause, jobs: JobTags) -> bool:
    """Return whether a selector selects the one job of a pause."""
    job_id = pause.selector.job_id
    return job_id is not None and selector.matches(job_id, jobs.get(job_id, ()))
