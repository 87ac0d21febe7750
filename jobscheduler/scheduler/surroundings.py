"""What a scheduler finds around it: the log, the host and the clocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from jobscheduler.model import Checkpoint, LogEntry
from jobscheduler.runner import LogThen
from jobscheduler.timetable.slots import ReasonOf
from jobscheduler.util.host_id import uptime
from jobscheduler.util.instants import utc_now
from jobscheduler.util.time_spans import TimeSpan


@dataclass(frozen=True, slots=True)
class SchedulerLog:
    """The log of a scheduler: `write` takes records and events, `write_checkpoint` checkpoints. Neither may wait.

    `log_then` and `on_behind` are as in `Runner`.
    """

    write: Callable[[LogEntry], object]
    write_checkpoint: Callable[[Checkpoint], object] = lambda _: None
    log_then: LogThen | None = None
    on_behind: Callable[[], object] = lambda: None


@dataclass(frozen=True, slots=True)
class SchedulerHost:
    """The host of a scheduler. `id` names the host whose log it is, `boot` one boot of it.

    `seed` seeds `jitter`, so that two hosts differ and one host does not change. `shared_seed` returns the one of all
    hosts that share the slots, if there are several and it is known.
    """

    seed: str = ""
    id: str = ""
    boot: str = ""
    shared_seed: Callable[[], str | None] = lambda: None

    def jitter_seed(self) -> str:
        """Return what seeds `jitter` now."""
        return self.shared_seed() or self.seed


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks of a scheduler: `now` returns the time, `elapsed` seconds of a clock that is never set.

    `late_reason` returns why slots are decided late, `standstills` the spans in which the service could not run.
    """

    now: Callable[[], datetime] = utc_now
    elapsed: Callable[[], float] = uptime
    late_reason: Callable[[], str] = lambda: "down"
    standstills: Callable[[], tuple[TimeSpan, ...]] = lambda: ()

    def reason_of(self) -> ReasonOf:
        """Return why slots that are decided now are late."""
        return self.late_reason(), self.standstills()


UNNAMED_HOST = SchedulerHost()  # for a scheduler whose log is not read back
HOST_CLOCKS = Clocks()  # those of this host
