"""What the scheduler needs of the place that keeps what was decided: the log of one host, or the account of several.

1. `Accounting` takes every decision as it is made, and the records of runs.
2. The way back is a value: a `RecoveredState` says what was decided before this service began to decide. Each
   implementation builds it, and may take its time for that. The engine then accounts for the time between.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple, Protocol

from jobscheduler.model import Checkpoint, Event, LogFields, Pause, Record, RecoveredState
from jobscheduler.runner import Run
from jobscheduler.scheduler.clock_setback import ClockSetbackState
from jobscheduler.scheduler.pauses import Resumed


class Trusted(NamedTuple):
    """The part of a recovered state that counts: None if it is that of another host.

    `mentions_boot`: the other part shows at least that its service ran in this boot.
    """

    state: RecoveredState | None
    mentions_boot: bool = False


class Accounting(Protocol):
    """Keeps what was decided about slots, for the next service that decides.

    Lock: the scheduler's, held by the caller of every method but `trusted`. So none of them waits, and what they take
    is kept in the order of the calls.
    """

    def record(self, record: Record) -> object:
        """Keep the one record of a run, or of slots that do not run."""

    def pending(
        self, job_id: str, slot: datetime, now: datetime, starts: datetime | None = None, extra: LogFields = ()
    ) -> object:
        """Keep that a slot is due and has not begun; `starts` is given while it is not decided yet."""

    def requested(self, run: Run, now: datetime) -> object:
        """Keep that a person, or another run, has asked for a run: it has no slot that a start could find."""

    def decided_ahead(self, job_id: str, ahead: ClockSetbackState, now: datetime) -> object:
        """Keep which slots to come are decided already, and which only a wrong clock missed."""

    def paused(self, pause: Pause, now: datetime, *, again: bool = False) -> object:
        """Keep that a pause begins, or that the clock was set back into it (`again`)."""

    def resumed(self, change: Resumed, now: datetime) -> object:
        """Keep that a pause ends, or that jobs are exempt from it."""

    def note(self, event: Event) -> object:
        """Tell people of something that no start needs."""

    def checkpoint(self, checkpoint: Checkpoint) -> object:
        """Keep up to where every slot is decided, and how every job stands."""

    def trusted(self, state: RecoveredState | None, now: datetime) -> Trusted:
        """Return the part of a recovered state that counts for this service."""
