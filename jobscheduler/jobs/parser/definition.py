"""Bytes to a Job, or to every problem in them: the one gate, for the service and for `validate` alike.

A `Job` that comes out can be scheduled and run: its schedule has slots or had one, its zone exists, its task type is
known and has accepted its fields. Problems are values, all of them at once, each with its place in the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from jobscheduler.jobs.parser import schema
from jobscheduler.jobs.parser.schema import Finding
from jobscheduler.model import MAX_DELAY, NO_TASK, Cron, Job, Once, Problem, Retry, TaskSpec
from jobscheduler.timetable import crontab, timezones
from jobscheduler.util import durations, json_text

MAX_PROBLEMS = 20
"""So many problems of one file are told; more would help nobody, and each costs a walk through the file."""

_ALERTS = ("on_failure", "on_recovery")


@dataclass(frozen=True)
class ParseContext:
    """What a definition is held against besides the schema.

    `zone` is the service's zone, for jobs without `timezone`. `task_type` looks a task type up by name: it returns
    what has the `schema` and the `check` of a `tasks.Task`, or raises LookupError. `task_names` lists the known types.
    """

    zone: ZoneInfo
    task_type: Callable[[str], Any]
    task_names: tuple[str, ...] = ()


def parse(raw: bytes, origin: str, rules: ParseContext) -> Job | tuple[Problem, ...]:
    """Read one definition. `origin` is the name that its problems and the Job carry."""
    try:
        value, text = json_text.decode(raw)
    except json_text.JsonError as error:
        return (_locate(Problem(str(error), file=origin, help=error.help), error.location),)
    parsing = _DefinitionParser(text, origin, rules)
    job = parsing.job(value)
    return job if job is not None else parsing.sorted_problems()


def parse_task(raw: bytes, origin: str, rules: ParseContext) -> TaskSpec | tuple[Problem, ...]:
    """Read a task that stands in a file of its own: `type` and the fields of that type."""
    try:
        value, text = json_text.decode(raw)
    except json_text.JsonError as error:
        return (_locate(Problem(str(error), file=origin, help=error.help), error.location),)
    parsing = _DefinitionParser(text, origin, rules)
    task = parsing.task(value, ())
    for finding in islice(schema.check_task_file(value), MAX_PROBLEMS):
        parsing.add_finding(finding)
    return task if task is not None and not parsing.problems else parsing.sorted_problems()


def id_conflict(raw: bytes, origin: str, job_id: str, incumbent: str) -> Problem:
    """Say that another item already has this id, at the place of the id in the definition."""
    problem = Problem(
        f"the id `{job_id}` already belongs to `{incumbent}`",
        file=origin,
        help=f"give one of the two another `job_id`, or delete `{origin}`",
    )
    try:
        return _locate(problem, json_text.locate(json_text.decode(raw)[1], ("job_id",)))
    except json_text.JsonError:
        return problem


# --- one file --------------------------------------------------------------------------------------------


@dataclass
class _DefinitionParser:
    """The reading of one file: collects problems; a Job only comes out when there are none."""

    text: str
    origin: str
    rules: ParseContext
    problems: list[Problem] = field(default_factory=list)
    fields_of_task: frozenset[str | int] = frozenset()

    def job(self, value: Any) -> Job | None:
        if not isinstance(value, dict):
            self.add_problem(
                "a job file holds one object", (), help='write `{ "job_id": ..., "schedule": ..., "task": ... }`'
            )
            return None
        task = self.task(value.get("task"))
        alerts = {name: self.task(value[name], (name,)) or NO_TASK for name in _ALERTS if name in value}
        for finding in islice(schema.check_job(value), MAX_PROBLEMS):
            self.add_finding(finding)
        if self.problems:
            self.schedule(value)
            return None
        job = self.assemble(schema.job_with_integers(value), task, alerts)
        return None if self.problems else job

    def sorted_problems(self) -> tuple[Problem, ...]:
        """Return the problems in the order of their places, no more than anybody reads."""
        return tuple(sorted(self.problems, key=lambda p: (p.line or 0, p.column or 0))[:MAX_PROBLEMS])

    def assemble(self, value: dict[str, Any], task: TaskSpec | None, alerts: dict[str, TaskSpec]) -> Job | None:
        schedule = self.schedule(value)
        given: dict[str, Any] = {name: value[name] for name in ("description", "enabled", "overlap") if name in value}
        given |= alerts
        for name in ("catch_up", "jitter", "timeout"):
            if name in value:
                given[name] = self.duration(value[name], (name,))
        if given.get("timeout") == 0 and not self.problems:
            self.add_problem("`timeout` must be longer than 0", ("timeout",), help="leave it out for no limit")
        local = schedule[1] if schedule else self.rules.zone
        for name in ("not_before", "not_after"):
            if name in value:
                given[name] = self.instant(value[name], local, (name,))
        if "retry" in value:
            given["retry"] = self.retry(value["retry"])
        if schedule is None or task is None or self.problems:
            return None
        job = Job(id=value["job_id"], schedule=schedule[0], task=task, source_name=self.origin, **given)
        self.check_bounds(job)
        return job

    def check_bounds(self, job: Job) -> None:
        first, last = job.not_before, job.not_after
        if first and last and first > last:
            self.add_problem("`not_after` lies before `not_before`", ("not_after",), help="is one of the two mistyped?")
        elif isinstance(job.schedule, Once) and (
            (first and job.schedule.at < first) or (last and job.schedule.at > last)
        ):
            name = "not_before" if first and job.schedule.at < first else "not_after"
            self.add_problem(f"`{name}` rules out the only slot of this job", (name,), help="leave it out")

    def task(self, value: Any, at: json_text.Path = ("task",)) -> TaskSpec | None:
        """Judge the task at this place of the file; None if it is none, or has problems that kept it from being judged.

        What the public schema has against it is not said here.
        """
        if not isinstance(value, dict) or not isinstance(value.get("type"), str):
            return None
        name = value["type"]
        own = {key: one for key, one in value.items() if key != "type"}
        try:
            type_ = self.find_task_type(name, at)
            if type_ is None:
                return None
            own = schema.with_integers(type_, own)
            self.check_task(type_, own, at)
        except BaseException as fault:  # a plug-in's SystemExit or KeyboardInterrupt must not end the service
            message = f"the definition cannot be judged: {type(fault).__name__}: {fault}"
            help_ = "this is a fault of the scheduler or of the task type, not of the file; please report it"
            self.add_problem(message, (*at, "type"), help=help_, host=True)
            return None
        return TaskSpec.from_params(name, own)

    def find_task_type(self, name: str, at: json_text.Path) -> Any:
        """Look a task type up; None, with its problem said, if it cannot be had."""
        try:
            return self.rules.task_type(name)
        except LookupError as unknown:
            self.unknown_type(name, unknown, at)
            return None

    def check_task(self, type_: Any, own: dict[str, Any], at: json_text.Path) -> None:
        """Hold a task's own fields against its type."""
        if at == ("task",):
            self.fields_of_task = frozenset(type_.schema.get("properties", ()))
        findings = list(islice(schema.check_task(type_, own, at), MAX_PROBLEMS))
        for finding in findings:
            self.add_finding(finding)
        if not findings:
            for error in islice(type_.check(own), MAX_PROBLEMS):
                self.add_problem(error.message, (*at, *error.path), help=error.help, host=error.host_dependent)

    def unknown_type(self, name: str, error: LookupError, at: json_text.Path) -> None:
        """Say that a task type is not known, or that it cannot be used on this host."""
        known = self.rules.task_names
        path = (*at, "type")
        if name in known:
            self.add_problem(str(error), path, host=True)
            return
        listed = ", ".join(f"`{one}`" for one in known)
        message = f"unknown task type `{schema.truncate(name)}`"
        self.add_problem(message, path, notes=(f"known types are {listed}",), help=schema.did_you_mean(name, known))

    # -- schedule, durations, instants

    def schedule(self, value: dict[str, Any]) -> tuple[Cron | Once, ZoneInfo] | None:
        local = self.zone(value.get("timezone"))
        text = value.get("schedule")
        if not isinstance(text, str) or local is None:
            return None
        try:
            if crontab.is_one_time(text):
                return Once(crontab.parse_instant(text, local), text), local
            crontab.parse(text)
        except crontab.ScheduleError as refused:
            self.refuse_text(refused, ("schedule",))
            return None
        return Cron(" ".join(text.split()), local.key), local

    def zone(self, name: Any) -> ZoneInfo | None:
        if not isinstance(name, str):
            return self.rules.zone
        try:
            return timezones.get_zone(name)
        except timezones.UnknownTimezone as unknown:
            self.add_problem(str(unknown), ("timezone",), help=unknown.help, host=unknown.of_host)
            return None

    def duration(self, value: float | str, path: json_text.Path) -> float:
        try:
            return durations.parse_duration(value)
        except ValueError as error:
            self.add_problem(str(error), path, help=durations.HELP)
            return 0.0

    def instant(self, text: str, local: ZoneInfo, path: json_text.Path) -> datetime | None:
        try:
            return crontab.parse_instant(text, local)
        except crontab.ScheduleError as refused:
            self.refuse_text(refused, path)
            return None

    def retry(self, value: dict[str, Any]) -> Retry:
        given = {name: self.duration(value[name], ("retry", name)) for name in ("delay", "max_delay") if name in value}
        given.setdefault("max_delay", max(MAX_DELAY, given.get("delay", 0.0)))
        return Retry(attempts=int(value["attempts"]), backoff=float(value.get("backoff", 2)), **given)

    # -- problems

    def add_problem(
        self,
        message: str,
        path: json_text.Path,
        *,
        key: bool = False,
        notes: tuple[str, ...] = (),
        help: str | None = None,  # noqa: A002 - the word under which it is shown
        host: bool = False,
    ) -> None:
        """Add a problem at the value (or `key`) at `path`; a path that is not there is cut back to one that is."""
        place = json_text.locate(self.text, path, key=key)
        while place is None and path:
            path = path[:-1]
            place = json_text.locate(self.text, path)
        problem = Problem(message, file=self.origin, notes=notes, help=help, host_dependent=host)
        self.problems.append(_locate(problem, place))

    def refuse_text(self, refused: crontab.ScheduleError, path: json_text.Path) -> None:
        """Add a problem about a part of the text at `path`, with the place of that very part."""
        self.add_problem(str(refused), path, notes=refused.notes, help=refused.help or None)
        last = self.problems[-1]
        whole = json_text.locate(self.text, path)
        if whole and refused.end > refused.start and "\\" not in whole.excerpt:
            shift = 1 + refused.start
            width = min(refused.end, whole.width - 2) - refused.start
            if width > 0 and last.column is not None:
                self.problems[-1] = replace(last, column=last.column + shift, caret=last.caret + shift, width=width)

    def add_finding(self, finding: Finding) -> None:
        """Turn what a schema found into a problem."""
        help_ = finding.help
        if finding.key and len(finding.path) == 1 and finding.path[0] in self.fields_of_task:
            help_ = f"`{finding.path[0]}` belongs inside `task`"
        notes = finding.notes if help_ == finding.help else ()
        self.add_problem(finding.message, finding.path, key=finding.key, notes=notes, help=help_)


def located(problem: Problem, text: str, path: json_text.Path) -> Problem:
    """Return a problem with the place of the value at `path` in a text that was accepted as JSON."""
    return _locate(problem, json_text.locate(text, path))


def _locate(problem: Problem, place: json_text.Location | None) -> Problem:
    if place is None:
        return problem
    return replace(
        problem,
        line=place.line,
        column=place.column,
        excerpt=place.excerpt,
        caret=place.caret,
        width=place.width,
    )
