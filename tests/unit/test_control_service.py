"""Definitions as they are shown, and the last records from before the start."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobscheduler.control.last_record_loader import LastRecordLoader
from jobscheduler.control.redact import redacted_definition
from jobscheduler.model import NO_TASK, Cron, Job, Record, Retry, Status, TaskSpec
from jobscheduler.model.log_line import parse_record
from jobscheduler.runlog import encode_line, format_json, format_text
from jobscheduler.runlog.parse import parse_line
from jobscheduler.status.run_stats import RunStats

AT = datetime(2026, 11, 22, 1, tzinfo=UTC)


def shown(type_: str, **fields: Any) -> Any:
    """Return the task of a definition as it is shown."""
    return redacted_definition(Job("x", Cron("* * * * *", "UTC"), TaskSpec.from_params(type_, fields)))["task"]


def test_secrets_of_commands_are_not_shown() -> None:
    """The environment and the standard input; also where a command repeats one."""
    task = shown(
        "execute_command", command=["curl", "-u", "me:hunter22"], env={"A": "hunter22", "B": "x"}, stdin="pin 1"
    )
    assert task == {
        "type": "execute_command",
        "command": ["curl", "-u", "me:[secret]"],
        "env": {"A": "[secret]", "B": "[secret]"},
        "stdin": "[secret]",
    }


@pytest.mark.parametrize(
    ("command", "secret"),
    [
        ("mysqldump --password=hunter22 shop", "hunter22"),
        ("backup --api-key 'two words' --to /srv", "two words"),
        ('PGPASSWORD="hunter22" psql -c "select 1"', "hunter22"),
        ("curl https://me:hunter22@host/x", "hunter22"),
        ("curl -H 'Authorization: Bearer abcdefgh1'", "abcdefgh1"),
        ("curl -u me:hunter22 https://host/x", "hunter22"),
        ("curl --proxy-user 'me:hunter22' https://host/x", "hunter22"),
        (["curl", "--user", "me:hunter22"], "hunter22"),
        (["mysqldump", "--password=hunter22"], "hunter22"),
        (["backup", "--token", "hunter22", "--to", "/srv"], "hunter22"),
    ],
)
def test_secrets_in_a_command_are_not_shown(command: Any, secret: str) -> None:
    """Those of options, variables, addresses and headers; all else stays."""
    seen = shown("execute_command", command=command)["command"]
    words = [command] if isinstance(command, str) else command
    expected = [word.replace(secret, "[secret]") for word in words]
    assert expected != words
    assert ([seen] if isinstance(command, str) else list(seen)) == expected


@pytest.mark.parametrize(
    "command",
    [
        "pg_dump --password-file=/etc/pw shop",
        "login --password=$PASSWORD --token $(cat /run/token)",
        "passwd --lock alice",
        "find / -name 'x=y' --max-depth=1",
        ["login", "--password", "--user", "me"],
    ],
)
def test_a_command_without_a_secret_is_shown_whole(command: Any) -> None:
    """A file's name, a variable and other options are none."""
    assert shown("execute_command", command=command)["command"] == command


def test_secrets_of_requests_are_not_shown() -> None:
    """Headers, user and password, query, anything like a key in the path, and the body."""
    task = shown(
        "http_request",
        url="https://me:pass1word@example.org/hooks/abcdEFGH1234?token=t0ps3cret",
        headers={"Authorization": "Bearer abc.def"},
        json={"client_secret": "JSONSECRET", "n": [1, "INNERSECRET"]},
    )
    text = repr(task)
    for secret in ("pass1word", "abcdEFGH1234", "t0ps3cret", "abc.def", "JSONSECRET", "INNERSECRET"):
        assert secret not in text
    assert "example.org/hooks/" in text
    assert "BODYSECRET" not in repr(shown("http_request", url="https://example.org/", body="BODYSECRET"))


def test_a_definition_is_shown_with_its_retry_and_its_alerts() -> None:
    """As in a job file; secrets of alerts are redacted too, and `null` stays `null`."""
    alert = TaskSpec.from_params("execute_command", {"command": "mail", "env": {"KEY": "hunter22"}})
    job = Job("x", Cron("@daily", "UTC"), TaskSpec.from_params("execute_command", {"command": "true"}), retry=Retry(3))
    answer = redacted_definition(Job(**{name: getattr(job, name) for name in ("id", "schedule", "task", "retry")},
                               on_failure=alert, on_recovery=NO_TASK))  # fmt: skip
    assert answer["retry"] == {"attempts": 3, "delay": 30.0, "backoff": 2.0, "max_delay": 600.0}
    assert answer["on_failure"] == {"type": "execute_command", "command": "mail", "env": {"KEY": "[secret]"}}
    assert answer["schedule"] == "@daily"


@pytest.mark.parametrize("form", [format_text, format_json])
def test_a_record_is_parsed_from_its_line(form: Any) -> None:
    """But for its output, which stays in the log."""
    record = Record(AT, Status.FAILURE, "x", "a1", AT, AT, 1.5, "exit", (("exit_code", 3),), "why")
    line = parse_line(encode_line(record, form).strip()) or {}
    found = parse_record(line)
    assert (found.status, found.job_id, found.run_id, found.duration, found.reason) == (
        Status.FAILURE,
        "x",
        "a1",
        1.5,
        "exit",
    )
    assert (found.scheduled, found.started, found.output) == (AT, AT, None)
    assert dict(found.details) == {"exit_code": "3"}


def test_the_last_records_are_loaded_once_and_newer_ones_stay(tmp_path: Path) -> None:
    """A record since the start is not replaced by an older one of the log."""
    log = tmp_path / "log"
    old = [Record(AT, status, job_id, "r", AT) for job_id, status in (("a", Status.FAILURE), ("b", Status.SUCCESS))]
    log.write_bytes(b"".join(encode_line(one, format_text) for one in [*old, Record(AT, Status.SUCCESS, "a", "r", AT)]))
    results = RunStats()
    results.observe(Record(AT, Status.SKIPPED, "b", scheduled=AT, reason="overlap"))
    recall = LastRecordLoader(log, 3, results)
    recall()
    log.unlink()
    recall()

    known = {job_id: found.status for job_id in "abc" if (found := results.last_record(job_id)) is not None}
    assert known == {"a": Status.SUCCESS, "b": Status.SKIPPED}
    assert sum(results.totals().counts.values()) == 1
