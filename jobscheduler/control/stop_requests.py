"""Stop runs on request: which runs are meant, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from jobscheduler.control.routes import BadRequest
from jobscheduler.model import Problem, Record
from jobscheduler.model.selection import Selector
from jobscheduler.scheduler import Scheduler, StoppedRun
from jobscheduler.status.selection import no_job_problem, select_jobs
from jobscheduler.status.snapshot import Conflict, JobRuntime, NotFound
from jobscheduler.status.snapshot_json import instant
from jobscheduler.util.text import quote

MIN_PREFIX_CHARS = 4  # of a run id

MAX_NAMED_RUNS = 4  # runs that a message names

_RUN_ID = re.compile(rf"[0-9a-f]{{{MIN_PREFIX_CHARS},64}}")

JobTags = Mapping[str, Collection[str]]  # the tags of each job, by id


@dataclass(slots=True)
class _Wanted:
    """What a request means: the runs of each job, by their ids (None for all of them), and the texts behind each."""

    runs: dict[str, set[str] | None] = field(default_factory=dict)
    jobs_of: dict[str, list[str]] = field(default_factory=dict)
    ended: dict[str, Problem] = field(default_factory=dict)

    def add_jobs(self, text: str, job_ids: Iterable[str]) -> None:
        """Take all runs of jobs."""
        self.jobs_of[text] = list(job_ids)
        self.runs.update(dict.fromkeys(self.jobs_of[text]))

    def add_run(self, job_id: str, run_id: str) -> None:
        """Take one run of a job, unless all of them are meant."""
        known = self.runs.setdefault(job_id, set())
        if known is not None:
            known.add(run_id)


def parse_targets(request: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a request names. Raises: `BadRequest` if it names nothing, or something that is no text."""
    targets = request.get("targets")
    if not isinstance(targets, list) or not targets or not all(isinstance(text, str) for text in targets):
        help_ = 'write `"targets": ["report-001", "5f3c2a9d", "billing-*", "tag:backup"]`'
        message = "`targets` must be a list of ids of jobs or runs, patterns or tags"
        raise BadRequest(HTTPStatus.BAD_REQUEST, Problem(message, help=help_))
    return tuple(dict.fromkeys(targets))


class StopRequests:
    """Stops runs.

    Thread: any.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        known_jobs: Callable[[], JobTags],
        last_record: Callable[[str], Record | None],
        unknown: Callable[[str], NotFound],
    ) -> None:
        """`known_jobs` returns the jobs that have a valid definition, `last_record` the last one of a job.

        `unknown` returns the error for an id of none.
        """
        self._scheduler = scheduler
        self._known_jobs = known_jobs
        self._last_record = last_record
        self._unknown = unknown

    def stop(self, texts: Iterable[str], by: str) -> tuple[list[StoppedRun], Mapping[str, Any]]:
        """Stop the runs that these texts mean: jobs, patterns, tags, ids of runs or their beginnings.

        Return the runs and the answer.

        Raises:
            NotFound: a text means neither a job nor a run. Nothing was stopped.
            Conflict: the beginning of an id is that of several runs. Nothing was stopped.

        """
        runtimes = {runtime.job.id: runtime for runtime in self._scheduler.runtimes()}
        jobs = {**self._known_jobs(), **{job_id: runtime.job.tags for job_id, runtime in runtimes.items()}}
        wanted = _Wanted()
        for text in dict.fromkeys(texts):
            self._add(wanted, text, jobs, runtimes)
        stopped = self._scheduler.stop_runs(wanted.runs, by)
        stopped_jobs = {one.job_id for one in stopped}
        idle = [*wanted.ended.values(), *self._idle(wanted, stopped_jobs)]
        return stopped, {
            "runs": [_stopped_json(one) for one in stopped],
            "idle": [{"message": problem.message, "help": problem.help} for problem in idle],
        }

    def _add(self, wanted: _Wanted, text: str, jobs: JobTags, runtimes: Mapping[str, JobRuntime]) -> None:
        selected = select_jobs([text], jobs)
        if selected.ids:
            wanted.add_jobs(text, selected.ids)
            return
        selector = Selector(text)
        if selector.job_id is None:
            raise NotFound(no_job_problem(selector, jobs))
        if not _RUN_ID.fullmatch(text):
            raise self._unknown(text)
        runs = list(_runs_of(runtimes.values(), text))
        if len(runs) > 1:
            raise Conflict(_ambiguous(text, runs))
        if runs:
            wanted.add_run(*runs[0])
        else:
            wanted.ended[text] = self._ended(text, jobs)

    def _ended(self, text: str, jobs: JobTags) -> Problem:
        """Return the problem that a run has ended. Raises: `NotFound` if no job had such a run last."""
        last = (record for job_id in jobs if (record := self._last_record(job_id)) is not None)
        record = next((record for record in last if (record.run_id or "").startswith(text)), None)
        if record is None:
            help_ = "`jobscheduler list` shows what runs, `jobscheduler history` has the runs that have ended"
            raise NotFound(Problem(f"there is no job {quote(text)}, and no run at work has this id", help=help_))
        return _has_ended(f"run {quote(record.run_id or text)} of {quote(record.job_id)} has ended already", record)

    def _idle(self, wanted: _Wanted, stopped_jobs: Collection[str]) -> Iterator[Problem]:
        """Yield a problem for each text all jobs of which had nothing to stop."""
        for text, job_ids in wanted.jobs_of.items():
            if not any(job_id in stopped_jobs for job_id in job_ids):
                yield self._no_run(text, job_ids)

    def _no_run(self, text: str, job_ids: list[str]) -> Problem:
        if Selector(text).job_id is None:
            return Problem(f"no job that {quote(text)} selects has a run at work")
        left = self._scheduler.runs.unkillable_processes(text)
        if left:
            return Problem(
                f"{quote(text)} has no run at work, but processes of an ended one survived KILL: {left}",
                help="they end when the kernel lets them; a disk or a network file system that does not answer is "
                "the usual reason",
            )
        record = self._last_record(job_ids[0])
        message = f"{quote(text)} has no run at work"
        return Problem(message) if record is None else _has_ended(message, record)


def _has_ended(message: str, record: Record) -> Problem:
    reason = f" ({record.reason})" if record.reason else ""
    return Problem(message, help=f"its last record is {record.status.value}{reason}, of {instant(record.at)}")


def _runs_of(runtimes: Iterable[JobRuntime], prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the job and the id of each active run whose id begins so; one whose id is exactly this stands alone."""
    runs = [(runtime.job.id, run.run_id) for runtime in runtimes for run in runtime.active_runs]
    exact = [run for run in runs if run[1] == prefix]
    yield from exact or (run for run in runs if run[1].startswith(prefix))


def _ambiguous(text: str, runs: list[tuple[str, str]]) -> Problem:
    named = ", ".join(f"`{run_id}` of `{job_id}`" for job_id, run_id in runs[:MAX_NAMED_RUNS])
    more = " and others" if len(runs) > MAX_NAMED_RUNS else ""
    return Problem(f"the ids of {len(runs)} runs begin with {quote(text)}: {named}{more}", help="write more of the id")


def _stopped_json(stopped: StoppedRun) -> Mapping[str, Any]:
    return {
        "job_id": stopped.job_id,
        "run_id": stopped.run_id,
        "scheduled": instant(stopped.scheduled),
        "started": instant(stopped.started),
        "action": "skip" if stopped.is_skipped else "stop",
        "attempt": stopped.attempt,
        "pid": stopped.pid,
    }
