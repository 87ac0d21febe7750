"""From bytes to a Job or to every problem in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobscheduler import tasks
from jobscheduler.jobs.parser import ParseContext, definition_warnings, id_conflict, parse, parse_task, public_schema
from jobscheduler.model import NO_TASK, AlertRule, Cron, Job, Once, Problem, Retry, TaskSpec
from jobscheduler.util import durations
from tests.support.service import job

TASK = '{"type": "execute_command", "command": "/usr/local/bin/backup --all"}'
BERLIN = ParseContext(ZoneInfo("Europe/Berlin"), tasks.task_type, tasks.task_names())


def parsed(definition: Any) -> Job | tuple[Problem, ...]:
    """Parse a definition that is given as a value or as text."""
    text = definition if isinstance(definition, str) else json.dumps(definition)
    return parse(text.encode(), "a.json", BERLIN)


def problems(definition: Any) -> list[tuple[str, str | None]]:
    """The problems of a definition: message and help."""
    found = parsed(definition)
    assert not isinstance(found, Job), found
    return [(problem.message, problem.help) for problem in found]


def test_the_two_definitions_of_the_original_requirements_are_parsed() -> None:
    """A daily crontab job, and a one-time job with an offset."""
    report = parsed(
        """{
  "job_id": "report-001",
  "description": "Generate the daily sales report.",
  "schedule": "0 1 * * *",
  "task": { "type": "execute_command", "command": "/usr/bin/python /opt/scripts/generate_sales_report.py" }
}"""
    )
    cleanup = parsed(job("cleanup-xyz", "2025-10-27T10:00:00Z"))

    assert report == Job(
        id="report-001",
        schedule=Cron("0 1 * * *", "Europe/Berlin"),
        task=TaskSpec.from_params(
            "execute_command", {"command": "/usr/bin/python /opt/scripts/generate_sales_report.py"}
        ),
        description="Generate the daily sales report.",
    )
    assert isinstance(cleanup, Job)
    assert cleanup.schedule == Once(datetime(2025, 10, 27, 10, tzinfo=UTC))


def test_every_field_is_a_field_of_the_job() -> None:
    """Durations become seconds, instants UTC, texts stay."""
    found = parsed(
        job(
            "all",
            "0 9  *\t* mon-fri",
            description="d",
            timezone="Asia/Tokyo",
            enabled=False,
            timeout="1h30m",
            overlap="queue",
            retry={"attempts": 3, "delay": "5s", "backoff": 1.5, "max_delay": 60},
            catch_up="2d",
            jitter=1.5,
            not_before="2027-01-01T00:00",
            not_after="2027-12-31T00:00Z",
            on_failure={"type": "execute_command", "command": "tell"},
            on_recovery=None,
            tags=["shop", "backup"],
            success_within="26h",
            alert={"after": 3.0, "remind": "1d", "missed": True},
            **{"$schema": "x", "$comment": "a note"},
        )
    )

    assert found == Job(
        id="all",
        schedule=Cron("0 9 * * mon-fri", "Asia/Tokyo"),
        task=TaskSpec.from_params("execute_command", {"command": "true"}),
        description="d",
        enabled=False,
        timeout=5400,
        overlap="queue",
        retry=Retry(3, 5, 1.5, 60),
        catch_up=172800,
        jitter=1.5,
        not_before=datetime(2026, 12, 31, 15, tzinfo=UTC),
        not_after=datetime(2027, 12, 31, tzinfo=UTC),
        on_failure=TaskSpec.from_params("execute_command", {"command": "tell"}),
        on_recovery=NO_TASK,
        tags=("backup", "shop"),
        success_within=93600,
        alert=AlertRule(3, 86400, missed=True),
    )


def test_the_source_name_is_not_part_of_the_definition() -> None:
    """Moving a file changes nothing."""
    raw = json.dumps(job()).encode()
    assert parse(raw, "a.json", BERLIN) == parse(raw, "b.json", BERLIN)


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ([], [("a job file holds one object", 'write `{ "job_id": ..., "schedule": ..., "task": ... }`')]),
        (
            {},
            [
                ("missing field `job_id`", 'add it, for example `"job_id": "report-001"`'),
                ("missing field `schedule`", 'add it, for example `"schedule": "0 1 * * *"`'),
                (
                    "missing field `task`",
                    f'add it, for example `"task": {TASK}`',
                ),
            ],
        ),
        (
            {"job_id": "a", "shedule": "@daily", "task": {"type": "execute_command", "command": "x"}},
            [("unknown field `shedule`", "did you mean `schedule`?")],
        ),
        (
            job(enabled="yes", catch_up=[]),
            [
                ("`enabled` must be true or false, not text", "for example `false`"),
                ("`catch_up` must be a number or text, not a list", 'for example `"60s"`'),
            ],
        ),
        (
            job(overlap="skp"),
            [("`overlap` must be one of `skip`, `queue`, `replace`, `allow`", "did you mean `skip`?")],
        ),
        (job("a b"), [("`a b` is not a valid `job_id`", 'for example `"report-001"`')]),
        (job("a\n"), [("`a\N{REPLACEMENT CHARACTER}` is not a valid `job_id`", 'for example `"report-001"`')]),
        (job("x" * 129), [(f"`{'x' * 60}…` is not a valid `job_id`", 'for example `"report-001"`')]),
        (job(catch_up=-1), [("`catch_up` must be at least 0", 'for example `"60s"`')]),
        (job(catch_up="5 minutes"), [("`5 minutes` is not a duration", durations.HELP)]),
        (job(timeout="0s"), [("`timeout` must be longer than 0", "leave it out for no limit")]),
        (job(timeout=0), [("`timeout` must be more than 0", 'for example `"15m"`')]),
        (
            job(retry={"attempts": 0, "dlay": 3}),
            [
                ("`retry.attempts` must be at least 1", "for example `3`"),
                ("unknown field `dlay`", "did you mean `delay`?"),
            ],
        ),
        (job(success_within="0s"), [("`success_within` must be longer than 0", "leave it out for no limit")]),
        (
            job(alert={"after": 0, "remnd": "1d"}),
            [
                ("`alert.after` must be at least 1", "for example `3`"),
                ("unknown field `remnd`", "did you mean `remind`?"),
            ],
        ),
        (
            job(alert={"remind": "5s"}),
            [("`remind` must be at least 60 seconds", "leave it out for no reminder")],
        ),
        (job(alert={"remind": "daily"}), [("`daily` is not a duration", durations.HELP)]),
        (job(timezone="europe/berlin"), [("unknown time zone `europe/berlin`", "did you mean `Europe/Berlin`?")]),
        (
            job(not_before="2027-01-02T00:00Z", not_after="2027-01-01T00:00Z"),
            [("`not_after` is before `not_before`", "is one of the two mistyped?")],
        ),
        (
            job("a", "2027-01-01T00:00Z", not_before="2027-01-02T00:00Z"),
            [("`not_before` rules out the only slot of this job", "leave it out")],
        ),
        (
            {**job(), "task": {"type": "execute_comand", "command": "x"}},
            [("unknown task type `execute_comand`", "did you mean `execute_command`?")],
        ),
        ({**job(), "task": {}}, [("missing field `task.type`", 'add it, for example `"type": "execute_command"`')]),
        ({**job(), "task": "x"}, [("`task` must be an object, not text", f"for example `{TASK}`")]),
        ({**job(), "command": "x"}, [("unknown field `command`", "`command` belongs inside `task`")]),
    ],
)
def test_a_problem_has_a_message_and_a_help(definition: Any, expected: list[tuple[str, str | None]]) -> None:
    """All problems of a definition come at once, in words that its author understands."""
    assert problems(definition) == expected


def test_problems_have_locations_and_come_in_their_order() -> None:
    """Line and column of the key, of the value, or of the object that lacks a key; in a schedule, of the part."""
    found = parsed('{\n  "job_id": "a b",\n  "schedule": "0 25 * * *",\n  "tsk": 1,\n  "task": {\n    "type": "x" } }')

    assert not isinstance(found, Job)
    assert [(one.line, one.column, one.width, one.message.split("`")[0]) for one in found] == [
        (2, 13, 5, ""),
        (3, 18, 2, found[1].message.split("`")[0]),
        (4, 3, 5, "unknown field "),
        (6, 13, 3, "unknown task type "),
    ]
    assert found[1].excerpt == '  "schedule": "0 25 * * *",'


def test_no_value_of_a_task_is_quoted_in_a_problem() -> None:
    """A password in a wrong field stays out of the log."""
    found = parsed({**job(), "task": {"type": "execute_command", "command": "x", "env": {"A": ["secret"]}, "cwd": 17}})

    assert not isinstance(found, Job)
    assert all("secret" not in f"{one.message}{one.help}{one.notes}" for one in found)


def test_a_taken_id_is_a_problem_with_a_location() -> None:
    """Both files are named."""
    raw = b'{\n "job_id": "x"\n}'
    problem = id_conflict(raw, "b.json", "x", "a.json")

    assert (problem.line, problem.column, problem.file) == (2, 12, "b.json")
    assert "`a.json`" in problem.message
    assert id_conflict(b"{", "b.json", "x", "a.json").line is None


EXAMPLE = '`{"type": "execute_command", "command": "/usr/local/bin/tell-somebody"}`'


@pytest.mark.parametrize(
    ("alert", "place", "message", "help_"),
    [
        ('{"type": "execute_comand"}', 9, "unknown task type `execute_comand`", "did you mean `execute_command`?"),
        (
            '{"type": "execute_command", "comand": "x"}',
            28,
            "unknown field `comand`",
            "did you mean `command`?",
        ),
        (
            '{"type": "execute_command", "command": " "}',
            39,
            "the command is empty",
            None,
        ),
        ("{}", 0, "missing field `on_failure.type`", 'add it, for example `"type": "execute_command"`'),
        ('{"type": 5}', 9, "`on_failure.type` must be text, not a number", 'for example `"execute_command"`'),
        ('"mail root"', 0, "`on_failure` must be an object or null, not text", f"for example {EXAMPLE}"),
    ],
)
def test_an_alert_is_checked_like_a_task(alert: str, place: int, message: str, help_: str | None) -> None:
    """Unknown type, errors by the schema and the check of the type, each once and with its location."""
    head = '{"job_id": "a", "schedule": "@daily", "task": {"type": "execute_command", "command": "x"}, "on_failure": '
    found = parsed(head + alert + "}")

    assert isinstance(found, tuple)
    assert [(one.message, one.help) for one in found] == [(message, help_)]
    assert found[0].column == len(head) + place + 1


def test_an_alert_changes_nothing_but_itself() -> None:
    """A definition with another alert differs in that field alone; absent is not null."""
    plain, none = parsed(job()), parsed(job(on_failure=None))
    told = parsed(job(on_failure={"type": "execute_command", "command": "x"}))
    assert isinstance(plain, Job)
    assert isinstance(none, Job)
    assert isinstance(told, Job)

    assert told.changed_fields(plain) == told.changed_fields(none) == none.changed_fields(plain) == ("on_failure",)


def test_a_task_in_a_file_of_its_own_is_checked_alike() -> None:
    """For the service's own alerts: a task, or every problem with its location in that file."""
    good = parse_task(b'{"type": "execute_command", "command": "x"}', "alert.json", BERLIN)
    assert good == TaskSpec.from_params("execute_command", {"command": "x"})
    for raw, line, column, message in [
        (b'{"type": "execute_command",\n "comand": "x"}', 2, 2, "unknown field `comand`"),
        (b'{"type": "execute_comand"}', 1, 10, "unknown task type `execute_comand`"),
        (b'{"command": "x"}', 1, 1, "missing field `type`"),
        (b"[]", 1, 1, "`the definition` must be an object, not a list"),
        (b'{"type": "execute_command", "command": "x"', 1, 42, "the file ends in the middle of the definition"),
    ]:
        found = parse_task(raw, "alert.json", BERLIN)
        assert isinstance(found, tuple)
        assert [(one.file, one.line, one.column, one.message) for one in found] == [
            ("alert.json", line, column, message)
        ]


