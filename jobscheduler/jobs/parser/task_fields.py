"""Parse a task of a definition: its type is known, and has accepted its fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jobscheduler.jobs.parser import schema
from jobscheduler.jobs.parser.problem_list import MAX_PROBLEMS, ProblemList
from jobscheduler.jobs.parser.schema import Finding
from jobscheduler.jobs.parser.sound_fields import errors_of_sound_fields
from jobscheduler.model import TaskSpec
from jobscheduler.util import json_text
from jobscheduler.util.text import did_you_mean, format_error, quote


@dataclass(slots=True)
class TaskParser:
    """Parser of the tasks of one file. `task_type` and `task_names` are those of the context."""

    problems: ProblemList
    task_type: Callable[[str], Any]
    task_names: tuple[str, ...]

    def task(self, value: Any, at: json_text.Path = ("task",)) -> TaskSpec | None:
        """Check the task at this path; return None if it is not a task or could not be checked.

        Problems with the public schema are not added here.
        """
        if not isinstance(value, dict) or not isinstance(value.get("type"), str):
            return None
        name = value["type"]
        fields = {key: field_value for key, field_value in value.items() if key != "type"}
        try:
            type_ = self.task_type(name)
        except LookupError as error:
            return self._without_type(name, value, error, at)
        except BaseException as error:  # a plug-in's SystemExit or KeyboardInterrupt must not end the service
            return self._unchecked(error, at)
        try:
            fields = schema.with_integers(type_, fields)
            self._check(type_, fields, at)
        except BaseException as error:
            return self._unchecked(error, at)
        return TaskSpec.from_params(name, fields)

    def _check(self, type_: Any, fields: dict[str, Any], at: json_text.Path) -> None:
        """Check the fields of a task against its type: by its schema, and those that fit it by its own rules."""
        findings = list(islice(schema.check_task(type_, fields, at), MAX_PROBLEMS + 1))
        for finding in findings:
            self.problems.add_finding(finding)
        errors = self._errors_of_sound_fields(type_, fields, findings, at) if findings else type_.check(fields)
        for error in islice(errors, MAX_PROBLEMS + 1):
            self.problems.add(error.message, (*at, *error.path), help=error.help, host_dependent=error.host_dependent)

    def _errors_of_sound_fields(
        self, type_: Any, fields: dict[str, Any], findings: list[Finding], at: json_text.Path
    ) -> list[Any]:
        wrong = {finding.path[len(at) :] for finding in findings}
        return errors_of_sound_fields(
            type_.schema,
            fields,
            wrong,
            lambda some: schema.fits_task(type_, some),
            type_.check,
        )

    def _without_type(
        self, name: str, value: dict[str, Any], error: LookupError, at: json_text.Path
    ) -> TaskSpec | None:
        """Add the problem that a task type is unknown, or unusable on this host, and what the public schema says."""
        known = self.task_names
        path = (*at, "type")
        if name not in known:
            listed = ", ".join(f"`{known_name}`" for known_name in known)
            message = f"unknown task type {quote(name)}"
            self.problems.add(message, path, notes=(f"known types are {listed}",), help=did_you_mean(name, known))
            return None
        self.problems.add(str(error), path, host_dependent=True)
        for finding in islice(schema.check_unusable_task(name, value, at), MAX_PROBLEMS + 1):
            self.problems.add_finding(finding)
        return TaskSpec.from_params(name, {key: given for key, given in value.items() if key != "type"})

    def _unchecked(self, error: BaseException, at: json_text.Path) -> TaskSpec | None:
        message = f"the definition cannot be checked: {format_error(error)}"
        help_ = "this is a fault of the scheduler or of the task type, not of the file; please report it"
        self.problems.add(message, (*at, "type"), help=help_, host_dependent=not self.problems.is_portable)
        return None
