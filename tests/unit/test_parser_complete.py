"""The parser finds every problem of a file: each field is judged by itself, whatever is wrong with the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler import tasks
from jobscheduler.jobs.parser import ParseContext, check_defaults, parse
from jobscheduler.model import Job, Problem
from jobscheduler.tasks.base import FieldError
from tests.support.definitions import full_job
from tests.support.properties import examples

RULES = ParseContext(ZoneInfo("UTC"), tasks.task_type, tasks.task_names())
VALID = full_job(
    retry={"attempts": 3, "delay": "30s", "backoff": 2, "max_delay": "10m"},
    not_before="2026-01-01T00:00:00Z",
    not_after="2030-01-01T00:00:00Z",
    tags=["a", "b"],
    on_failure={"type": "execute_command", "command": "true", "cwd": "/", "umask": "022"},
)
VALID["task"] |= {"cwd": "/", "umask": "022", "env": {"A": "b", "C": "d"}, "nice": 3, "pass_env": ["LANGUAGE"]}
VALID["task"] |= {"success_exit_codes": [0, 1], "env_file": "/etc/a.env"}

# A wrong value of each field, and the line of the definition where its problem is: by the path of the value.
WRONG: Mapping[tuple[str, ...], tuple[Any, ...]] = {
    ("job_id",): (5, "ä", ""),
    ("schedule",): (5, "61 * * * *", "2027-02-30T00:00:00Z", "0 0 30 2 *"),
    ("timezone",): (5, "Europe/Berln"),
    ("description",): (5, ["x"]),
    ("enabled",): ("no", 1),
    ("timeout",): ([], "1 hour", -1, 0),
    ("overlap",): (5, "wait"),
    ("retry",): (5, "often"),
    ("retry", "attempts"): ("3", 0),
    ("retry", "delay"): ("30 seconds", True),
    ("retry", "backoff"): ("2", 0.5),
    ("retry", "max_delay"): ("ten minutes", -1),
    ("catch_up",): ("an hour", -5),
    ("jitter",): ("5 minutes", None, False),
    ("not_before",): ("tomorrow", 5),
    ("not_after",): ("2030-13-01T00:00:00Z", 5),
    ("tags",): ("a", ["a", "a"], [""]),
    ("success_within",): ([], "1 day", -1, 0),
    ("alert", "after"): ("3", 0),
    ("alert", "remind"): ("one day", 5, True),
    ("alert", "missed"): ("no", 1),
    ("limits", "memory"): ("12X", 12, 1.5),
    ("limits", "cpu"): ("50", 50),
    ("limits", "processes"): ("9", 0),
    ("task", "cwd"): (5, "tmp"),
    ("task", "umask"): (22, "999"),
    ("task", "env", "A"): (5, None),
    ("task", "env", "C"): ({}, 7),
    ("task", "nice"): ("high", 50),
    ("task", "pass_env"): ("A", ["JOB_ID"]),
    ("task", "command"): (5, "", []),
    ("task", "env_file"): (5, "a.env"),
    ("task", "success_exit_codes"): ([], "0", [300]),
    ("on_failure",): (5, "mail"),
    ("on_failure", "command"): (5, "  "),
    ("on_failure", "cwd"): (True, "tmp"),
    ("on_failure", "umask"): (18, "8"),
}
WRONG = {
    path: tuple(value for value in values if value is not None or path[-1] == "A") for path, values in WRONG.items()
}


def problems_of(definition: Mapping[str, Any]) -> tuple[Problem, ...]:
    found = parse(json.dumps(definition, indent=1).encode(), "a.json", RULES)
    assert not isinstance(found, Job), definition
    return found


def with_values(values: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """Return the valid definition with other values at these paths."""
    definition = json.loads(json.dumps(VALID))
    for path, value in values.items():
        inner = definition
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = value
    return dict(definition)


def lines_of(definition: Mapping[str, Any], path: tuple[str, ...]) -> range:
    """Return the lines of a value in the definition, which has every key on a line of its own."""
    text = json.dumps(definition, indent=1)
    marked = json.loads(text)
    inner = marked
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = "MARK"
    before = json.dumps(marked, indent=1).split("\n")
    first = next(number for number, line in enumerate(before, 1) if '"MARK"' in line)
    return range(first, first + 1 + text.count("\n") - (len(before) - 1))


broken_fields = st.lists(st.sampled_from(sorted(WRONG)), min_size=1, max_size=8, unique=True).filter(
    lambda paths: not any(one != other and other[: len(one)] == one for one in paths for other in paths)
)


@examples(300)
@given(broken_fields, st.data())
def test_every_broken_field_is_reported_at_its_place(paths: list[tuple[str, ...]], data: st.DataObject) -> None:
    """Whatever other fields are broken."""
    definition = with_values({path: data.draw(st.sampled_from(WRONG[path])) for path in paths})
    found = problems_of(definition)
    lines = [problem.line or 0 for problem in found]
    for path in paths:
        where = lines_of(definition, path)
        assert any(line in where for line in lines), (path, found)
    told = sum(any(line in lines_of(definition, path) for path in paths) for line in lines)
    assert told == len(lines), "nothing is reported that is right"


def test_the_valid_definition_is_accepted() -> None:
    """And each wrong value is refused alone, with one problem."""
    assert isinstance(parse(json.dumps(VALID).encode(), "a.json", RULES), Job)
    for path, values in WRONG.items():
        for value in values:
            assert len(problems_of(with_values({path: value}))) == 1, (path, value)


def test_an_unknown_zone_hides_nothing() -> None:
    definition = full_job(jitter="5 minutes", timezone="Europe/Berln", not_after="tomorrow")
    definition["schedule"] = "61 * * * *"
    definition["task"]["cwd"] = "tmp"
    assert [problem.message for problem in problems_of(definition)] == [
        "`61` is out of range: the minute is 0 to 59",
        "`tmp` is not an absolute path",
        "unknown time zone `Europe/Berln`",
        "`5 minutes` is not a duration",
        problems_of(full_job(not_after="tomorrow"))[0].message,
    ]


def test_a_wrong_type_hides_no_duration() -> None:
    found = problems_of(full_job(jitter="5 minutes", timeout="1 hour", enabled="no"))
    assert [problem.line and problem.message[:12] for problem in found] == [
        "`enabled` mu",
        "`1 hour` is ",
        "`5 minutes` ",
    ]


@pytest.mark.parametrize(
    ("bounds", "is_wrong"),
    [
        (("2028-01-01T00:00:00Z", "2027-01-01T00:00:00Z"), True),
        (("2028-01-01T00:00", "2027-01-01T00:00"), True),
        (("2027-01-01T00:00", "2027-01-01T12:00:00Z"), False),
        (("2027-01-01T12:00", "2027-01-01T00:00:00Z"), False),
        (("2027-01-01T12:00:00Z", "2027-01-01T00:00:00Z"), True),
    ],
)
def test_bounds_in_an_unknown_zone_are_compared_where_the_zone_means_nothing(
    bounds: tuple[str, str], is_wrong: bool
) -> None:
    found = problems_of(full_job(timezone="Europe/Berln", not_before=bounds[0], not_after=bounds[1]))
    assert ("`not_after` is before `not_before`" in {problem.message for problem in found}) == is_wrong


def test_a_key_that_appears_twice_hides_nothing() -> None:
    text = """{
 "job_id": "a", "job_id": "b",
 "schedule": "61 * * * *",
 "task": {"type": "execute_command", "command": "true", "cwd": "tmp", "cwd": "/"}
}"""
    found = parse(text.encode(), "a.json", RULES)
    assert isinstance(found, tuple)
    assert [(problem.line, problem.message) for problem in found] == [
        (2, "the key `job_id` appears here a second time"),
        (3, "`61` is out of range: the minute is 0 to 59"),
        (4, "`tmp` is not an absolute path"),
        (4, "the key `cwd` appears here a second time"),
    ]


class _Pair:
    """A task type with two fields of which one is judged by the other."""

    schema: ClassVar = {
        "type": "object",
        "required": ["kind"],
        "properties": {
            "kind": {"type": "string", "examples": ["big", "small"]},
            "size": {"type": "integer"},
            "name": {"type": "string"},
        },
    }

    @staticmethod
    def check(fields: Mapping[str, Any]) -> Any:
        if fields["kind"] == "big" and fields.get("size", 0) < 10:
            yield FieldError(("size",), "too small for a big one")
        if fields.get("name") == "":
            yield FieldError(("name",), "it has no name")


def test_what_depends_on_a_broken_field_is_left_out() -> None:
    """A size is judged by the kind, which is not known here; the name by nothing else."""
    rules = ParseContext(ZoneInfo("UTC"), lambda _: _Pair, ("pair",))
    definition = {"job_id": "a", "schedule": "@daily", "task": {"type": "pair", "kind": 5, "size": 1, "name": ""}}
    found = parse(json.dumps(definition).encode(), "a.json", rules)
    assert isinstance(found, tuple)
    assert [problem.message for problem in found] == ["`task.kind` must be text, not a number", "it has no name"]


def test_fields_of_a_type_whose_extra_is_missing_are_judged_all_the_same() -> None:
    def task_type(_: str) -> Any:
        raise LookupError("`http_request` needs the extra `http`")

    rules = ParseContext(ZoneInfo("UTC"), task_type, ("http_request",))
    definition = {"job_id": "a", "schedule": "@daily", "task": {"type": "http_request", "url": 5, "methd": "GET"}}
    found = parse(json.dumps(definition, indent=1).encode(), "a.json", rules)
    assert isinstance(found, tuple)
    assert [(problem.message, problem.host_dependent) for problem in found] == [
        ("`http_request` needs the extra `http`", True),
        ("`task.url` must be text, not a number", False),
        ("unknown field `methd`", False),
    ]


def test_a_file_with_very_many_problems_says_that_there_are_more() -> None:
    env = {f"A{number}": number for number in range(30)}
    definition = full_job()
    definition["task"]["env"] = env
    found = problems_of(definition)
    assert len(found) == 20
    assert found[-1].notes[-1] == "this file has further problems: the first 20 are shown"


def test_a_missing_field_of_a_task_hides_nothing() -> None:
    definition = full_job()
    definition["task"] = {"type": "execute_command", "cwd": "tmp"}
    assert [problem.message for problem in problems_of(definition)] == [
        "missing field `task.command`",
        "`tmp` is not an absolute path",
    ]


def test_defaults_of_a_task_type_are_judged_by_the_type_too() -> None:
    """Except for what depends on this host: that must not keep the service from starting."""
    table = {"execute_command": {"cwd": "tmp", "umask": 5, "user": "nobody-knows-this-user"}}
    found: list[tuple[Any, str]] = []

    def problem_at(path: Any, message: str, help_: str | None = None, **_: Any) -> Problem:
        found.append((path, message))
        return Problem(message, help=help_)

    check_defaults(table, RULES, problem_at, "scheduler.toml")
    assert found == [
        (("execute_command", "umask"), "`execute_command.umask` must be text, not a number"),
        (("execute_command", "cwd"), "`tmp` is not an absolute path"),
    ]


# --- help that helps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "help_"),
    [
        ("x*/20 * * * * *", "write a second there, for example `*/20 * * * * *`"),
        ("0 25x * * *", "write an hour there, for example `0 6 * * *`"),
        ("0 9 * * mon-wed#2", "write `0 9 * * mon#2,tue#2,wed#2`"),
        ("0 9 * * 4-5L", "write `0 9 * * 4L,5L`"),
    ],
)
def test_the_help_for_a_schedule_is_about_the_field_at_fault(schedule: str, help_: str) -> None:
    assert problems_of(full_job() | {"schedule": schedule})[0].help == help_


def test_a_field_of_a_task_that_stands_beside_it_belongs_inside() -> None:
    definition: dict[str, Any] = {"job_id": "a", "schedule": "@daily", "command": "true"}
    assert [problem.help for problem in problems_of(definition)][1] == (
        '`command` belongs inside `task`: write `"task": { "type": "execute_command", "command": ... }`'
    )
    definition["task"] = {"command": "true"}
    assert "`command` belongs inside `task`" in [problem.help for problem in problems_of(definition)]


def test_a_field_of_a_job_that_stands_in_its_task_belongs_beside_it() -> None:
    definition = full_job()
    definition["task"]["retry"] = {"attempts": 3}
    definition["on_failure"] = {"type": "execute_command", "command": "true", "overlap": "skip"}
    assert [problem.help for problem in problems_of(definition)] == [
        "`retry` belongs beside `task`, not inside it",
        "`overlap` belongs beside `on_failure`, which is a task, not inside it",
    ]