def test_the_public_schema_explains_every_field() -> None:
    """Description and examples everywhere, and every example is accepted by the very schema."""
    from jsonschema import Draft202012Validator

    whole = public_schema()
    Draft202012Validator.check_schema(whole)

    def fields(schema: dict[str, Any], path: str) -> None:
        for name, field in schema.get("properties", {}).items():
            if "$ref" in field:
                continue
            assert field.get("description"), f"{path}{name}"
            assert field.get("examples"), f"{path}{name}"
            for example in field["examples"]:
                Draft202012Validator({**field, "$defs": whole.get("$defs", {})}).validate(example)
            fields(field, f"{path}{name}.")

    fields(whole, "")
    for name, one in whole.get("$defs", {}).items():
        fields(one, f"{name}.")


def test_the_fields_of_the_task_types_in_the_public_schema_are_those_of_their_classes() -> None:
    """An editor and the service know the same fields; `scripts/update-schema` brings them in line."""
    defined = public_schema()["$defs"]

    del defined["task"]
    assert defined.keys() == tasks.TASK_TYPES.keys()
    for name, schema in defined.items():
        assert schema["properties"].pop("type")["const"] == name
        assert schema == tasks.task_type(name).schema


def test_an_editor_that_follows_the_public_schema_accepts_what_the_service_accepts() -> None:
    """The whole schema, conditions on the task included."""
    from jsonschema import Draft202012Validator

    editor = Draft202012Validator(public_schema())

    assert editor.is_valid(job())
    assert not editor.is_valid({**job(), "task": {"type": "execute_command", "comand": "x"}})
    assert editor.is_valid({**job(), "on_failure": None})
    assert not editor.is_valid({**job(), "on_failure": {"type": "execute_command", "comand": "x"}})
    assert editor.is_valid({**job(), "task": {"type": "of_another_package", "anything": 1}})


