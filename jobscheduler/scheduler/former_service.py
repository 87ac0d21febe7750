"""Tells what the log shows of the service before this start: how far it had decided, for which jobs, on which boot."""

from __future__ import annotations

from datetime import datetime, timedelta

from jobscheduler.model import Checkpoint, FullCheckpoint, InFlightRun, Job, RecoveredState
from jobscheduler.scheduler.clock_setback import CLOCK_MEMORY_S, MissedSpan
from jobscheduler.timetable.definition_hash import definition_hash, has_same_slots
from jobscheduler.util.host_id import is_same_boot
from jobscheduler.util.time_spans import span_at

MIN_CLOCK_STEP_S = 1.0  # the clock was set during the outage if it gained more than this on the uptime
UNSYNCED_WINDOW = timedelta(seconds=2)  # lines this long after the last one may be lost in a crash of the host


def _nothing_known(now: datetime) -> RecoveredState:
    """Return the state without a log: nothing was decided, nothing missed."""
    return RecoveredState(Checkpoint(now, "-"), now, clean_stop=True, last_decided_slot=lambda *_: None)


class FormerService:
    """The service before this start, as its log shows it. Nothing here changes.

    - `is_boot_known`: `@reboot` was decided for this boot of the host.
    - `started`: this start. `settled`: up to there every slot was accounted for.
    - `ahead`: the latest decided slot of all, including those decided while the clock was wrong.
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
        self.is_same_boot = mentions_boot or (
            is_same_boot(state.checkpoint.boot, boot) and (state.checkpoint.uptime or 0.0) <= uptime + MIN_CLOCK_STEP_S
        )
        ends = (last for ranges in state.recorded.values() for _, last in ranges)
        self.ahead = max([self.settled, state.checkpoint.clock_ahead or self.settled, *ends])
        self.lagging = dict(state.checkpoint.lagging)
        self.uptime = uptime
        self._at_work: dict[str, list[InFlightRun]] = {}
        for run in state.at_work:
            self._at_work.setdefault(run.job_id, []).append(run)
        self._corrects = frozenset(state.checkpoint.corrects)

    @property
    def is_boot_known(self) -> bool:
        """Whether what runs at a boot was decided for this one."""
        return self.is_same_boot or self.state.knows_boot

    @property
    def floor(self) -> datetime:
        """The instant from which the slots of all jobs were decided."""
        return self.full.accounted_since if self.is_known else self.started

    def elapsed(self) -> float:
        """Return the seconds of the outage by the clock that is never set; 0 if the host was booted since."""
        before = self.state.checkpoint.uptime
        return self.uptime - before if self.is_same_boot and before is not None else 0.0

    def up_at(self, at: datetime) -> float:
        """Return the uptime of the former service at a line of its log that is later than its last checkpoint."""
        written_at = self.state.checkpoint_written_at or at
        return (self.state.checkpoint.uptime or 0.0) + max(0.0, (at - written_at).total_seconds())

    def moved_by(self) -> float:
        """Return how much this uptime is ahead of the former one, as if that had gone on; 0 in the same boot.

        After another boot only the clock tells how long the outage was.
        """
        if self.is_same_boot:
            return 0.0
        last = self.state.last_line_at
        return self.uptime - self.up_at(last) - max(0.0, (self.started - last).total_seconds())

    def late_reason(self) -> str:
        """Return why slots are late: `down`, or `clock` if the clock was set ahead during the outage."""
        written_at, elapsed = self.state.checkpoint_written_at, self.elapsed()
        if written_at is None or not self.is_same_boot or self.state.checkpoint.uptime is None:
            return "down"
        set_by = (self.started - written_at).total_seconds() - elapsed
        return "clock" if set_by > MIN_CLOCK_STEP_S and set_by > elapsed else "down"

    def unknown_until(self) -> datetime | None:
        """Return the time up to which log lines may be lost; None unless the host went down without a stop."""
        is_unclean = not self.is_same_boot and not self.state.clean_stop
        return self.state.last_line_at + UNSYNCED_WINDOW if is_unclean else None

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
        open_until = self.uptime + CLOCK_MEMORY_S - self.elapsed()
        return tuple(MissedSpan(first, last, open_until - age) for first, last, age in spans)

    def may_come_again(self, job_id: str, at: datetime, now: datetime) -> bool:
        """Return whether only a wrong clock has missed a future slot."""
        if span_at(at, self.full.reopened.get(job_id, ())):
            return True
        reopenable = (span for span in self.missed(job_id) if span.open_until > self.uptime)
        return at > now and any(span.first <= at <= span.last for span in reopenable)
