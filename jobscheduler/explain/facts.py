"""The values that go into an explanation, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from jobscheduler.explain.evidence import LogEvidence
from jobscheduler.model import Job, Problem


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: about one job at `at` (None: from now on). Instants in UTC; `notes` are said with the answer."""

    job_id: str
    now: datetime
    at: datetime | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuntimeState:
    """What the running service says of a job: its state, and which of its runs are going on (as pairs of text).

    `decided` are stretches of time to come whose slots were decided before the clock was set back.
    """

    state: str
    paused: bool = False
    stale: bool = False
    active_runs: tuple[Mapping[str, str], ...] = ()
    next: tuple[tuple[datetime, datetime], ...] = ()
    decided: tuple[tuple[datetime, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to answer from.

    `job` is the definition in force (or that of the file, when the service was not asked), None if there is none;
    `zone` is where its wall-clock times are; `story` is what the log says. `live` is None when the service was not
    asked or knows no such job. `written` is when the file was put there; `known` are ids that may be meant.
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
    """One word for machines, sentences for people (the first one says it all), and the slots and lines they rest on.

    `is_settled` says that the answer is not going to be another one when the service is asked.
    """

    code: str
    sentences: tuple[str, ...]
    record: Mapping[str, str] | None = None
    next: tuple[datetime, ...] = ()
    problems: tuple[Problem, ...] = ()
    help: str | None = None
    is_final: bool = field(default=False, compare=False)
