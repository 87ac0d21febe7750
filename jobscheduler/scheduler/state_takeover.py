"""Takes over what is known of the former service, at a start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from jobscheduler.model import RecoveredState
from jobscheduler.scheduler.accounting import Accounting
from jobscheduler.scheduler.checkpoint_builder import CheckpointBuilder
from jobscheduler.scheduler.clock_progress import ClockProgress
from jobscheduler.scheduler.former_service import FormerService
from jobscheduler.scheduler.outage_slots import OutageSlots
from jobscheduler.scheduler.registry import JobRegistry
from jobscheduler.scheduler.surroundings import SchedulerHost
from jobscheduler.status.standings import Standings


class StateTakeover:
    """Hands the recovered state to all that keep a part of it: registry, standings, checkpoints, progress and pauses.

    Lock: the caller's.
    """

    def __init__(
        self,
        registry: JobRegistry,
        progress: ClockProgress,
        checkpoints: CheckpointBuilder,
        accounting: Accounting,
        elapsed: Callable[[], float],
        host: SchedulerHost,
        standings: Standings,
    ) -> None:
        """`elapsed` returns seconds of a clock that is never set."""
        self._registry = registry
        self._progress = progress
        self._checkpoints = checkpoints
        self._accounting = accounting
        self._elapsed = elapsed
        self._host = host
        self._standings = standings

    def take_over(self, state: RecoveredState | None, now: datetime) -> tuple[RecoveredState | None, OutageSlots]:
        """End interrupted runs; return the part of the state that is trusted, and the slots of the outage."""
        boot = self._host.boot
        state, mentions_boot = self._accounting.trusted(state, now)
        former = FormerService(state, boot, now, self._elapsed(), mentions_boot=mentions_boot)
        if state is not None:
            self._standings.restore(former.full.results, state.results, former.clock.up_at, former.clock.moved_by())
        outage = OutageSlots(former, self._accounting)
        self._checkpoints.accounted_since = former.floor
        outage.pending.fail_interrupted(now)
        self._progress.restore(now, former.ahead)
        self._registry.pauses.restore(former.full.pauses, former.state.last_line_at, now)
        for job_id, ranges in (state.recorded if state is not None else {}).items():
            self._registry.memory.note_decided(job_id, min(now, max(last for _, last in ranges)))
        return state, outage
