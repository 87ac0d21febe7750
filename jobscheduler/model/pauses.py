"""A pause: the slots of the jobs that it selects are skipped until it ends."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from jobscheduler.model.selection import Selector, is_selected

FOREVER = datetime.max.replace(tzinfo=UTC)  # the end of a pause without an end


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause. Slots earlier than `until` are skipped (None: all); `exempt` selects jobs that it no longer covers.

    `reason` and `by` are from the person who paused. `is_resumed`: that person, or another, ended it at `until`. It
    then only tells what becomes of slots from before that are still undecided. A pause whose time is over is in force
    again when the clock is set back to before its end; one that was resumed is not.
    """

    id: str
    selector: Selector
    since: datetime
    until: datetime | None = None
    reason: str = ""
    by: str = ""
    exempt: tuple[Selector, ...] = ()
    is_resumed: bool = False

    @property
    def end(self) -> datetime:
        """Its end; far in the future if it has none."""
        return FOREVER if self.until is None else self.until

    def covers(self, job_id: str, tags: Collection[str]) -> bool:
        """Return whether it is, or was, a pause of this job."""
        return self.selector.matches(job_id, tags) and not (self.exempt and is_selected(self.exempt, job_id, tags))

    def is_in_force(self, now: datetime) -> bool:
        """Return whether slots are skipped now."""
        return not self.is_resumed and now < self.end


class PauseIndex:
    """Some pauses, sorted so that those of a job are found at once. It never changes."""

    def __init__(self, pauses: Iterable[Pause] = ()) -> None:
        self._of_job: dict[str, list[Pause]] = {}
        self._of_many: list[Pause] = []
        for pause in pauses:
            job_id = pause.selector.job_id
            (self._of_many if job_id is None else self._of_job.setdefault(job_id, [])).append(pause)

    def __bool__(self) -> bool:
        return bool(self._of_job or self._of_many)

    def of(self, job_id: str, tags: Collection[str]) -> tuple[Pause, ...]:
        """Return the pauses of a job, in force or over."""
        if not self:
            return ()
        return tuple(pause for pause in (*self._of_job.get(job_id, ()), *self._of_many) if pause.covers(job_id, tags))

    def in_force(self, job_id: str, tags: Collection[str], now: datetime) -> tuple[Pause, ...]:
        """Return the pauses of a job that are in force."""
        return tuple(pause for pause in self.of(job_id, tags) if pause.is_in_force(now))

    def paused_until(self, job_id: str, tags: Collection[str]) -> datetime | None:
        """Return the instant before which the slots of a job are skipped, None if it has no pause."""
        if not self:
            return None
        return max((pause.end for pause in self.of(job_id, tags)), default=None)
