"""Keeps what was decided in the log of one host: each decision is a line, which a start reads back."""

from __future__ import annotations

from datetime import datetime

from jobscheduler.model import Checkpoint, Event, LogFields, Pause, Record, RecoveredState
from jobscheduler.runner import Run
from jobscheduler.scheduler.accounting import Claims, Trusted
from jobscheduler.scheduler.clock_setback import ClockSetbackState
from jobscheduler.scheduler.log_lines import decided_events, paused_event, pending_event, requested_event, resumed_event
from jobscheduler.scheduler.log_trust import trusted_state
from jobscheduler.scheduler.pauses import Resumed
from jobscheduler.scheduler.surroundings import SchedulerHost, SchedulerLog


class LogAccounting:
    """The log as `Accounting`. Lines are only queued here, which never waits.

    A checkpoint is queued under the same lock as other lines. So it cannot fall between a decision and its line.
    """

    def __init__(self, log: SchedulerLog, host: SchedulerHost) -> None:
        """`host` is the one whose log is read back."""
        self.claims: Claims | None = None  # a log has one service, so a run needs no leave
        self.wants_full = False  # its service knows when a new file begins
        self._write = log.write
        self._write_checkpoint = log.write_checkpoint
        self._host = host

    def record(self, record: Record) -> None:
        """Write the one record of a run, or of slots that do not run."""
        self._write(record)

    def pending(
        self, job_id: str, slot: datetime, now: datetime, starts: datetime | None = None, extra: LogFields = ()
    ) -> None:
        """Write that a slot is due and has not begun: neither a crash nor a newer file then hides it."""
        self._write(pending_event(job_id, slot, now, starts, extra))

    def requested(self, run: Run, now: datetime) -> None:
        """Write that a manual run was requested, at once: it may be queued when the service crashes."""
        self._write(requested_event(run, now))

    def decided_ahead(self, job_id: str, ahead: ClockSetbackState, now: datetime) -> None:
        """Write which slots to come are decided, and which only a wrong clock missed."""
        for event in decided_events(job_id, ahead, now):
            self._write(event)

    def paused(self, pause: Pause, now: datetime, *, again: bool = False) -> None:
        """Write that a pause begins, or that the clock was set back into it."""
        self._write(paused_event(pause, now, again=again))

    def resumed(self, change: Resumed, now: datetime) -> None:
        """Write that a pause ends, or that jobs are exempt from it."""
        self._write(resumed_event(change, now))

    def note(self, event: Event) -> None:
        """Write a line that no start reads back."""
        self._write(event)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint."""
        self._write_checkpoint(checkpoint)

    def trusted(self, state: RecoveredState | None, now: datetime) -> Trusted:
        """Return the state if the log is that of this host; report once that it is not."""
        return Trusted(*trusted_state(state, self._host.id, self._host.boot, self._write, now))
