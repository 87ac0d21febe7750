"""`10.0` is the integer 10 wherever an integer is asked for, and nowhere else."""

from __future__ import annotations

import json
import os
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobscheduler import tasks
from jobscheduler.jobs.parser import ParseContext, parse
from jobscheduler.jobs.parser.integers import converter
from jobscheduler.model import Job
from tests.support.service import job
from tests.support.tasks import as_root, context

INTEGER = {"type": "integer"}

RULES = ParseContext(ZoneInfo("UTC"), tasks.task_type, tasks.task_names())


def read(fields: str, task: str = '"type": "execute_command", "command": "true"') -> Any:
    """Parse a job whose task, or the job itself, has these fields, as text: Python would write numbers its own way."""
    return parse(f'{{"job_id": "n", "schedule": "@daily", {fields} "task": {{{task}}}}}'.encode(), "n.json", RULES)


def own(task: str) -> dict[str, Any]:
    """The fields of a task, as the task gets them; their types are part of the answer."""
    found = read("", task)
    assert isinstance(found, Job), found
    return dict(found.task.params)


@pytest.mark.parametrize(("written", "number"), [("10.0", 10), ("1e1", 10), ("-0.0", 0), ("1.9E1", 19), ("10", 10)])
def test_a_niceness_is_an_integer_however_it_is_written(written: str, number: int) -> None:
    nice = own(f'"type": "execute_command", "command": "true", "nice": {written}')["nice"]
    assert (nice, type(nice)) == (number, int)


@pytest.mark.parametrize("written", ["true", '"10"', "10.5", "1e99", "20.0"])
def test_a_value_that_is_not_an_integer_or_out_of_bounds_is_refused(written: str) -> None:
    assert not isinstance(read("", f'"type": "execute_command", "command": "true", "nice": {written}'), Job)


@as_root
def test_a_command_runs_with_a_niceness_that_is_written_with_a_point() -> None:
    found = read("", '"type": "execute_command", "command": ["nice"], "nice": 10.0')
    outcome = tasks.task_type("execute_command")(found.task.params).run(context())
    assert outcome is not None
    assert int(outcome.output) == min(os.nice(0) + 10, 19)


@pytest.mark.parametrize(
    ("task", "name", "expected"),
    [
        (
            '"type": "execute_command", "command": "true", "success_exit_codes": [0.0, 3e0]',
            "success_exit_codes",
            [0, 3],
        ),
        ('"type": "http_request", "url": "http://h/", "expected_status": 200.0', "expected_status", 200),
        ('"type": "http_request", "url": "http://h/", "expected_status": [2e2, 204]', "expected_status", [200, 204]),
    ],
)
def test_integers_in_lists_and_alternatives_are_converted(task: str, name: str, expected: object) -> None:
    assert json.dumps(own(task)[name]) == json.dumps(expected)


def test_the_body_of_a_request_stays_as_it_is_written() -> None:
    task = '"type": "http_request", "url": "http://h/", "method": "POST", "json": {"a": 1.0, "b": [2.0]}'
    assert json.dumps(own(task)["json"]) == '{"a": 1.0, "b": [2.0]}'


def test_attempts_of_a_job_are_an_integer() -> None:
    found = read('"retry": {"attempts": 3.0}, "timeout": 1e0,')
    assert (found.retry.attempts, type(found.retry.attempts), found.timeout) == (3, int, 1.0)


def test_an_alert_is_a_task_like_any_other() -> None:
    found = read('"on_failure": {"type": "execute_command", "command": "true", "nice": 1e1},')
    assert type(dict(found.on_failure.params)["nice"]) is int


def test_both_ways_to_write_an_integer_are_one_definition() -> None:
    """An edit from one to the other changes nothing."""
    written = ['"type": "execute_command", "command": "true", "nice": ' + one for one in ("10", "10.0")]
    assert read("", written[0]) == read("", written[1])


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "integer"}, 1.0, 1),
        ({"type": ["integer", "null"]}, 1.0, 1),
        ({"type": ["integer", "number"]}, 1.0, 1.0),
        (
            {"additionalProperties": {"type": "integer"}, "properties": {"a": {}}},
            {"a": 1.0, "b": 1.0},
            {"a": 1.0, "b": 1},
        ),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"items": {"type": "integer"}}}}, [1.0, "x"], [1, "x"]),
        ({"allOf": [{"properties": {"a": {"type": "integer"}}}]}, {"a": float("inf")}, {"a": float("inf")}),
    ],
)
def test_schemas_of_other_packages_may_ask_for_integers_in_other_ways(schema: Any, value: Any, expected: Any) -> None:
    convert = converter(schema)
    found = value if convert is None else convert(value)
    assert repr(found) == repr(expected)


def test_a_schema_without_integers_is_not_compiled_and_recursion_ends() -> None:
    assert converter({"properties": {"a": {"type": "string"}}}) is None
    assert converter({"$ref": "#"}) is None
    assert converter(job("a")) is None
