"""Bytes to a Job, or to every problem in them: the one gate, for the service and for `validate` alike.

A `Job` that comes out can be scheduled and run: its schedule has slots or had one, its zone exists, its task type is
known and has accepted its fields. Problems are values, all of them at once, each with its place in the file.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from jobscheduler import crontab, durations, jsontext, zone
from jobscheduler.model import Cron, Job, Once, Problem, Retry, TaskSpec


class TaskComplaint(Protocol):
    """What a task type has against its fields (see `tasks.base.Complaint`)."""

    @property
    def path(self) -> tuple[str | int, ...]: ...  # noqa: D102
    @property
    def message(self) -> str: ...  # noqa: D102
    @property
    def help(self) -> str | None: ...  # noqa: D102
    @property
    def host(self) -> bool: ...  # noqa: D102


class TaskType(Protocol):
    """As much of a task type as parsing needs (see `tasks.base.Task`)."""

    @property
    def schema(self) -> Mapping[str, Any]: ...  # noqa: D102
    def check(self, fields: Mapping[str, Any]) -> Iterator[TaskComplaint]: ...  # noqa: D102
    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Rules:
    """What a definition is held against besides the schema.

    `zone` is the service's zone, for jobs without `timezone`. `task_type` looks a task type up by name and raises
    LookupError, whose text is the problem, for a name that is not known; its `host` attribute tells whether that
    may heal without an edit, `help` the way out. `task_names` lists the known ones.
    """

    zone: ZoneInfo
    task_type: Callable[[str], TaskType]
    task_names: tuple[str, ...] = ()


def parse(raw: bytes, origin: str, rules: Rules) -> Job | tuple[Problem, ...]:
    """Read one definition. `origin` is the name that its problems and the Job carry."""
    try:
        value, text = jsontext.decode(raw)
    except jsontext.Malformed as error:
        return (_placed(Problem(str(error), file=origin, help=error.help), error.place),)
    parsing = _Parsing(text, origin, rules)
    job = parsing.job(value)
    return job if job is not None else tuple(sorted(parsing.problems, key=lambda p: (p.line or 0, p.column or 0)))


def conflict(raw: bytes, origin: str, job_id: str, incumbent: str) -> Problem:
    """Say that another item already has this id, at the place of the id in the definition."""
    problem = Problem(
        f"the id `{job_id}` already belongs to `{incumbent}`",
        file=origin,
        help=f"give one of the two another `job_id`, or delete `{origin}`",
    )
    try:
        return _placed(problem, jsontext.place_of(jsontext.decode(raw)[1], ("job_id",)))
    except jsontext.Malformed:
        return problem


def schema() -> dict[str, Any]:
    """Return the public schema of a job file."""
    here = Path(__file__).parent
    inside, beside = here / "schemas", here.parent / "schemas"
    decoded: dict[str, Any] = json.loads(((inside if inside.is_dir() else beside) / "job.schema.json").read_bytes())
    return decoded


# --- one file --------------------------------------------------------------------------------------------


@dataclass
class _Parsing:
    """The reading of one file: collects problems; a Job only comes out when there are none."""

    text: str
    origin: str
    rules: Rules
    problems: list[Problem] = field(default_factory=list)

    def job(self, value: Any) -> Job | None:
        if not isinstance(value, dict):
            self.say("a job file holds one object", (), help='write `{ "job_id": ..., "schedule": ..., "task": ... }`')
            return None
        for error in _job_validator().iter_errors(value):
            self.refuse(error, (), value)
        task = self.task(value.get("task"))
        if self.problems:
            self.schedule(value)
            return None
        job = self.assemble(value, task)
        return None if self.problems else job

    def assemble(self, value: dict[str, Any], task: TaskSpec | None) -> Job | None:
        schedule = self.schedule(value)
        given: dict[str, Any] = {name: value[name] for name in ("description", "enabled", "overlap") if name in value}
        for name in ("catch_up", "jitter", "timeout"):
            if name in value:
                given[name] = self.duration(value[name], (name,))
        if given.get("timeout") == 0:
            self.say("`timeout` must be longer than 0", ("timeout",), help="leave it out for no limit")
        local = schedule[1] if schedule else self.rules.zone
        for name in ("not_before", "not_after"):
            if name in value:
                given[name] = self.instant(value[name], local, (name,))
        if "retry" in value:
            given["retry"] = self.retry(value["retry"])
        if schedule is None or task is None or self.problems:
            return None
        job = Job(id=value["job_id"], schedule=schedule[0], task=task, origin=self.origin, **given)
        self.check_bounds(job)
        return job

    def check_bounds(self, job: Job) -> None:
        first, last = job.not_before, job.not_after
        if first and last and first > last:
            self.say("`not_after` lies before `not_before`", ("not_after",), help="is one of the two mistyped?")
        elif isinstance(job.schedule, Once) and (
            (first and job.schedule.at < first) or (last and job.schedule.at > last)
        ):
            name = "not_before" if first and job.schedule.at < first else "not_after"
            self.say(f"`{name}` rules out the only slot of this job", (name,), help="leave it out")

    def task(self, value: Any) -> TaskSpec | None:
        if not isinstance(value, dict) or not isinstance(value.get("type"), str):
            return None
        name = value["type"]
        try:
            type_ = self.rules.task_type(name)
        except LookupError as unknown:
            known = self.rules.task_names
            self.say(
                str(unknown.args[0] if unknown.args else unknown),
                ("task", "type"),
                notes=(f"known types are {', '.join(f'`{one}`' for one in known)}",) if known else (),
                help=getattr(unknown, "help", None) or _did_you_mean(name, known),
                host=getattr(unknown, "host", False),
            )
            return None
        own = {key: one for key, one in value.items() if key != "type"}
        errors = list(_validator_of(type_).iter_errors(own))
        for error in errors:
            self.refuse(error, ("task",), own)
        if not errors:
            for complaint in type_.check(own):
                path = ("task", *complaint.path)
                self.say(complaint.message, path, help=complaint.help, host=complaint.host)
        return TaskSpec.of(name, own)

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
        except crontab.Refused as refused:
            self.refuse_text(refused, ("schedule",))
            return None
        return Cron(" ".join(text.split()), local.key), local

    def zone(self, name: Any) -> ZoneInfo | None:
        if not isinstance(name, str):
            return self.rules.zone
        try:
            return zone.named_zone(name)
        except zone.ZoneUnknown as unknown:
            self.say(str(unknown), ("timezone",), help=unknown.help)
            return None

    def duration(self, value: float | str, path: jsontext.Path) -> float:
        try:
            return durations.seconds(value)
        except ValueError as error:
            self.say(str(error), path, help=durations.HELP)
            return 0.0

    def instant(self, text: str, local: ZoneInfo, path: jsontext.Path) -> datetime | None:
        try:
            return crontab.parse_instant(text, local)
        except crontab.Refused as refused:
            self.refuse_text(refused, path)
            return None

    def retry(self, value: dict[str, Any]) -> Retry:
        given = {name: self.duration(value[name], ("retry", name)) for name in ("delay", "max_delay") if name in value}
        return Retry(attempts=int(value["attempts"]), backoff=float(value.get("backoff", 2)), **given)

    # -- problems

    def say(
        self,
        message: str,
        path: jsontext.Path,
        *,
        key: bool = False,
        notes: tuple[str, ...] = (),
        help: str | None = None,  # noqa: A002 - the word under which it is shown
        host: bool = False,
    ) -> None:
        """Add a problem at the value (or `key`) at `path`; a path that is not there is cut back to one that is."""
        place = jsontext.place_of(self.text, path, key=key)
        while place is None and path:
            path = path[:-1]
            place = jsontext.place_of(self.text, path)
        problem = Problem(message, file=self.origin, notes=notes, help=help, host=host)
        self.problems.append(_placed(problem, place))

    def refuse_text(self, refused: crontab.Refused, path: jsontext.Path) -> None:
        """Add a problem about a part of the text at `path`, with the place of that very part."""
        self.say(str(refused), path, notes=refused.notes, help=refused.help or None)
        last = self.problems[-1]
        whole = jsontext.place_of(self.text, path)
        if whole and refused.end > refused.start and "\\" not in whole.excerpt:
            shift = 1 + refused.start
            width = min(refused.end, whole.width - 2) - refused.start
            if width > 0 and last.column is not None:
                self.problems[-1] = replace(last, column=last.column + shift, caret=last.caret + shift, width=width)

    def refuse(self, error: ValidationError, base: jsontext.Path, top: Mapping[str, Any]) -> None:
        """Turn one finding of the schema into problems."""
        path = (*base, *error.absolute_path)
        if error.validator == "required":
            for name in error.validator_value:
                if error.message.startswith(repr(name)) and not self.is_misspelt(name, error):
                    self.refuse_missing(name, error, path)
        elif error.validator == "additionalProperties":
            known = tuple(error.schema.get("properties", {}))
            for name in error.instance:
                if name not in known:
                    self.refuse_unknown(name, known, path, top)
        else:
            message, help_ = _finding(error, _label(path))
            about = error.schema.get("description") if error.validator in {"pattern", "anyOf", "oneOf"} else None
            self.say(message, path, notes=(about,) if about else (), help=help_)

    def refuse_missing(self, name: str, error: ValidationError, path: jsontext.Path) -> None:
        examples = error.schema.get("properties", {}).get(name, {}).get("examples") or ["..."]
        shown = json.dumps(examples[0], ensure_ascii=False)
        self.say(f"missing field `{_label((*path, name))}`", path, help=f'add it, for example `"{name}": {shown}`')

    def is_misspelt(self, name: str, error: ValidationError) -> bool:
        """Tell whether a missing key is there under a wrong name, so that one problem says it all."""
        known = tuple(error.schema.get("properties", ()))
        unknown = [one for one in error.instance if one not in known]
        return any(_nearest(one, known) == name for one in unknown)

    def refuse_unknown(self, name: str, known: tuple[str, ...], path: jsontext.Path, top: Mapping[str, Any]) -> None:
        help_ = _did_you_mean(name, known)
        task = top.get("task")
        if not path and isinstance(task, dict) and name in self.fields_of(task.get("type")):
            help_ = f"`{name}` belongs inside `task`"
        listed = ", ".join(f"`{one}`" for one in known)
        self.say(
            f"unknown field `{_short(name)}`",
            (*path, name),
            key=True,
            notes=() if help_ else (f"known fields are {listed}",),
            help=help_,
        )

    def fields_of(self, type_name: Any) -> Iterable[str]:
        try:
            return tuple(self.rules.task_type(type_name).schema.get("properties", ()))
        except (LookupError, TypeError):
            return ()


# --- the schema's findings in words ----------------------------------------------------------------------

_TYPES = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}


def _finding(error: ValidationError, label: str) -> tuple[str, str | None]:
    """Return message and help for a finding. The value itself is only quoted where the schema lists the choices."""
    limit, example = error.validator_value, error.schema.get("examples")
    help_ = f"for example `{json.dumps(example[0], ensure_ascii=False)}`" if example else None
    match error.validator:
        case "type":
            wanted = " or ".join(_TYPES[one] for one in ([limit] if isinstance(limit, str) else limit))
            return f"`{label}` must be {wanted}, not {_type_name(error.instance)}", help_
        case "enum":
            choices = tuple(str(one) for one in limit)
            listed = ", ".join(f"`{one}`" for one in choices)
            return f"`{label}` must be one of {listed}", _did_you_mean(str(error.instance), choices) or help_
        case "const":
            return f"`{label}` must be `{json.dumps(limit)}`", None
        case "pattern":
            return f"`{_short(error.instance)}` is no valid `{label}`", help_
        case "minimum" | "exclusiveMinimum":
            return f"`{label}` must be {'at least' if error.validator == 'minimum' else 'more than'} {limit}", help_
        case "maximum" | "exclusiveMaximum":
            return f"`{label}` must be {'at most' if error.validator == 'maximum' else 'less than'} {limit}", help_
        case "minLength" | "minItems" | "minProperties" if limit == 1:
            return f"`{label}` must not be empty", help_
        case "maxLength" | "maxItems" | "maxProperties":
            return f"`{label}` is too long: at most {limit}", help_
        case _:
            return f"`{label}` does not satisfy the rule `{error.validator}` of its schema", help_


def _type_name(value: Any) -> str:
    for check, name in ((bool, "boolean"), (str, "string"), (int, "number"), (float, "number"), (dict, "object")):
        if isinstance(value, check):
            return _TYPES[name]
    return _TYPES["null"] if value is None else _TYPES["array"]


def _label(path: jsontext.Path) -> str:
    return ".".join(str(part) for part in path) or "the definition"


def _short(text: str) -> str:
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:60])
    return shown + ("…" if len(text) > 60 else "")


def _nearest(name: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name[:60].lower(), known, n=1)), None)


def _did_you_mean(name: str, known: Iterable[str]) -> str | None:
    nearest = _nearest(name, known)
    return f"did you mean `{nearest}`?" if nearest else None


def _placed(problem: Problem, place: jsontext.Place | None) -> Problem:
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


# --- compiled validators ---------------------------------------------------------------------------------


def _pattern(validator: Any, pattern: str, instance: Any, _: Any) -> Iterator[ValidationError]:
    """ECMA 262's `$`, which JSON Schema means, is the very end; Python's also matches before a last newline."""
    if validator.is_type(instance, "string") and not _ecma(pattern).search(instance):
        yield ValidationError(f"does not match {pattern!r}")


@cache
def _ecma(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"(?<!\\)\$$", r"\\Z", pattern), re.ASCII)


_Validator = extend(Draft202012Validator, {"pattern": _pattern})


@cache
def _job_validator() -> Any:
    """Compile the public schema, once, without its conditions on `task`: each task type validates its own fields."""
    whole = schema()
    whole["properties"]["task"].pop("allOf", None)
    return _Validator(whole)


@cache
def _validator_of(type_: TaskType) -> Any:
    return _Validator(dict(type_.schema))