def test_every_example_is_a_good_job() -> None:
    """What the project shows, it loads."""
    for path in (Path(__file__).parent.parent.parent / "examples" / "jobs.d").glob("*.json"):
        found = parse(path.read_bytes(), path.name, BERLIN)
        assert isinstance(found, Job), found


@pytest.mark.parametrize(
    ("tags", "message", "help_"),
    [
        ("backup", "`tags` must be a list, not text", 'for example `["backup", "nightly"]`'),
        (["a", "my tag"], "`my tag` is not a valid tag", 'for example `"backup"`'),
        (["tag:shop"], "`tag:shop` is not a valid tag", "write `shop`: only commands have `tag:` in front"),
        ([""], "`` is not a valid tag", 'for example `"backup"`'),
        ([7], "`tags.0` must be text, not a number", 'for example `"backup"`'),
        (["a", "b", "a"], "`tags` says something twice", 'for example `["backup", "nightly"]`'),
        (
            [str(number) for number in range(17)],
            "`tags` is too long: at most 16",
            'for example `["backup", "nightly"]`',
        ),
    ],
)
def test_tags_are_up_to_sixteen_words(tags: object, message: str, help_: str) -> None:
    """A problem says which one is wrong, and how to write it."""
    assert problems(job(tags=tags)) == [(message, help_)]


