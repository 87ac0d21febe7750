"""Parse bytes to a `Job`, or to every problem in them. The service and `validate` share this one gate.

A `Job` can be scheduled and run: its schedule has slots or had one, its zone exists, its task type is known and has
accepted its fields. Problems are values, all of them at once, each with its location in the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from jobscheduler.jobs.parser import schema
from jobscheduler.jobs.parser.defaults import NO_DEFAULTS, Defaults
from jobscheduler.jobs.parser.locations import narrow
from jobscheduler.jobs.parser.schema import Finding
from jobscheduler.model import (
    MAX_DELAY,
    NO_TASK,
    SLOT_FIELDS,
    AlertRule,
    Cron,
    Job,
    Limits,
    Once,
    Problem,
    Retry,
    TaskSpec,
)
from jobscheduler.timetable import crontab, timezones
from jobscheduler.util import durations, json_text, sizes
from jobscheduler.util.text import did_you_mean, format_error, quote

MIN_REMIND_S = 60.0  # between two alerts about one failure

MAX_PROBLEMS = 20  # reported for one file; each costs a walk through its text

COMMAND_TYPE = "execute_command"  # the task type whose runs may have limits

MIN_MEMORY = 1 << 20  # bytes; a program needs about as much to begin
MAX_MEMORY = 1 << 50  # bytes

_ALERTS = ("on_failure", "on_recovery")


@dataclass(frozen=True)
class ParseContext:
    """What parsing depends on besides the schema.

    `zone` is the service's zone, for jobs without `timezone`. `task_type` looks a task type up by name: it returns an
    object with the `schema` and `check` of a `tasks.Task`, or raises LookupError. `task_names` are the known types.
    `defaults` are the fields that jobs have which do not say otherwise.
    """

    zone: ZoneInfo
    task_type: Callable[[str], Any]
    task_names: tuple[str, ...] = ()
    defaults: Defaults = NO_DEFAULTS


def parse(raw: bytes, source_name: str, context: ParseContext) -> Job | tuple[Problem, ...]:
    """Parse one definition. Its problems and the Job carry `source_name`."""
    try:
        value, text = json_text.decode(raw)
    except json_text.JsonError as error:
        return (json_text.located(Problem(str(error), file=source_name, help=error.help), error.location),)
    parsing = _DefinitionParser(text, source_name, context, value)
    job = parsing.job(context.defaults.apply(value) if isinstance(value, dict) else value)
    return job if job is not None else parsing.sorted_problems()


def parse_task(raw: bytes, source_name: str, context: ParseContext) -> TaskSpec | tuple[Problem, ...]:
    """Parse a task in a file of its own: `type` and the fields of that type."""
    try:
        value, text = json_text.decode(raw)
    except json_text.JsonError as error:
        return (json_text.located(Problem(str(error), file=source_name, help=error.help), error.location),)
    parsing = _DefinitionParser(text, source_name, context, value)
    task = parsing.task(value, ())
    for finding in islice(schema.check_task_file(value), MAX_PROBLEMS):
        parsing.add_finding(finding)
    return task if task is not None and not parsing.problems else parsing.sorted_problems()


# --- one file --------------------------------------------------------------------------------------------


@dataclass
class _DefinitionParser:
    """Parser of one file. It collects problems, and returns a Job only if there are none.

    `written` is the decoded file, without defaults.
    """

    text: str
    source_name: str
    context: ParseContext
    written: Any
    problems: list[Problem] = field(default_factory=list)
    task_fields: frozenset[str | int] = frozenset()

    def job(self, value: Any) -> Job | None:
        """Parse the whole definition; return None if there are problems."""
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
        """Return the first `MAX_PROBLEMS` problems in the order of their locations."""
        return tuple(sorted(self.problems, key=lambda p: (p.line or 0, p.column or 0))[:MAX_PROBLEMS])

    def assemble(self, value: dict[str, Any], task: TaskSpec | None, alerts: dict[str, TaskSpec]) -> Job | None:
        """Build the Job from a value that fits the schema."""
        schedule = self.schedule(value)
        fields: dict[str, Any] = {name: value[name] for name in ("description", "enabled", "overlap") if name in value}
        fields |= alerts
        for name in ("catch_up", "jitter", "timeout", "success_within"):
            if name in value:
                fields[name] = self.duration(value[name], (name,))
        for name in ("timeout", "success_within"):
            if fields.get(name) == 0 and not self.problems:
                self.add_problem(f"`{name}` must be longer than 0", (name,), help="leave it out for no limit")
        zone = schedule[1] if schedule else self.context.zone
        for name in ("not_before", "not_after"):
            if name in value:
                fields[name] = self.instant(value[name], zone, (name,))
        if "retry" in value:
            fields["retry"] = self.retry(value["retry"])
        if "alert" in value:
            fields["alert"] = self.alert_rule(value["alert"])
        if "tags" in value:
            fields["tags"] = tuple(sorted(value["tags"]))
        if "limits" in value:
            fields["limits"] = self.limits(value["limits"], task)
        if schedule is None or task is None or self.problems:
            return None
        job = Job(id=value["job_id"], schedule=schedule[0], task=task, source_name=self.source_name, **fields)
        self.check_bounds(job)
        return job

    def check_bounds(self, job: Job) -> None:
        """Check that `not_before` and `not_after` leave a slot, and that no field is about slots that there are not."""
        if isinstance(job.schedule, Cron) and job.schedule.is_manual:
            for name in SLOT_FIELDS:
                if self.written.get(name) is not None:
                    help_ = "leave it out: such a job is never due by itself, so it has no slots"
                    self.add_problem(f"`{name}` means nothing with `@manual`", (name,), help=help_)
        first, last = job.not_before, job.not_after
        if first and last and first > last:
            self.add_problem("`not_after` is before `not_before`", ("not_after",), help="is one of the two mistyped?")
        elif isinstance(job.schedule, Once) and (
            (first and job.schedule.at < first) or (last and job.schedule.at > last)
        ):
            name = "not_before" if first and job.schedule.at < first else "not_after"
            self.add_problem(f"`{name}` rules out the only slot of this job", (name,), help="leave it out")

    def task(self, value: Any, at: json_text.Path = ("task",)) -> TaskSpec | None:
        """Check the task at this path; return None if it is not a task or could not be checked.

        Problems with the public schema are not added here.
        """
        if not isinstance(value, dict) or not isinstance(value.get("type"), str):
            return None
        name = value["type"]
        fields = {key: field_value for key, field_value in value.items() if key != "type"}
        try:
            type_ = self.find_task_type(name, at)
            if type_ is None:
                return None
            fields = schema.with_integers(type_, fields)
            self.check_task(type_, fields, at)
        except BaseException as error:  # a plug-in's SystemExit or KeyboardInterrupt must not end the service
            message = f"the definition cannot be checked: {format_error(error)}"
            help_ = "this is a fault of the scheduler or of the task type, not of the file; please report it"
            self.add_problem(message, (*at, "type"), help=help_, host_dependent=True)
            return None
        return TaskSpec.from_params(name, fields)

    def find_task_type(self, name: str, at: json_text.Path) -> Any:
        """Look a task type up; return None and add the problem if it is unknown or unusable."""
        try:
            return self.context.task_type(name)
        except LookupError as error:
            self.unknown_type(name, error, at)
            return None

    def check_task(self, type_: Any, fields: dict[str, Any], at: json_text.Path) -> None:
        """Check the fields of a task against its type."""
        if at == ("task",):
            self.task_fields = frozenset(type_.schema.get("properties", ()))
        findings = list(islice(schema.check_task(type_, fields, at), MAX_PROBLEMS))
        for finding in findings:
            self.add_finding(finding)
        if not findings:
            for error in islice(type_.check(fields), MAX_PROBLEMS):
                self.add_problem(
                    error.message, (*at, *error.path), help=error.help, host_dependent=error.host_dependent
                )

    def unknown_type(self, name: str, error: LookupError, at: json_text.Path) -> None:
        """Add the problem that a task type is unknown, or unusable on this host."""
        known = self.context.task_names
        path = (*at, "type")
        if name in known:
            self.add_problem(str(error), path, host_dependent=True)
            return
        listed = ", ".join(f"`{known_name}`" for known_name in known)
        message = f"unknown task type {quote(name)}"
        self.add_problem(message, path, notes=(f"known types are {listed}",), help=did_you_mean(name, known))

    # -- schedule, durations, instants

    def schedule(self, value: dict[str, Any]) -> tuple[Cron | Once, ZoneInfo] | None:
        """Parse schedule and zone; return None if there are problems."""
        zone = self.zone(value.get("timezone"))
        text = value.get("schedule")
        if not isinstance(text, str) or zone is None:
            return None
        try:
            if crontab.is_one_time(text):
                return Once(crontab.parse_instant(text, zone), text), zone
            crontab.parse(text)
        except crontab.ScheduleError as error:
            self.add_text_problem(error, ("schedule",))
            return None
        return Cron(" ".join(text.split()), zone.key), zone

    def zone(self, name: Any) -> ZoneInfo | None:
        if not isinstance(name, str):
            return self.context.zone
        try:
            return timezones.get_zone(name)
        except timezones.UnknownTimezone as error:
            self.add_problem(str(error), ("timezone",), help=error.help, host_dependent=error.of_host)
            return None

    def duration(self, value: float | str, path: json_text.Path) -> float:
        try:
            return durations.parse_duration(value)
        except ValueError as error:
            self.add_problem(str(error), path, help=durations.HELP)
            return 0.0

    def instant(self, text: str, zone: ZoneInfo, path: json_text.Path) -> datetime | None:
        try:
            return crontab.parse_instant(text, zone)
        except crontab.ScheduleError as error:
            self.add_text_problem(error, path)
            return None

    def retry(self, value: dict[str, Any]) -> Retry:
        delays = {name: self.duration(value[name], ("retry", name)) for name in ("delay", "max_delay") if name in value}
        delays.setdefault("max_delay", max(MAX_DELAY, delays.get("delay", 0.0)))
        return Retry(attempts=int(value["attempts"]), backoff=float(value.get("backoff", 2)), **delays)

    def alert_rule(self, value: dict[str, Any]) -> AlertRule:
        remind = self.duration(value["remind"], ("alert", "remind")) if "remind" in value else None
        if remind is not None and remind < MIN_REMIND_S and not self.problems:
            message = f"`remind` must be at least {MIN_REMIND_S:g} seconds"
            self.add_problem(message, ("alert", "remind"), help="leave it out for no reminder")
        return AlertRule(int(value.get("after", 1)), remind, value.get("missed", False))

    def limits(self, value: dict[str, Any], task: TaskSpec | None) -> Limits:
        if task is not None and task.type != COMMAND_TYPE:
            message = f"`limits` are for the processes of a command, and {quote(task.type)} has none"
            self.add_problem(message, ("limits",), key=True, help="leave it out")
        memory, cpu = value.get("memory"), value.get("cpu")
        return Limits(
            None if memory is None else self.memory(memory),
            None if cpu is None else float(cpu.removesuffix("%")) / 100,
            value.get("processes"),
        )

    def memory(self, value: int | str) -> int:
        path = ("limits", "memory")
        try:
            size = sizes.parse_size(value)
        except ValueError as error:
            self.add_problem(str(error), path, help=sizes.HELP)
            return MIN_MEMORY
        if not MIN_MEMORY <= size <= MAX_MEMORY:
            self.add_problem("a limit of memory lies between 1M and 1024T", path, help=sizes.HELP)
        return size

    # -- problems

    def add_problem(
        self,
        message: str,
        path: json_text.Path,
        *,
        key: bool = False,
        notes: tuple[str, ...] = (),
        help: str | None = None,  # noqa: A002 - the word under which it is shown
        host_dependent: bool = False,
        part: tuple[int, int] | None = None,
    ) -> None:
        """Add a problem at the value (or `key`) at `path`, or at the nearest value above it that exists.

        `part` are the first character and the end of the part of a text that the problem is about.
        """
        location = json_text.locate(self.text, path, key=key)
        if location is None and (origin := self.context.defaults.origin(self.written, path)):
            notes = (*notes, f"`{'.'.join(map(str, path))}` comes from {origin}")
        if location is not None and part is not None:
            location = narrow(location, *part)
        while location is None and path:
            path = path[:-1]
            location = json_text.locate(self.text, path)
        problem = Problem(message, file=self.source_name, notes=notes, help=help, host_dependent=host_dependent)
        self.problems.append(json_text.located(problem, location))

    def add_text_problem(self, error: crontab.ScheduleError, path: json_text.Path) -> None:
        """Add a problem with a part of the text at `path`."""
        self.add_problem(str(error), path, notes=error.notes, help=error.help or None, part=(error.start, error.end))

    def add_finding(self, finding: Finding) -> None:
        """Add a finding of a schema as a problem."""
        help_ = finding.help
        if finding.key and len(finding.path) == 1 and finding.path[0] in self.task_fields:
            help_ = f"`{finding.path[0]}` belongs inside `task`"
        notes = finding.notes if help_ == finding.help else ()
        self.add_problem(finding.message, finding.path, key=finding.key, notes=notes, help=help_)
