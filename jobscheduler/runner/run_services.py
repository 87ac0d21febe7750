"""What all runs of a runner share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jobscheduler.runner.lost_threads import LostThreads
from jobscheduler.runner.outputs import OutputKeeper
from jobscheduler.runner.run_reporter import RunReporter
from jobscheduler.runner.timer import TimerThread


@dataclass(slots=True)
class RunServices:
    """What all runs of a runner share. `forget` gets the id of a run that is no longer active."""

    log: RunReporter
    timer: TimerThread
    outputs: OutputKeeper
    lost_threads: LostThreads
    grace: float  # seconds from a stop request until the thread of the task counts as lost
    forget: Callable[[str], None]