def test_the_order_of_tags_means_nothing() -> None:
    """Another order is the same job; without tags is what `null` and an empty list say."""
    assert parsed(job(tags=["b", "a"])) == parsed(job(tags=["a", "b"]))
    assert parsed(job(tags=[])) == parsed(job(tags=None)) == parsed(job())


KEYS = ["job_id", "schedule", "task", "enabled", "timezone", "retry", "timeout", "jitter", "not_before", "x"]
VALUES = st.one_of(
    st.sampled_from(
        ["0 1 * * *", "a", "2027-01-01T00:00Z", "5s", "Europe/Berlin", {"type": "execute_command", "command": "x"}]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*KEYS, "type", "command", "attempts"]), inner, max_size=4)
        ),
        max_leaves=8,
    ),
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_any_value_is_a_job_or_problems_with_locations(value: dict[str, Any]) -> None:
    """Whatever goes in, nothing else comes out."""
    found = parsed(json.dumps(value))
    assert isinstance(found, Job) or all(
        one.message and (one.line or "JSON" in one.message or "large" in one.message) for one in found
    )


@pytest.mark.parametrize("wrong", ["tpye", "Type", "typ", "types"])
def test_a_misspelt_type_of_the_task_is_a_problem(wrong: str) -> None:
    """Without the type the fields of a task are unknown, so no other check would find it."""
    definition = job()
    definition["task"] = {wrong: "execute_command", "command": "true"}

    assert problems(definition) == [(f"unknown field `{wrong}`", "did you mean `type`?")]


def test_only_the_first_problems_of_many_are_reported() -> None:
    """More would not help, and would keep the other files waiting."""
    assert len(problems({**job(), **{f"x{number}": 1 for number in range(1000)}})) == 20


