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
