"""The account of slots in the log: checkpoints, and the state that a start recovers from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from jobscheduler.model.pauses import Pause
from jobscheduler.model.standing import NO_RESULTS, LoggedResult, ResultState

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # earlier than any slot that matters


def truncate_to_ms(at: datetime) -> datetime:
    """Cut an instant to whole milliseconds: the log has no more digits, and slots are recognised from the log."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


# Reasons of MISSED that a wrong clock may have caused: when it is set back, such slots may lie ahead after all.
REOPENABLE_REASONS = frozenset({"down", "asleep", "stalled", "clock"})


@dataclass(frozen=True, slots=True)
class InFlightRun:
    """A run that has begun and has no record yet.

    A manual run has no slot (`scheduled` None) but a caller (`trigger_note`), and may still be queued (`started` None).
    `trigger` is `manual`, or `run:RUN_ID` if another run asked for it.
    """

    job_id: str
    run_id: str
    scheduled: datetime | None
    started: datetime | None
    trigger_note: str = ""
    trigger: str = "manual"


PendingSlot = tuple[str, datetime]  # job id and slot, decided to run but not begun: waits for a worker or its turn
ZoneOffsets = tuple[tuple[int, int], ...]  # seconds since 1970, and the offset in seconds from then on
TimeSpans = tuple[tuple[datetime, datetime], ...]  # each from its first to its last instant, both inclusive


@dataclass(frozen=True, slots=True)
class FullCheckpoint:
    """The additional content of a full checkpoint.

    `hashes` are those of every definition that had slots. `since` is the instant from which the slots of a job are
    decided; `accounted_since` applies to jobs that it does not name. The rest is about jobs whose clock was set:

    - `decided_ahead`: slots later than the checkpoint that are decided all the same;
    - `reopened`: slots that only a wrong clock missed and that may run;
    - `missed`: slots that would be reopened if the clock were set back within the given number of seconds.

    `zones` are the rules that the jobs' fixed times went by, for each zone. `pauses` are those that coming or undecided
    slots need. `host` is empty if the host is unknown. `results` is how the
    jobs stood: of a checkpoint that is read back, with what later ones have changed.
    """

    host: str = ""
    accounted_since: datetime = EPOCH
    hashes: Mapping[str, str] = field(default_factory=dict)
    since: Mapping[str, datetime] = field(default_factory=dict)
    decided_ahead: Mapping[str, TimeSpans] = field(default_factory=dict)
    reopened: Mapping[str, TimeSpans] = field(default_factory=dict)
    missed: Mapping[str, tuple[tuple[datetime, datetime, float], ...]] = field(default_factory=dict)
    pauses: tuple[Pause, ...] = ()
    results: ResultState = NO_RESULTS
    zones: Mapping[str, ZoneOffsets] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A point up to which the log is a full account.

    Invariant: every slot up to `settled` has its record, or is in `in_flight` or `pending`.

    For the jobs in `lagging` this holds only up to the instant given with them: their next slot was due and not yet
    decided. No slot later than `clock_ahead` is decided (None: than `settled`); a clock that was set back has yet to
    pass it. `boot` identifies one boot of the host, and `uptime` is its age in seconds. `corrects` are slots in
    `in_flight` and `pending` that a wrong clock had missed before. `full` is present in a full checkpoint. `results` is
    what has changed since the checkpoint before, or how every job stands if it is full.
    """

    settled: datetime
    boot: str = ""
    in_flight: tuple[InFlightRun, ...] = ()
    pending: tuple[PendingSlot, ...] = ()
    lagging: tuple[PendingSlot, ...] = ()
    corrects: tuple[PendingSlot, ...] = ()
    clock_ahead: datetime | None = None
    uptime: float | None = None
    full: FullCheckpoint | None = None
    results: ResultState = NO_RESULTS


@dataclass(frozen=True, slots=True)
class RecoveredState:
    """The state recovered from the log, or from an account: the last checkpoint, and the fate of slots since.

    - `last_line_at`: time of the last line; `clean_stop`: whether the service stopped in order.
    - `in_flight`: runs that were active at the end; `pending`: slots that had not begun.
    - `is_shared`: another service may still begin what is pending, so a slot of that kind has its own record.
    - `at_work`: runs that go on, because they are those of other services; none of a log, which has one.
    - `knows_boot`: `@reboot` was decided for this boot of the host, although the checkpoint may be of another host.
    - `recorded`: for each job, the slots since the checkpoint that need nothing more, as ranges (first and last, both
      inclusive).
    - `last_decided_slot(job_id, after)`: the latest decided slot of a job that is later than an instant, None if there
      is none. Raises: LookupError if the log does not reach back so far.
    - `full`: the last full checkpoint, with what the log adds since: `missed` counts from the last checkpoint. None if
      there is none, as in the log of a former version.
    - `checkpoint_written_at`: when the last checkpoint was written, by the clock of that time.
    - `drain`: the span in which the service was stopping.
    - `mentions(word)`: whether a word occurs anywhere in the log.
    - `results`: the lines since the last checkpoint that change how a job stands, in their order.
    """

    checkpoint: Checkpoint
    last_line_at: datetime
    clean_stop: bool
    in_flight: tuple[InFlightRun, ...] = ()
    pending: tuple[PendingSlot, ...] = ()
    recorded: Mapping[str, tuple[tuple[datetime, datetime], ...]] = field(default_factory=dict)
    last_decided_slot: Callable[[str, datetime], datetime | None] | None = field(default=None, compare=False)
    full: FullCheckpoint | None = None
    checkpoint_written_at: datetime | None = None
    drain: tuple[datetime, datetime] | None = None
    mentions: Callable[[str], bool] | None = field(default=None, compare=False)
    results: tuple[LoggedResult, ...] = ()
    at_work: tuple[InFlightRun, ...] = ()
    is_shared: bool = False
    knows_boot: bool = False
