"""All that is known of one run: its lines in the log, and what its attempts have printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobscheduler.model import StoredAttempt


@dataclass(frozen=True, slots=True)
class RunDetail:
    """One run. `lines` are those of the log, oldest first, all values as text; `attempts` those that printed something.

    `running_attempt` is the attempt that goes on, if one does; `is_active` is whether the run has no record yet.
    """

    job_id: str
    run_id: str
    lines: Sequence[Mapping[str, str]] = ()
    attempts: Sequence[StoredAttempt] = ()
    running_attempt: int | None = None
    is_active: bool = False


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run at work: the last line that it has printed, its processor time in seconds and its memory in bytes.

    Each is None if it is not known. The processor time is that of its processes and of those that they waited for, the
    memory what its processes have now.
    """

    last_line: str | None = None
    cpu: float | None = None
    memory: int | None = None
