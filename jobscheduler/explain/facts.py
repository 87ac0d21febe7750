"""Define the input and the output of an explanation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from jobscheduler.explain.evidence import LogEvidence
from jobscheduler.model import Job, Pause, Problem


@dataclass(frozen=True, slots=True)
class Question:
    """A question about one job at `at` (None: from now on). Instants are in UTC; `notes` are added to the answer."""

    job_id: str
    now: datetime
    at: datetime | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overdue:
    """A job without a success for longer than `within` (seconds, its `success_within`), overdue from `since` on.

    `last_success` is None if no success is known; `in_force_since` is when the definition came into force.
    """

    since: datetime
    within: float | None = None
    last_success: datetime | None = None
    in_force_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class RuntimeState:
    """The state of a job in the running service, with its active runs as pairs of text.

    `pauses` are those in force for it, the `by` of each as it is to be shown. `decided` are future time spans whose
    slots were decided before the clock was set back.
    `failures` are those in a row, `failing_since` is the time of the first; `overdue` is set while it is that.
    """

    state: str
    pauses: tuple[Pause, ...] = ()
    stale: bool = False
    active_runs: tuple[Mapping[str, str], ...] = ()
    next: tuple[tuple[datetime, datetime], ...] = ()
    decided: tuple[tuple[datetime, datetime], ...] = ()
    failures: int = 0
    failing_since: datetime | None = None
    overdue: Overdue | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts for an answer.

    `job`: the active definition (or that of the file, when the service was not asked); None if there is none.
    `zone`: the zone of its wall-clock times. `evidence`: the log lines.
    `runtime`: None when the service was not asked or does not know the job.
    `written`: the last change of the file. `known`: ids to suggest for an unknown job.
    """

    evidence: LogEvidence
    zone: ZoneInfo
    job: Job | None = None
    runtime: RuntimeState | None = None
    was_asked: bool = True
    problems: tuple[Problem, ...] = ()
    file: str = ""
    written: datetime | None = None
    known: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """A code for machines, sentences for people (the first is the summary), and the slots and lines behind them.

    `is_final` means that the service could not change the answer.
    """

    code: str
    sentences: tuple[str, ...]
    record: Mapping[str, str] | None = None
    next: tuple[datetime, ...] = ()
    problems: tuple[Problem, ...] = ()
    help: str | None = None
    is_final: bool = field(default=False, compare=False)
