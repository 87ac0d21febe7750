"""What the scheduler needs of the place that keeps what was decided: the log of one host, or the account of several.

1. `Accounting` takes every decision as it is made, and the records of runs.
2. `Claims` gives leave to runs, where several services share the slots. The answer comes later, so the scheduling
   thread never waits for a database.
3. The way back is a value: a `RecoveredState` says what was decided before this service began to decide. Each
   implementation builds it, and may take its time for that. The engine then accounts for the time between.
"""

from __future__ import annotations

from collections.abc import Callable
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


Answer = Callable[[bool], object]  # takes whether a run has what it asked for


class Claims(Protocol):
    """Gives leave to runs, so that of several services one runs a slot, and once.

    What was asked while this service led before is given up: when it leads again, it has decided those slots anew.
    `answer` is called on any thread, but never by the call that takes it; it may be called twice. It is not called at
    all when this service loses the right to decide: `stand_by` then ends the wait. No method waits.

    Thread: any.
    """

    def claim(self, run: Run, answer: Answer) -> object:
        """Ask for the slot of a new run. A slot is refused that another run has, or that has its record.

        Lock: the scheduler's is held, so a claim is kept in its order among the calls of `Accounting`.
        """

    def begin(self, run: Run, answer: Answer) -> object:
        """Ask whether a run may make its next attempt. It is refused if its slot was taken away meanwhile."""

    def stop(self, job_id: str, run_id: str, reason: str, by: str = "") -> object:
        """Ask another service to end a run that is at work there; `by` is the person who wants it, if one does."""

    def give_back(self, run: Run) -> object:
        """Give back the slot of a run that was allowed to begin here, and did not.

        The next leader decides about it. If another one leads by now the slot is missed: that one took it for begun.
        """


class Accounting(Protocol):
    """Keeps what was decided about slots, for the next service that decides.

    Lock: the scheduler's, held by the caller of every method but `trusted`, and of `record` for what follows from a
    decision. So none of them waits, and what they take is kept in the order of the calls.
    """

    @property
    def claims(self) -> Claims | None:
        """What gives leave to runs; None where this service alone decides, and no run needs leave."""

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

    @property
    def wants_full(self) -> bool:
        """Whether so much follows the last full checkpoint that the next one should be full. Lock: none is needed."""

    def trusted(self, state: RecoveredState | None, now: datetime) -> Trusted:
        """Return the part of a recovered state that counts for this service."""
