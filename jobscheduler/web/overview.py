"""What the first page says about all jobs at once: who needs an operator, what runs, and the word of each. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, repeat

from jobscheduler.model import Problem, Status
from jobscheduler.status.reasons import failure_text
from jobscheduler.status.shown_status import SEVERITY, ShownStatus, all_words, worst
from jobscheduler.status.snapshot import JobState, JobStatus, Snapshot
from jobscheduler.status.snapshot_json import record_json
from jobscheduler.util.durations import format_duration
from jobscheduler.web.log_record import LoggedRun

MAX_ROWS = 8  # jobs and files together that are shown as in need of an operator; running jobs that are shown
MIN_FILE_ROWS = 2  # of these rows for files, however many jobs there are
MAX_FILE_NAMES = 20  # files that are named where several have the same mistake
LONG_FACTOR = 2  # times its usual duration after which a run is long
LONG_FROM_S = 60.0  # seconds beyond its usual duration below which no run is long

_PAGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

Entry = tuple[JobStatus, frozenset[str]]  # a job with all the words that apply to it


@dataclass(frozen=True, slots=True)
class Need:
    """A job that needs an operator. `kind` is `failing`, `overdue` or `long`; `text` is what is known of the reason.

    `times` is how often it failed in a row (0: unknown), `run_id` the run to look at.
    """

    job_id: str
    kind: str
    since: datetime | None
    times: int
    text: str
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake, and the files that have it. `is_stale`: the last good version of each stays active."""

    problem: Problem
    files: tuple[str, ...]
    ids: tuple[str, ...]
    is_stale: bool


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A run at work. `share`, `usual_share` and `limit_share` are percent of the width of a bar; None if unknown."""

    job: JobStatus
    run_id: str
    started: datetime
    seconds: float
    attempt: int
    share: float
    usual_share: float | None
    limit_share: float | None
    is_long: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """The jobs of a snapshot with their words, and those that need an operator, have problems or are running.

    `count_of_jobs` leaves out refused files.
    """

    entries: Sequence[Entry]
    count_of_jobs: int
    troubled: Sequence[Entry]
    bad: Sequence[JobStatus]
    running: Sequence[RunningJob]

    def count(self, word: str) -> int:
        """Return how many of the troubled jobs a word applies to."""
        return sum(word in words for _, words in self.troubled)

    @property
    def long_runs(self) -> Sequence[RunningJob]:
        """The runs that take far longer than usual."""
        return [run for run in self.running if run.is_long]


def overview(snapshot: Snapshot, former: Overview | None = None) -> Overview:
    """Sum up a snapshot. The words of jobs that are the same objects as in the former one are taken over."""
    known = () if former is None else former.entries
    entries = [
        entry if entry is not None and entry[0] is job else (job, all_words(job))
        for entry, job in zip(chain(known, repeat(None)), snapshot.jobs, strict=False)
    ]
    urgent = {ShownStatus.FAILING.value, ShownStatus.OVERDUE.value}
    troubled = sorted((entry for entry in entries if not urgent.isdisjoint(entry[1])), key=_urgency)
    running = [run for job, _ in entries if job.active_runs for run in _runs_at_work(job, snapshot.at)]
    return Overview(
        entries,
        sum(job.state is not JobState.REFUSED for job in snapshot.jobs),
        troubled,
        [job for job, _ in entries if job.problems],
        sorted(running, key=lambda run: (not run.is_long, -run.seconds, run.job.id or "")),
    )


def _urgency(entry: Entry) -> tuple[int, float, str]:
    job, words = entry
    since = _failing_since(job) or job.overdue_since
    return SEVERITY[worst(words)], -(since.timestamp() if since else 0.0), job.id or job.file


def _failing_since(job: JobStatus) -> datetime | None:
    return job.failing_since or (job.last.at if job.last and job.last.status is Status.FAILURE else None)


def is_long(seconds: float, usual: float | None) -> bool:
    """Return whether a run takes far longer than usual."""
    return usual is not None and seconds > LONG_FACTOR * usual and seconds - usual > LONG_FROM_S


def _runs_at_work(job: JobStatus, now: datetime) -> Iterable[RunningJob]:
    for run in job.active_runs:
        if run.started is None or run.waiting_for is not None:
            continue
        seconds = max(0.0, (now - run.started).total_seconds())
        usual, limit = job.usual, job.job.timeout if job.job else None
        full = max(seconds, 1.5 * usual if usual else 0.0) or 1.0
        if limit is not None and limit <= 3 * full:
            full = max(full, limit)

        def share(value: float | None, full: float = full) -> float | None:
            return None if value is None or value > full else round(100 * value / full, 1)

        yield RunningJob(
            job=job,
            run_id=run.run_id,
            started=run.started,
            seconds=seconds,
            attempt=run.attempt,
            share=round(100 * seconds / full, 1) if usual or share(limit) else 0.0,
            usual_share=share(usual),
            limit_share=share(limit),
            is_long=is_long(seconds, usual),
        )


def needs(seen: Overview, most: int, failures: Mapping[str, LoggedRun]) -> list[Need]:
    """Return the first jobs that need an operator: failing ones, overdue ones, and runs that take too long.

    `failures` has the last failure of a job in the log.
    """
    rows = [_need(job, words, failures.get(job.id or "")) for job, words in seen.troubled[:most]]
    named = {row.job_id for row in rows}
    long_runs = [run for run in seen.long_runs if run.job.id not in named][: most - len(rows)]
    return [*rows, *(_long(run) for run in long_runs)]


def _need(job: JobStatus, words: frozenset[str], logged: LoggedRun | None) -> Need:
    if ShownStatus.FAILING.value not in words:
        return Need(job.id or "", "overdue", job.overdue_since, 0, _success_text(job), _last_run_id(job))
    last = job.last
    if last is not None and last.status is Status.FAILURE:
        line = job.last_line or (_last_line(logged) if logged and logged.run_id == last.run_id else None)
        text, run_id = failure_text(record_json(last), line), last.run_id
    elif logged is not None:
        text, run_id = failure_text(_as_json(logged), _last_line(logged)), logged.run_id
    else:
        text, run_id = "", None
    return Need(job.id or "", "failing", _failing_since(job), job.failures, text, run_id)


def _last_run_id(job: JobStatus) -> str | None:
    return job.last.run_id if job.last else None


def _success_text(job: JobStatus) -> str:
    return "" if job.last_success else "it has never succeeded"


def _long(run: RunningJob) -> Need:
    usual = "" if run.job.usual is None else f", usually {format_duration(run.job.usual)}"
    text = f"running for {format_duration(run.seconds)}{usual}"
    return Need(run.job.id or "", "long", run.started, 0, text, run.run_id)


def _as_json(run: LoggedRun) -> dict[str, object]:
    return {"reason": run.reason, "duration": run.duration, **dict(run.details)}


def _last_line(run: LoggedRun) -> str | None:
    lines = (run.output or "").strip().rsplit("\n", 1)
    return lines[-1].strip() or None


def mistakes(bad: Iterable[JobStatus]) -> list[Mistake]:
    """Return the mistakes in files, each with all files that have it, in the order of the files."""
    alike: dict[tuple[str, str | None, bool], list[tuple[JobStatus, Problem]]] = {}
    for job in bad:
        for problem in job.problems:
            alike.setdefault((problem.message, problem.help, job.stale), []).append((job, problem))
    return [
        Mistake(found[0][1], tuple(job.file for job, _ in found), tuple(page_name(job) for job, _ in found), is_stale)
        for (_, _, is_stale), found in alike.items()
    ]


def page_name(job: JobStatus) -> str:
    """Return by which name a job has a page: its id, and for a refused file the name of the file without `.json`."""
    return job.id or (job.file.removesuffix(".json") if job.state is JobState.REFUSED else "")


def is_page_id(name: str) -> bool:
    """Return whether a job may have this id, so that there may be a page of it."""
    return _PAGE_ID.fullmatch(name) is not None