def test_a_message_is_one_printable_line() -> None:
    """Also for a token over several lines, and for a key with a line break."""
    assert problems('{"job_id": "x" "\n,"}')[0][0] == 'expected `,` or a closing bracket, found `"\ufffd,"`'
    assert "the key `a\ufffdb` appears here a second time" in dict(problems('{"a\\nb": 1, "a\\nb": 2}'))


@pytest.mark.parametrize("fault", [SystemExit(1), KeyboardInterrupt(), LookupError("what?"), RecursionError("deep")])
def test_an_exception_of_a_task_type_is_a_problem_of_this_file(
    fault: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also SystemExit. The problem depends on the host, because another version may be installed."""

    def check(_: Any) -> Any:
        raise fault

    monkeypatch.setattr(tasks.task_type("execute_command"), "check", check)
    (problem,) = parsed(job("a", "0 1 * * *"))  # type: ignore[misc]
    assert problem.message == f"the definition cannot be checked: {type(fault).__name__}: {fault}"
    assert problem.host_dependent


def test_a_message_about_a_duration_is_one_line() -> None:
    """Whatever the value is, the message stays one line."""
    assert problems(job(catch_up="1\n2")) == [("`1\N{REPLACEMENT CHARACTER}2` is not a duration", durations.HELP)]


@pytest.mark.parametrize(
    ("value", "help_"),
    [
        (18, 'write `"022"`, which is 18 in octal'),
        (22, 'write `"022"`, or `"026"`, which is 22 in octal'),
        (0, 'write `"000"`, which is 0 in octal'),
        (77, 'write `"077"`, or `"0115"`, which is 77 in octal'),
    ],
)
def test_the_help_for_a_numeric_umask_shows_the_octal_text(value: int, help_: str) -> None:
    """As text, in octal; digits that may be octal already are offered as they stand."""
    definition = job()
    definition["task"]["umask"] = value
    assert problems(definition) == [("`task.umask` must be text, not a number", help_)]


def test_a_whole_number_with_a_point_is_that_integer_wherever_one_is_asked_for() -> None:
    """`nice -n 10.0` does not run. A number that may have a fraction keeps its form."""
    written = job(retry={"attempts": 3e0})
    written["task"] |= {"nice": 1e1, "success_exit_codes": [0.0, 3.0]}
    plain = job(retry={"attempts": 3})
    plain["task"] |= {"nice": 10, "success_exit_codes": [0, 3]}
    request = {"type": "http_request", "url": "https://example.org/", "expected_status": [200.0, 2.04e2], "json": 1.0}

    found = parsed(written)
    assert isinstance(found, Job)
    assert found == parsed(plain)
    sent = parsed({**job(), "task": request})
    assert isinstance(sent, Job)
    assert json.dumps(sent.task.params["expected_status"]) == "[200, 204]"
    assert json.dumps(sent.task.params["json"]) == "1.0"
    negative = job()
    negative["task"]["nice"] = -0.0
    zero = parsed(negative)
    assert isinstance(zero, Job)
    assert json.dumps(zero.task.params["nice"]) == "0"


def test_a_task_type_that_cannot_say_what_it_warns_of_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in it must not look like a definition without warnings."""

    def warnings(_fields: Any) -> Any:
        raise AttributeError("no such name")

    text = json.dumps(job("a"))
    accepted = parsed(text)
    assert isinstance(accepted, Job)
    assert definition_warnings(text.encode(), "a.json", accepted, BERLIN) == ()
    monkeypatch.setattr(tasks.task_type("execute_command"), "warnings", warnings)
    (warning,) = definition_warnings(text.encode(), "a.json", accepted, BERLIN)
    assert warning.message == "the task type cannot say what it warns of: AttributeError: no such name"
    assert "please report it" in str(warning.help)


def test_warnings_of_a_task_type_are_located() -> None:
    """At the field that each is about."""
    text = json.dumps(job("a", command="true &> log"))
    accepted = parsed(text)
    assert isinstance(accepted, Job)
    (warning,) = definition_warnings(text.encode(), "a.json", accepted, BERLIN)
    assert warning.message.startswith("`&>` is bash's")
    assert warning.excerpt is not None
