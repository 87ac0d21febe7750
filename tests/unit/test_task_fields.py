"""What task types say about the fields of a job: their schemas and their checks."""

import os

import pytest
from jsonschema import Draft202012Validator

from jobscheduler.tasks import TASK_TYPES, task_type
from jobscheduler.tasks.command.task import ExecuteCommand
from jobscheduler.tasks.http import task
from jobscheduler.tasks.http.task import HttpRequest

URL = "https://example.org/"


def fits(kind, fields) -> bool:
    return Draft202012Validator(dict(kind.schema)).is_valid(fields)


def messages(kind, **fields):
    assert fits(kind, fields)
    return [(complaint.path, complaint.message, complaint.host_dependent) for complaint in kind.check(fields)]


@pytest.mark.parametrize("name", TASK_TYPES)
def test_a_schema_is_valid_and_explains_each_field(name):
    """With a description and an example that fits, and no room for unknown fields."""
    schema = dict(task_type(name).schema)
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    for field in schema["properties"].values():
        assert field["description"].endswith(".")
        assert all(Draft202012Validator(field).is_valid(example) for example in field["examples"])
        assert field.get("default") is None or Draft202012Validator(field).is_valid(field["default"])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"command": ""},
        {"command": []},
        {"command": [1]},
        {"command": "x", "umask": 22},
        {"command": "x", "env": {"A": 1}},
        {"command": "x", "nice": 20},
        {"command": "x", "success_exit_codes": []},
        {"command": "x", "success_exit_codes": [256]},
        {"command": "x", "comand": "y"},
    ],
)
def test_the_schema_of_execute_command_refuses(fields):
    """Whatever a schema can express."""
    assert not fits(ExecuteCommand, fields)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (("command",), {"command": "a\0b"}),
        (("command",), {"command": " "}),
        (("command", 1), {"command": ["a", "b\0"]}),
        (("command", 0), {"command": ["", "b"]}),
        (("command",), {"command": "\ud800"}),
        (("env", "A"), {"command": "x", "env": {"A": "\0"}}),
        (("env", "A=B"), {"command": "x", "env": {"A=B": ""}}),
        (("env", ""), {"command": "x", "env": {"": ""}}),
        (("env", "JOB_RUN_ID"), {"command": "x", "env": {"JOB_RUN_ID": "1"}}),
        (("env", "JOB_ATTEMPT"), {"command": "x", "env": {"JOB_ATTEMPT": "1"}}),
        (("cwd",), {"command": "x", "cwd": "relative"}),
        (("cwd",), {"command": "x", "cwd": ""}),
        (("shell",), {"command": "x", "shell": "bash"}),
        (("shell",), {"command": ["x"], "shell": "/bin/sh"}),
        (("umask",), {"command": "x", "umask": "888"}),
        (("umask",), {"command": "x", "umask": "022\n"}),
        (("umask",), {"command": "x", "umask": "7777"}),
    ],
)
def test_the_check_of_execute_command_refuses(path, fields):
    """Whatever a schema cannot express, each in its place. None of it depends on the host."""
    assert [(where, host) for where, _, host in messages(ExecuteCommand, **fields)] == [(path, False)]


def test_good_fields_have_no_error():
    """All of them at once. stdin may even hold a NUL."""
    good = {
        "command": "x\ny",
        "shell": "/bin/bash",
        "cwd": "/",
        "env": {"A b": "é"},
        "umask": "0077",
        "nice": 5,
        "stdin": "a\0b",
        "success_exit_codes": [0, 1],
    }
    assert messages(ExecuteCommand, **good) == []


@pytest.mark.parametrize("field", ["user", "group"])
def test_an_unknown_account_is_a_finding_about_this_host(field):
    """It may be created without an edit of the job."""
    (found,) = messages(ExecuteCommand, command="x", **{field: "no-such-name"})
    assert found == ((field,), f"this host knows no {field} `no-such-name`", True)


def test_only_root_can_change_the_user(monkeypatch):
    """The service's own user is always allowed, and root may set every user."""
    import pwd

    assert messages(ExecuteCommand, command="x", user=pwd.getpwuid(os.geteuid()).pw_name) == []
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    (found,) = messages(ExecuteCommand, command="x", user="daemon")
    assert (found[0], found[2]) == (("user",), True)
    assert "only root" in found[1]
    (found,) = messages(ExecuteCommand, command="x", nice=-1)
    assert (found[0], found[2]) == (("nice",), True)


