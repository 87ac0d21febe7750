"""Tells what the log shows of the service before this start: how far it had decided, for which jobs, on which boot."""

from __future__ import annotations

from datetime import datetime

from jobscheduler.model import Checkpoint, FullCheckpoint, InFlightRun, Job, RecoveredState
from jobscheduler.model.hash_digits import has_same_slots
from jobscheduler.scheduler.clock_setback import CLOCK_MEMORY_S, MissedSpan
from jobscheduler.scheduler.outage_clock import OutageClock
from jobscheduler.timetable.definition_hash import definition_hash
from jobscheduler.util.time_spans import span_at


def _nothing_known(now: datetime) -> RecoveredState:
    """Return the state without a log: nothing was decided, nothing missed."""
    return RecoveredState(Checkpoint(now, "-"), now, clean_stop=True, last_decided_slot=lambda *_: None)


class FormerService:
    """The service before this start, as its log shows it. Nothing here changes.

    - `is_boot_known`: `@reboot` was decided for this boot of the host.
    - `started`: this start. `settled`: up to there every slot was accounted for.
    - `ahead`: the latest decided slot of all, including those decided while the clock was wrong.
    - `clock`: how long the service was away.
    - `lagging`: the cursors of jobs that had due slots without a decision.
    """

    def __init__(
        self,
        state: RecoveredState | None,
        boot: str,
        now: datetime,
        uptime: float = 0.0,
        *,
        mentions_boot: bool = False,
    ) -> None:
        """`boot` identifies this boot of the host, `uptime` is its age in seconds, `now` is the start.

        `mentions_boot`: a log that is not trusted shows at least that its service ran in this boot.
        """
        self.is_known = state is not None
        self.state = state = state or _nothing_known(now)
        self.full = state.full or FullCheckpoint()
        self.started = now
        self.settled = state.checkpoint.settled
        self.clock = OutageClock(state, boot, now, uptime, mentions_boot=mentions_boot)
        ends = (last for ranges in state.recorded.values() for _, last in ranges)
        self.ahead = max([self.settled, state.checkpoint.clock_ahead or self.settled, *ends])
        self.lagging = dict(state.checkpoint.lagging)
        self._at_work: dict[str, list[InFlightRun]] = {}
        for run in state.at_work:
            self._at_work.setdefault(run.job_id, []).append(run)
        self._corrects = frozenset(state.checkpoint.corrects)

    @property
    def is_boot_known(self) -> bool:
        """Whether what runs at a boot was decided for this one."""
        return self.clock.is_same_boot or self.state.knows_boot

    @property
    def floor(self) -> datetime:
        """The instant from which the slots of all jobs were decided."""
        return self.full.accounted_since if self.is_known else self.started

    def was_active(self, job: Job) -> bool:
        """Return whether a job was active before the start, and due at the same times as now."""
        former_hash = self.full.hashes.get(job.id)
        return former_hash is not None and has_same_slots(former_hash, definition_hash(job))

    def at_work(self, job_id: str) -> list[InFlightRun]:
        """Return the runs of a job that go on elsewhere."""
        return self._at_work.get(job_id, [])

    def is_corrected(self, job_id: str, slot: datetime) -> bool:
        """Return whether a pending or begun slot was recorded as missed before, because of a wrong clock."""
        return (job_id, slot) in self._corrects

    def missed(self, job_id: str) -> tuple[MissedSpan, ...]:
        """Return the missed spans that may be reopened, by the uptime of this boot."""
        spans = self.full.missed.get(job_id)
        if not spans:
            return ()
        open_until = self.clock.uptime + CLOCK_MEMORY_S - self.clock.elapsed()
        return tuple(MissedSpan(first, last, open_until - age) for first, last, age in spans)

    def may_come_again(self, job_id: str, at: datetime, now: datetime) -> bool:
        """Return whether only a wrong clock has missed a future slot."""
        if span_at(at, self.full.reopened.get(job_id, ())):
            return True
        reopenable = (span for span in self.missed(job_id) if span.open_until > self.clock.uptime)
        return at > now and any(span.first <= at <= span.last for span in reopenable)
