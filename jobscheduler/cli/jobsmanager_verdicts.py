"""Judge the rows of JobsManager: which become jobs, under which ids, and what is different then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from jobscheduler.cli.import_lines import State, encode_definition, parse_definition
from jobscheduler.cli.import_target import PRIVATE_MODE, ImportedFile, NewFile
from jobscheduler.imports.jobsmanager_job import ImportedJob, comment_of, imported_job, job_id_of
from jobscheduler.imports.not_expressible import NotExpressible
from jobscheduler.imports.stored_job import read_job
from jobscheduler.jobs.parser import ParseContext
from jobscheduler.model import Job
from jobscheduler.tasks.command.warnings import bash_only
from jobscheduler.util.text import quote

if TYPE_CHECKING:
    from jobscheduler.database.jobsmanager_tables import StoredRow


@dataclass(frozen=True, slots=True)
class JobVerdict:
    """One row: its id there, what became of it, the reason, and remarks on what is different.

    `there` is how its schedule is written there.
    """

    row_id: str
    state: State
    message: str = ""
    help: str = ""
    remarks: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    job_id: str = ""
    there: str = ""
    schedule: str = ""
    file: NewFile | None = None

    @property
    def is_bad(self) -> bool:
        """Whether there is no job that does the same."""
        return self.state in {State.REFUSED, State.KEPT}

    @property
    def is_new(self) -> bool:
        """Whether the job is to be written."""
        return self.state in {State.WRITTEN, State.REPLACED}


class RowJudge:
    """What rows are judged by: the context of the service, what the target has by file name, and the time."""

    def __init__(self, rules: ParseContext, present: dict[str, ImportedFile], now: datetime) -> None:
        """`present` are the job files, or the rows, that are there already."""
        self._rules = rules
        self._present = present
        self._now = now

    @cached_property
    def _by_comment(self) -> dict[str, str]:
        return {file.comment: name for name, file in self._present.items() if file.comment}

    @cached_property
    def _owners(self) -> dict[str, str]:
        return {file.job_id: name for name, file in self._present.items() if file.job_id}

    def verdicts(self, rows: Sequence[StoredRow], *, may_replace: bool) -> Iterator[JobVerdict]:
        """Yield a verdict on each row; one that cannot be read stops none of the others."""
        taken: dict[str, str] = {}
        for row in rows:
            verdict = self._verdict(row, may_replace=may_replace)
            owner = taken.setdefault(verdict.job_id, row.id) if verdict.job_id else row.id
            if owner != row.id:
                message = f"its id here, `{verdict.job_id}`, is that of {quote(owner)} too"
                verdict = _refused(row, message, "rename one of the two in JobsManager")
            yield verdict

    def _verdict(self, row: StoredRow, *, may_replace: bool) -> JobVerdict:
        try:
            stored = read_job(row.id, row.state, is_paused=not row.has_next_run)
            found = imported_job(stored, self._now)
        except NotExpressible as reason:
            return _refused(row, reason.message, reason.help)
        return self._placed(self._parsed(row, found), may_replace=may_replace)

    def _parsed(self, row: StoredRow, found: ImportedJob) -> JobVerdict:
        """Return the verdict by the parser of the service: what it refuses is not written.

        A job that was imported before keeps its id, also one that was given to it since.
        """
        name = self._by_comment.get(comment_of(row.id), f"{job_id_of(row.id)}.json")
        former = self._present.get(name)
        is_same_job = former is not None and former.comment == comment_of(row.id) and former.job_id
        job_id = former.job_id if former is not None and is_same_job else job_id_of(row.id)
        raw = encode_definition({**found.definition, "job_id": job_id})
        result, of_host = parse_definition(raw, name, self._rules)
        if not isinstance(result, Job):
            message = "; ".join(problem.message for problem in result)
            return _refused(row, message, "; ".join(problem.help for problem in result if problem.help))
        return JobVerdict(
            row.id,
            State.WRITTEN,
            remarks=(*found.remarks, *_about_command(found), *_about_defaults(found, result)),
            shared=(*found.shared, *of_host),
            job_id=job_id,
            there=found.written_there,
            schedule=found.definition["schedule"],
            file=NewFile(name, raw, PRIVATE_MODE),
        )

    def _placed(self, verdict: JobVerdict, *, may_replace: bool) -> JobVerdict:
        """Return the verdict with what the target says: the same job, another one of that id."""
        if verdict.file is None:
            return verdict
        owner = self._owners.get(verdict.job_id)
        there = self._present.get(verdict.file.name)
        if owner is not None and owner != verdict.file.name:
            message = f"its id `{verdict.job_id}` belongs to `{owner}`"
            return replace(verdict, state=State.REFUSED, message=message, help="give that job another id", file=None)
        if there is None:
            return verdict
        if there.raw == verdict.file.raw:
            return replace(verdict, state=State.UNCHANGED)
        if may_replace:
            return replace(verdict, state=State.REPLACED)
        message = "a job of that name is there and differs"
        return replace(verdict, state=State.KEPT, message=message, help="`--force` overwrites it")


def _refused(row: StoredRow, message: str, help_: str) -> JobVerdict:
    return JobVerdict(row.id, State.REFUSED, message, help_)


def _about_command(found: ImportedJob) -> Iterator[str]:
    warning = bash_only(found.definition["task"]["command"])
    if warning is not None:
        yield f"there as here: {warning[0]}; {warning[1]}"


def _about_defaults(found: ImportedJob, job: Job) -> Iterator[str]:
    """Yield what the defaults of the settings file do to it."""
    if not job.enabled and "enabled" not in found.definition:
        yield "`[defaults]` of the settings disable it: it is never due"
    if job.jitter and "jitter" not in found.definition:
        yield f"`[defaults]` of the settings have it start up to {job.jitter:g} s later"