def test_a_host_without_setpriv_is_an_error(monkeypatch):
    """With the package that has it."""
    monkeypatch.setattr("jobscheduler.tasks.command.fields.find_helper", lambda name: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (found,) = ExecuteCommand.check({"command": "x", "user": "daemon"})
    assert (found.host_dependent, found.help) == (True, "apt install util-linux")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"url": 1},
        {"url": URL, "headers": {"A": 1}},
        {"url": URL, "expected_status": []},
        {"url": URL, "expected_status": 99},
        {"url": URL, "verify": 1},
        {"url": URL, "x": 1},
    ],
)
def test_the_schema_of_http_request_refuses(fields):
    """Whatever a schema can express."""
    assert not fits(HttpRequest, fields)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (("url",), {"url": "ftp://example.org/"}),
        (("url",), {"url": "example.org"}),
        (("url",), {"url": "http://"}),
        (("url",), {"url": "http://[::1"}),
        (("url",), {"url": "http://h:99999/"}),
        (("url",), {"url": "http://h/a b"}),
        (("url",), {"url": "http://h/\r\nX: y"}),
        (("url",), {"url": "http://bücher.example/"}),
        (("url",), {"url": "http://a..b/"}),
        (("url",), {"url": f"http://{'a' * 70}.example/"}),
        (("method",), {"url": URL, "method": "GET /\r\n"}),
        (("headers", "A b"), {"url": URL, "headers": {"A b": "c"}}),
        (("headers", "A"), {"url": URL, "headers": {"A": "b\r\nC: d"}}),
        (("headers", "Content-Length"), {"url": URL, "headers": {"Content-Length": "1"}}),
        (("timeout",), {"url": URL, "timeout": "soon"}),
        (("timeout",), {"url": URL, "timeout": 0}),
        (("timeout",), {"url": URL, "timeout": 1e300}),
        (("verify",), {"url": URL, "verify": "ca.pem"}),
        (("body",), {"url": URL, "body": "\ud800"}),
        (("json",), {"url": URL, "json": [{"\ud800": 1}]}),
    ],
)
def test_the_check_of_http_request_refuses(path, fields):
    """Whatever a schema cannot express, each in its place."""
    assert [(where, host) for where, _, host in messages(HttpRequest, **fields)] == [(path, False)]


def test_two_bodies_are_refused_with_a_message():
    """The schema could only name its `not`."""
    (found,) = HttpRequest.check({"url": URL, "body": "", "json": None})
    assert (found.path, found.message) == (("json",), "`json` and `body` exclude each other")
    assert found.help == "drop one of them"


def test_an_error_about_a_url_does_not_repeat_it():
    """It may hold a password."""
    (found,) = messages(HttpRequest, url="ftp://me:letmein@example.org/")
    assert "letmein" not in found[1]


def test_a_missing_client_is_reported_with_the_command_that_installs_it(monkeypatch):
    """It depends on the host, because installing removes it without an edit."""
    monkeypatch.setattr(task, "is_installed", lambda: False)
    (found,) = HttpRequest.check({"url": URL})
    assert found.host_dependent
    assert found.help is not None
    assert "make install EXTRAS=http" in found.help


@pytest.mark.parametrize("timeout", [10, 0.5, "90s", "1.5s", "1h30m", "1d"])
def test_a_timeout_is_written_like_every_duration(timeout):
    """As seconds, or as text with units."""
    assert list(HttpRequest.check({"url": URL, "timeout": timeout})) == []


@pytest.mark.parametrize(
    ("kind", "path", "fields", "message"),
    [
        (
            ExecuteCommand,
            ("shell",),
            {"command": "x", "shell": "/bin/sh\u00a0"},
            "U+00A0, no-break space, cannot be in the path",
        ),
        (
            ExecuteCommand,
            ("env", "A\u200b"),
            {"command": "x", "env": {"A\u200b": ""}},
            "U+200B, zero width space, cannot be in",
        ),
        (HttpRequest, ("url",), {"url": "https://exa\u00a0mple.org/"}, "U+00A0, no-break space, cannot be in a URL"),
        (HttpRequest, ("url",), {"url": "https://example.org/a\u2003b"}, "U+2003, em space, cannot be in a URL"),
    ],
)
def test_an_invisible_character_is_named_where_a_blank_cannot_be(kind, path, fields, message):
    """In the path of a shell, the name of a variable, a URL. No reader sees it, and no program finds it."""
    ((where, error, host),) = messages(kind, **fields)
    assert (where, host) == (path, False)
    assert error.startswith(message)
