"""Parse bytes to a `Job`, or to every problem in them. The service and `validate` share this one gate.

A `Job` can be scheduled and run: its schedule has slots or had one, its zone exists, its task type is known and has
accepted its fields. Problems are values, all of them at once, each with its location in the file: every field is judged
by itself, and only what depends on a field that is wrong is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from jobscheduler.jobs.parser import schema
from jobscheduler.jobs.parser.defaults import NO_DEFAULTS, Defaults
from jobscheduler.jobs.parser.limits import limits
from jobscheduler.jobs.parser.problem_list import MAX_PROBLEMS, ProblemList
from jobscheduler.jobs.parser.task_fields import TaskParser
from jobscheduler.model import (
    MAX_DELAY,
    NO_TASK,
    SLOT_FIELDS,
    AlertRule,
    Cron,
    Job,
    Once,
    Problem,
    Retry,
    TaskSpec,
)
from jobscheduler.timetable import crontab, timezones
from jobscheduler.util import durations, json_text, text_location

MIN_REMIND_S = 60.0  # between two alerts about one failure

_ALERTS = ("on_failure", "on_recovery")
_BOUNDS = ("not_before", "not_after")
_PLAIN = frozenset({"job_id", "schedule", "task", "timezone"})  # with no other field a job has nothing else to parse
_EXACT = timedelta(0)
_MAX_OFFSET = timedelta(hours=26)  # between the clocks of two zones


@dataclass(frozen=True)
class ParseContext:
    """What parsing depends on besides the schema.

    `zone` is the service's zone, for jobs without `timezone`. `task_type` looks a task type up by name: it returns an
    object with the `schema` and `check` of a `tasks.Task`, or raises LookupError. `task_names` are the known types.
    `defaults` are the fields that jobs have which do not say otherwise. With `is_portable` what depends on this host
    is no problem: a missing user, extra or zone.
    """

    zone: ZoneInfo
    task_type: Callable[[str], Any]
    task_names: tuple[str, ...] = ()
    defaults: Defaults = NO_DEFAULTS
    is_portable: bool = False


def parse(
    raw: bytes, source_name: str, context: ParseContext, modified_at: datetime | None = None
) -> Job | tuple[Problem, ...]:
    """Parse one definition. Its problems and the Job carry `source_name`, and the Job `modified_at`."""
    try:
        value, text = json_text.decode(raw)
    except json_text.DuplicateKeys as error:
        return _parse_rest(error, source_name, context)
    except json_text.JsonError as error:
        return (_problem(error, source_name),)
    parser = _parser(text, source_name, context, value, modified_at)
    job = parser.job(context.defaults.apply(value) if isinstance(value, dict) else value)
    return job if job is not None else parser.problems.sorted()


def _parse_rest(error: json_text.DuplicateKeys, source_name: str, context: ParseContext) -> tuple[Problem, ...]:
    """Return the problems of a definition that has keys twice: these, and those of the rest, which can be judged."""
    parser = _parser(error.text, source_name, context, error.value)
    parser.problems.problems.extend(_problem(one, source_name) for one in error.all)
    parser.job(context.defaults.apply(error.value) if isinstance(error.value, dict) else error.value)
    return parser.problems.sorted()


def _problem(error: json_text.JsonError, source_name: str) -> Problem:
    return text_location.located(Problem(str(error), file=source_name, help=error.help), error.location)


def parse_task(raw: bytes, source_name: str, context: ParseContext) -> TaskSpec | tuple[Problem, ...]:
    """Parse a task in a file of its own: `type` and the fields of that type."""
    try:
        value, text = json_text.decode(raw)
    except json_text.JsonError as error:
        return (_problem(error, source_name),)
    parser = _parser(text, source_name, context, value)
    task = parser.tasks.task(value, ())
    for finding in islice(schema.check_task_file(value), MAX_PROBLEMS):
        parser.problems.add_finding(finding)
    return task if task is not None and not parser.problems else parser.problems.sorted()


def _parser(
    text: str, source_name: str, context: ParseContext, written: Any, modified_at: datetime | None = None
) -> _DefinitionParser:
    problems = ProblemList(text, source_name, context.defaults, written, context.is_portable)
    tasks = TaskParser(problems, context.task_type, context.task_names)
    return _DefinitionParser(source_name, modified_at, context.zone, problems, tasks)


# --- one file --------------------------------------------------------------------------------------------


class _ZoneResult(NamedTuple):
    """The zone of a job. One that is not known is judged as UTC, and named in the schedule all the same."""

    zone: ZoneInfo
    name: str
    is_known: bool = True


@dataclass(slots=True)
class _DefinitionParser:
    """Parser of one file. It collects problems, and returns a Job only if there are none."""

    source_name: str
    modified_at: datetime | None
    service_zone: ZoneInfo
    problems: ProblemList
    tasks: TaskParser

    def job(self, value: Any) -> Job | None:
        """Parse the whole definition; return None if there are problems."""
        if not isinstance(value, dict):
            help_ = 'write `{ "job_id": ..., "schedule": ..., "task": ... }`'
            self.problems.add("a job file holds one object", (), help=help_)
            return None
        task = self.tasks.task(value.get("task"))
        alerts = {name: self.tasks.task(value[name], (name,)) or NO_TASK for name in _ALERTS if name in value}
        for finding in islice(schema.check_job(value), MAX_PROBLEMS + 1):
            self.problems.add_finding(finding)
        return self.assemble(schema.job_with_integers(value), task, alerts)

    def assemble(self, value: dict[str, Any], task: TaskSpec | None, alerts: dict[str, TaskSpec]) -> Job | None:
        """Build the Job. Fields that do not fit the schema are left out, and no Job comes of the others."""
        fields: dict[str, Any] = {} if value.keys() <= _PLAIN else self.optional_fields(value, task)
        fields |= alerts
        zone = self.zone(value)
        schedule = self.schedule(value, zone)
        for name in _BOUNDS:
            if self.has(value, name):
                fields[name] = self.instant(value[name], zone, (name,))
        self.check_bounds(schedule, fields.get("not_before"), fields.get("not_after"), self.margin(value, zone))
        if schedule is None or task is None or self.problems:
            return None
        fields |= {"source_name": self.source_name, "modified_at": self.modified_at}
        return Job(id=value["job_id"], schedule=schedule, task=task, **fields)

    def optional_fields(self, value: dict[str, Any], task: TaskSpec | None) -> dict[str, Any]:
        """Return the fields that most jobs leave out, without those about their slots."""
        fields: dict[str, Any] = {name: value[name] for name in ("description", "enabled", "overlap") if name in value}
        for name in ("catch_up", "jitter", "timeout", "success_within"):
            if self.has(value, name):
                fields[name] = self.duration(value[name], (name,))
        for name in ("timeout", "success_within"):
            if fields.get(name) == 0:
                self.problems.add(f"`{name}` must be longer than 0", (name,), help="leave it out for no limit")
        if isinstance(value.get("retry"), dict):
            fields["retry"] = self.retry(value["retry"])
        if isinstance(value.get("alert"), dict):
            fields["alert"] = self.alert_rule(value["alert"])
        if self.has(value, "tags"):
            fields["tags"] = tuple(sorted(value["tags"]))
        if isinstance(value.get("limits"), dict):
            fields["limits"] = limits(value["limits"], task, self.problems)
        return fields

    def has(self, value: dict[str, Any], *path: str) -> bool:
        """Return whether an object has the field at `path` and it can be judged: nothing is wrong with its form."""
        return path[-1] in value and (not self.problems or self.problems.is_sound(*path))

    # -- schedule and bounds

    def check_bounds(
        self, schedule: Cron | Once | None, first: datetime | None, last: datetime | None, margin: timedelta
    ) -> None:
        """Check that `not_before` and `not_after` leave a slot, and that no field is about slots that there are not.

        Only instants that differ by more than `margin` are certainly in the wrong order.
        """
        if isinstance(schedule, Cron) and schedule.is_manual:
            self.check_manual()
        if first and last and first - last > margin:
            self.problems.add("`not_after` is before `not_before`", ("not_after",), help="is one of the two mistyped?")
        elif isinstance(schedule, Once):
            is_early, is_late = first and first - schedule.at > margin, last and schedule.at - last > margin
            if is_early or is_late:
                name = "not_before" if is_early else "not_after"
                self.problems.add(f"`{name}` rules out the only slot of this job", (name,), help="leave it out")

    def check_manual(self) -> None:
        """Check that a job without slots has no field about them. Defaults may have them, for the other jobs."""
        for name in SLOT_FIELDS:
            if self.problems.written.get(name) is not None:
                help_ = "leave it out: such a job is never due by itself, so it has no slots"
                self.problems.add(f"`{name}` means nothing with `@manual`", (name,), help=help_)

    def margin(self, value: dict[str, Any], zone: _ZoneResult) -> timedelta:
        """Return how much two instants of this definition may be wrong: those without an offset in an unknown zone."""
        if zone.is_known:
            return _EXACT
        texts = [text for name in ("schedule", *_BOUNDS) if isinstance(text := value.get(name), str)]
        return _EXACT if all(map(crontab.names_offset, filter(crontab.is_one_time, texts))) else _MAX_OFFSET

    def schedule(self, value: dict[str, Any], zone: _ZoneResult) -> Cron | Once | None:
        """Parse the schedule; return None if there are problems with it."""
        text = value.get("schedule")
        if not isinstance(text, str):
            return None
        try:
            if crontab.is_one_time(text):
                return Once(crontab.parse_instant(text, zone.zone), text)
            crontab.parse(text)
        except crontab.ScheduleError as error:
            self.problems.add_text_error(error, ("schedule",))
            return None
        return Cron(" ".join(text.split()), zone.name)

    def zone(self, value: dict[str, Any]) -> _ZoneResult:
        """Return the zone of the job, by default the service's."""
        name = value.get("timezone")
        if not isinstance(name, str):
            is_known = name is None
            return _ZoneResult(self.service_zone if is_known else self.neutral_zone(), self.service_zone.key, is_known)
        try:
            return _ZoneResult(timezones.get_zone(name), name)
        except timezones.UnknownTimezone as error:
            self.problems.add(str(error), ("timezone",), help=error.help, host_dependent=error.of_host)
            return _ZoneResult(self.neutral_zone(), name, is_known=False)

    def neutral_zone(self) -> ZoneInfo:
        """Return a zone whose clock is never set, to judge instants of an unknown one."""
        try:
            return timezones.get_zone("UTC")
        except timezones.UnknownTimezone:  # this host has no zone data
            return self.service_zone

    # -- durations, instants

    def duration(self, value: float | str, path: json_text.Path) -> float | None:
        try:
            return durations.parse_duration(value)
        except ValueError as error:
            self.problems.add(str(error), path, help=durations.HELP)
            return None

    def instant(self, text: str, zone: _ZoneResult, path: json_text.Path) -> datetime | None:
        try:
            return crontab.parse_instant(text, zone.zone)
        except crontab.ScheduleError as error:
            self.problems.add_text_error(error, path)
            return None

    # -- objects: None if something is wrong in the file

    def retry(self, value: dict[str, Any]) -> Retry | None:
        delays = {
            name: self.duration(value[name], ("retry", name))
            for name in ("delay", "max_delay")
            if self.has(value, "retry", name)
        }
        if self.problems:
            return None
        known = {name: delay for name, delay in delays.items() if delay is not None}
        known.setdefault("max_delay", max(MAX_DELAY, known.get("delay", 0.0)))
        return Retry(attempts=int(value["attempts"]), backoff=float(value.get("backoff", 2)), **known)

    def alert_rule(self, value: dict[str, Any]) -> AlertRule | None:
        path = ("alert", "remind")
        remind = self.duration(value["remind"], path) if self.has(value, *path) else None
        if remind is not None and remind < MIN_REMIND_S:
            message = f"`remind` must be at least {MIN_REMIND_S:g} seconds"
            self.problems.add(message, path, help="leave it out for no reminder")
        if self.problems:
            return None
        return AlertRule(int(value.get("after", 1)), remind, value.get("missed", False))
