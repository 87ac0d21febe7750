"""`[defaults]` of the settings file: fields of all jobs that do not say otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jobscheduler import tasks
from jobscheduler.config import parse_settings
from jobscheduler.jobs.parser import ParseContext, check_defaults, definition_warnings, parse
from jobscheduler.jobs.parser.defaults import Defaults
from jobscheduler.model import NO_TASK, Job, Problem

CONTEXT = ParseContext(ZoneInfo("UTC"), tasks.task_type, tasks.task_names())
COMMAND = {"type": "execute_command", "command": "true"}


def checked(text: str) -> tuple[Defaults, tuple[Problem, ...]]:
    """Return the defaults of a settings file, and their problems."""
    file = parse_settings(text.encode(), Path("s.toml"))

    def problem_at(path: tuple[str, ...], message: str, help_: str | None = None, **further: Any) -> Problem:
        return file.problem(("defaults", *path), message, help_, **further)

    return check_defaults(file.defaults, CONTEXT, problem_at, "s.toml")


def parsed(text: str, **fields: Any) -> Job | tuple[Problem, ...]:
    """Parse a job with the defaults of a settings file."""
    defaults, problems = checked(text)
    assert not problems
    definition = {"job_id": "a", "schedule": "0 1 * * *", "task": COMMAND, **fields}
    return parse(json.dumps(definition, indent=1).encode(), "a.json", replace(CONTEXT, defaults=defaults))


def job(text: str, **fields: Any) -> Job:
    """Parse a job that is right."""
    found = parsed(text, **fields)
    assert isinstance(found, Job), found
    return found


def test_a_default_fills_in_what_a_job_does_not_say() -> None:
    """And what it says counts."""
    text = "[defaults]\ntimeout = '1h'\noverlap = 'queue'\n"
    assert (job(text).timeout, job(text).overlap) == (3600, "queue")
    assert (job(text, timeout=5).timeout, job(text, timeout=5).overlap) == (5, "queue")


def test_objects_are_merged_key_by_key() -> None:
    """Everything else replaces."""
    text = "[defaults.retry]\nattempts = 3\ndelay = '5s'\n[defaults.execute_command]\nenv = {A = '1', B = '2'}"
    made = job(text, retry={"attempts": 5}, task={**COMMAND, "env": {"B": "3"}})
    assert made.retry is not None
    assert (made.retry.attempts, made.retry.delay) == (5, 5)
    assert made.task.params["env"] == {"A": "1", "B": "3"}


def test_null_takes_a_default_away() -> None:
    """And is like leaving the field out where there is none."""
    text = "[defaults]\ntimeout = 60\n[defaults.execute_command]\nenv = {A = '1', B = '2'}\numask = '077'"
    made = job(text, timeout=None, jitter=None, task={**COMMAND, "umask": None, "env": {"A": None}})
    assert (made.timeout, made.jitter) == (None, 0)
    assert made.task.params["env"] == {"B": "2"}
    assert "umask" not in made.task.params


def test_null_is_no_value_of_a_field_that_a_job_must_have() -> None:
    """Nor of one that there is not."""
    for name in ("schedule", "what"):
        assert isinstance(parsed("", **{name: None}), tuple)


def test_an_alert_of_another_type_replaces_the_default_and_null_means_none() -> None:
    """The fields of one type mean nothing for another."""
    text = "[defaults.on_failure]\ntype = 'execute_command'\ncommand = 'mail root'\numask = '077'"
    assert job(text).on_failure is not None
    assert job(text).on_failure.params["command"] == "mail root"  # type: ignore[union-attr]
    other = job(text, on_failure={"type": "http_request", "url": "https://a.example/"})
    assert other.on_failure is not None
    assert "umask" not in other.on_failure.params
    assert job(text, on_failure=None).on_failure == NO_TASK


def test_fields_of_a_type_hold_for_alerts_of_that_type_too() -> None:
    """`[defaults.execute_command]` is for every command."""
    made = job("[defaults.execute_command]\numask = '077'", on_failure=COMMAND)
    assert made.on_failure is not None
    assert (made.task.params["umask"], made.on_failure.params["umask"]) == ("077", "077")


def test_a_job_is_the_same_whether_it_says_a_field_or_has_it_by_default() -> None:
    """So a default that says what all jobs say already changes nothing."""
    assert job("[defaults]\ntimeout = 60\n") == job("", timeout=60)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[defaults]\ntimout = 1", "s.toml:2: unknown field or task type `timout` (did you mean `timeout`?)"),
        ("[defaults]\ntimeout = 'soon'", "s.toml:2: `soon` is not a duration"),
        ("[defaults]\nretry = {attempts = 0}", "s.toml:2: `retry.attempts` must be at least 1"),
        ("[defaults.retry]\nattempts = 2\ndelay = true", "s.toml:3: `retry.delay` must be a number or text"),
        ("[defaults]\noverlap = 'qeue'", "s.toml:2: `overlap` must be one of"),
        ("[defaults]\nschedule = '@daily'", "s.toml:2: `schedule` cannot have a default (each job says its own)"),
        ("[defaults]\ntask = {type = 'execute_command'}", "s.toml:2: `task` cannot have a default"),
        ("[defaults]\ntimezone = 'Mars/Base'", "s.toml:2: "),
        ("[defaults.execute_comand]\nuser = 'a'", "s.toml:1: unknown field or task type `execute_comand`"),
        ("[defaults.execute_command]\n\nusr = 'a'", "s.toml:3: unknown field `usr` (did you mean `user`?)"),
        ("[defaults.execute_command]\numask = 7", "s.toml:2: `"),
        ("[defaults.execute_command.env]\nA = 1", "s.toml:2: `"),
    ],
)
def test_what_is_wrong_in_the_defaults_is_named_with_its_line(text: str, expected: str) -> None:
    """Before any job has it."""
    (problem,) = checked(text)[1]
    shown = f"{problem.file}:{problem.line}: {problem.message}" + (f" ({problem.help})" if problem.help else "")
    assert shown.startswith(expected)


def test_what_a_task_type_asks_for_need_not_be_in_its_defaults() -> None:
    """Each job says its `command`."""
    assert not checked("[defaults.execute_command]\nshell = '/bin/sh'")[1]


def test_a_problem_of_a_default_in_a_job_names_where_it_comes_from() -> None:
    """Here two fields that are right alone do not go together."""
    found = parsed("[defaults]\nnot_after = 2026-01-01T00:00:00Z", not_before="2027-01-01T00:00:00Z")
    assert isinstance(found, tuple)
    (problem,) = found
    assert problem.message == "`not_after` is before `not_before`"
    assert problem.notes == ("`not_after` comes from `[defaults]` in s.toml",)
    found = parsed("[defaults.execute_command]\nuser = 'nobody-here'")
    assert isinstance(found, tuple)
    (problem,) = found
    assert problem.notes[-1:] == ("`task.user` comes from `[defaults.execute_command]` in s.toml",)


def test_an_environment_file_of_all_commands_is_that_of_each_job() -> None:
    """One of its own replaces it, `null` takes it away, and a warning about it names where it comes from."""
    text = "[defaults.execute_command]\nenv_file = '/no/such/all.env'"
    assert job(text).task.params["env_file"] == "/no/such/all.env"
    assert job(text, task={**COMMAND, "env_file": ["/a", "/b"]}).task.params["env_file"] == ["/a", "/b"]
    assert "env_file" not in job(text, task={**COMMAND, "env_file": None}).task.params

    context = replace(CONTEXT, defaults=checked(text)[0])
    raw = json.dumps({"job_id": "a", "schedule": "0 1 * * *", "task": COMMAND}).encode()
    made = parse(raw, "a.json", context)
    assert isinstance(made, Job)
    (warning,) = definition_warnings(raw, "a.json", made, context)
    assert warning.message.startswith("the environment file `/no/such/all.env` cannot be read")
    assert warning.notes == ("`task.env_file` comes from `[defaults.execute_command]` in s.toml",)
    assert warning.host_dependent
